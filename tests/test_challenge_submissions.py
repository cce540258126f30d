"""What is handed in to a challenge is data, and anything else is refused with a sentence."""

import ast
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from bookkit.challenge import tool
from bookkit.challenge.tool import Challenge, Judge, Refused

SHAPE = (2, 32, 32, 3)


@pytest.fixture
def challenge():
    pixels = np.random.default_rng(0).integers(20, 230, SHAPE, dtype=np.uint8)
    judge = Judge(0, 90, "SmoothGrad")
    return Challenge("efficientnet_lite0", 8, judge, pixels, torch.ones(2, 32, 32))


def npy(array, **options) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def with_header(header: str, version=(1, 0), declared=None) -> bytes:
    """Write the start of a .npy file by hand, with a length of its header that may be a lie."""
    size = 2 if version == (1, 0) else 4
    length = len(header) if declared is None else declared
    return b"\x93NUMPY" + bytes(version) + length.to_bytes(size, "little") + header.encode()


def bomb() -> bytes:
    """Zip two megabytes of zeros into two kilobytes, under names that climb."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("../../pictures.npy", "/pictures.npy"):
            archive.writestr(name, bytes(1 << 20))
    return file.getvalue()


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


GOOD = np.full(SHAPE, 100, np.uint8)
DESCRIBED = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}"
HOSTILE = {
    "a pickle": (pickle.dumps(Trap()), "it is a pickle, which runs code"),
    "an array of objects": (
        npy(np.array([Trap()], dtype=object), allow_pickle=True),
        "holds Python objects, which run code",
    ),
    "a zip bomb with names that climb": (bomb(), "it is a zip archive"),
    "floats": (npy(GOOD.astype(np.float32)), r"its numbers are float32.*challenge.save rounds"),
    "not a number": (npy(np.full(SHAPE, np.nan)), "its numbers are float64"),
    "records": (npy(np.zeros(4, [("a", "u1"), ("b", "f8")])), r"its numbers are \[\('a'"),
    "another shape": (npy(GOOD[:1]), r"its shape is \(1, 32, 32, 3\)"),
    "channels first": (npy(GOOD.transpose(0, 3, 1, 2).copy()), r"its shape is \(2, 3, 32, 32\)"),
    "a shape without end": (with_header(DESCRIBED.format("|u1", (10**30,))), "its shape is"),
    "a negative shape": (with_header(DESCRIBED.format("|u1", (-1, 32, 32, 3))), "its shape is"),
    "no shape": (with_header("{'descr': '|u1'}"), "cannot|can be read"),
    "a huge header": (with_header(" " * 60_000), "no .npy file that can be read"),
    "a header of four gigabytes": (
        with_header("{}", (2, 0), 2**32 - 1),
        "its header is of version 2",
    ),
    "a header that calls": (with_header("__import__('os').mkdir('sprung')"), "can be read"),
    "a header of brackets": (with_header("(" * 900), "can be read"),
    "a type that calls": (with_header(DESCRIBED.format("sprung", SHAPE)), "can be read"),
    "cut off": (npy(GOOD)[:-1], "it holds fewer than the 6,144 bytes"),
    "something behind": (npy(GOOD) + b"x", "it holds more than the 6,144 bytes"),
    "much behind": (npy(GOOD) + bytes(10**6), "it holds more than the 6,144 bytes"),
    "empty": (b"", "no .npy file that can be read"),
    "text": (b"forged", "no .npy file that can be read"),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(100), "no .npy file that can be read"),
}


@pytest.mark.parametrize(("content", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused(content, sentence, challenge, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "team.npy"
    path.write_bytes(content)
    with pytest.raises(Refused, match=sentence):
        tool.read_forgery(path, challenge)
    assert [found.name for found in tmp_path.iterdir()] == ["team.npy"], "something was run"


def test_what_is_far_from_the_pictures_is_refused(challenge, tmp_path):
    forged = challenge.pixels.copy()
    forged[1, 3, 4, 0] += 9
    np.save(tmp_path / "far.npy", forged)
    with pytest.raises(Refused, match=r"picture 2 was changed by 9 grey levels, and 8 are allowed"):
        tool.read_forgery(tmp_path / "far.npy", challenge)
    forged[1, 3, 4, 0] -= 1
    np.save(tmp_path / "near.npy", forged)
    assert (tool.read_forgery(tmp_path / "near.npy", challenge) == forged).all()


def test_a_value_that_wraps_round_is_far(challenge, tmp_path):
    challenge.pixels[0, 0, 0, 0] = 255
    forged = challenge.pixels.copy()
    forged[0, 0, 0, 0] = 2  # 255 + 3 in eight bits
    np.save(tmp_path / "far.npy", forged)
    with pytest.raises(Refused, match="picture 1 was changed by 253"):
        tool.read_forgery(tmp_path / "far.npy", challenge)


def test_an_array_stored_by_columns_is_read(challenge, tmp_path):
    np.save(tmp_path / "team.npy", np.asfortranarray(challenge.pixels))
    assert (tool.read_forgery(tmp_path / "team.npy", challenge) == challenge.pixels).all()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such files")
def test_what_is_no_file_of_its_own_is_refused(challenge, tmp_path):
    np.save(tmp_path / "good.npy", challenge.pixels)
    (tmp_path / "link.npy").symlink_to(tmp_path / "good.npy")
    (tmp_path / "folder.npy").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.npy")  # would wait for somebody to write
    for name, sentence in (("link", "is a link"), ("folder", "is a link"), ("pipe", "ordinary")):
        with pytest.raises(Refused, match=sentence):
            tool.read_forgery(tmp_path / f"{name}.npy", challenge)
    with pytest.raises(OSError, match="No such file"):
        tool.read_forgery(tmp_path / "missing.npy", challenge)


def test_a_folder_of_pictures_becomes_the_file_to_hand_in(challenge, tmp_path):
    for number, picture in enumerate(challenge.pixels, 1):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    packed = tool.pack(tmp_path, "Team 7", challenge, tmp_path)
    assert packed.name == "Team 7.npy"
    assert (tool.read_forgery(packed, challenge) == challenge.pixels).all()
    Image.new("RGB", (9000, 9000)).save(tmp_path / "2.png")
    with pytest.raises(Refused, match=r"2.png has 9000 × 9000 pixels"):
        tool.pack(tmp_path, "Team 7", challenge, tmp_path)
    (tmp_path / "2.png").write_text("no picture")
    with pytest.raises(Refused, match=r"2.png cannot be read"):
        tool.pack(tmp_path, "Team 7", challenge, tmp_path)


@pytest.mark.parametrize(
    "team", ["", "../x", "a/b", "a\\b", ".a", "-a", "=1+1", "a.b", "a\n", "ä", "x" * 31, "<b>"]
)
def test_the_name_of_a_team_leads_nowhere(team, challenge, tmp_path):
    np.save(tmp_path / "forged.npy", challenge.pixels)
    with pytest.raises(Refused, match="a team's name has up to 30 letters"):
        tool.pack(tmp_path / "forged.npy", team, challenge, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["forged.npy"]


def test_saved_images_are_rounded_and_within_the_bound(challenge, tmp_path):
    images = challenge.images + 8.4 / 255
    tool.save(tmp_path / "forged.npy", images)
    found = tool.read_forgery(tmp_path / "forged.npy", challenge)
    assert (found == challenge.pixels + 8).all()


def nested(depth: int) -> str:
    """Write code whose compiled form doubles with each level."""
    levels = [" " * n + line for n in range(1, depth) for line in ("try: x()", "finally:")]
    return "\n".join(["def explain(model, image, label):", *levels, " " * depth + "x()"])


CODE = {
    "no function": ("x = 1", "defines no function explain"),
    "a function that is only called": ("explain(1)", "defines no function explain"),
    "an attribute": ("import os\nos.explain = 1", "defines no function explain"),
    "an inner function": ("def f():\n def explain(): pass", "defines no function explain"),
    "no Python": ("def explain(", "no Python that can be read"),
    "too long": ("def explain(): pass\n" + "#" * tool.LONGEST_CODE, "more than 20,000 bytes"),
    "a zero byte": ("def explain(): pass\0", "no Python that can be read"),
    "brackets": ("def explain(): " + "(" * 19_000, "no Python that can be read"),
    "signs": ("def explain(): return " + "-" * 19_000 + "1", "no Python that can be read"),
    "sums": ("def explain(): return 1" + "+1" * 9_000, "no Python that can be read"),
    "dots": ("def explain(): return x" + ".x" * 9_000, "no Python that can be read"),
}


@pytest.mark.parametrize(("source", "sentence"), CODE.values(), ids=CODE)
def test_what_is_no_code_of_a_defender_is_refused(source, sentence, tmp_path):
    (tmp_path / "team.py").write_text(source)
    with pytest.raises(Refused, match=sentence):
        tool.read_defender(tmp_path / "team.py")


@pytest.mark.parametrize(
    "source",
    [
        "explain = lambda model, image, label: image[0, 0]",
        "explain: object = print",
        "\ufeffdef explain(): pass",
        '"\\d"\ndef explain(): pass',
    ],
)
def test_what_defines_a_function_is_read(source, tmp_path):
    (tmp_path / "team.py").write_text(source, "utf-8")
    assert tool.read_defender(tmp_path / "team.py") == source.removeprefix("\ufeff")


def test_code_is_read_without_compiling_it(tmp_path, monkeypatch):
    """What this one compiles to doubles with each of its levels."""
    original = compile

    def parsing_only(source, name, mode, flags=0, **rest):
        assert flags & ast.PyCF_ONLY_AST, "something was compiled"
        return original(source, name, mode, flags, **rest)

    (tmp_path / "team.py").write_text(nested(19))
    monkeypatch.setattr("builtins.compile", parsing_only)
    assert tool.read_defender(tmp_path / "team.py") == nested(19)


FAILING = {
    "raises": ("def explain(*given):\n    return 1 / 0", "in line 2 it raised ZeroDivisionError"),
    "raises at once": ("explain = print\nimage", "in line 2 it raised NameError: name 'image'"),
    "exits": (
        "import sys\nexplain = print\nsys.exit('bye')",
        "in line 3 it raised SystemExit: bye",
    ),
    "compiles to nothing": ("explain = print\nreturn", "it raised SyntaxError: 'return' outside"),
    "is no function": ("explain = 3", "its explain is no function"),
}


@pytest.mark.parametrize("command", ["pack", "score"])
@pytest.mark.parametrize(("source", "sentence"), FAILING.values(), ids=FAILING)
def test_what_ones_own_code_raises_is_a_sentence(
    command, source, sentence, challenge, tmp_path, monkeypatch, capsys
):
    (tmp_path / "team.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tool, "load", lambda: challenge)
    monkeypatch.setattr(tool.el, "load_model", lambda name: torch.nn.Flatten())
    assert tool.main([command, "team.py", "--team", "Team"]) == 2
    said = capsys.readouterr().err
    assert sentence in said and "Traceback" not in said


def test_code_is_read_without_running_it(tmp_path):
    path = tmp_path / "team.py"
    path.write_text("raise SystemExit\ndef explain(model, image, label): pass\n")
    assert "SystemExit" in tool.read_defender(path)
    path.write_bytes(b"def explain(): '\xff'")
    with pytest.raises(Refused, match="no Python that can be read"):
        tool.read_defender(path)
