import json
import subprocess
import sys

import pytest
from PIL import Image

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
    quick = ["--size", "32", "--steps", "1", "--device", "cpu", "--method", method]
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
    ],
)
def test_wrong_input_is_one_line_and_exit_status_2(tmp_path, capsys, arguments, message):
    status = main(["manipulate", "--out", str(tmp_path), "--size", "64", *arguments])
    assert status == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


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
