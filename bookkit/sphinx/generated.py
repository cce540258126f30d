"""Write what pages include or offer for download, whenever the book is built.

A page includes ``_recorded/NAME.md`` or shows ``_recorded/NAME.svg``, see
`bookkit.recorded.registry`; the page of the item bank offers ``_recorded/items.gift``.
"""

import io

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from sphinx.application import Sphinx

import explman_lite as el
from bookkit.gift import bank
from bookkit.places import GENERATED
from bookkit.recorded.registry import FIGURES, TABLES


def as_markdown(table: pd.DataFrame) -> str:
    """Write a table in Markdown; what was not measured is a dash."""
    cells = table.astype(object).where(table.notna(), "–").astype(str).values.tolist()
    lines = [list(table.columns), ["---"] * len(table.columns), *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_svg(figure: Figure) -> str:
    """Draw a figure, the same every time."""
    stream = io.StringIO()
    with plt.rc_context({"svg.hashsalt": "explman"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    plt.close(figure)
    return stream.getvalue()


def write(name: str, text: str) -> None:
    """Write what has changed, so that Sphinx reads again only what it must."""
    path = GENERATED / name
    if not path.is_file() or path.read_text("utf-8") != text:
        el.results.write_atomically(path, text)


def generate(app: Sphinx) -> None:
    """Write all tables, all figures and the item bank."""
    el.figures.use_style()
    for name, tabulate in TABLES.items():
        write(f"{name}.md", as_markdown(tabulate()))
    for name, sketch in FIGURES.items():
        write(f"{name}.svg", as_svg(sketch()))
    write("items.gift", bank())


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("builder-inited", generate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
