"""An exam and its key on paper: two pages of HTML that need nothing else."""

from pathlib import Path

from markupsafe import Markup

from bookkit.exam.draw import Exam
from bookkit.exam.templates import TEMPLATES
from bookkit.gift import counted, parts
from bookkit.templates import templates_in
from explman_lite.items import LETTERS, Item, Option, as_html


def lettered(item: Item) -> list[tuple[str, Option]]:
    """Return the options of a choice, each with its letter."""
    return list(zip(LETTERS, item.options, strict=False))


def letter(item: Item) -> str:
    """Return the letter of a choice's right option."""
    return next(letter for letter, option in lettered(item) if option.right)


PAGES = templates_in(Path(__file__).parent, autoescape=True, lstrip_blocks=True)
PAGES.filters |= {
    "text": lambda text: Markup(as_html(text)),
    "counted": counted,
    "lettered": lettered,
    "letter": letter,
    "parts": parts,
}


def exam_sheet(exam: Exam) -> str:
    """Write what those who are examined get: no answer, no reason, and not the seed."""
    return _page("exam.html", exam)


def key_sheet(exam: Exam) -> str:
    """Write what the exam is marked by."""
    return _page("key.html", exam)


def _page(name: str, exam: Exam) -> str:
    """Fill a page."""
    return PAGES.get_template(name).render(
        exam=exam,
        drawn=TEMPLATES.keys(),
        style=Markup(Path(__file__).with_name("sheet.css").read_text("utf-8")),
    )
