"""Read GIFT as Moodle does, for what the items need of it."""

import re
from collections.abc import Sequence

from bookkit.gift import parts
from explman_lite.items import Item, as_html

FREE = r"(?:[^\\~=#{}:]|\\[\\~=#{}:])*"
"""Text in which every sign of GIFT is escaped."""
QUESTION = re.compile(
    rf"^// \[id:(?P<id>[^\]]+)\].*\n::(?P<name>{FREE})::\[html\](?P<question>{FREE})"
    rf"\{{\n(?P<answers>(?:\t(?:[=~]{FREE}#|####){FREE}\n)+)\}}$",
    re.MULTILINE,
)


def unescaped(text: str) -> str:
    return re.sub(r"\\([\\~=#{}:])", r"\1", text)


def assert_gift_holds(written: str, items: Sequence[Item]) -> None:
    """Hold that a file of GIFT consists of these items, and nothing is lost or added."""
    found = list(QUESTION.finditer(written))
    assert [match["id"] for match in found] == [item.id for item in items]
    rest = QUESTION.sub("", written).split("\n")
    assert all(not line or line.startswith("$CATEGORY: ") for line in rest)
    for item, match in zip(items, found, strict=True):
        assert match["name"] == item.id
        assert unescaped(match["question"]) == as_html(item.question)
        lines = match["answers"].splitlines()
        for line, option in zip(lines, item.options, strict=bool(item.options)):
            sign, text, why = re.fullmatch(rf"\t([=~])({FREE})#({FREE})", line).groups()
            assert (sign == "=") == option.right
            assert unescaped(text) == as_html(option.text)
            assert unescaped(why) == as_html(option.why)
        if not item.options:
            assert all(
                as_html(text) in unescaped(lines[0])
                for text in (item.answer, parts(item), *item.marking)
            )
