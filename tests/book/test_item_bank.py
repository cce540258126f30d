"""The page for lecturers holds the whole bank."""

import re
from urllib.parse import unquote, urlsplit

import pytest
from pages import parse

from explman_lite.items import LEVELS, items_of, load_items

ITEMS = load_items()


@pytest.fixture(scope="module")
def path(html):
    return html / "book" / "teach" / "item_bank.html"


@pytest.fixture(scope="module")
def page(path):
    return parse(path)


def plain(text):
    """Leave out what the page sets otherwise: code, white space, typographic quotes."""
    straight = text.translate(str.maketrans("’‘“”", "''\"\"")).replace("`", "")
    return re.sub(r"\s+", " ", straight).strip()


def test_every_item_is_there_in_the_order_of_the_bank(page):
    assert [tag["id"] for tag in page.select(".item")] == [f"item-{item.id}" for item in ITEMS]


def test_each_item_stands_below_its_chapter(page):
    for chapter in dict.fromkeys(item.chapter for item in ITEMS):
        first, *others = items_of(chapter)
        section = page.find(id=f"item-{first.id}").find_parent("section")
        assert all(section.find(id=f"item-{item.id}") for item in others)
        assert len(section.select(".item")) == len(others) + 1


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_an_item_shows_its_question_and_folds_its_answer(page, item):
    drawn = page.find(id=f"item-{item.id}")
    folded = drawn.select_one("details.item-answer")
    hidden = plain(folded.get_text())
    shown = plain(drawn.get_text()).replace(hidden, "")
    assert plain(item.question) in shown
    listed = [drawn.select(":scope > ol > li"), folded.select("li")] if item.options else []
    for option, text, why in zip(item.options, *listed, strict=bool(listed)):
        assert plain(text.get_text()) == plain(option.text)
        verdict = "Right. " if option.right else "No. "
        assert plain(why.get_text()) == verdict + plain(option.why)
    for text in (item.answer, *item.marking):
        assert plain(text) in hidden
    assert "open" not in folded.attrs
    for fact in (f"level {item.level} ({LEVELS[item.level]})", f"{item.minutes} minute"):
        assert fact in shown
    assert ("in the quiz" in shown) == item.quiz


def test_each_item_leads_to_its_section(page, path):
    chapters = {}
    for item in ITEMS:
        link = page.find(id=f"item-{item.id}").select_one(".item-facts a")
        parts = urlsplit(link["href"])
        assert item.chapter in parts.path
        if item.chapter not in chapters:
            chapters[item.chapter] = parse((path.parent / parts.path).resolve())
        heading = chapters[item.chapter].find(id=unquote(parts.fragment)).find(["h2", "h3"])
        assert plain(heading.get_text().removesuffix("#")).endswith(plain(link.get_text()))


def test_the_downloads_are_whole(page, path):
    links = [tag["href"] for tag in page.select("a.download")]
    files = {link.rsplit("/", 1)[1]: (path.parent / link).read_text("utf-8") for link in links}
    assert set(files) == {"items.gift", "items.toml"}
    for item in ITEMS:
        assert f'id = "{item.id}"' in files["items.toml"]
        assert f"::{item.id}::" in files["items.gift"]
