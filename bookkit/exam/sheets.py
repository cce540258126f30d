"""An exam and its key on paper: two pages of HTML that need nothing else."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bookkit.exam.draw import Exam
from bookkit.exam.templates import TEMPLATES
from explman_lite.items import LETTERS, Item, as_html

PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def letter(item: Item) -> str:
    """Return the letter of a choice's right option."""
    return next(name for name, option in zip(LETTERS, item.options, strict=False) if option.right)


def exam_sheet(exam: Exam) -> str:
    """Write what those who are examined get: no answer, no reason, and not the seed."""
    return _page("exam.html", exam)


def key_sheet(exam: Exam) -> str:
    """Write what the exam is marked by."""
    return _page("key.html", exam)


def _page(name: str, exam: Exam) -> str:
    """Fill a page."""
    PAGES.filters["text"] = lambda text: Markup(as_html(text))
    PAGES.filters["letter"] = letter
    return PAGES.get_template(name).render(
        exam=exam,
        letters=LETTERS,
        drawn=TEMPLATES.keys(),
        style=Markup(Path(__file__).with_name("sheet.css").read_text("utf-8")),
    )
