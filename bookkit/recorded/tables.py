"""Reading the recorded tables."""

import pandas as pd

import explman_lite as el
from bookkit.places import RESULTS


def recorded(name: str) -> pd.DataFrame:
    """Read a table of ``results/``."""
    return el.results.load_table(RESULTS / f"{name}.csv")
