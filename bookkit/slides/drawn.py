"""Drawings and photographs of the book on a slide, which holds them itself."""

import base64
from html import escape
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

from bookkit.slides.cited import CAPTION
from bookkit.slides.outputs import figure, gallery
from bookkit.slides.pieces import Piece

TYPES = {".svg": "svg+xml", ".jpg": "jpeg", ".png": "png"}


def embedded(path: Path) -> str:
    """Write a picture as an address that needs no other file."""
    data = base64.b64encode(path.read_bytes()).decode()
    return f"data:image/{TYPES[path.suffix]};base64,{data}"


def drawn(path: Path, alt: str) -> Piece:
    """Show a drawing, by night that for the night; a picture; or a gallery that is stored."""
    if not path.is_file():
        raise ValueError(f"there is no figure {path.name!r}")
    if path.suffix == ".html":
        return gallery(path.read_text("utf-8"), CAPTION)
    if not alt:
        raise ValueError(f"{path.name!r} is not described")
    if path.suffix != ".svg":
        width, height = Image.open(path).size
        return figure(f'<img src="{embedded(path)}" alt="{escape(alt)}">', width / height)
    box = ElementTree.parse(path).getroot().attrib["viewBox"].split()
    day, night = (path.with_stem(f"{path.stem}-{scheme}") for scheme in ("light", "dark"))
    image = (
        '<picture class="drawing"><source media="screen and (prefers-color-scheme: dark)" '
        f'srcset="{embedded(night)}"><img src="{embedded(day)}" alt="{escape(alt)}"></picture>'
    )
    return figure(image, float(box[2]) / float(box[3]))
