"""The command line in forks of a process that has imported everything already."""

import os
import resource
import sys
from dataclasses import replace
from pathlib import Path

from explman_lite import __main__, bench
from explman_lite.bench import runner

CASES = tuple(bench.Case("digits_vgg", name) for name in ("Gradient", "LRP"))
SUITE = replace(bench.SUITES["digits"], name="tiny", cases=CASES, batch=1, steps=4)


def run(arguments: list[str], log: Path, largest: int, user: int) -> None:
    """Run a command, as a user or on a disk that is soon full; its output goes to a file."""
    output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(output, sys.__stdout__.fileno())
    os.dup2(output, sys.__stderr__.fileno())
    if largest:
        make_folder = runner.make_folder
        runner.make_folder = lambda out: make_folder(out) or limit(largest)
    if user:
        os.setuid(user)
    bench.SUITES["tiny"] = SUITE
    sys.argv[1:] = arguments
    print("begins", flush=True)
    status = __main__.main()
    sys.stdout.flush()
    os._exit(status)


def limit(largest: int) -> None:
    """Let every file be full at so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
