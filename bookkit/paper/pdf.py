"""Print the book to a PDF with the Chromium of the system."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, Route, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import Destination, DictionaryObject, NameObject, TextStringObject

from bookkit.paper.sheets import ORIGIN, sheets
from bookkit.places import HTML

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PDF = HTML / "downloads" / "explman-book.pdf"
PATIENCE = 300_000
"""Milliseconds that the browser may take for formulas, and for printing."""
FILL = (
    "numbers => document.querySelectorAll('.number').forEach((e, i) => e.textContent = numbers[i])"
)
HEADINGS = """() => [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map(
  heading => heading.textContent.replace(/\\s+/g, " ").trim())"""
READY = """async () => {
  await MathJax.startup.promise;
  await document.fonts.ready;
  await Promise.all([...document.images].map(image => image.decode().catch(() => null)));
}"""


def chapters(reader: PdfReader) -> list[tuple[str, int]]:
    """List the titles of a printed book, the contents among them, and where they begin."""
    found = []
    for entry in reader.outline:
        if isinstance(entry, Destination):
            number = reader.get_destination_page_number(entry)
            assert number is not None, f"{entry.title} leads nowhere"
            found.append((str(entry.title), number + 1))
    return found


def bookmarks(node: DictionaryObject) -> Iterator[DictionaryObject]:
    """Go through the bookmarks below one, in the order of the book."""
    below = node.get("/First")
    while below is not None:
        entry = below.get_object()
        assert isinstance(entry, DictionaryObject)
        yield entry
        yield from bookmarks(entry)
        below = entry.get("/Next")


def retitled(pdf: bytes, titles: list[str]) -> PdfWriter:
    """Title the bookmarks anew: Chromium writes every line of a heading twice."""
    writer = PdfWriter(clone_from=BytesIO(pdf))
    root = writer.root_object["/Outlines"].get_object()
    assert isinstance(root, DictionaryObject)
    for entry, title in zip(bookmarks(root), titles, strict=True):
        entry[NameObject("/Title")] = TextStringObject(title)
    return writer


def printed(page: Page) -> bytes:
    """Print a page, with bookmarks from its headings."""
    return page.pdf(prefer_css_page_size=True, print_background=True, outline=True, tagged=True)


@contextmanager
def blank_page() -> Iterator[Page]:
    """Open a page in the Chromium of the system."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        raise OSError("no Chromium found: install it (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


def print_page(text: str) -> bytes:
    """Print a page of HTML that needs no other file."""
    with blank_page() as page:
        page.set_content(text)
        return printed(page)


def make_pdf(path: Path = PDF) -> Path:
    """Print the built book and return where it is.

    Parameters
    ----------
    path
        Where the PDF goes.

    Returns
    -------
    pathlib.Path
        The same.
    """
    if not (HTML / "index.html").is_file():
        raise OSError("there is no book yet: run `make book` first")
    text, titles = sheets()

    def give(route: Route) -> None:
        """Answer with the book, or with a file of it."""
        asked = urlsplit(route.request.url).path.removeprefix("/")
        if not asked:
            route.fulfill(body=text, content_type="text/html; charset=utf-8")
        elif (HTML / asked).is_file():
            route.fulfill(path=HTML / asked)
        else:
            route.fulfill(status=404)

    with blank_page() as page:
        page.route(f"{ORIGIN}**", give)
        page.goto(ORIGIN)
        page.evaluate(READY)
        # The first printing tells where chapters begin, the second says so in the contents.
        _, *begin = chapters(PdfReader(BytesIO(printed(page))))
        assert len(begin) == len(titles), "the bookmarks are not the chapters"
        page.evaluate(FILL, [number for _, number in begin])
        path.parent.mkdir(parents=True, exist_ok=True)
        retitled(printed(page), page.evaluate(HEADINGS)).write(path)
    return path
