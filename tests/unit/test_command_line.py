import json
import resource
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest
from PIL import Image, PngImagePlugin

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


QUICK = ["--size", "32", "--steps", "1", "--device", "cpu"]
AWKWARD = 'it\'s "own"\n 図\udcff'
"""A quote of each kind, a space, a line break, a letter of another alphabet and a broken one."""


def blank(side):
    return lambda path: Image.new("1", (side, side)).save(path)


def with_a_text(path):
    """Write a picture of a few kilobytes with a comment of a hundred megabytes."""
    comment = PngImagePlugin.PngInfo()
    comment.add_text("comment", "no" * 50_000_000, zip=True)
    Image.new("L", (8, 8)).save(path, pnginfo=comment)


def truncated(form):
    def write(path):
        Image.effect_noise((64, 64), 99).save(path, form)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return write


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("large.png", blank(10_000), "'large.png' has more than the 89,478,485 pixels"),
        ("bomb.png", blank(20_000), "'bomb.png' has more than the 89,478,485 pixels"),
        ("text.png", with_a_text, "'text.png' is not an image that can be read: Decompressed"),
        ("half.jpg", truncated("jpeg"), "can be read: image file is truncated"),
        ("half.png", truncated("png"), "can be read: image file is truncated"),
        ("half.gif", truncated("gif"), "can be read: image file is truncated"),
        ("zero.png", lambda path: path.touch(), "'zero.png' is not an image that can be read"),
        ("notes.png", lambda path: path.write_text("no"), "'notes.png' is not an image"),
        ("folder.png", lambda path: path.mkdir(), "is neither a file nor a known photograph"),
        (AWKWARD, lambda path: path.touch(), f"{AWKWARD!r} is not an image that can be read"),
    ],
)
def test_a_hostile_picture_is_one_line_and_exit_status_2(tmp_path, capsys, name, write, message):
    write(tmp_path / name)
    out = tmp_path / "out"
    assert main(["manipulate", str(tmp_path / name), "text:no", "--out", str(out), *QUICK]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_path_may_hold_what_it_likes(tmp_path, capfd):
    Image.effect_noise((64, 64), 99).save(picture := tmp_path / f"{AWKWARD}.png")
    out = tmp_path / AWKWARD
    assert main(["manipulate", str(picture), str(picture), "--out", str(out), *QUICK]) == 0
    assert str(out).encode("unicode_escape").decode()[-6:] in capfd.readouterr().out
    assert json.loads((out / "summary.json").read_text())["image"] == str(picture)


@contextmanager
def full_disk():
    """Let no file have more than a thousand bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_without_room_is_seen_before_the_attack(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(attack, "manipulate", None)
    with full_disk():
        assert main(["manipulate", "coffee", "text:no", "--out", str(tmp_path), *QUICK]) == 2
    assert capsys.readouterr().err.endswith("is no folder to write to: File too large\n")
    assert not list(tmp_path.iterdir())


def test_no_result_is_left_half_written(tmp_path, capsys, monkeypatch):
    manipulate, full = attack.manipulate, full_disk()

    def fill(*given, **how):
        result = manipulate(*given, **how)
        full.__enter__()
        return result

    monkeypatch.setattr(attack, "manipulate", fill)
    status = main(["manipulate", "coffee", "text:no", "--out", str(tmp_path), *QUICK])
    full.__exit__(None, None, None)
    assert status == 2
    assert "File too large" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_ctrl_c_is_a_sentence(tmp_path, capsys, monkeypatch):
    def interrupt(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr("explman_lite.__main__.load_model", interrupt)
    assert main(["manipulate", "coffee", "text:no", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "explman_lite: error: interrupted\n"


@pytest.mark.usefixtures("interrupted_attack")
def test_an_attack_ended_by_ctrl_c_is_written_and_says_so(tmp_path, capsys):
    status = main(["manipulate", "coffee", "text:no", "--out", str(tmp_path), *QUICK, "--steps=5"])
    assert status == 130
    printed = capsys.readouterr()
    assert printed.err.endswith("explman_lite: error: interrupted after 2 of 5 steps\n")
    assert "Wrote" in printed.out
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["interrupted"] and summary["steps"] == 2


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
