"""Numbers of the prose come from the recorded tables, or the book is not built."""

import re

import pandas as pd
import pytest
from sphinx.cmd.build import build_main

from bookkit.archives import pack
from bookkit.places import ROOT
from bookkit.recorded import numbers
from bookkit.recorded.numbers import (
    NUMBERS,
    ROLE,
    filled,
    number,
    percent,
    significant,
    words,
)

PAGES = {path: path.read_text("utf-8") for path in ROOT.glob("book/**/*.md")}
USED = {name for page in PAGES.values() for name in ROLE.findall(page)}


def test_pages_use_exactly_the_numbers_that_there_are():
    assert sorted(USED) == sorted(NUMBERS)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_a_short_word_a_number_or_a_range(name):
    one = r"[-−]?\d+(\.\d+)?"
    forms = (one, rf"{one} to {one}", rf"{one}\u00a0\({one}–{one}\)", r"[a-z]+( [a-z]+)?")
    assert any(re.fullmatch(form, number(name)) for form in forms)


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (words, 0, "no"),
        (words, 9, "nine"),
        (words, 30, "thirty"),
        (words, 180, "180"),
        (percent, 0.866, "87"),
        (significant, 0.0124, "0.01"),
        (significant, 12.4, "10"),
    ],
)
def test_how_numbers_are_written(write, value, text):
    assert write(value) == text


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="no number is called 'cat-pc'; there are cat-pcc, "):
        number("cat-pc")


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"other": [1]}),
        pd.DataFrame({"steps": [60], "pcc_target": [0.9]}),
        pd.DataFrame({"steps": [100], "pcc_target": [float("nan")]}),
    ],
    ids=["no such column", "no such row", "not measured"],
)
def test_a_table_that_lacks_the_number_is_refused(monkeypatch, table):
    monkeypatch.setattr(numbers, "recorded", lambda name: table)
    with pytest.raises(ValueError, match="do not yield the number 'cat-pcc'"):
        number("cat-pcc")


def test_a_table_that_is_not_there_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("bookkit.recorded.tables.RESULTS", tmp_path)
    with pytest.raises(ValueError, match=r"'cat-pcc': .*No such file"):
        number("cat-pcc")


def build(folder, page):
    """Build a book of one page; return the exit status and what was written."""
    (folder / "conf.py").write_text("extensions = ['myst_parser', 'bookkit.sphinx.numbers']")
    (folder / "index.md").write_text(f"# A page\n\n{page}\n", "utf-8")
    out = folder / "built"
    status = build_main(["-q", "-W", "-b", "text", str(folder), str(out)])
    return status, out / "index.txt"


def test_a_page_is_filled(tmp_path):
    status, page = build(tmp_path, "It reaches {number}`cat-pcc`, and no more.")
    assert status == 0
    assert f"It reaches {number('cat-pcc')}, and no more." in page.read_text("utf-8")


def test_the_book_is_not_built_with_an_unknown_number(tmp_path, capsys):
    status, _ = build(tmp_path, "It reaches {number}`cat-pc`.")
    assert status != 0
    assert re.search(r"index\.md:3: ?no number is called 'cat-pc'", capsys.readouterr().err)


def test_archives_are_filled():
    assert filled("It is {number}`cat-pcc`.") == f"It is {number('cat-pcc')}."
    packed = pack.contents("instructor")
    noted = [path for path in PAGES if f"notes/{path.name}" in packed and ROLE.search(PAGES[path])]
    assert noted and [name for name, text in packed.items() if ROLE.search(text)] == []
