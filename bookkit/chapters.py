"""The list of chapters, and how to read one."""

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import nbformat

from bookkit.places import ROOT

NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
FOLDED = re.compile(r"<details><summary>(.*?)</summary>\n(.*?)</details>\n*", re.DOTALL)
CODE = re.compile(r"```python\n(.*?)```\n*", re.DOTALL)


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook."""
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    return notebook


def title(path: Path) -> str:
    """Read a chapter's title, without its Markdown sign."""
    first: str = read(path).cells[0].source
    return first.splitlines()[0].removeprefix("# ")


def has_tag(cell: nbformat.NotebookNode, tag: str) -> bool:
    """Return whether a cell bears a tag."""
    return tag in cell.metadata.get("tags", [])


def alt_in(metadata: Mapping[str, Any]) -> str:
    """Return how a cell's metadata describe what it draws."""
    alt: str = metadata.get("mystnb", {}).get("image", {}).get("alt", "")
    return alt


def folded(source: str, title: str) -> list[str]:
    """List what is folded under a title such as "Solution"."""
    return [body.strip() for heading, body in FOLDED.findall(source) if heading == title]


def without_folded(source: str, *titles: str) -> str:
    """Leave out what is folded under some titles."""
    return FOLDED.sub(lambda fold: "" if fold[1] in titles else fold[0], source)


def described(html: str, alt: str) -> str:
    """Let a group of pictures, as the package writes it, say what its cell's metadata tell."""
    group = '<div class="explman-pictures" role="group"'
    if group not in html or "frame-slider" in html:
        return html
    if html.count("<figure ") == 1:
        return re.sub(r' alt="[^"]*"', lambda _: f' alt="{escape(alt)}"', html, count=1)
    return html.replace(group, f'{group} aria-label="{escape(alt)}"')
