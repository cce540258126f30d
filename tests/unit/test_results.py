import json

import pandas as pd
import pytest

from explman_lite import results


def test_a_table_comes_back_with_its_provenance(tmp_path):
    path = tmp_path / "new" / "table.csv"
    table = pd.DataFrame({"method": ["Gradient"], "pcc": [0.5]})
    results.save_table(path, table, command="make table", seed=3)
    pd.testing.assert_frame_equal(results.load_table(path), table)
    provenance = results.load_provenance(path)
    assert provenance["command"] == "make table"
    assert provenance["settings"] == {"seed": 3}
    assert {"date", "machine", "python", "versions"} <= provenance.keys()
    assert sorted(file.name for file in path.parent.iterdir()) == ["table.csv", "table.json"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    results.write_atomically(path, json.dumps("old"))

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        results.write_atomically(path, json.dumps("new"))
    assert json.loads(path.read_text()) == "old"
