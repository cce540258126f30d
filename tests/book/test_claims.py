"""The page of the claims has all eight, and whatever page names one leads there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book" / "claims.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (C\d)\n\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
NAMED = re.compile(r"(?<![\w\[#/])C[1-8](?!\w)")
NOT_TEXT = re.compile(r"```.*?```|`[^`]*`|\$[^$\n]*\$|\[[^\]]*\]\([^)]*\)", re.DOTALL)


def test_there_are_eight():
    assert list(SECTIONS) == [f"C{number}" for number in range(1, 9)]


@pytest.mark.parametrize("claim", SECTIONS)
def test_each_says_who_claims_it_where_it_is_tested_and_what_was_found(claim):
    text = SECTIONS[claim]
    assert re.match(r"\*\*[A-Z].*?\.\*\* ", text)
    paper, tested, found = (text.index(f"- *{word}*") for word in ("The paper", "Tested", "Found"))
    assert paper < tested < found
    assert "](" in text[tested:found]
    assert "**" in text[found:]


@pytest.mark.parametrize("page", sorted(ROOT.glob("book/*.md")), ids=lambda path: path.stem)
def test_a_claim_that_is_named_is_a_link(page):
    if page.name == "claims.md":
        return
    text = page.read_text("utf-8")
    # What follows a link to a claim in its section may call it by its name.
    bare = set(NAMED.findall(NOT_TEXT.sub("", text)))
    assert [name for name in bare if f"claims.md#{name.lower()})" not in text] == []
