"""The bank holds what it promises, and what is no item is refused."""

import re
from collections import Counter
from statistics import mean

import nbformat
import pytest
from as_gift import assert_gift_holds
from myst_parser.mdit_to_docutils.base import default_slugify

from bookkit.__main__ import main
from bookkit.gift import gift
from bookkit.places import ROOT
from explman_lite.items import as_html, items_of, load_items

ITEMS = load_items()
CHOICES = [item for item in ITEMS if item.kind == "choice"]
CHAPTERS = list(dict.fromkeys(item.chapter for item in ITEMS))

ITEM = """\
[[items]]
id = "a-name"
chapter = "some_chapter"
kind = "choice"
level = 1
minutes = 1
section = "some-section"
question = "Which?"
options = [
    { text = "This.", why = "It is.", right = true },
    { text = "That.", why = "It is not." },
    { text = "Neither.", why = "One of them is." },
]
"""
OPEN = ITEM[: ITEM.index("options")].replace("choice", "open")


def texts(item):
    options = [text for option in item.options for text in (option.text, option.why)]
    return [item.question, *options, item.answer, *item.marking]


def place_of_right(item):
    return [option.right for option in item.options].index(True)


def anchors(chapter):
    (path,) = ROOT.glob(f"notebooks/*{chapter}.ipynb")
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown"]
    headings = [re.findall(r"^#{2,3} (.+)$", cell.source, re.MULTILINE) for cell in cells]
    return {default_slugify(heading) for found in headings for heading in found}


def bank(tmp_path, text):
    path = tmp_path / "bank.toml"
    path.write_text(text, "utf-8")
    return load_items(path)


def test_every_chapter_has_its_items():
    notebooks = {re.sub(r"^\d+b?_", "", path.stem) for path in ROOT.glob("notebooks/*.ipynb")}
    assert set(CHAPTERS) <= notebooks
    for chapter in CHAPTERS:
        items = items_of(chapter)
        assert len(items) >= 12
        assert sum(item.kind == "choice" for item in items) >= 8
        assert {item.kind for item in items} == {"choice", "short", "open"}
        assert {item.level for item in items} == {1, 2, 3}
        assert 5 <= sum(item.quiz for item in items) <= 6


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_section_is_one_of_the_chapter(chapter):
    missing = {item.section for item in items_of(chapter)} - anchors(chapter)
    assert not missing


def test_the_place_of_the_right_option_says_nothing():
    for count in (3, 4):
        places = Counter(place_of_right(item) for item in CHOICES if len(item.options) == count)
        assert set(places) == set(range(count))
        assert max(places.values()) - min(places.values()) <= 1
    for chapter in CHAPTERS:
        quiz = [place_of_right(item) for item in items_of(chapter) if item.quiz]
        assert max(Counter(quiz).values()) <= 2


def test_the_length_of_the_right_option_says_nothing():
    longest = shortest = 0
    ratios, by_chance = [], sum(1 / len(item.options) for item in CHOICES)
    for item in CHOICES:
        (right,) = (len(option.text) for option in item.options if option.right)
        wrong = [len(option.text) for option in item.options if not option.right]
        longest += right > max(wrong)
        shortest += right < min(wrong)
        ratios.append(right / mean(wrong))
    assert longest <= by_chance + 3
    assert shortest <= by_chance + 3
    assert 0.9 < mean(ratios) < 1.1


def test_options_differ_and_so_do_their_reasons():
    for item in CHOICES:
        count = len(item.options)
        assert len({option.text for option in item.options}) == count, item.id
        assert len({option.why for option in item.options}) == count, item.id
    assert len({item.question for item in ITEMS}) == len(ITEMS)


def test_text_is_plain():
    for item in ITEMS:
        for text in texts(item):
            found = re.search(r"\$|\\|\*\*|\]\(|<[a-z/]|\n|\s$|^\s|  |(?i:all of the above)", text)
            assert found is None, f"{item.id}: {text}"


def test_an_open_question_says_what_to_mark_it_by():
    for item in ITEMS:
        if item.kind != "choice":
            assert len(item.answer) > 60, item.id
            assert len(item.marking) >= 2, item.id


def test_backticks_become_code_and_signs_of_html_do_not():
    assert as_html("`a < b` & ‖x‖") == "<code>a &lt; b</code> &amp; ‖x‖"


def test_an_unknown_chapter_is_refused_with_a_list_of_the_known():
    with pytest.raises(ValueError, match=r"'no_such'.*saliency_maps, six_methods"):
        items_of("no_such")


def test_a_good_bank_is_read(tmp_path):
    (item,) = bank(tmp_path, ITEM)
    assert (item.id, item.quiz, place_of_right(item)) == ("a-name", False, 0)
    (item,) = bank(tmp_path, OPEN + 'answer = "So."\nmarking = ["so"]')
    assert (item.answer, item.marking) == ("So.", ("so",))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"a-name"', '"a-name', "not a bank of items"),
        ("[[items]]", "[[item]]", "not a bank of items: 'items'"),
        ("id =", "name =", "item number 1: lacks id"),
        ('"a-name"', '"A name"', "item A name: id must consist"),
        ('"choice"', '"essay"', "kind must be one of choice, short, open, got 'essay'"),
        ('"choice"', '"open"', "item a-name: lacks answer, marking"),
        ("level = 1", "level = 4", "level must be one of 1, 2, 3"),
        ("level = 1", 'level = "1"', "level must be of type int, got '1'"),
        ("minutes = 1", "minutes = 0", "minutes must be 1 or more"),
        ("level = 1", "level = 1\nanswer = 'x'", "has no use for answer"),
        (", right = true", "", "three or four options .* got 3, 0 of them right"),
        ('"It is not."', '"It is not.", right = true', "got 3, 2 of them right"),
        ('"It is not."', '"It is not.", right = "yes"', "right must be of type bool, got 'yes'"),
        (', why = "It is not."', "", "why"),
        ('"It is not."', '" "', "a text is empty"),
        ('"Which?"', '"Which `one?"', "a backtick has no partner"),
        ('"Which?"', "3", "question must be of type str, got 3"),
        ('    { text = "Neither.", why = "One of them is." },\n', "", "got 2, 1 of them right"),
        ("options = [", 'options = ["one",', "item a-name"),
    ],
)
def test_a_damaged_bank_is_refused(tmp_path, old, new, message):
    assert old in ITEM
    with pytest.raises(ValueError, match=message) as caught:
        bank(tmp_path, ITEM.replace(old, new, 1))
    assert str(caught.value).startswith("bank.toml is not a bank of items")


def test_a_bank_that_is_not_there_or_says_a_thing_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        load_items(tmp_path / "none.toml")
    with pytest.raises(ValueError, match="a-name occurs twice"):
        bank(tmp_path, ITEM + ITEM)
    with pytest.raises(ValueError, match="a quiz takes"):
        bank(tmp_path, OPEN + 'quiz = true\nanswer = "So."\nmarking = ["so"]')
    with pytest.raises(ValueError, match="marking point must be of type str"):
        bank(tmp_path, OPEN + 'answer = "So."\nmarking = [1]')


def test_gift_gives_every_item_back(tmp_path):
    out = tmp_path / "items.gift"
    assert main(["items", str(out)]) == 0
    written = out.read_text("utf-8")
    assert re.findall(r"^\$CATEGORY: .*/(\w+)$", written, re.MULTILINE) == CHAPTERS
    assert_gift_holds(written, ITEMS)


def test_every_sign_of_gift_is_escaped():
    assert gift(r"a~b=c#d{e}f:g\h") == r"a\~b\=c\#d\{e\}f\:g\\h"
