"""Write the results: a table as CSV, and one page that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

import explman_lite as el
from bookkit.challenge import tool
from bookkit.challenge.score import Results, ranks
from bookkit.templates import templates_in
from explman_lite.results import save_table, write_atomically

_TEMPLATES = templates_in(Path(__file__).parent / "templates", autoescape=True, lstrip_blocks=True)
PAGE = "results.html"
_COLUMNS = 4
"""Pictures and maps of the best forgery in a row."""


def write(results: Results, folder: Path, command: str) -> Path:
    """Write results.csv and results.html, and return the page.

    Beside the table lies a JSON that says how and when it was computed.
    """
    save_table(
        folder / "results.csv",
        results.table().round(4),
        command=command,
        judge=vars(results.judge),
        shares=tool.SHARES,
    )
    gallery = el.figures.panel(results.shown, columns=_COLUMNS, height=2.2, keep_rows=True)
    page = _TEMPLATES.get_template(PAGE).render(
        results=results,
        ranked=lambda entries: list(zip(ranks(entries), entries, strict=True)),
        tool=tool,
        pictures=Markup(gallery._repr_html_()),
    )
    write_atomically(folder / PAGE, page)
    return folder / PAGE
