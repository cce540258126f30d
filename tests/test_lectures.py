"""Lectures keep to their syllabi, and what is wrong with a slide is said before it is made."""

import re
from pathlib import Path

import pytest

from bookkit.places import ROOT
from bookkit.slides import cited, lecture
from bookkit.slides.cited import chosen, numbers_of, printed
from bookkit.slides.drawn import drawn
from bookkit.slides.lecture import DECKS, LABEL, LECTURES, read_lecture, slides_of

SOURCES = sorted((DECKS / "slides").glob("*.md"))
SESSIONS = {"one_lecture": 1, "two_lectures": 2, "six_weeks": 6}
MOST_SLIDES = 35
TEACH = ROOT / "book" / "teach"

NOTE = """\
Note:
Say it.

**Ask.** What? **Expect.** This. **Reply.** That.

**More.** [There](../../index.md)
"""
LECTURE = """\
# A title

[One lecture](../teach/syllabus.md#the-lecture-5-minutes)

Bring chalk.

## First

- [one](slides/topic.md#one), {minutes}
"""
SYLLABUS = """\
## The lecture (5 minutes)

| from | minutes | what |
|---|---|---|
| 0 | 5 | all of it |
"""


def sources() -> dict[str, str]:
    """List the slides of all files by their labels."""
    found = {}
    for path in SOURCES:
        _, *parts = LABEL.split(path.read_text("utf-8"))
        found |= dict(zip(parts[::2], parts[1::2], strict=True))
    return found


def by_name(path: Path) -> str:
    return path.stem


def test_there_is_a_lecture_for_each_session():
    counts = {name: sum(p.stem.startswith(name) for p in LECTURES) for name in SESSIONS}
    assert counts == SESSIONS


@pytest.mark.parametrize("path", LECTURES, ids=by_name)
def test_a_lecture_fills_its_time_with_few_slides(path):
    slides = [slide for section in read_lecture(path).sections for slide in section.slides]
    assert sum(slide.seconds for slide in slides) == 90 * 60
    assert 1 + len(slides) <= MOST_SLIDES
    assert len({slide.anchor for slide in slides}) == len(slides)
    assert all(section.slides for section in read_lecture(path).sections)


@pytest.mark.parametrize("path", LECTURES, ids=by_name)
def test_a_syllabus_and_the_kit_lead_to_the_deck(path):
    name = next(name for name in SESSIONS if path.stem.startswith(name))
    title = path.read_text("utf-8").splitlines()[0].removeprefix("# ")
    link = f'<a href="../../slides/{path.stem}.html">'
    assert f"{link}{title}</a>" in (TEACH / f"{name}.md").read_text("utf-8")
    assert link in (TEACH / "index.md").read_text("utf-8")


def test_every_slide_is_shown_somewhere():
    used = {
        s.anchor for path in LECTURES for part in read_lecture(path).sections for s in part.slides
    }
    assert used == set(sources())


@pytest.mark.parametrize("name", sources())
def test_notes_say_what_to_ask_and_where_to_read_on(name):
    note = sources()[name].partition("\nNote:\n")[2]
    assert "**More.** [" in note
    asked = [note.count(f"**{word}.**") for word in ("Ask", "Expect", "Reply")]
    assert asked in ([1, 1, 1], [0, 0, 0])
    assert len(re.findall(r"[.?!:*](?=\s|$)", note)) >= 2


@pytest.mark.parametrize("name", sources())
def test_no_result_is_typed(name):
    """A result comes from a cell or a table; guesses and formulas may hold numbers."""
    body = sources()[name].partition("\nNote:\n")[0]
    kept = re.sub(
        r"\{\w+\}`[^`]*`|\$\$.*?\$\$|\$.*?\$|\]\([^)]*\)|<.*?>", "", body, flags=re.DOTALL
    )
    shown = "\n".join(line for line in kept.splitlines() if not line.startswith(">"))
    assert re.findall(r"\d+\.\d+", shown) == []


@pytest.fixture
def written(monkeypatch, tmp_path):
    """Give a function that writes a file of slides in a repository of its own, and its path."""
    monkeypatch.setattr(lecture, "ROOT", tmp_path)
    folder = tmp_path / "book" / "decks" / "slides"
    folder.mkdir(parents=True)

    def write(body: str, note: str = NOTE) -> Path:
        path = folder / "topic.md"
        path.write_text(f"(one)=\n## A claim\n\n{body}\n\n{note}", "utf-8")
        slides_of.cache_clear()
        return path

    yield write
    slides_of.cache_clear()


def test_a_slide_is_read(written):
    slide = lecture.slide(written("> Why?\n\nBecause."), "one", 5, 3, "First")
    assert slide.title == "A claim"
    assert slide.seconds == 180
    assert slide.layout == "plain"
    assert "<strong>5–8</strong> · First" in slide.notes
    question, answer = slide.body.split("</blockquote>")
    assert "fragment" not in question and "fragment" in answer


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("word " * 31, "31 words, and 30 are enough"),
        ("$$" + r"\frac{a}{b}\\" * 9 + "$$", "too full"),
        ("![](../../../notebooks/01_saliency_maps.ipynb#no-cell)", "no cell of code 'no-cell'"),
        ("![](../../../notebooks/09_nothing.ipynb#title)", "no chapter '09_nothing'"),
        ("![](../../../notebooks/01_saliency_maps.ipynb#switches)", "'switches'.*draws nothing"),
        ("![A line](../../_static/no.svg)", "no figure 'no.svg'"),
        ("{printed}`01_saliency_maps#switches nobody (\\d)`", "printed nothing like 'nobody"),
        ("{number}`no-number`", "no number is called 'no-number'"),
        ("```\ncode\n```", "no room for a fence"),
    ],
)
def test_what_is_wrong_with_a_slide_is_said(written, body, complaint):
    path = written(body)
    with pytest.raises(ValueError, match=f"'one' in book/decks/slides/topic.md: .*{complaint}"):
        lecture.slide(path, "one", 0, 5, "First")


def test_a_slide_without_notes_is_refused(written):
    with pytest.raises(ValueError, match="needs a heading with ##, and what is said below"):
        slides_of(written("A word.", note=""))


@pytest.fixture
def planned(written, tmp_path):
    """Give a function that writes a lecture of one slide, and its path."""
    (tmp_path / "book" / "teach").mkdir()
    (tmp_path / "book" / "teach" / "syllabus.md").write_text(SYLLABUS, "utf-8")
    written("A word.")

    def write(minutes: int, more: str = "") -> Path:
        path = tmp_path / "book" / "decks" / "talk.md"
        path.write_text(LECTURE.format(minutes=minutes) + more, "utf-8")
        return path

    return write


def test_a_lecture_is_read(planned, monkeypatch, tmp_path):
    monkeypatch.setattr("bookkit.links.ROOT", tmp_path)
    found = read_lecture(planned(5))
    assert found.label == "One lecture"
    assert found.home == "../book/teach/syllabus.html#the-lecture-5-minutes"
    assert [[s.anchor for s in part.slides] for part in found.sections] == [["one"]]
    assert "Bring chalk." in found.opening.notes


@pytest.mark.parametrize(
    ("minutes", "more", "complaint"),
    [
        (4, "", "slides of 'First' take 4 minutes, 5 in"),
        (5, "\n## Second\n\n- [one](slides/topic.md#one), 5\n", "has 2 sections, .* 1"),
        (3, "- [two](slides/topic.md#two), 2\n", "no slide 'two' in"),
    ],
)
def test_a_lecture_that_leaves_its_syllabus_is_refused(
    planned, monkeypatch, tmp_path, minutes, more, complaint
):
    monkeypatch.setattr("bookkit.links.ROOT", tmp_path)
    with pytest.raises(ValueError, match=complaint):
        read_lecture(planned(minutes, more))


GALLERY = (
    '<div class="explman-pictures" data-columns="3">'
    + "".join(f'<figure><img src="{i}" width="8" height="8"></figure>' for i in range(1, 7))
    + "</div>"
)


@pytest.mark.parametrize(
    ("choice", "pictures", "columns"),
    [("2 4", ["2", "4"], 2), ("1-4", ["1", "2", "3", "4"], 3), ("6 1-2", ["6", "1", "2"], 3)],
)
def test_pictures_of_a_gallery_are_chosen(choice, pictures, columns):
    html = chosen(GALLERY, choice)
    assert re.findall(r'src="(\d)"', html) == pictures
    assert f'data-columns="{columns}"' in html


def test_pictures_that_are_not_there_cannot_be_chosen():
    assert numbers_of("1 3-5") == [1, 3, 4, 5]
    for choice in ("7", "0", "0-2"):
        with pytest.raises(ValueError, match=f"of 6 pictures '{choice}' cannot be chosen"):
            chosen(GALLERY, choice)


def test_a_number_is_what_the_group_matches_or_all_of_it():
    text = cited.text_of(cited.cell_of("01_saliency_maps", "noise-numbers"))
    row = re.search(r"^chelsea +(\S+) +(\S+)", text, re.MULTILINE)
    pattern = r"chelsea +\S+ +(\S+)"
    assert printed("01_saliency_maps", "noise-numbers", pattern) == row[2]
    assert printed("01_saliency_maps", "noise-numbers", r"^chelsea +\S+ +\S+") == row[0]


@pytest.mark.parametrize(
    ("shown", "written"),
    [("-0.12 of 3", "−0.12 of 3"), ("-0.00", "0.00"), ("-0.01", "−0.01"), ("1e-12", "1e-12")],
)
def test_a_printed_number_has_a_true_minus_and_zero_no_sign(monkeypatch, shown, written):
    monkeypatch.setattr(cited, "cell_of", lambda chapter, name: None)
    monkeypatch.setattr(cited, "text_of", lambda cell: f"r = {shown}")
    assert printed("a_chapter", "a-cell", "r = (.*)") == written


def test_a_picture_without_a_description_is_refused():
    with pytest.raises(ValueError, match=r"'springs\.svg' is not described"):
        drawn(ROOT / "book" / "_static" / "springs.svg", "")
