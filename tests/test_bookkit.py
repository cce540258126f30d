"""The commands of bookkit, and what it computes for the pages."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bookkit.__main__ import main
from bookkit.places import ROOT
from bookkit.recorded.lying import area


def test_make_calls_only_commands_that_there_are(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = set(re.findall(r"^    (\w+)  ", capsys.readouterr().out, re.MULTILINE))
    called = re.findall(r"-m bookkit (\w+)", (ROOT / "Makefile").read_text("utf-8"))
    assert {"slides", "archives", "exam", "execute", "print"} == set(called) < commands


@pytest.mark.parametrize("command", ["print", "execute nowhere.ipynb", "items file/bank.gift"])
def test_what_cannot_be_done_is_a_sentence_and_exit_status_2(
    command, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bookkit.paper.pdf.HTML", tmp_path)
    (tmp_path / "file").touch()
    assert main(command.split()) == 2
    (problem,) = capsys.readouterr().err.splitlines()
    assert problem.startswith("bookkit: error: ")


def test_an_area_is_that_of_scikit_learn_and_its_interval_holds_it():
    generator = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "photograph": np.arange(100) % 10,
            "honest": generator.integers(0, 12, 100),  # with ties
            "lying": generator.integers(3, 15, 100),
        }
    )
    found, low, high = area(rows)
    truth = [0] * 100 + [1] * 100
    assert found == pytest.approx(roc_auc_score(truth, [*rows.honest, *rows.lying]))
    assert low < found < high < 1
    reversed_, *_ = area(rows.rename(columns={"honest": "lying", "lying": "honest"}))
    assert reversed_ == pytest.approx(1 - found)


def test_the_interval_of_an_area_draws_photographs():
    """Two photographs that say the opposite: with ten crops of each the interval stays wide."""
    rows = pd.DataFrame({"photograph": [0] * 10 + [1] * 10, "honest": 0.0, "lying": 1.0})
    rows.loc[rows.photograph == 1, ["honest", "lying"]] = [3.0, 2.0]
    found, low, high = area(rows)
    assert found == 0.5
    assert (low, high) == (0.0, 1.0)
