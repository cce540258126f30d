"""Draw the book's tables and figures from results/ whenever it is built.

A page includes ``_recorded/NAME.md`` or shows ``_recorded/NAME.svg``, see `TABLES` and `FIGURES`.
"""

import io
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import recorded_costs as costs
import recorded_defense as defense
import recorded_status as status
import recorded_suites as suites
from matplotlib.figure import Figure
from recorded_tables import ROOT
from sphinx.application import Sphinx

import explman_lite as el

DRAWN = ROOT / "book" / "_recorded"


def per_suite(
    names: Iterable[str], **tables: Callable[[str], pd.DataFrame]
) -> dict[str, Callable[[], pd.DataFrame]]:
    """Make each kind of table for each suite."""
    return {
        f"{suite.replace('-', '_')}_{name}": partial(tabulate, suite)
        for suite in names
        for name, tabulate in tables.items()
    }


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "step_cost": costs.step_cost,
    "step_profile": costs.step_profile,
    "optimisers": costs.optimisers,
    "beta_schedules": costs.beta_schedules,
    "precisions": partial(costs.varied, "precision", "precision", "network in"),
    "output_weights": partial(costs.varied, "output weight", "output_weight", "γ"),
    "methods": costs.methods,
    "claims": suites.claims,
    **per_suite(
        ("digits", "photos"),
        targets=suites.targets,
        originals=suites.originals,
        families=suites.families,
    ),
    **per_suite(
        ("defense", "defense-photos"),
        protection=defense.protection,
        price=defense.price,
        transfer=defense.transfer,
    ),
    "defense_settings": defense.settings,
    "status_chapters": status.chapters,
    "status_versions": status.versions,
}
FIGURES: dict[str, Callable[[], Figure]] = {
    "growth": costs.growth,
    "trade_off": costs.trade_off,
    "digits_boxes": partial(suites.boxes, "digits"),
    "photos_boxes": partial(suites.boxes, "photos"),
    "defense": defense.over_beta,
}


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


def write(path: Path, text: str) -> None:
    """Write what has changed, so that Sphinx reads again only what it must."""
    if not path.is_file() or path.read_text("utf-8") != text:
        el.results.write_atomically(path, text)


def draw(app: Sphinx) -> None:
    el.figures.use_style()
    for name, tabulate in TABLES.items():
        write(DRAWN / f"{name}.md", as_markdown(tabulate()))
    for name, sketch in FIGURES.items():
        write(DRAWN / f"{name}.svg", as_svg(sketch()))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", draw)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
