"""The finished part of a run: a folder with a small table for each job."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from explman_lite.bench.jobs import Job
from explman_lite.results import provenance, write_atomically

_MANIFEST = "run.json"
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP}
"""What file systems without locks answer."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other commands away from a folder until this one ends or its process dies."""
    # A lock that is no more than a file, which others fall back to, would outlive its process.
    # The file of this one may go while it is held: who waits for it sees that, and makes another.
    lock = FileLock(folder.with_name(f".{folder.name}.lock"), fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OSError(
            f"another command is at work on {str(folder)!r}: wait for its end, or choose another "
            "folder"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise OSError(f"{lock.lock_file!r} cannot be locked: {error.strerror}") from error
    try:
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):
                Path(lock.lock_file).unlink()
            lock.release()


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
        If the folder belongs to another run, or to one that nobody knows.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        # By way of JSON, so that a tuple equals the list that is read back.
        mine = json.loads(json.dumps({**settings, **provenance()["versions"]}))
        manifest = folder / _MANIFEST
        if not manifest.exists():
            write_atomically(manifest, json.dumps(mine, indent=2) + "\n")
        _check_same(folder, _read(manifest), mine)

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
        """Delete the folder: its name first, lest some of the parts be taken for all of them."""
        rest = self.folder.with_name(f".{self.folder.name}.finished")
        shutil.rmtree(rest, ignore_errors=True)
        self.folder.replace(rest)
        shutil.rmtree(rest, ignore_errors=True)

    def _path(self, job: Job) -> Path:
        return self.folder / f"{job.key}.json"


def _read(manifest: Path) -> dict[str, Any]:
    """Read what a folder says about its run."""
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{str(manifest)!r} is damaged: remove its folder, or choose another")
    return found


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
