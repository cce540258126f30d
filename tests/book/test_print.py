"""The book on paper has all chapters, and finds them."""

import re
import unicodedata
from pathlib import Path

import pytest
from browsers import CHROMIUM, executable
from pypdf import PdfReader

from bookkit.paper.pdf import chapters, make_pdf
from bookkit.paper.sheets import sheets


@pytest.fixture(scope="module")
def titles(html: Path) -> list[str]:
    return [" ".join(title.split()) for title in sheets()[1]]


@pytest.fixture(scope="module")
def book(html: Path, tmp_path_factory: pytest.TempPathFactory) -> PdfReader:
    """Print the built book."""
    executable(CHROMIUM)
    return PdfReader(make_pdf(tmp_path_factory.mktemp("print") / "book.pdf"))


@pytest.fixture(scope="module")
def texts(book: PdfReader) -> list[str]:
    return [" ".join(page.extract_text().split()) for page in book.pages]


def squeezed(text: str) -> str:
    """Undo ligatures, and leave out spaces, which a PDF has where a letter is kerned."""
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text))


def test_every_sheet_is_a4_and_there_are_some_hundreds(book):
    assert 100 < len(book.pages) < 900
    sizes = {(round(page.mediabox.width), round(page.mediabox.height)) for page in book.pages}
    assert sizes <= {(595, 842), (594, 842), (595, 841)}


def test_bookmarks_are_the_chapters_in_their_order(book, titles):
    found = [" ".join(title.split()) for title, _ in chapters(book)]
    assert found == ["Contents", *titles]


def test_a_chapter_begins_where_bookmarks_and_contents_say(book, texts, titles):
    (_, start), *begin = chapters(book)
    contents = squeezed("".join(texts[start - 1 : begin[0][1] - 1]))
    for title, (_, number) in zip(titles, begin, strict=True):
        assert squeezed(title) in squeezed(texts[number - 1])
        assert f"{squeezed(title)}{number}" in contents


def test_no_sheet_is_blank(book, texts):
    for number, (page, text) in enumerate(zip(book.pages, texts, strict=True), 1):
        assert len(text) > 5 or page.images, f"page {number} is blank"


def test_sheets_are_numbered(texts):
    for number, text in enumerate(texts[1:], 2):
        assert text.endswith(str(number)) or text.startswith(str(number)), number


def test_first_and_last_chapter_are_there_and_formulas_are_set(texts):
    whole = squeezed("".join(texts))
    assert "Manipulatingthemodel" in whole
    assert "Citethisbook" in whole
    assert "\\frac" not in whole
    assert "\\begin{aligned}" not in whole
