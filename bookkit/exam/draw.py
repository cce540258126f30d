"""Which questions an exam holds: most of them drawn with numbers, the others from the item bank."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import cycle
from random import Random
from typing import TypeVar

from bookkit.chapters import NOTEBOOKS
from bookkit.exam.template import Template
from bookkit.exam.templates import CHAPTERS, TEMPLATES
from explman_lite.items import Item, load_items

T = TypeVar("T", Item, Template)
SHARE = 3
"""Of how many items one comes from the bank, which is on the web with its answers."""


@dataclass(frozen=True)
class Exam:
    """The items of an exam in their order, and the time it allows.

    One point per minute. The label tells versions apart and says nothing about the seed.
    """

    seed: int
    items: tuple[Item, ...]
    minutes: int

    @property
    def points(self) -> int:
        """The points in all."""
        return sum(item.minutes for item in self.items)

    @cached_property
    def label(self) -> str:
        """Four characters that exam and key have in common."""
        text = repr([(item.question, item.options) for item in self.items])
        return sha256(text.encode()).hexdigest()[:4]


def numbered_chapters() -> dict[str, str]:
    """List the chapters by their numbers: 1, 1b, 2 and so on."""
    stems = (path.stem.split("_", 1) for path in NOTEBOOKS)
    return {number.lstrip("0"): name for number, name in stems if name in CHAPTERS}


def chapter_named(name: str) -> str:
    """Find a chapter by its number or name.

    Raises
    ------
    ValueError
        If there is none; the message lists those that there are.
    """
    numbered = numbered_chapters()
    found = numbered.get(name, name)
    if found not in CHAPTERS:
        known = ", ".join(f"{number} ({known})" for number, known in numbered.items())
        raise ValueError(f"there is no chapter {name!r}; there are {known}")
    return found


def draw(
    seed: int,
    count: int = 12,
    *,
    chapters: Sequence[str] = (),
    only_new: bool = False,
    minutes: int | None = None,
) -> Exam:
    """Draw an exam; the same arguments draw the same exam.

    Parameters
    ----------
    seed
        Not negative. Two seeds that differ in their last digit share no number of a question,
        and no right answer to one.
    count
        How many items. A third of them, rounded down, comes from the bank, of items that are in no
        quiz and that no template replaces; the others have numbers of their own.
    chapters
        Numbers or names of the chapters to draw from; all if none is given.
    only_new
        Take nothing from the bank.
    minutes
        How long the exam takes; the sum of its items' minutes if not given.

    Returns
    -------
    Exam
        Its items in the order of the chapters, as evenly from each as can be.

    Raises
    ------
    ValueError
        If an argument is not of this form, or the chapters have too few items.
    """
    if seed < 0:
        raise ValueError(f"the seed must not be negative, got {seed}")
    if count < 1:
        raise ValueError(f"an exam needs at least one item, got {count}")
    if minutes is not None and minutes < 1:
        raise ValueError(f"an exam takes at least one minute, got {minutes}")
    chosen = {chapter_named(name) for name in chapters} or set(CHAPTERS)
    random = Random(f"{seed} exam")
    new = [template for template in TEMPLATES.values() if template.chapter in chosen]
    replaced = {template.replaces for template in new}
    known = [
        item
        for item in load_items()
        if item.chapter in chosen and not item.quiz and item.id not in replaced
    ]
    from_bank = 0 if only_new else count // SHARE
    if count - from_bank > len(new) or from_bank > len(known):
        raise ValueError(f"{count} items are too many: {_supply(len(new), len(known), only_new)}")
    turns = cycle(random.sample(sorted(chosen), len(chosen)))
    items = [template.item(seed) for template in _in_turn(turns, new, count - from_bank, random)]
    items += _in_turn(turns, known, from_bank, random)
    items.sort(key=lambda item: (CHAPTERS.index(item.chapter), item.kind != "choice"))
    return Exam(seed, tuple(items), minutes or sum(item.minutes for item in items))


def _supply(new: int, known: int, only_new: bool) -> str:
    """Say how many items there are."""
    if only_new:
        return f"these chapters have {new} questions with numbers"
    most = next(
        n for n in range(new + known, 0, -1) if n - n // SHARE <= new and n // SHARE <= known
    )
    return (
        f"these chapters have {new} questions with numbers, and {known} items of the bank for a "
        f"third of an exam, which is enough for {most}"
    )


def _in_turn(turns: Iterator[str], values: list[T], count: int, random: Random) -> list[T]:
    """Draw values from one chapter after the other, as long as it has some."""
    left = random.sample(values, len(values))
    taken: list[T] = []
    while len(taken) < count:
        chapter = next(turns)
        value = next((value for value in left if value.chapter == chapter), None)
        if value is not None:
            left.remove(value)
            taken.append(value)
    return taken
