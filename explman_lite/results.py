"""Recorded tables: a CSV, and beside it a JSON that says how, when and on what it was computed."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

_PACKAGES = ("explman-lite", "torch", "torchvision", "numpy")


def save_table(path: Path, table: pd.DataFrame, *, command: str, **settings: Any) -> None:
    """Write a table and its provenance, a CSV and a JSON, each in one piece or not at all.

    Parameters
    ----------
    path : Path
        Where to write the table, ending in ``.csv``; the provenance has the same name in ``.json``.
    table : DataFrame
        One row per measurement; the index is not written.
    command : str
        The command that computes the table again.
    **settings
        What else the numbers depend on, fit for JSON: seed, hyperparameters.

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
    """Read how the table at ``path``, a CSV, was computed: from the JSON beside it."""
    content: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return content


def provenance() -> Mapping[str, Any]:
    """Return the date, the kind of machine, and the versions of Python and of packages."""
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


@contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """Give a temporary name, under which a file is written before it is moved to its place."""
    temporary = path.with_name(f".{path.name}.unfinished")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_atomically(path: Path, text: str) -> None:
    """Write a text file whole or not at all; make its folder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OSError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error


def make_folder(folder: Path) -> None:
    """Make a folder for results, and see before long work that it has room for a megabyte."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(2**20))
    except OSError as error:
        raise OSError(f"{str(folder)!r} is no folder to write to: {error.strerror}") from error
