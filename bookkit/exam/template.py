"""Questions whose numbers are drawn, so that exams with other seeds have other numbers.

The values that a number may take are dealt into ten hands, one for each last digit of a seed. So
two seeds that differ in their last digit never meet a value twice, and seeds that agree in it draw
from one hand. Where hands would lead to the same right answer, one of them gets it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from random import Random
from typing import Any

from bookkit.exam.written import Number, numbers
from explman_lite.items import Item, Option

HANDS = 10
Value = float | tuple[float, ...]
Answer = tuple[str, str]
"""What an option says, and why it is right or wrong."""


@dataclass(frozen=True)
class Question:
    """A question with its numbers, the right answer, and answers that typical mistakes lead to."""

    text: str
    right: Answer
    wrong: Sequence[Answer]

    @property
    def is_fair(self) -> bool:
        """Whether all answers differ, and from the right one by more than rounding on the way."""
        answers = [self.right[0], *(text for text, _ in self.wrong)]
        return len(set(answers)) == len(answers) and not any(
            _as_close_as_rounding(self.right[0], text) for text, _ in self.wrong
        )


def _as_close_as_rounding(first: str, second: str) -> bool:
    """Whether two answers differ by less than two units of their last digit, in every number."""
    pairs = list(zip(numbers(first), numbers(second), strict=False))
    return bool(pairs) and all(
        abs(one - other) < 1.99 * 10 ** -min(places, others)
        for (one, places), (other, others) in pairs
    )


@dataclass(frozen=True)
class Version:
    """A question as one exam asks it, and the values that were drawn for it."""

    values: Mapping[str, Any]
    question: Question


@dataclass(frozen=True)
class Template:
    """A question whose numbers are drawn.

    Attributes
    ----------
    id, chapter, section, level, minutes
        As of `explman_lite.items.Item`.
    replaces
        The item of the bank that asks for it with numbers that are on the web, if there is one.
    numbers
        The values that each number may take, at least ten.
    ask
        Writes the question for some values and computes its answers, or returns None where they do
        not make a question.
    """

    id: str
    chapter: str
    section: str
    level: int
    minutes: int
    replaces: str | None
    numbers: Mapping[str, Sequence[Value]]
    ask: Callable[..., Question | None]

    def __post_init__(self) -> None:
        """Refuse a number for which some hand would be empty or two would be alike."""
        for name, values in self.numbers.items():
            if len(set(values)) < max(HANDS, len(values)):
                raise ValueError(f"{self.id}: {name} needs {HANDS} values or more, all different")

    @cached_property
    def hands(self) -> tuple[tuple[Version, ...], ...]:
        """The versions for each last digit of a seed: no two hands share a number or an answer."""
        found: dict[str, dict[int, list[Version]]] = {}
        dealt = {
            name: Random(f"{self.id} {name}").sample(list(values), len(values))
            for name, values in self.numbers.items()
        }
        for hand in range(HANDS):
            for values in product(*(each[hand::HANDS] for each in dealt.values())):
                drawn = dict(zip(dealt, map(_numbers, values), strict=True))
                question = self.ask(**drawn)
                if question and question.is_fair:
                    by_hand = found.setdefault(question.right[0], {})
                    by_hand.setdefault(hand, []).append(Version(drawn, question))
        hands: list[list[Version]] = [[] for _ in range(HANDS)]
        for _, by_hand in sorted(found.items(), key=lambda pair: (len(pair[1]), pair[0])):
            poorest = min(by_hand, key=lambda hand: len(hands[hand]))
            hands[poorest] += by_hand[poorest]
        return tuple(map(tuple, hands))

    def version(self, seed: int) -> Version:
        """Draw the numbers of an exam."""
        return Random(f"{seed} {self.id}").choice(self.hands[seed % HANDS])

    def item(self, seed: int) -> Item:
        """Draw the question of an exam, its options in an order of their own."""
        question = self.version(seed).question
        options = [Option(*question.right, right=True)]
        options += [Option(text, why) for text, why in question.wrong]
        return Item(
            id=self.id,
            chapter=self.chapter,
            kind="choice",
            level=self.level,
            minutes=self.minutes,
            section=self.section,
            question=question.text,
            options=tuple(Random(f"{seed} {self.id} options").sample(options, len(options))),
        )


def _numbers(value: Value) -> Number | tuple[Number, ...]:
    """Let drawn values stand in a text as one writes them."""
    return tuple(map(Number, value)) if isinstance(value, tuple) else Number(value)


def template(
    section: str,
    *,
    level: int = 2,
    minutes: int = 3,
    replaces: str | None = None,
    **numbers: Sequence[Value],
) -> Callable[[Callable[..., Question | None]], Template]:
    """Make a template of a function that asks: named after it, and the chapter after the module."""

    def of(ask: Callable[..., Question | None]) -> Template:
        """Name it."""
        chapter = ask.__module__.rpartition(".")[2]
        name = ask.__name__.replace("_", "-")
        return Template(name, chapter, section, level, minutes, replaces, numbers, ask)

    return of


def steps(first: float, last: float, step: float = 1) -> tuple[float, ...]:
    """List the values from the first to the last, both included."""
    count = round((last - first) / step) + 1
    return tuple(round(first + step * index, 10) for index in range(count))


def signed(last: int) -> tuple[int, ...]:
    """List numbers of either sign, no two of the same size: 2, −3, 4 and so on."""
    return tuple(value * (-1) ** value for value in range(2, last + 1))


WHOLE = steps(2, 21)
SIGNED = signed(21)
