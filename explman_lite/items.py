"""The item bank: questions about the chapters, for quizzes, for the book's page, and for export."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

BANK = Path(__file__).parent / "data" / "items.toml"
LEVELS = {1: "recall", 2: "apply", 3: "argue"}
LETTERS = "ABCD"
_ALWAYS = {"id", "chapter", "kind", "level", "minutes", "section", "question"}
_BY_KIND = {
    "choice": {"options"},
    "short": {"answer", "marking"},
    "open": {"answer", "marking"},
}
_TYPES = {
    "level": int,
    "minutes": int,
    "quiz": bool,
    "right": bool,
    "options": list,
    "marking": list,
}


@dataclass(frozen=True)
class Option:
    """An answer to choose, and why it is right or wrong."""

    text: str
    why: str
    right: bool = False


@dataclass(frozen=True)
class Item:
    """A question about a chapter, with all it takes to answer it and to mark the answer.

    Text is plain, with Unicode for mathematics and ``code`` in backticks.

    Parameters
    ----------
    id : str
        Its name, unique in the bank: lower-case letters, digits, and hyphens.
    chapter : str
        The chapter it belongs to, such as ``saliency_maps``.
    kind : str
        ``choice``, or answered by a sentence or two (``short``), or by a paragraph (``open``).
    level : int
        1 for recalling, 2 for applying, 3 for arguing.
    minutes : int
        How long an answer takes, at least 1.
    section : str
        The anchor of the section that it is about, in the chapter's notebook.
    question : str
        What is asked.
    quiz : bool
        Whether it is part of the chapter's quiz; it must be a choice then.
    options : tuple of Option
        Three or four, one of them right; for a choice only.
    answer : str
        A model answer; for all but a choice.
    marking : tuple of str
        What a good answer contains; for all but a choice.

    Raises
    ------
    ValueError
        If a field is not of this form.
    """

    id: str
    chapter: str
    kind: str
    level: int
    minutes: int
    section: str
    question: str
    quiz: bool = False
    options: tuple[Option, ...] = ()
    answer: str = ""
    marking: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an item that cannot be asked, or whose answer cannot be marked."""
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.id):
            raise ValueError("id must consist of small letters, digits, and hyphens")
        if self.level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(map(str, LEVELS))}")
        if self.minutes < 1:
            raise ValueError("minutes must be 1 or more")
        if self.quiz and self.kind != "choice":
            raise ValueError("a quiz takes items of kind choice only")
        texts = [self.chapter, self.section, self.question, *self.marking]
        if self.kind == "choice":
            right = sum(option.right for option in self.options)
            if len(self.options) not in (3, 4) or right != 1:
                raise ValueError(
                    "three or four options are needed, one of them right; "
                    f"got {len(self.options)}, {right} of them right"
                )
            texts += [text for option in self.options for text in (option.text, option.why)]
        else:
            texts.append(self.answer)
        if not all(text.strip() for text in texts):
            raise ValueError("a text is empty")
        if any(text.count("`") % 2 for text in texts):
            raise ValueError("a backtick has no partner")


def load_items(path: Path = BANK) -> tuple[Item, ...]:
    """Read a bank of items.

    Parameters
    ----------
    path : Path
        A TOML file with an array of tables ``items``; by default the bank of the package.

    Returns
    -------
    tuple of Item
        In the order of the file.

    Raises
    ------
    ValueError
        If the file cannot be read or an entry is not an item; the message names both.

    Examples
    --------
    >>> from explman_lite.items import load_items
    >>> load_items()[0].question
    'What is the gradient map of a photograph made of?'
    """
    try:
        entries = tomllib.loads(path.read_text("utf-8"))["items"]
        items = tuple(_parse(entry, number) for number, entry in enumerate(entries, start=1))
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path.name} is not a bank of items: {error}") from error
    names = [item.id for item in items]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{path.name} is not a bank of items: {', '.join(twice)} occurs twice")
    return items


def items_of(chapter: str) -> tuple[Item, ...]:
    """Return the items of a chapter, in the order of the bank.

    Parameters
    ----------
    chapter : str
        A chapter of the book, such as ``"saliency_maps"``.

    Returns
    -------
    tuple of Item
        At least one.

    Raises
    ------
    ValueError
        If the bank has no items for it; the message lists the chapters that have some.

    Examples
    --------
    >>> from explman_lite.items import items_of
    >>> items_of("softplus_defense")[0].id
    'defense-which'
    """
    bank = load_items()
    if found := tuple(item for item in bank if item.chapter == chapter):
        return found
    known = ", ".join(dict.fromkeys(item.chapter for item in bank))
    raise ValueError(f"there are no items for the chapter {chapter!r}; there are some for {known}")


def as_html(text: str) -> str:
    """Turn an item's text into HTML, with code for what is in backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def _parse(entry: Mapping[str, Any], number: int) -> Item:
    """Turn a table of the file into an item."""
    name = entry.get("id", f"number {number}")
    try:
        _check_fields(entry)
        options, marking = entry.get("options", []), entry.get("marking", [])
        for fields in (*options, *({"marking point": point} for point in marking)):
            _check_types(fields)
        parsed = tuple(Option(**option) for option in options)
        return Item(**{**entry, "options": parsed, "marking": tuple(marking)})
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"item {name}: {error}") from error


def _check_fields(entry: Mapping[str, Any]) -> None:
    """Refuse a table that lacks a field of its kind, or has another one, or one of a wrong type."""
    kind = entry.get("kind")
    if kind not in _BY_KIND:
        raise ValueError(f"kind must be one of {', '.join(_BY_KIND)}, got {kind!r}")
    needed = _ALWAYS | _BY_KIND[kind]
    if missing := sorted(needed - entry.keys()):
        raise ValueError(f"lacks {', '.join(missing)}")
    if unknown := sorted(entry.keys() - needed - {"quiz"}):
        raise ValueError(f"has no use for {', '.join(unknown)}")
    _check_types(entry)


def _check_types(fields: Mapping[str, Any]) -> None:
    """Refuse a value whose type is not that of its field."""
    for field, value in fields.items():
        expected = _TYPES.get(field, str)
        if not isinstance(value, expected):
            raise ValueError(f"{field} must be of type {expected.__name__}, got {value!r}")
