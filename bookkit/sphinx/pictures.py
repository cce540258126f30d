"""Pictures that the package wrote as HTML: what they show, and files in place of data URIs."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from bookkit.chapters import alt_in, described

# A small picture is sent sooner within its page.
SHORTEST = 2_000
PICTURES = re.compile(
    r'(<img (?:class="explman-plot" )?src=")data:image/(png|webp);base64,([A-Za-z0-9+/=]+)"'
)


def describe(app: Sphinx, document: nodes.document) -> None:
    """Let pictures of a cell say what its metadata tell of them."""
    for cell in document.findall(nodes.container):
        alt = alt_in(cell.get("cell_metadata", {}))
        for raw in cell.findall(nodes.raw) if alt else []:
            raw[:] = [nodes.Text(described(raw.astext(), alt))]
            raw.rawsource = raw.astext()


def store(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Write pictures beside the other images of the book, so that they wait for their turn."""
    folder = Path(app.outdir, app.builder.imagedir)

    def write(match: re.Match[str]) -> str:
        content = base64.b64decode(match[3])
        if len(content) < SHORTEST:
            return match[0]
        name = f"{hashlib.sha256(content).hexdigest()[:32]}.{match[2]}"
        folder.mkdir(parents=True, exist_ok=True)
        if not (path := folder / name).is_file():
            path.write_bytes(content)
        return f'{match[1]}{context["pathto"](f"{app.builder.imagedir}/{name}", 1)}"'

    context["body"] = PICTURES.sub(write, context.get("body", ""))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx, before `bookkit.sphinx.site` completes the images."""
    app.connect("doctree-read", describe)
    app.connect("html-page-context", store, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
