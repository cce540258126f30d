"""When the chapters were last executed, with what, and how long it took, for the page on status."""

import nbformat
import pandas as pd
from recorded_tables import ROOT, recorded

import explman_lite as el

RECORD = "notebooks"


def chapters() -> pd.DataFrame:
    """Tabulate the executions of the chapters."""
    lines = [
        (
            f"[{title(line.notebook)}](../notebooks/{line.notebook}.ipynb)",
            line.executed,
            f"{line.seconds // 60}:{line.seconds % 60:02}",
            line["code cells"],
        )
        for _, line in recorded(RECORD).iterrows()
    ]
    return pd.DataFrame(lines, columns=["chapter", "executed", "minutes", "code cells"])


def versions() -> pd.DataFrame:
    """Tabulate what the last of these executions ran on."""
    how = el.results.load_provenance(ROOT / "results" / f"{RECORD}.csv")
    machine = how["machine"]
    processor = f"{machine['system']}, {machine['processor']}, {machine['cores']} cores"
    used = {
        "machine": f"{processor}, of which PyTorch used {machine['threads']}",
        "GPU": machine["gpu"] or "none",
        "Python": how["python"],
        **how["versions"],
    }
    return pd.DataFrame(used.items(), columns=["what", "which"])


def title(notebook: str) -> str:
    """Read a chapter's title."""
    first = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells[0]
    return first.source.splitlines()[0].removeprefix("# ")
