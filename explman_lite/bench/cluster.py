"""The same jobs on a Dask cluster: each is a task, and the caller keeps what comes back.

Workers need this package with the extra ``explman-lite[cluster]``. A worker whose process dies is
replaced by its nanny, and its task starts again elsewhere. Within a process one job runs at a time,
so on GPUs start one process per device, as ``dask-cuda`` does::

    dask scheduler                        # prints its address
    dask cuda worker tcp://ADDRESS:8786   # on each machine with GPUs
    dask worker --nthreads 1 --nworkers 4 tcp://ADDRESS:8786   # on each machine without

A nanny starts its worker with ``MALLOC_TRIM_THRESHOLD_`` set, which makes it request every large
buffer from the kernel anew, hundreds at each step of an attack. On CPUs start the workers with
``--no-nanny`` if you can do without their replacement: an attack then takes half the time or less.
"""

from __future__ import annotations

from collections.abc import Generator
from importlib import import_module
from typing import Any
from uuid import uuid4

import pandas as pd

from explman_lite.bench.jobs import Job
from explman_lite.bench.measurement import measure

Measured = Generator[tuple[Job, pd.DataFrame]]

_RETRIES = 2


def measure_on_cluster(jobs: list[Job], data: str | None, scheduler: str) -> Measured:
    """Measure jobs on a cluster, in whatever order they finish.

    A job whose worker dies runs again; one that fails is tried twice more.

    Parameters
    ----------
    jobs : list of Job
        Each becomes a task.
    data : str or None
        Folder for downloaded pictures, as the workers see it.
    scheduler : str
        The address of the Dask scheduler.

    Yields
    ------
    Job, pandas.DataFrame
        A job and its table.

    Raises
    ------
    ValueError
        If Dask is not installed.
    OSError
        If the scheduler cannot be reached or is lost, or a job kills worker after worker.
    """
    distributed = _distributed()
    if not jobs:
        return
    with distributed.Client(scheduler, set_as_default=False) as client:
        # Without it, results of an earlier run with the same jobs could be handed back.
        run = uuid4().hex[:8]
        futures = {
            client.submit(
                measure, job, data, key=f"{job.key}-{run}", pure=False, retries=_RETRIES
            ): job
            for job in jobs
        }
        try:
            for future, table in distributed.as_completed(
                futures, loop=client.loop, with_results=True
            ):
                if not isinstance(table, pd.DataFrame):
                    raise OSError(f"the scheduler {scheduler} is lost, and what it was given to do")
                yield futures[future], table
        except distributed.KilledWorker as error:
            raise OSError(f"a job killed every worker that tried it: {error}") from error
        finally:
            client.cancel(list(futures))


def _distributed() -> Any:
    """Import Dask, which only a cluster needs."""
    try:
        return import_module("distributed")
    except ModuleNotFoundError as error:
        raise ValueError(
            f"a cluster needs Dask: install it with pip install 'explman-lite[cluster]' ({error})"
        ) from error
