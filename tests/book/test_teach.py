"""The teaching kit adds up, agrees with the notebooks, and what it prints runs, in small."""

import re
from functools import cache
from pathlib import Path

import nbformat
import pytest
import yaml
from printed_code import blocks, quickened

from bookkit.chapters import NOTEBOOKS

ROOT = Path(__file__).resolve().parents[2]
TEACH = ROOT / "book" / "teach"
NOTES = sorted(TEACH.glob("note_*.md"))
SYLLABI = {"one_lecture": 1, "two_lectures": 2, "six_weeks": 6}
TIMED = [TEACH / f"{name}.md" for name in SYLLABI] + NOTES
PAGES = [TEACH / "index.md", TEACH / "projects.md", *TIMED]

HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
TABLE = re.compile(r"(?:^\|.*\|\n)+", re.MULTILINE)
EXERCISE = re.compile(r"\[(Exercise \d[^]]*)\]\(\.\./\.\./notebooks/(\w+)\.ipynb#")
DURATION = re.compile(r"\((\d+) minutes\)")

# What makes the starting code of the projects quick; each must be there to be replaced.
QUICKER = {
    "size=128)": "size=32)",
    "size=96)": "size=32)",
    '"steps": 60': '"steps": 1',
    '"steps": 40': '"steps": 1',
    "digits[:20], digits[100:120]": "digits[:2], digits[100:102]",
    '"restarts": 2': '"restarts": 1',
}


def test_the_reading_of_six_weeks_is_that_of_their_chapters():
    """Week 1 has two chapters; of chapter 3 nothing is read."""
    notes = {path.stem.split("_")[1]: read(path) for path in NOTES}
    minutes = {
        chapter: int(re.search(r"takes (\d+) minutes to read", note)[1])
        for chapter, note in notes.items()
    }
    del minutes["03"]
    shown = " ".join(read(TEACH / "six_weeks.md").split())
    first, whole = map(
        int, re.search(r"(\d+) minutes in week 1, .*?, (\d+) in all", shown).groups()
    )
    assert first == minutes["01"] + minutes["01b"]
    assert whole == sum(minutes.values())


@cache
def read(path: Path) -> str:
    return path.read_text("utf-8")


def by_name(path: Path) -> str:
    return path.stem


def tables(path: Path) -> list[tuple[str, list[dict[str, str]]]]:
    """Find a page's tables: the heading above each, and its rows by column."""
    found = []
    for match in TABLE.finditer(read(path)):
        above = HEADING.findall(read(path)[: match.start()])[-1]
        lines = [[cell.strip() for cell in line[1:-1].split("|")] for line in match[0].splitlines()]
        columns, _, *rows = lines
        found.append((above, [dict(zip(columns, row, strict=True)) for row in rows]))
    return found


def timings(path: Path) -> list[tuple[str, list[dict[str, str]]]]:
    """Find a page's tables with minutes."""
    return [(above, rows) for above, rows in tables(path) if "minutes" in rows[0]]


def rubrics(path: Path) -> list[tuple[str, list[dict[str, str]]]]:
    """Find a page's rubrics."""
    return [(above, rows) for above, rows in tables(path) if "criterion" in rows[0]]


def points_of(level: str) -> int:
    """Read the points that a cell of a rubric begins with."""
    return int(level.split(":")[0])


@cache
def exercises(notebook: str) -> list[str]:
    """List a notebook's headings of exercises."""
    cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return [heading for heading in HEADING.findall(text) if heading.startswith("Exercise ")]


def minutes(exercise: str) -> int:
    """Read how long an exercise takes; the one without an end takes an hour."""
    match = DURATION.search(exercise)
    return int(match[1]) if match else 60


def test_every_notebook_has_a_note():
    assert [note.stem for note in NOTES] == [f"note_{notebook.stem}" for notebook in NOTEBOOKS]


def test_every_page_is_in_the_table_of_contents():
    parts = yaml.safe_load(read(ROOT / "_toc.yml"))["parts"]
    captions = [part.get("caption") for part in parts]
    assert captions == ["Try it", "Chapters", None, None, "Teaching", "Reference"]
    listed = [chapter["file"] for chapter in parts[captions.index("Teaching")]["chapters"]]
    pages = {f"book/teach/{path.stem}" for path in TEACH.glob("*.md")}
    assert len(listed) == len(set(listed))
    assert set(listed) == pages
    assert listed[0] == "book/teach/index"


@pytest.mark.parametrize("path", TIMED, ids=by_name)
def test_minutes_add_up(path):
    found = timings(path)
    assert found, f"{path.name} holds no table with minutes"
    for above, rows in found:
        total = DURATION.search(above)
        assert total, f"{path.name}: the heading {above!r} does not say how many minutes"
        passed = 0
        for row in rows:
            assert int(row.get("from", passed)) == passed, f"{path.name}, {above}: {row}"
            passed += int(row["minutes"])
        assert passed == int(total[1]), f"{path.name}, {above}: the rows make {passed} minutes"


@pytest.mark.parametrize("name", SYLLABI)
def test_a_syllabus_has_as_many_sessions_as_its_name_says(name):
    sessions = [above for above, rows in timings(TEACH / f"{name}.md") if "from" in rows[0]]
    assert len(sessions) == SYLLABI[name]
    assert all("(90 minutes)" in above for above in sessions)


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_exercises_are_named_as_in_the_notebooks(path):
    for title, notebook in EXERCISE.findall(read(path)):
        assert title in exercises(notebook), f"{path.name}: {title}"


@pytest.mark.parametrize("note", NOTES, ids=by_name)
def test_a_note_lists_every_exercise_of_its_chapter(note):
    notebook = note.stem.removeprefix("note_")
    rows = next(rows for _, rows in tables(note) if "exercise" in rows[0])
    listed = [EXERCISE.match(row["exercise"]) for row in rows]
    assert all(listed)
    assert [match.groups() for match in listed] == [(e, notebook) for e in exercises(notebook)]


@pytest.mark.parametrize("path", TIMED, ids=by_name)
def test_exercises_get_the_time_that_they_take(path):
    for above, rows in timings(path):
        for row in rows:
            needed = sum(minutes(title) for title, _ in EXERCISE.findall(" ".join(row.values())))
            given = int(row["minutes"])
            assert given >= needed, f"{path.name}, {above}: {row}"
            if above.startswith("Homework") and EXERCISE.match(row["what"]):
                assert given == needed, f"{path.name}, {above}: {row}"


@pytest.mark.parametrize("note", NOTES, ids=by_name)
def test_a_note_says_how_long_the_chapter_says_it_takes(note):
    notebook = note.stem.removeprefix("note_")
    opening = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells[0].source
    reading = re.search(r"(\d+) minutes to\s+read", opening)
    assert f"takes {reading[1]} minutes to read" in read(note)
    assert f"exercises take {sum(map(minutes, exercises(notebook)))} minutes" in read(note)


def test_there_are_three_rubrics():
    assert len(rubrics(TEACH / "projects.md")) == 3


@pytest.mark.parametrize("number", range(3))
def test_points_of_a_rubric_add_up(number):
    above, (*rows, total) = rubrics(TEACH / "projects.md")[number]
    assert total.pop("criterion") == "in all"
    sums = dict.fromkeys(total, 0)
    for row in rows:
        points = [points_of(row[level]) for level in total]
        assert points == sorted(set(points), reverse=True), row
        sums = {level: sums[level] + gained for level, gained in zip(total, points, strict=True)}
    assert sums == {level: int(points) for level, points in total.items()}, above
    assert f"({sums['excellent']} points)" in above


@pytest.mark.parametrize("number", range(3))
def test_a_rubric_rewards_controls_honesty_and_code_that_runs(number):
    criteria = {row["criterion"]: row for row in rubrics(TEACH / "projects.md")[number][1]}
    for wanted in ("negative controls", "honest uncertainty", "reproducible code"):
        assert points_of(criteria[wanted]["excellent"]) >= 15, wanted


def starting_codes() -> list[str]:
    return blocks(read(TEACH / "projects.md"), "python")


def test_every_substitution_has_something_to_replace():
    codes = "".join(starting_codes())
    assert len(starting_codes()) == 3
    assert [slow for slow in QUICKER if slow not in codes] == []


@pytest.mark.parametrize("number", range(3))
def test_starting_code_of_a_project_runs(number, capsys):
    exec(quickened(starting_codes()[number], QUICKER), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) >= 2
    assert all(re.search(r": (PCC|gain) -?\d\.\d\d$", line) for line in printed), printed
