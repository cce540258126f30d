"""The benchmark is killed at random, its disk fills up, and two commands meet in a folder."""

import itertools
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import forkserver, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import forks
import pandas as pd
import pytest

from explman_lite.bench.parts import alone

PAIRS, PARTS = 6, "tiny-first6.parts"
GOES_ON = "and the same command goes on from there"

Start = Callable[..., BaseProcess]


@pytest.fixture(scope="module")
def context():
    """Fork processes from one that has imported everything."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["forks_warm"])
    # Python 3.11 does not hand them on.
    with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path))):
        forkserver.ensure_running()
    return context


@pytest.fixture
def start(context, tmp_path, monkeypatch) -> Iterator[Start]:
    """Start the command with an output folder, and wait until it has begun."""
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))  # or forks import pytest
    started: list[BaseProcess] = []

    def start(out: Path, *, largest: int = 0, user: int = 0) -> BaseProcess:
        log = tmp_path / f"log{len(started)}"
        arguments = ["bench", "tiny", "--limit", str(PAIRS), "--out", str(out)]
        process = context.Process(target=forks.run, args=(arguments, log, largest, user))
        process.start()
        process.log = log
        started.append(process)
        wait(process, lambda: log.exists() and log.stat().st_size > 0)
        return process

    yield start
    for process in started:
        process.kill()


def said(process: BaseProcess) -> str:
    """Wait for the end of a command, and return what it printed after its beginning."""
    process.join(60)
    text = process.log.read_text().removeprefix("begins\n")
    return text if process.exitcode in (0, -signal.SIGKILL) else text.splitlines()[-1]


def is_done(out: Path) -> bool:
    return (out / "tiny-first6.json").exists() and not (out / PARTS).exists()


def kept(out: Path) -> dict[str, int]:
    """Return when each finished job was recorded, if its record is whole."""
    found = {}
    for path in (out / PARTS).glob("digits_vgg*.json"):
        with suppress(FileNotFoundError):  # the run has just ended
            if path.read_text()[-2:] == "}\n":
                found[path.name] = path.stat().st_mtime_ns
    return found


def wait(process: BaseProcess, has_happened: Callable[[], bool]) -> None:
    """Wait until something has happened, or the process has ended."""
    end = time.monotonic() + 60
    while process.is_alive() and not has_happened():
        assert time.monotonic() < end, "it hangs"
        time.sleep(0.005)


def wait_for_jobs(process: BaseProcess, out: Path, count: int) -> None:
    wait(process, lambda: len(kept(out)) >= count)


def read(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "tiny-first6.csv").drop(columns="seconds")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> pd.DataFrame:
    out = tmp_path_factory.mktemp("whole")
    forks.bench.run(forks.SUITE, out, limit=PAIRS, progress=False)
    return read(out)


def test_a_benchmark_killed_twenty_times_gives_the_same_table(start, tmp_path, whole):
    chance, folders = random.Random(7), (tmp_path / f"out{number}" for number in itertools.count())
    out, finished, before = next(folders), 0, {}
    for number in range(KILLS := 20):
        how = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT][number % 3]
        process = start(out)
        wait_for_jobs(process, out, len(before) + chance.randrange(5))
        time.sleep(chance.uniform(0, 0.1))
        with suppress(ProcessLookupError):
            os.kill(process.pid, how)
        last = said(process)
        if is_done(out):
            pd.testing.assert_frame_equal(read(out), whole)
            out, finished, before = next(folders), finished + 1, {}
            continue
        if how != signal.SIGKILL:
            assert "error: interrupted" in last and process.exitcode == 130
            assert last.endswith((GOES_ON, "interrupted"))  # the latter before it began
        assert before.items() <= kept(out).items()
        before = kept(out)
        if number % 5 == 4 and before:
            part = out / PARTS / chance.choice(sorted(before))
            del before[part.name]
            part.write_bytes(part.read_bytes()[: chance.randrange(part.stat().st_size)])
    assert KILLS > finished > 0


def test_a_full_disk_is_a_sentence_and_costs_no_finished_job(start, tmp_path, whole):
    for largest, file in ((800, ".json"), (2000, "tiny-first6.csv")):
        process = start(tmp_path, largest=largest)
        problem = f"{file}' cannot be written: File too large; what is finished is kept in "
        assert problem in (last := said(process)) and last.endswith(GOES_ON)
        assert process.exitcode == 2
        assert not list(tmp_path.rglob("*.unfinished"))
    before = kept(tmp_path)
    assert len(before) == len(forks.CASES) * PAIRS
    start(tmp_path).join()
    pd.testing.assert_frame_equal(read(tmp_path), whole)


def test_a_folder_that_nobody_may_write_to_is_a_sentence(start):
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out"
        Path(name).chmod(0o755)
        out.mkdir(0o555)
        process = start(out, user=0 if os.getuid() else 65534)
        assert said(process).endswith(f"{str(out)!r} is no folder to write to: Permission denied")
        assert process.exitcode == 2


def test_a_lock_that_cannot_be_taken_is_a_sentence(tmp_path):
    """It is another user's, or not even a file."""
    (tmp_path / ".tiny.lock").mkdir()
    problem = r"tiny\.lock' cannot be locked: Is a directory$"
    with pytest.raises(OSError, match=problem), alone(tmp_path / "tiny"):
        pytest.fail("went in nevertheless")
    assert (tmp_path / ".tiny.lock").is_dir()


def test_two_commands_on_one_folder_do_not_mix(start, tmp_path, whole):
    first = start(tmp_path)
    wait_for_jobs(first, tmp_path, 1)
    second = start(tmp_path)
    assert "another command is at work on" in said(second)
    assert second.exitcode == 2
    assert first.is_alive()
    first.kill()
    first.join()
    assert said(third := start(tmp_path)) and third.exitcode == 0
    pd.testing.assert_frame_equal(read(tmp_path), whole)
    assert len(list(tmp_path.glob("[.t]*"))) == 2
