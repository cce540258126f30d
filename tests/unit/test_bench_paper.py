import argparse
import sys
from dataclasses import replace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

import explman_lite as el
from explman_lite import bench, results
from explman_lite.bench import command, measurement, runner
from explman_lite.pictures import collections as pictures


def call(*arguments: str) -> None:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    options = parser.parse_args(["bench", *arguments])
    options.run(options)


def test_the_paper_command_runs_end_to_end_without_a_network(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measurement, "load_model", lambda name: pytest.fail(f"loads {name}"))
    suite = bench.SUITES["paper"]
    # Ours are the same for every network and method: the quickest case will do.
    cases = [case for case in suite.cases if case.settings == "paper" or case.model == "resnet18"]
    monkeypatch.setitem(bench.SUITES, "paper", replace(suite, cases=tuple(cases)))
    call("paper", "--smoke", "--limit", "1", "--out", str(tmp_path))
    assert "Wrote 10 rows" in capsys.readouterr().out
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
    assert table["settings"].value_counts().to_dict() == {"paper": 9, "ours": 1}
    measured = table.select_dtypes("number").drop(columns=["pair", "steps", "seconds"])
    assert np.isfinite(measured.to_numpy()).all()


def test_the_papers_settings_are_converted_to_our_units():
    logits = torch.tensor([[-3.0, 3.0]])
    vgg = el.Settings.paper("Gradient", "vgg16", logits=logits, pixels=224**2)
    assert vgg.output_weight == pytest.approx(9 * 10 / 1e11 * 224**4)
    assert vgg == el.Settings.paper("Gradient", "vgg16", logits=logits)
    assert vgg.lr == pytest.approx(1e-3 * (0.229 + 0.224 + 0.225) / 3)
    assert {vgg.schedule(fraction) for fraction in (0.0, 0.5, 1.0)} == {1.0}
    assert vgg.momentum == (0.9, 0.999)
    steps = [
        el.Settings.paper(method, network).steps
        for method, network in [
            ("LRP", "vgg16"),
            ("IntegratedGradients", "vgg16"),
            ("Gradient", "alexnet"),
            ("Gradient", "densenet121"),
        ]
    ]
    assert steps == [1500, 500, 4000, 2000]
    assert el.Settings.paper("LRP", "vgg16").beta is None
    assert el.Settings.paper("Gradient", "densenet121").beta == (30.0, 300.0)


def test_the_papers_settings_against_a_smoothed_map():
    found = el.Settings.paper("Gradient", "efficientnet_lite0", against_smoothing=True)
    assert found.steps == 500
    assert found.lr == pytest.approx(5.65e-5)
    assert found.output_weight == el.Settings().output_weight
    assert el.Settings.paper("Gradient", "digits_vgg", against_smoothing=True).lr == 2.5e-4
    assert el.Settings.paper("LRP", "vgg16", against_smoothing=True).steps == 1500


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("LRP", "vgg16"), {"logits": torch.zeros(2, 5)}, "logits .* of one, got"),
        (("LRP", "vgg17"), {}, "unknown model 'vgg17'"),
        (("SmoothGrad", "vgg16"), {"against_smoothing": True}, "does not smooth 'SmoothGrad'"),
    ],
)
def test_settings_that_the_paper_does_not_have_are_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        el.Settings.paper(*arguments, **options)


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
    assert collection.others().shape == (2, 3, 224, 224)


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


def test_ctrl_c_says_how_to_go_on(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "measure", interrupt)
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        call("digits", "--limit", "1", "--out", str(tmp_path))


def test_the_pictures_of_imagenet_come_with_an_extra(monkeypatch):
    pictures.open_pictures.cache_clear()
    collection = pictures.open_pictures("imagenet")
    assert collection.name(3).startswith("imagenet_03_")
    shapes = {collection.picture(number).shape for number in range(pictures.IMAGENET_SIZE)}
    assert shapes == {(3, 224, 224)}
    assert collection.others().shape == (6, 3, 224, 224)
    assert "foolbox" not in sys.modules, "its data only"
    monkeypatch.setattr(pictures, "find_spec", lambda _: None)
    pictures.open_pictures.cache_clear()
    with pytest.raises(ValueError, match=r"pip install 'explman-lite\[imagenet\]'"):
        pictures.open_pictures("imagenet")


def test_the_network_recognises_most_pictures_of_imagenet():
    pictures.open_pictures.cache_clear()
    collection = pictures.open_pictures("imagenet")
    images = torch.stack([collection.picture(number) for number in range(pictures.IMAGENET_SIZE)])
    true = torch.tensor([int(collection.name(number)[12:]) for number in range(len(images))])
    with torch.no_grad():
        found = el.load_model()(images).argmax(dim=1)
    assert (found == true).double().mean() >= 0.8
