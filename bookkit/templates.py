"""Files with blanks that the kit fills in."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def templates_in(
    folder: Path,
    *,
    autoescape: bool = False,
    lstrip_blocks: bool = False,
    keep_trailing_newline: bool = False,
) -> Environment:
    """Open the templates of a folder; a blank that nobody fills in is an error."""
    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        autoescape=autoescape,
        lstrip_blocks=lstrip_blocks,
        keep_trailing_newline=keep_trailing_newline,
    )
