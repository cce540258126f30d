"""When the chapters were last executed, with what, and how long it took, for the page on status."""

import pandas as pd

import explman_lite as el
from bookkit.chapters import title
from bookkit.places import RESULTS, ROOT
from bookkit.recorded.tables import recorded

RECORD = "notebooks"


def chapters() -> pd.DataFrame:
    """Tabulate the executions of the chapters."""
    lines = [
        (
            f"[{title(ROOT / 'notebooks' / f'{line.notebook}.ipynb')}]"
            f"(../notebooks/{line.notebook}.ipynb)",
            line.executed,
            f"{line.seconds // 60}:{line.seconds % 60:02}",
            line["code cells"],
        )
        for _, line in recorded(RECORD).iterrows()
    ]
    return pd.DataFrame(lines, columns=["chapter", "executed", "minutes", "code cells"])


def versions() -> pd.DataFrame:
    """Tabulate what the last of these executions ran on."""
    how = el.results.load_provenance(RESULTS / f"{RECORD}.csv")
    machine = how["machine"]
    processor = f"{machine['system']}, {machine['processor']}, {machine['cores']} cores"
    used = {
        "machine": f"{processor}, of which PyTorch used {machine['threads']}",
        "GPU": machine["gpu"] or "none",
        "Python": how["python"],
        **how["versions"],
    }
    return pd.DataFrame(used.items(), columns=["what", "which"])
