"""What the tests of notebooks and pages share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browsers import CHROMIUM, executable
from playwright.sync_api import Browser, expect, sync_playwright
from serving import served

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"

# Notebooks are executed beside the browser, on the same few cores.
expect.set_options(timeout=30_000)

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def html() -> Path:
    """Give the folder of the built book."""
    if not (HTML / "index.html").is_file():
        pytest.fail("there is no built book: run `make book` first")
    return HTML


@pytest.fixture(scope="session")
def page_files(html: Path) -> list[Path]:
    """List the pages of the book: not the redirect at the root, the theme's templates or slides."""
    others = {"_static", "index.html", "slides"}
    files = sorted(html.rglob("*.html"))
    return [path for path in files if path.relative_to(html).parts[0] not in others]


@pytest.fixture(scope="session")
def page_names(html: Path, page_files: list[Path]) -> list[str]:
    """List the pages as their addresses end."""
    return [path.relative_to(html).as_posix() for path in page_files]


@pytest.fixture(scope="session")
def written_pages(page_names: list[str]) -> list[str]:
    """List the pages that somebody wrote: neither indices nor listings of source."""
    return [name for name in page_names if name.startswith(("book/", "notebooks/"))]


@pytest.fixture(scope="session")
def address(html: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the book below the root, as GitHub Pages does."""
    site = tmp_path_factory.mktemp("site")
    (site / "book-of-a-project").symlink_to(html)
    with served(site) as start:
        yield f"{start}/book-of-a-project"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the Chromium of the system."""
    chromium = executable(CHROMIUM)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=FLAGS)
