"""The text of a chapter: its Markdown rendered, cut into blocks and sentences, and measured."""

import re
from collections.abc import Iterator
from html import escape
from typing import Any

from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin

from bookkit.links import is_elsewhere, page_of

SHORTEST_LEAD = 40
OPAQUE = re.compile(r"\$[^$]+\$|`[^`]+`|\]\([^)]*\)")
SENTENCE = re.compile(r".+?[.!?](?<!\bal\.)(?<!e\.g\.)(?<!i\.e\.)[*)”\"]*(?=\s|$)", re.DOTALL)


def markdown(source: str) -> MarkdownIt:
    """Make a parser whose formulas MathJax finds and whose links lead to the built book.

    Links are those of a file of the repository, named by its path below the root.
    """
    parser = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)

    def math_inline(self: RendererHTML, tokens: list[Token], index: int, *_: Any) -> str:
        return rf'<span class="math">\({escape(tokens[index].content)}\)</span>'

    def math_block(self: RendererHTML, tokens: list[Token], index: int, *_: Any) -> str:
        return rf'<div class="math">\[{escape(tokens[index].content)}\]</div>'

    def link_open(
        self: RendererHTML, tokens: list[Token], index: int, options: Any, env: Any
    ) -> str:
        address = str(tokens[index].attrs["href"])
        if not is_elsewhere(address):
            tokens[index].attrs["href"] = "../" + page_of(address, source)
        return self.renderToken(tokens, index, options, env)

    def image(self: RendererHTML, tokens: list[Token], index: int, options: Any, env: Any) -> str:
        address = str(tokens[index].attrs["src"])
        if not is_elsewhere(address):
            tokens[index].attrs["src"] = "../" + page_of(address, source)
        return RendererHTML.image(self, tokens, index, options, env)

    for rule in (math_inline, math_block, link_open, image):
        parser.add_render_rule(rule.__name__, rule)
    return parser


def blocks(tokens: list[Token]) -> Iterator[list[Token]]:
    """Cut what was parsed into blocks of the top level."""
    block: list[Token] = []
    depth = 0
    for token in tokens:
        block.append(token)
        depth += token.nesting
        if depth == 0:
            yield block
            block = []


def first_sentence(source: str) -> str:
    """Return the first sentence of a paragraph, or the first two if it begins with a bold title."""
    masked = OPAQUE.sub(lambda found: "x" * len(found[0]), source)
    title = re.match(r"\*\*.*?\*\*[.:]?\s*", masked, re.DOTALL)
    start = title.end() if title else 0
    for sentence in SENTENCE.finditer(masked, start):
        if sentence.end() - start >= SHORTEST_LEAD:
            return source[: sentence.end()]
    return source


def length(html: str) -> int:
    """Count the characters that an audience reads, a formula's commands as one each."""
    text = BeautifulSoup(html, "html.parser").get_text()
    return len(re.sub(r"\\[a-zA-Z]+|[{}_^\\]", "x", text))


def formula_height(source: str) -> int:
    """Estimate the pixels of a displayed formula."""
    tall = any(command in source for command in (r"\frac", r"\sum", r"\int", r"\Bigl"))
    return 16 + (80 if tall else 45) * (1 + source.count(r"\\"))
