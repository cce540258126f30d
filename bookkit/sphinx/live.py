"""The live attack: its scripts for the site, and for the pages that hold it."""

import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from bookkit.live import scripts
from bookkit.places import ROOT

SOURCE = ROOT / "book" / "live"


def add_to_page(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Let a page begin with the first of the scripts if it holds the element."""
    if "<explman-attack" in context.get("body", ""):
        app.add_js_file("live/begin.js", loading_method="defer")
        app.add_css_file("live/live.css")


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write the scripts beside the pages."""
    if exception or app.builder.name != "html":
        return
    folder = Path(app.outdir, "_static", "live")
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
    for name, text in scripts().items():
        (folder / name).write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("html-page-context", add_to_page)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
