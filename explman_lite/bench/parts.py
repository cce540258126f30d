"""The finished part of a run: a folder with a small table for each job."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from explman_lite.bench.jobs import Job
from explman_lite.results import provenance, write_atomically

_MANIFEST = "run.json"


class Parts:
    """The finished jobs of one run, on disk.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    settings : mapping
        What the numbers depend on, fit for JSON. Together with the versions of packages it
        identifies the run that the folder belongs to.

    Raises
    ------
    ValueError
        If the folder belongs to another run.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        # By way of JSON, so that a tuple equals the list that is read back.
        mine = json.loads(json.dumps({**settings, **provenance()["versions"]}))
        manifest = folder / _MANIFEST
        if not manifest.exists():
            write_atomically(manifest, json.dumps(mine, indent=2) + "\n")
        _check_same(folder, json.loads(manifest.read_text(encoding="utf-8")), mine)

    def save(self, job: Job, table: pd.DataFrame) -> None:
        """Write a job's table, in one piece or not at all."""
        write_atomically(self._path(job), json.dumps(table.to_dict("list")) + "\n")

    def load(self, job: Job) -> pd.DataFrame:
        """Read a job's table, with every number as it was."""
        return pd.DataFrame(json.loads(self._path(job).read_text(encoding="utf-8")))

    def has(self, job: Job) -> bool:
        """Return whether a job is finished; a damaged table does not count."""
        try:
            numbers: list[int] = self.load(job)["pair"].tolist()
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            return False
        return numbers == [pair.number for pair in job.pairs]

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder)

    def _path(self, job: Job) -> Path:
        return self.folder / f"{job.key}.json"


def _check_same(folder: Path, theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    """Refuse a folder of a run with other settings or versions, and name the differences."""
    differences = [
        f"{name} {theirs.get(name)} there and {mine.get(name)} here"
        for name in {**theirs, **mine}
        if theirs.get(name) != mine.get(name)
    ]
    if differences:
        raise ValueError(
            f"{folder} holds parts of another run ({'; '.join(differences)}): "
            "finish that one, choose another folder, or remove it"
        )
