"""Show a chapter's part of the item bank to those who teach: ``{item_bank} saliency_maps``."""

from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bookkit.gift import parts
from bookkit.places import ROOT
from explman_lite.items import BANK, LEVELS, Item, items_of

KINDS = {"choice": "multiple choice", "short": "short answer", "open": "open question"}


class ItemBank(SphinxDirective):
    """All items of a chapter, with their answers folded."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Read the bank, and let Sphinx read the page anew when the bank has changed."""
        self.env.note_dependency(str(BANK))
        (chapter,) = self.arguments
        (notebook,) = ROOT.glob(f"notebooks/*{chapter}.ipynb")
        return [self.show(item, notebook) for item in items_of(chapter)]

    def show(self, item: Item, notebook: Path) -> nodes.Node:
        """Draw an item: what it is, what it asks, and, folded, what is right."""
        question = nodes.paragraph("", "", nodes.strong("", "", *inline(item.question)))
        drawn = nodes.container("", question, classes=["item"], ids=[f"item-{item.id}"])
        if item.options:
            drawn += nodes.enumerated_list(
                "",
                *(entry(option.text) for option in item.options),
                enumtype="upperalpha",
                suffix=".",
            )
        drawn += self.facts(item, notebook)
        fold = '<details class="item-answer"><summary>Answer</summary>'
        drawn += nodes.raw("", fold, format="html")
        drawn += answer(item)
        drawn += nodes.raw("", "</details>", format="html")
        return drawn

    def facts(self, item: Item, notebook: Path) -> nodes.Node:
        """Draw where an item comes from and what it takes."""
        address = f"../../{notebook.relative_to(ROOT).as_posix()}#{item.section}"
        unit = "minute" if item.minutes == 1 else "minutes"
        facts = [
            f"`{item.id}`",
            KINDS[item.kind],
            f"level {item.level} ({LEVELS[item.level]})",
            f"{item.minutes} {unit}",
            *(["in the quiz"] if item.quiz else []),
            # Left to MyST, which finds the section's title and complains if there is none.
            f"section [](<{address}>)",
        ]
        drawn = nodes.container("", classes=["item-facts"])
        drawn += self.parse_text_to_nodes(" · ".join(facts))
        return drawn


def answer(item: Item) -> Iterator[nodes.Node]:
    """Draw why each option is right or wrong, or a model answer and how to mark it."""
    if item.options:
        reasons = []
        for option in item.options:
            verdict = nodes.strong("", "Right. " if option.right else "No. ")
            reasons.append(
                nodes.list_item("", nodes.paragraph("", "", verdict, *inline(option.why)))
            )
        yield nodes.enumerated_list("", *reasons, enumtype="upperalpha", suffix=".")
    else:
        yield nodes.paragraph("", "", *inline(item.answer))
        yield nodes.paragraph("", parts(item))
        yield nodes.bullet_list("", *(entry(point) for point in item.marking))


def entry(text: str) -> nodes.list_item:
    """Draw a line of a list."""
    return nodes.list_item("", nodes.paragraph("", "", *inline(text)))


def inline(text: str) -> Iterator[nodes.Node]:
    """Draw an item's text: what stands in backticks becomes code."""
    for index, part in enumerate(text.split("`")):
        if part:
            yield nodes.literal(part, part) if index % 2 else nodes.Text(part)


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known."""
    app.add_directive("item_bank", ItemBank)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
