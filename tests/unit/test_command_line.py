import json
import subprocess
import sys
from dataclasses import replace

import pytest
from PIL import Image

from explman_lite import attack
from explman_lite.__main__ import METHODS, main

KINDS = {(card.points is None, card.fit is None): method for method, card in METHODS.items()}
"""A method of each kind: as it is, with a number of points, fitted to pictures first."""


def test_manipulate_writes_picture_figure_and_summary(tmp_path, capsys):
    out = tmp_path / "out"
    quick = ["--size", "64", "--steps", "3", "--device", "cpu"]
    assert main(["manipulate", "chelsea", "coffee", "--out", str(out), *quick]) == 0
    assert "Wrote manipulation.png" in capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    assert summary["steps"] == 3
    assert summary["method"] == "gradient"
    assert -1 <= summary["result"]["pcc_target"] <= 1
    assert isinstance(summary["result"]["class_kept"], bool)
    assert Image.open(out / "manipulated.png").size == (64, 64)
    assert Image.open(out / "manipulation.png").width > 300


@pytest.mark.parametrize("method", KINDS.values())
def test_every_kind_of_method_can_be_attacked(tmp_path, method):
    quick = ["--size", "64", "--steps", "1", "--device", "cpu", "--method", method]
    assert main(["manipulate", "coffee", "text:no", "--out", str(tmp_path), *quick]) == 0
    assert json.loads((tmp_path / "summary.json").read_text())["method"] == method


def test_a_sentence_can_be_the_target(tmp_path):
    quick = ["--size", "64", "--steps", "1", "--device", "cpu"]
    assert main(["manipulate", "coffee", "text:no", "--out", str(tmp_path), *quick]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jpg", "coffee"], "'missing.jpg' is neither a file nor a known photograph"),
        (["chelsea", __file__], "is not an image that can be read"),
        (["chelsea", "text:"], "text must not be empty"),
        (["chelsea", "coffee", "--steps", "0"], "steps must be at least 1"),
        (
            ["chelsea", "coffee", "--size", "6"],
            "--size must be at least 32 pixels for efficientnet_lite0, got 6",
        ),
        (["chelsea", "coffee", "--size", "1000000"], "size must be at most 10000 pixels"),
        (["chelsea", "text:解"], "cannot draw: '解'"),
        ([".", "coffee"], "'.' is neither a file nor a known photograph"),
        (["chelsea", "coffee", "--lr", "nan"], "lr must be positive and finite, got nan"),
        (["chelsea", "coffee", "--out", __file__], "is no folder to write to: File exists"),
        (["chelsea", "coffee", "--out", f"{__file__}/x"], "to write to: Not a directory"),
    ],
)
def test_wrong_input_is_one_line_and_exit_status_2(tmp_path, capsys, arguments, message):
    status = main(["manipulate", "--out", str(tmp_path), "--size", "64", *arguments])
    assert status == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "there is not enough memory"),
        (RuntimeError("CUDA out of memory.\nTried to allocate"), "CUDA out of memory."),
    ],
)
def test_a_machine_too_small_is_one_line_and_exit_status_2(
    tmp_path, capsys, monkeypatch, error, message
):
    def fail(*given, **how):
        raise error

    monkeypatch.setattr(attack, "manipulate", fail)
    assert main(["manipulate", "coffee", "text:no", "--out", str(tmp_path), "--size", "32"]) == 2
    assert capsys.readouterr().err.splitlines() == [f"explman_lite: error: {message}" + (
        "; a smaller --size may do" if isinstance(error, MemoryError) else ""
    )]  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_no_result_is_left_half_written(tmp_path, capsys, monkeypatch):
    def fail(*given, **how):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    quick = ["--size", "32", "--steps", "1", "--device", "cpu"]
    assert main(["manipulate", "coffee", "text:no", "--out", str(tmp_path), *quick]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("device", ["foo", "cuda:99", "meta"])
def test_a_useless_device_is_a_sentence_and_exit_status_2(tmp_path, capsys, device):
    with pytest.raises(SystemExit) as status:
        main(["manipulate", "chelsea", "coffee", "--out", str(tmp_path), "--device", device])
    assert status.value.code == 2
    assert f"argument --device: {device!r} cannot be used: " in capsys.readouterr().err


def test_help_is_there(capsys):
    command = [sys.executable, "-m", "explman_lite", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "manipulate" in done.stdout
    with pytest.raises(SystemExit) as status:
        main(["manipulate", "--help"])
    assert status.value.code == 0
    assert "manipulate [-h]" in capsys.readouterr().out


def test_a_lost_class_comes_with_advice(tmp_path, capsys, monkeypatch):
    manipulate = attack.manipulate

    def lose(*given, **settings):
        result = manipulate(*given, **settings)
        return replace(result, logits=result.logits.roll(1, dims=1))

    monkeypatch.setattr(attack, "manipulate", lose)
    options = ["--steps", "2", "--size", "64"]
    assert main(["manipulate", "chelsea", "text:no", "--out", str(tmp_path), *options]) == 0
    assert "is LOST: a larger --output-weight or more --steps hold it." in capsys.readouterr().out
