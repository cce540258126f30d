"""A chapter is one sitting, and no answer stands beside its question."""

import re
from pathlib import Path

import nbformat
import pytest

from bookkit.chapters import NOTEBOOKS, has_tag, read

MOST_CELLS, MOST_WORDS = 50, 3500
NO_PROSE = re.compile(r"!\[.*?\]|```.*?```", re.DOTALL)
"""Descriptions of drawings, and the code of solutions."""
END_OF_QUESTION = re.compile(r"What happened\?|^#+ ", re.MULTILINE)
CHECK = re.compile(r"^\s*assert |\"Checked", re.MULTILINE)
"""What says the answer in the source of a cell."""
FOLDED = {"hide-input": "source_hidden", "hide-output": "outputs_hidden"}
"""What a tag says to the book, in the words of Jupyter."""


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def cells(request) -> list[nbformat.NotebookNode]:
    path: Path = request.param
    return read(path).cells


def test_it_is_one_sitting(cells):
    code = [cell for cell in cells if cell.cell_type == "code"]
    prose = [NO_PROSE.sub("", cell.source) for cell in cells if cell.cell_type != "code"]
    words = sum(len(text.split()) for text in prose)
    assert len(code) <= MOST_CELLS and words <= MOST_WORDS, (len(code), words)


def test_what_is_learned_stands_at_the_end(cells):
    (place,) = [k for k, cell in enumerate(cells) if "\n## What we learned" in f"\n{cell.source}"]
    assert all(cell.cell_type != "code" for cell in cells[place:])
    assert "Guess before you read on" in "".join(cell.source for cell in cells[:2])


def test_what_answers_a_prediction_is_folded(cells):
    asked = False
    for cell in cells:
        if cell.cell_type != "code":
            *ended, rest = END_OF_QUESTION.split(cell.source)
            asked = "Predict, then reveal" in rest or (asked and not ended)
        elif asked or has_tag(cell, "hide-output"):
            assert not cell.outputs or has_tag(cell, "hide-output"), cell.source
            assert not CHECK.search(cell.source) or has_tag(cell, "hide-input"), cell.source


def test_jupyter_folds_what_the_book_folds(cells):
    for cell in cells:
        for tag, folded in FOLDED.items():
            assert has_tag(cell, tag) == cell.metadata.get("jupyter", {}).get(folded, False)
