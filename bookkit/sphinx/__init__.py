"""What the pages need beyond Jupyter Book: the book's extension of Sphinx."""

from sphinx.application import Sphinx

PARTS = (
    "site", "pictures", "generated", "item_bank", "numbers", "glossary", "live", "tables",
)  # fmt: skip


def setup(app: Sphinx) -> dict[str, bool]:
    """Load the parts, each of them an extension too."""
    for part in PARTS:
        app.setup_extension(f"{__name__}.{part}")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
