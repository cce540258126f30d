import argparse
from dataclasses import replace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from explman_lite import bench, results
from explman_lite.bench import command, measurement, pictures, runner


def call(*arguments: str) -> None:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    options = parser.parse_args(["bench", *arguments])
    options.run(options)


def test_the_paper_command_runs_end_to_end_without_a_network(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measurement, "load_model", lambda name: pytest.fail(f"loads {name}"))
    call("paper", "--smoke", "--limit", "1", "--out", str(tmp_path))
    assert "Wrote 18 rows" in capsys.readouterr().out
    names = ["paper-smoke-first1.csv", "paper-smoke-first1.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    table, provenance = (
        load(tmp_path / names[0]) for load in (results.load_table, results.load_provenance)
    )
    assert provenance["command"].endswith("bench paper --seed 0 --limit 1 --smoke")
    assert provenance["settings"]["smoke"] is True
    assert set(table["suite"]) == {"paper-smoke"}
    assert table["source"].str.startswith("generated").all()
    cases = table.groupby("model")["method"].nunique().to_dict()
    assert cases == {"vgg16": 6, "resnet18": 1, "alexnet": 1, "densenet121": 1}
    assert len(table) == 9 * 2
    measured = table.select_dtypes("number").drop(columns=["pair", "steps", "seconds"])
    assert np.isfinite(measured.to_numpy()).all()


def test_the_papers_settings_are_converted_to_our_units():
    logits = torch.tensor([[-3.0, 3.0]])
    vgg = bench.paper_settings("vgg16", "Gradient", logits, 224**2)
    assert vgg["output_weight"] == pytest.approx(9 * 10 / 1e11 * 224**4)
    assert vgg["lr"] == pytest.approx(1e-3 * (0.229 + 0.224 + 0.225) / 3)
    assert {vgg["schedule"](fraction) for fraction in (0.0, 0.5, 1.0)} == {1.0}
    assert vgg["momentum"] == (0.9, 0.999)
    steps = {
        case: bench.paper_settings(*case, logits, 224**2)["steps"]
        for case in [
            ("vgg16", "LRP"),
            ("vgg16", "IntegratedGradients"),
            ("alexnet", "Gradient"),
            ("densenet121", "Gradient"),
        ]
    }
    assert list(steps.values()) == [1500, 500, 4000, 2000]
    assert bench.paper_settings("vgg16", "LRP", logits, 1)["beta"] is None
    assert bench.paper_settings("densenet121", "Gradient", logits, 1)["beta"] == (30.0, 300.0)
    with pytest.raises(ValueError, match="give one, got 2"):
        bench.paper_settings("vgg16", "LRP", torch.zeros(2, 5), 1)


@pytest.fixture
def imagenette(tmp_path, monkeypatch):
    """Two pictures per split in place of thousands."""
    monkeypatch.setattr(pictures, "_SPLIT_SIZES", {"train": 2, "val": 2})
    monkeypatch.setattr(pictures, "_FOR_PATTERNS", 2)
    for split in ("train", "val"):
        folder = tmp_path / "imagenette2-320" / split / "n01440764"
        folder.mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (400, 320), (255, 0, 51)).save(folder / f"{split}_{number}.JPEG")
    pictures.open_pictures.cache_clear()
    return tmp_path


def test_imagenette_is_cropped_as_networks_expect(imagenette):
    collection = pictures.open_pictures("imagenette", str(imagenette))
    picture = collection.picture(1)
    assert collection.name(1) == "val_1"
    assert picture.shape == (3, 224, 224)
    torch.testing.assert_close(
        picture.mean(dim=(1, 2)), torch.tensor([1.0, 0.0, 0.2]), atol=0.01, rtol=0
    )
    assert collection.for_patterns().shape == (2, 3, 224, 224)


def test_missing_imagenette_pictures_are_noticed(imagenette):
    next((imagenette / "imagenette2-320" / "val").rglob("*.JPEG")).unlink()
    with pytest.raises(ValueError, match="holds 1 of 2 pictures; remove"):
        pictures.open_pictures("imagenette", str(imagenette))


def refuse(*_, **__):
    raise URLError("no network")


def test_without_a_network_the_smoke_run_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(OSError, match=r"cannot be downloaded .*no network.*--smoke"):
        call("paper", "--out", str(tmp_path), "--data", str(tmp_path / "data"))
    monkeypatch.setattr(measurement, "load_model", refuse)
    measurement._network.cache_clear()
    with pytest.raises(OSError, match=r"weights of alexnet cannot be loaded.*no network"):
        measurement._network("alexnet", False, "float32")


def test_photographs_are_known_by_name():
    (job,) = replace(
        bench.SUITES["photos"], cases=(bench.Case("efficientnet_lite0", "Gradient"),), steps=1
    ).jobs(limit=1)
    row = bench.measure(job).iloc[0]
    assert (row["source"], row["target"]) == ("astronaut", "chelsea")
    assert row["random_target"] in {"china", "coffee", "flower", "rocket"}


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="unknown suite 'cifar'; known suites: digits, photos"):
        call("cifar", "--out", str(tmp_path))
    with pytest.raises(ValueError, match="limit must be at least 1"):
        call("digits", "--limit", "0", "--out", str(tmp_path))
    with pytest.raises(ValueError, match="seed must not be negative"):
        call("digits", "--seed", "-1", "--out", str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_ctrl_c_ends_the_command_in_a_sentence(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "measure", interrupt)
    with pytest.raises(SystemExit, match="the same command goes on"):
        call("digits", "--limit", "1", "--out", str(tmp_path))
