"""A quiz is plain HTML that explains every option."""

import re
from html.parser import HTMLParser

import pytest
from bs4 import BeautifulSoup

import explman_lite as el
from explman_lite import items
from explman_lite.items import items_of, load_items

CHAPTERS = list(dict.fromkeys(item.chapter for item in load_items()))
VOID = {"br", "hr", "img", "input"}


@pytest.fixture(params=CHAPTERS)
def chapter(request):
    return request.param


@pytest.fixture
def html(chapter):
    return el.Quiz(chapter)._repr_html_()


class Nesting(HTMLParser):
    """Fails where a tag closes another than the one that was opened last."""

    def __init__(self):
        super().__init__()
        self.opened = []

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(set(names)) == len(names), f"{tag} has an attribute twice"
        assert "p" not in self.opened or tag in {"code", "strong"}, f"{tag} inside of a paragraph"
        if tag not in VOID:
            self.opened.append(tag)

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag


def test_the_html_is_well_formed(html):
    parser = Nesting()
    parser.feed(html)
    parser.close()
    assert parser.opened == []


def test_it_takes_no_script_no_network_and_no_colour_of_its_own(html):
    page = BeautifulSoup(html, "html.parser")
    assert {tag.name for tag in page.find_all()} == {
        *("div", "p", "details", "summary", "strong"),
        *(["code"] if "<code>" in html else []),
    }
    assert not re.search(r"https?:|\bon\w+=|background|#[0-9a-f]{3}|rgb", html)
    assert "currentColor" in html


def test_ids_are_unique_also_among_the_quizzes_of_all_chapters():
    pages = [BeautifulSoup(el.Quiz(name)._repr_html_(), "html.parser") for name in CHAPTERS]
    ids = [tag["id"] for page in pages for tag in page.find_all(id=True)]
    assert len(set(ids)) == len(ids) == sum(item.quiz for item in load_items())


def test_each_question_names_its_group_and_its_options_exclude_each_other(html):
    page = BeautifulSoup(html, "html.parser")
    groups = page.select("[aria-labelledby]")
    assert page.div["role"] == "group"
    assert page.div["aria-label"]
    for group in groups:
        assert group["role"] == "group"
        assert group.find(id=group["aria-labelledby"]).get_text().strip()
        assert len({option["name"] for option in group.find_all("details")}) == 1
    names = {group.details["name"] for group in groups}
    assert len(names) == len(groups) >= 5, "options of two questions would close each other"


def test_each_option_is_explained_and_one_is_right(chapter, html):
    page = BeautifulSoup(html, "html.parser")
    shown = [item for item in items_of(chapter) if item.quiz]
    groups = page.select("[aria-labelledby]")
    for item, group in zip(shown, groups, strict=True):
        assert item.question.replace("`", "") in group.p.get_text()
        for letter, option, drawn in zip(
            "ABCD", item.options, group.find_all("details"), strict=False
        ):
            assert drawn.summary.get_text() == f"{letter}. {option.text.replace('`', '')}"
            verdict = "Right." if option.right else "No."
            assert drawn.p.get_text() == f"{verdict} {option.why.replace('`', '')}"
            assert "open" not in drawn.attrs
        assert len(group.find_all("details")) == len(item.options)
        assert group.get_text().count("Right. ") == 1


def test_it_is_the_same_every_time_and_text_where_there_is_no_html(chapter, html):
    assert el.Quiz(chapter)._repr_html_() == html
    assert re.fullmatch(rf"Quiz of [56] questions about {chapter}", repr(el.Quiz(chapter)))


def test_signs_of_html_in_an_item_are_shown_and_not_obeyed(tmp_path, monkeypatch):
    path = tmp_path / "bank.toml"
    path.write_text(items.BANK.read_text("utf-8").replace("What moves", "<b>What & moves"), "utf-8")
    monkeypatch.setattr(items, "load_items", lambda: load_items(path))
    html = el.Quiz("manipulation_loss")._repr_html_()
    assert "&lt;b&gt;What &amp; moves" in html


def test_an_unknown_chapter_is_refused_with_a_list_of_the_known():
    with pytest.raises(ValueError, match=r"'chapter_7'.*" + ", ".join(CHAPTERS)):
        el.Quiz("chapter_7")


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    path = tmp_path / "items.toml"
    path.write_bytes(b"[[items]]\nid = \xff")
    monkeypatch.setattr(items, "load_items", lambda: load_items(path))
    with pytest.raises(ValueError, match=r"items\.toml is not a bank of items"):
        el.Quiz("saliency_maps")
