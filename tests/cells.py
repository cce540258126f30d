"""Which cells of a notebook another one needs."""

import symtable

from nbformat import NotebookNode


def names(cell: NotebookNode) -> tuple[set[str], set[str]]:
    """List the global names that a cell without magic makes, and those it uses."""
    table = symtable.symtable(cell.source, "a cell", "exec")
    symbols = table.get_symbols()
    made = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    used = {s.get_name() for s in symbols if s.is_referenced()}
    inner = table.get_children()
    while inner:
        table = inner.pop()
        used |= {s.get_name() for s in table.get_symbols() if s.is_global()}
        inner += table.get_children()
    return made, used


def needed(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Keep the last of the cells and those before it that make what it uses, directly or not."""
    *before, last = cells
    kept, wanted = [last], names(last)[1]
    for cell in reversed(before):
        made, used = names(cell)
        if made & wanted:
            kept.insert(0, cell)
            wanted |= used
    return kept
