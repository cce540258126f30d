"""Run a suite, keep what is finished, and continue from there after an interruption."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from explman_lite.bench.cluster import Measured, measure_on_cluster
from explman_lite.bench.jobs import Job, Suite
from explman_lite.bench.measurement import measure
from explman_lite.bench.parts import Parts, alone
from explman_lite.bench.suites import SUITES
from explman_lite.pictures.collections import open_pictures
from explman_lite.progress import progress_bar
from explman_lite.results import make_folder, save_table


def run(
    suite: str | Suite,
    out: Path,
    *,
    seed: int = 0,
    limit: int | None = None,
    scheduler: str | None = None,
    data: str | None = None,
    smoke: bool = False,
    progress: bool = True,
    command: str | None = None,
) -> pd.DataFrame:
    """Run a suite and write its table, a CSV with its provenance beside it.

    Every finished job is kept in ``NAME.parts`` beside the table until the table is complete. The
    same call after an interruption, however sudden, computes only what is missing. Only one can
    write to a table at a time.

    Parameters
    ----------
    suite : str or Suite
        One of ``SUITES``, or its name.
    out : Path
        Folder for the table ``NAME.csv`` and its provenance ``NAME.json``. NAME is the suite's,
        with ``-first5`` for a limit of 5 and ``-smoke`` for a smoke run, so that neither replaces
        a whole table.
    seed : int
        Seed of the pairs, the third pictures and the noise of the control; not negative.
    limit : int, optional
        Only the first so many pairs, at least 1.
    scheduler : str, optional
        Address of a Dask scheduler whose workers do the work.
    data : str, optional
        Folder for downloaded pictures, the same on all machines.
    smoke : bool
        Only test the code, see `Suite.smoke`.
    progress : bool
        Show a progress bar.
    command : str, optional
        For the provenance, the command that computes the table again, where it is not that of
        one of ``SUITES``.

    Returns
    -------
    pandas.DataFrame
        What the CSV holds: a row per case and pair, see `measure`.

    Raises
    ------
    ValueError
        If an argument is wrong, or ``NAME.parts`` belongs to a run with other settings.
    OSError
        If something cannot be downloaded or written, if the scheduler cannot be reached or is lost,
        or if another command is at work on the same table.
    KeyboardInterrupt
        After Ctrl-C.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from dataclasses import replace
    >>> from explman_lite.bench import SUITES, Case, run
    >>> suite = replace(SUITES["digits"], cases=(Case("digits_vgg", "LRP"),), steps=3)
    >>> out = pathlib.Path(tempfile.mkdtemp())
    >>> len(run(suite, out, limit=2, progress=False))
    2
    >>> sorted(path.name for path in out.iterdir())
    ['digits-first2.csv', 'digits-first2.json']
    """
    plan = _known(suite)
    plan = plan.smoke() if smoke else plan
    jobs = plan.jobs(seed, limit)
    pairs = {pair for job in jobs for pair in job.pairs}
    name = plan.name if len(pairs) == len(plan.draw(seed)) else f"{plan.name}-first{len(pairs)}"
    settings = _settings(plan, seed, len(pairs), smoke)
    command = command or _command(_known(suite).name, seed, limit, smoke)
    folder = out / f"{name}.parts"
    make_folder(out)
    with alone(folder), _says_how_to_go_on(folder):
        parts = Parts(folder, settings)
        open_pictures(plan.pictures, data)
        _measure_all(jobs, parts, data, scheduler, progress)
        table = pd.concat([parts.load(job) for job in jobs], ignore_index=True)
        save_table(out / f"{name}.csv", table, command=command, **settings)
        parts.remove()
    return table


@contextmanager
def _says_how_to_go_on(folder: Path) -> Iterator[None]:
    """Add to whatever ends a run early what becomes of the finished part."""
    kept = f"what is finished is kept in {str(folder)!r}, and the same command goes on from there"
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {kept}") from None
    except OSError as error:
        raise OSError(f"{error}; {kept}") from error


def _measure_all(
    jobs: list[Job], parts: Parts, data: str | None, scheduler: str | None, progress: bool
) -> None:
    """Measure the jobs that are not finished yet, and keep each table as it arrives."""
    todo = [job for job in jobs if not parts.has(job)]
    total, left = (sum(len(job.pairs) for job in some) for some in (jobs, todo))
    computed = measure_on_cluster(todo, data, scheduler) if scheduler else _measure_here(todo, data)
    bar = progress_bar("pairs", total, progress, unit="pair", done=total - left)
    with bar, closing(computed):
        for job, table in computed:
            parts.save(job, table)
            bar.update(len(job.pairs))


def _measure_here(jobs: list[Job], data: str | None) -> Measured:
    """Measure jobs one after the other, in this process."""
    for job in jobs:
        yield job, measure(job, data)


def _known(suite: str | Suite) -> Suite:
    if isinstance(suite, Suite):
        return suite
    if suite not in SUITES:
        raise ValueError(f"unknown suite {suite!r}; known suites: {', '.join(SUITES)}")
    return SUITES[suite]


def _settings(plan: Suite, seed: int, pairs: int, smoke: bool) -> dict[str, Any]:
    """Return what the numbers depend on, besides versions and machine."""
    return {
        "suite": plan.name,
        "smoke": smoke,
        "seed": seed,
        "pairs": pairs,
        "pictures": plan.pictures,
        "precision": plan.precision,
        "batch": plan.batch,
        "path_points": plan.path_points,
        "steps": plan.steps,
        "attacks": {name: attack.record() for name, attack in plan.attacks.items()},
    }


def _command(suite: str, seed: int, limit: int | None, smoke: bool) -> str:
    """Return the command that computes the table again."""
    limited = "" if limit is None else f" --limit {limit}"
    return f"python -m explman_lite bench {suite} --seed {seed}{limited}{' --smoke' * smoke}"
