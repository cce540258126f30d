"""The marked sample reports: their marks add up, and their code yields what they state."""

import importlib
import re

import pandas as pd
import pytest

from bookkit.places import ROOT
from bookkit.recorded.numbers import ROLE, filled
from bookkit.recorded.reports import REPORTS, stated
from bookkit.recorded.tables import recorded

TEACH = ROOT / "book" / "teach"
PROJECTS = (TEACH / "projects.md").read_text("utf-8")
PAGES = sorted(TEACH.glob("report_*.md"))
SCRIPTS = [page.stem.replace(f"_{at}", "", 1) for at, page in enumerate(PAGES, start=1)]
REPORT = re.compile(
    r"^## Report of (group [A-F])\n(.*?)^### Marks for \1\n(.*?)(?=^## |\Z)", re.M | re.S
)
RUBRIC = re.compile(r"^### Rubric for .*?(?=^## |\Z)", re.M | re.S)
ROW = re.compile(r"^\| (?!criterion|---)(.*) \|$", re.M)
MARKS = re.compile(r"(\d+) of (\d+)")
TOLERANCE = {0: 0.6, 2: 0.05, 3: 0.002}
"""How far a number may be from the recorded one elsewhere, by the decimals that pages show."""


def by_name(path):
    return path.stem


def rows(table):
    return [row.split(" | ") for row in ROW.findall(table)]


def reports(page):
    """Return a page's two reports: group, text and marks."""
    return REPORT.findall(page.read_text("utf-8"))


def marked():
    """List every report with the rubric of its project."""
    rubrics = RUBRIC.findall(PROJECTS)
    return [
        pytest.param(marks, rubric, id=group)
        for page, rubric in zip(PAGES, rubrics, strict=True)
        for group, _, marks in reports(page)
    ]


def test_there_are_two_reports_of_different_groups_on_each_project():
    groups = [group for page in PAGES for group, *_ in reports(page)]
    assert groups == [f"group {letter}" for letter in "ABCDEF"]


@pytest.mark.parametrize(("marks", "rubric"), marked())
def test_each_line_of_the_rubric_is_marked_and_the_total_is_right(marks, rubric):
    given, lines = rows(marks), rows(rubric)
    assert [row[0] for row in given] == [row[0] for row in lines]
    assert all(len(row) == 3 and row[2].endswith(".") for row in given)
    points = [tuple(map(int, MARKS.fullmatch(row[1]).groups())) for row in given]
    assert [out_of for _, out_of in points] == [int(row[1].split(":")[0]) for row in lines]
    assert all(0 <= got <= out_of for got, out_of in points)
    assert points[-1] == tuple(map(sum, zip(*points[:-1], strict=True)))


@pytest.mark.parametrize(("marks", "rubric"), marked())
def test_marks_are_folded_until_a_reader_has_marked(marks, rubric):
    assert re.fullmatch(r"\n:::\{dropdown\} .+\n(\|.*\|\n)+:::\n*", marks)


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_the_first_report_is_good_and_the_second_is_not(page):
    good, flawed = (int(MARKS.fullmatch(rows(marks)[-1][1])[1]) for *_, marks in reports(page))
    assert flawed < 40 and 80 <= good < 100


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_a_report_can_be_read_in_five_minutes(page):
    for group, text, _ in reports(page):
        prose = re.sub(r"^(\|.*|```.*|:.*)$", "", filled(text), flags=re.M)
        assert 350 <= len(prose.split()) <= 750, group


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_a_number_with_decimals_is_stated_and_not_typed(page):
    typed = re.findall(r"\b\d+\.\d+\b", ROLE.sub("", page.read_text("utf-8")))
    assert set(typed) <= {"0.01", "0.03", "0.05", "0.1", "0.3", "0.8", "98.3"}, "settings, as typed"


def test_an_interval_is_written_with_its_ends(monkeypatch):
    columns = ["name", "value", "low", "high", "digits"]
    table = pd.DataFrame([["a", -0.126, -0.2, 0.001, 2], ["b", 12, None, None, 0]], columns=columns)
    monkeypatch.setattr("bookkit.recorded.reports.recorded", lambda name: table)
    assert stated("opinion", "a") == "−0.13\u00a0(−0.20–0.00)"
    assert stated("opinion", "b") == "12"


@pytest.mark.parametrize(("report", "script"), [*zip(REPORTS, SCRIPTS, strict=True)])
def test_the_code_yields_the_numbers_that_the_page_states(report, script, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    module = importlib.import_module(script)
    found = module.Numbers()
    module.measure(found)
    table = found.table().set_index("name")
    known = recorded(f"report-{report}").set_index("name")
    assert table.index.tolist() == known.index.tolist()
    away = (table - known)[["value", "low", "high"]].abs()
    assert (away.fillna(0).le(known.digits.map(TOLERANCE), axis=0)).all(axis=None), away.max()
