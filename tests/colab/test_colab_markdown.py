"""Colab, Jupyter and the page show the same text: no cell needs MyST to be read.

Links are relative. The page and Jupyter follow them, and so does Colab from chapter to chapter
(googlecolab/colabtools issue 3877). Links to a heading work on the page; not in Colab (issue 3983)
nor in JupyterLab, which names headings otherwise, and whose own tables of contents stand beside
the text. The archives, made for JupyterLab, use its names.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest

from bookkit.chapters import NOTEBOOKS
from bookkit.places import ROOT

# What MyST reads and plain Markdown shows as it is, each with an example.
RAW = {
    "role": (r"\{[\w:.+-]+\}`", "see {cite}`Bach2015` or {ref}`eq`"),
    "directive": (r"^\s*(`{3,}|~{3,})\s*\{", "```{note}\nMind the gap.\n```"),
    "colon fence": (r"^\s*:{3,}", ":::{admonition} Mind\nthe gap\n:::"),
    "target": (r"^\s*\([\w:.-]+\)=\s*$", "(label)=\n## A heading"),
    "block break": (r"^\+\+\+", "one\n\n+++\n\ntwo"),
    "comment": (r"^%", "% nobody should read this"),
    "substitution": (r"\{\{.*?\}\}", "this is {{ version }}"),
    "footnote": (r"\[\^[^\]]+\]", "so they say.[^1]"),
    "labelled equation": (r"\$\$[ \t]*\([\w:.-]+\)", "$$x = 1$$ (one)"),
    "bare environment": (r"^\\begin\{(align|equation|gather)", "\\begin{align}x\\end{align}"),
    "definition list": (r"^:[ \t]", "Term\n: what it means"),
    "field list": (r"^:\w+:", ":name: value"),
    "attributes": (r"^\{[.#]\w+.*\}\s*$", "{.class}\nA paragraph"),
    "link without text": (r"\[\]\(", "see [](02_manipulation_loss.ipynb)"),
    "link to a label": (r"<(project|path|inv|myst):", "[text](<project:#label>)"),
    "bracketed mathematics": (r"\\[(\[]", r"where \(x\) is"),
}

CODE = re.compile(r"^(\s*)(`{3,})\s*\w*\n.*?^\1\2\s*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
MATHEMATICS = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$", re.DOTALL)
HTML = re.compile(r"^\s*<(?!/?(?:details|summary)\b)[a-z]+\b[^>]*>", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def raw(text: str) -> set[str]:
    """Name the syntax in a text that only MyST understands; code and formulas are not text."""
    found = set()
    for name, (pattern, _) in RAW.items():
        stripped = text
        if name not in {"role", "directive"}:
            stripped = CODE.sub("code", stripped)
        if name != "labelled equation":
            stripped = MATHEMATICS.sub("formula", stripped)
        if re.search(pattern, stripped, re.MULTILINE):
            found.add(name)
    return found


def unrendered_mathematics(text: str) -> list[str]:
    """List the formulas that share a line or a paragraph with an HTML tag, so that they stay raw.

    Markdown leaves an HTML block alone up to the next empty line.
    """
    paragraphs = re.split(r"\n\s*\n", CODE.sub("code", text))
    blocks = [p for p in paragraphs if re.match(r"\s*</?[a-z]+\b", p)]
    return [formula for block in blocks for formula in MATHEMATICS.findall(block)]


def markdown_cells(path: Path) -> list[str]:
    """Read the text cells of a notebook."""
    cells = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "markdown"]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.mark.parametrize(("name", "example"), [(name, RAW[name][1]) for name in RAW])
def test_syntax_that_only_myst_understands_is_found(name, example):
    assert name in raw(example)
    assert name in raw(f"# A heading\n\nSome text.\n\n{example}")


def test_what_every_reader_shows_is_not_blamed():
    text = r"""# A heading (with brackets)

    A list, `{{ "in": "code" }}`, $\mathbb 1[\,x_i\,]$ and a [link](#a-heading-with-brackets).

$$\Bigl(\frac{a}{b}\Bigr)_{\{1, 2\}}$$

```python
f"{{x}}" % ()
+++
% of
```

<details><summary>Hint</summary>

100 % of $x$: that is all.

</details>"""
    assert raw(text) == set()
    assert unrendered_mathematics(text) == []
    assert raw("from here to there the way is\n`el.path`: a way") == set()


def test_no_cell_needs_myst(path):
    for source in markdown_cells(path):
        assert raw(source) == set(), source


def test_mathematics_in_html_is_found():
    assert unrendered_mathematics("<details><summary>Why $x$?</summary>\n\ntext") == ["$x$"]
    assert unrendered_mathematics("<details>\nWhy $$x$$?\n</details>") == ["$$x$$"]
    assert unrendered_mathematics("<details>\n\nWhy $x$?\n\n</details>") == []


def test_no_mathematics_stands_in_html(path):
    for source in markdown_cells(path):
        assert unrendered_mathematics(source) == [], source


def test_html_other_than_folds_is_found():
    assert HTML.search('text\n<div class="admonition">') is not None
    assert HTML.search("<details><summary>Hint</summary>\n\na < b and a<b") is None


# Notebooks drop what they do not know and keep the sentence in it.
LIVE_ATTACK = re.compile(
    r'<explman-attack[^>]*>\n<p class="fallback">([^<]+)</p>\n</explman-attack>'
)


def test_folds_and_the_live_attack_are_the_only_html(path):
    for source in markdown_cells(path):
        plain = LIVE_ATTACK.sub(r"\1", CODE.sub("code", source))
        assert HTML.search(plain) is None, source


def dead(links: list[str], folder: Path) -> list[str]:
    """List the relative links that lead to no file."""
    relative = [urlsplit(link) for link in links if not urlsplit(link).scheme]
    return [link.path for link in relative if link.path and not (folder / link.path).is_file()]


def test_a_link_without_a_file_is_found():
    links = ["../README.md#top", "#top", "https://example.org/x", "nothing.ipynb", "02.html"]
    assert dead(links, ROOT / "notebooks") == ["nothing.ipynb", "02.html"]


def test_relative_links_lead_to_files_of_the_repository(path):
    """Built pages (.html) exist only in the book; Jupyter and Colab need the source."""
    links = [link for source in markdown_cells(path) for link in LINK.findall(source)]
    assert links
    assert dead(links, path.parent) == []
