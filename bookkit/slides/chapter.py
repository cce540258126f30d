"""What of a chapter goes onto its slides.

A chapter is prose, a slide is not: the prose goes into the speaker's notes. Lead sentences, lists,
formulas, tables, questions, figures, short definitions and what was checked are shown.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

import nbformat
from markdown_it.token import Token

from bookkit.chapters import alt_in, without_folded
from bookkit.slides.outputs import code_of, displayed, highlighted, printed, table_rows
from bookkit.slides.pieces import Piece, Section
from bookkit.slides.text import blocks, first_sentence, formula_height, length, markdown

ANSWERS = {"output", "table", "figure", "claim"}


class Chapter:
    """The sections of a notebook, the first of them under its title."""

    def __init__(self, notebook: nbformat.NotebookNode, name: str) -> None:
        self.markdown = markdown(f"notebooks/{name}")
        self.sections: list[Section] = []
        self.revealing = False
        # The heading of the exercise at hand until its first paragraph, then empty.
        self.exercise: str | None = None
        for cell in notebook.cells:
            role = cell.metadata.get("slideshow", {}).get("slide_type")
            if role == "skip":
                continue
            if cell.cell_type == "markdown":
                self.revealing = False
                self.read_text(cell.source, only_notes=role == "notes")
            elif not self.in_exercises() and role != "notes":
                self.read_code(cell)
        self.sections = [s for s in self.sections if s.title != "References"]
        for section in self.sections:
            section.drop_optional()
        self.announce_sections()

    def in_exercises(self) -> bool:
        """Return whether a reader is at work here."""
        tops = [section.title for section in self.sections if section.level <= 2]
        return bool(tops) and tops[-1] == "Exercises"

    def add(self, *pieces: Piece) -> None:
        """Put pieces into the section at hand; what answers a question is hidden at first."""
        for piece in pieces:
            hidden = self.revealing and piece.kind in ANSWERS
            self.sections[-1].pieces.append(replace(piece, hidden=hidden))

    def render(self, block: list[Token]) -> str:
        """Render a block of text."""
        return str(self.markdown.renderer.render(block, self.markdown.options, {}))

    def read_text(self, source: str, only_notes: bool) -> None:
        """Read a cell of text: what is shown of it, and all of it as notes."""
        tokens = self.markdown.parse(without_folded(source, "Hint", "Solution"))
        inside_fold = False
        for block in blocks(tokens):
            kind, html = block[0].type, self.render(block)
            if kind == "heading_open":
                self.open_section(block)
                continue
            if kind == "html_block":
                inside_fold = "<summary>" in html
                title = re.sub(r"</?details>|</?summary>", "", html).strip()
                self.add(Piece("note", f"<p><strong>{title}</strong></p>" if title else ""))
                continue
            if not inside_fold and not only_notes:
                self.add(*self.shown_of(block, html))
            self.add(Piece("note", html))

    def open_section(self, heading: list[Token]) -> None:
        """Begin a section; the exercises share one, so that short ones share a slide."""
        title, level = self.markdown.renderInline(heading[1].content), int(heading[0].tag[1])
        if self.in_exercises() and level == 3:
            self.exercise = f"<h3>{title}</h3>"
        else:
            self.exercise = None
            self.sections.append(Section(title, level))

    def shown_of(self, block: list[Token], html: str) -> Iterator[Piece]:
        """Return what an audience sees of a block of text."""
        kind, on_title = block[0].type, self.sections[-1].level == 1
        if kind == "blockquote_open" and on_title:
            self.sections.append(Section("Before we begin", 2))
            on_title = False
        if kind in {"bullet_list_open", "ordered_list_open"}:
            yield from self.list_items(block, 22)
        elif on_title:
            return
        elif kind == "paragraph_open":
            yield from self.sentences(block[1].content)
        elif kind == "math_block":
            yield Piece("formula", html, extra=formula_height(block[0].content))
        elif kind == "table_open":
            yield from table_rows(html)
        elif kind == "blockquote_open":
            self.revealing = "Predict, then reveal" in html
            heights = sum(formula_height(t.content) for t in block if t.type == "math_block")
            words = re.sub(r"\\\[.*?\\\]", "", html, flags=re.DOTALL)
            yield Piece("quote", html, length(words), extra=50 + heights)

    def sentences(self, source: str) -> Iterator[Piece]:
        """Show a section's lead and what has a bold title; an exercise's task in full."""
        optional = False
        if self.exercise is None:
            bold = source.startswith("**") and not source.startswith("**Next**")
            optional = bool(self.sections[-1].shown) and not bold
            source = first_sentence(source)
        html = f"{self.exercise or ''}<p>{self.markdown.renderInline(source)}</p>"
        size, extra = (26, 16) if self.exercise is None else (24, 20)
        extra += 40 * bool(self.exercise)
        kind = "lead" if self.exercise is None else "task"
        yield Piece(
            kind, f'<div class="{kind}">{html}</div>', length(html), size, extra, optional=optional
        )
        self.exercise = self.exercise and ""

    def list_items(self, block: list[Token], size: int) -> Iterator[Piece]:
        """Show the items of a list."""
        tag = block[0].tag
        for item in blocks(block[1:-1]):
            html = self.render(item)
            wrap = (f"<{tag}>", f"</{tag}>")
            yield Piece("list", html, length(html) + 4, size, extra=10, wrap=wrap)

    def read_code(self, cell: nbformat.NotebookNode) -> None:
        """Read a cell of code: what is shown of it and of its outputs."""
        if code := code_of(cell):
            self.add(highlighted(code))
        alt = alt_in(cell.metadata)
        for output in cell.outputs:
            if output.output_type == "stream":
                self.add(*printed(output.text, self.revealing))
            else:
                self.add(*displayed(output.data, alt))

    def announce_sections(self) -> None:
        """Let a heading with little but headings below it announce them."""
        for index, section in enumerate(self.sections[1:], 1):
            if len(section.shown) > 1:
                continue
            for below in self.sections[index + 1 :]:
                if below.level <= section.level:
                    break
                html = f"<li>{below.title}</li>"
                wrap = ("<ul>", "</ul>")
                section.pieces.append(Piece("list", html, len(html), 22, extra=10, wrap=wrap))
