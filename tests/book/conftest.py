"""What the tests of notebooks and pages share."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"


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
