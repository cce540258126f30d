"""``python -m bookkit challenge new|pack|score``."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from bookkit.challenge import new, report, score, tool
from bookkit.challenge.cage import Limits, hide
from bookkit.challenge.defenders import LIMITS
from explman_lite.results import make_folder
from explman_lite.validation import check_count

_DAY, _TERABYTE = 24 * 60 * 60, 1024


def add_parser(commands: Any) -> None:
    """Add ``challenge`` to the commands of an argument parser."""
    described = commands.add_parser("challenge", help="a challenge for a class: forge and defend")
    steps = described.add_subparsers(required=True, metavar="STEP")

    one = steps.add_parser("new", help="make a challenge, half of it public, half of it secret")
    one.add_argument("folder", type=Path)
    one.add_argument("--seed", type=int, default=0, help="draws the public pictures")
    one.add_argument(
        "--hidden", type=Path, metavar="DIR", help="your pictures for the second round"
    )
    one.set_defaults(run=_new)

    one = steps.add_parser("pack", help="check a submission and write the file to hand in")
    one.add_argument("folder", type=Path, help="the challenge")
    one.add_argument("path", type=Path, help="an array as .npy, a folder of PNGs, or a .py")
    one.add_argument("--team", required=True)
    one.set_defaults(run=_pack)

    one = steps.add_parser("score", help="judge all that was handed in")
    one.add_argument("folder", type=Path, help="the challenge")
    one.add_argument("submissions", type=Path, help="a folder of what `pack` wrote")
    one.add_argument("--out", type=Path, help="for the results; the challenge if not given")
    one.add_argument(
        "--run-defenders", action="store_true", help="run the code of students: read the page first"
    )
    one.add_argument("--seconds", type=int, default=LIMITS.map, help="for a map of a defender")
    one.add_argument("--gigabytes", type=int, default=LIMITS.memory >> 30, help="for a defender")
    one.set_defaults(run=_score)


def _new(options: argparse.Namespace) -> int:
    new.make(options.folder, options.seed, own=options.hidden)
    print(
        f"Hand out {options.folder / new.PUBLIC}, for instance as a zip archive. "
        f"Keep {options.folder / new.SECRET}."
    )
    return 0


def _pack(options: argparse.Namespace) -> int:
    challenge = tool.load(options.folder / new.PUBLIC)
    print(f"Hand in {tool.pack(options.path, options.team, challenge)}")
    return 0


def _score(options: argparse.Namespace) -> int:
    check_count(seconds=options.seconds, gigabytes=options.gigabytes)
    if options.seconds > _DAY or options.gigabytes > _TERABYTE:
        raise ValueError(f"a map has at most {_DAY} seconds and {_TERABYTE} gigabytes")
    tool.load(options.folder / new.PUBLIC)  # before a folder is made under a misspelt name
    folder = options.out or options.folder
    make_folder(folder)
    if options.run_defenders:
        hide()
    command = shlex.join(["python", "-m", "bookkit", *sys.argv[1:]])
    results = score.judge_all(
        options.folder,
        options.submissions,
        run_defenders=options.run_defenders,
        limits=Limits(options.gigabytes << 30, options.seconds, 10 * options.seconds),
        after_round=lambda results: report.write(results, folder, command),
    )
    entries = sum(entry.file != "" for lines in results.entries.values() for entry in lines)
    print(
        f"Judged {entries} submissions, refused {len(results.refused)}. See {folder / report.PAGE}"
    )
    return 0
