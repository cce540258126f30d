"""Where the recorded tables are."""

from pathlib import Path

import pandas as pd

import explman_lite as el

ROOT = Path(__file__).resolve().parents[2]


def recorded(name: str) -> pd.DataFrame:
    """Read a table of results/."""
    return el.results.load_table(ROOT / "results" / f"{name}.csv")
