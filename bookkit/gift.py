"""The item bank as GIFT, which Moodle and other learning platforms import."""

import re

from explman_lite.items import LEVELS, Item, as_html, load_items

SPECIAL = re.compile(r"([\\~=#{}:])")


def gift(text: str) -> str:
    """Write an item's text so that GIFT takes none of it for its own signs."""
    return SPECIAL.sub(r"\\\1", as_html(text))


def counted(count: int, thing: str) -> str:
    """Write how many of a thing there are."""
    return f"{count} {thing}{'s' * (count != 1)}"


def parts(item: Item) -> str:
    """Say how an essay's points, one per minute, are shared among what it is marked by."""
    return f"{counted(item.minutes, 'point')}, in equal parts for each of:"


def answers(item: Item) -> str:
    """Write the options, each with its reason, or for an essay what to mark it by."""
    if item.options:
        return "".join(
            f"\t{'=' if option.right else '~'}{gift(option.text)}#{gift(option.why)}\n"
            for option in item.options
        )
    points = "".join(f"<li>{gift(point)}</li>" for point in item.marking)
    return f"\t####<p>{gift(item.answer)}</p><p>{gift(parts(item))}</p><ul>{points}</ul>\n"


def question(item: Item) -> str:
    """Write an item: its tags, its name, what it asks, and the answers."""
    tags = item.kind, LEVELS[item.level], item.section, *(["quiz"] if item.quiz else [])
    comment = "".join(f" [tag:{tag}]" for tag in tags)
    return (
        f"// [id:{item.id}]{comment}\n"
        f"::{item.id}::[html]{gift(item.question)}{{\n{answers(item)}}}\n"
    )


def bank() -> str:
    """Write all items, a category for each chapter."""
    parts: dict[str, list[str]] = {}
    for item in load_items():
        parts.setdefault(item.chapter, []).append(question(item))
    return "\n".join(
        f"$CATEGORY: Explanations can be manipulated/{chapter}\n\n" + "\n".join(questions)
        for chapter, questions in parts.items()
    )
