"""Recorded tables: a CSV beside a JSON that says how, when and on what it was computed."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

_PACKAGES = ("explman-lite", "torch", "torchvision", "numpy")


def save_table(path: Path, table: pd.DataFrame, *, command: str, **settings: Any) -> None:
    """Write ``path`` (CSV) and its provenance (JSON beside it), each in one piece or not at all.

    Parameters
    ----------
    path : Path
        Ends in ``.csv``.
    table : DataFrame
        One row per measurement; the index is not written.
    command : str
        The command that makes the table anew.
    **settings
        What else decides the numbers: seed, hyperparameters.

    Examples
    --------
    >>> import pandas as pd, pathlib, tempfile
    >>> from explman_lite import results
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "squares.csv"
    >>> results.save_table(path, pd.DataFrame({"n": [2], "n²": [4]}), command="make squares")
    >>> results.load_table(path)
       n  n²
    0  2   4
    """
    write_atomically(path, table.to_csv(index=False))
    content = {"command": command, "settings": settings, **provenance()}
    write_atomically(path.with_suffix(".json"), json.dumps(content, indent=2) + "\n")


def load_table(path: Path) -> pd.DataFrame:
    """Read a table written by `save_table`."""
    return pd.read_csv(path)


def load_provenance(path: Path) -> dict[str, Any]:
    """Read how the table at ``path`` (CSV) was computed."""
    content: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return content


def provenance() -> Mapping[str, Any]:
    """Tell when and on what kind of machine this runs, with which versions."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": gpu,
        },
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def write_atomically(path: Path, text: str) -> None:
    """Write a text file under a temporary name and then move it to its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
