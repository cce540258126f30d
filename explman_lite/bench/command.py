"""``python -m explman_lite bench SUITE``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from explman_lite.bench.runner import run
from explman_lite.bench.suites import SUITES


def add_parser(commands: Any) -> None:
    """Add ``bench`` to the commands of an argument parser.

    Parameters
    ----------
    commands : argparse subparsers
        What ``add_subparsers`` returned.
    """
    suites = "\n".join(f"  {suite.name:<16}{suite.description}" for suite in SUITES.values())
    command = commands.add_parser(
        "bench",
        help="attack many pairs of pictures and record what was reached",
        description="Attack many pairs of pictures and record what was reached, in DIR/SUITE.csv\n"
        "beside a JSON that says how. An interrupted run goes on where it stopped.",
        epilog=f"suites:\n{suites}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("suite", metavar="SUITE", help=f"one of: {', '.join(SUITES)}")
    command.add_argument(
        "--out",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="for the table (default: results)",
    )
    command.add_argument("--seed", type=int, default=0, help="draws the pairs (default: 0)")
    command.add_argument("--limit", type=int, metavar="N", help="only the first N pairs")
    command.add_argument("--scheduler", metavar="ADDRESS", help="run on this Dask cluster")
    command.add_argument("--data", metavar="DIR", help="for downloaded pictures")
    command.add_argument(
        "--smoke",
        action="store_true",
        help="only test the code: 2 pairs, 2 steps, no download, numbers without meaning",
    )
    command.set_defaults(run=_bench)


def _bench(options: argparse.Namespace) -> None:
    """Carry out ``bench``, and print the medians."""
    table = run(
        options.suite,
        options.out,
        seed=options.seed,
        limit=options.limit,
        scheduler=options.scheduler,
        data=options.data,
        smoke=options.smoke,
    )
    shown = ["pcc_target", "pcc_target_unattacked", "image_ssim", "class_kept"]
    medians = table.groupby(["model", "method", "settings"], sort=False)[shown].median()
    print(
        f"Wrote {len(table)} rows to {str(options.out)!r}. Medians:\n{medians.round(2).to_string()}"
    )
