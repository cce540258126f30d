"""The command line of the book's kit: ``python -m bookkit``, behind ``make``."""

import argparse
import sys
from pathlib import Path

from bookkit.address import differing, rewrite
from bookkit.archives.pack import AUDIENCES, make_zip
from bookkit.challenge.command import add_parser as add_challenge
from bookkit.chapters import NOTEBOOKS
from bookkit.drawings import draw
from bookkit.exam.draw import draw as draw_exam
from bookkit.exam.make import FORMATS, make_exam
from bookkit.execute import execute, record
from bookkit.gift import bank
from bookkit.paper.pdf import make_pdf
from bookkit.places import EXAMS, ROOT
from bookkit.slides.deck import make_slides
from explman_lite.results import write_atomically


def slides(options: argparse.Namespace) -> int:
    """Make a deck of slides for each lecture and each notebook."""
    for deck in make_slides():
        print(f"{deck.name}: {len(deck.slides)} slides")
    return 0


def archives(options: argparse.Namespace) -> int:
    """Pack the notebooks for an audience."""
    print(make_zip(options.audience).relative_to(ROOT))
    return 0


def print_book(options: argparse.Namespace) -> int:
    """Print the built book to a PDF."""
    print(make_pdf().relative_to(ROOT))
    return 0


def execute_notebooks(options: argparse.Namespace) -> int:
    """Run notebooks anew and record what it took."""
    for path in options.notebooks or NOTEBOOKS:
        print(path, flush=True)
        record(execute(path))
    return 0


def drawings(options: argparse.Namespace) -> int:
    """Draw the figures of ideas anew."""
    draw()
    return 0


def items(options: argparse.Namespace) -> int:
    """Write the item bank as GIFT."""
    write_atomically(options.out, bank())
    return 0


def exam(options: argparse.Namespace) -> int:
    """Draw an exam and its key."""
    drawn = draw_exam(
        options.seed,
        options.items,
        chapters=options.chapters,
        only_new=options.only_new,
        minutes=options.minutes,
    )
    sheet, key = make_exam(drawn, options.format, options.out)
    print(f"{sheet}: {len(drawn.items)} items, {drawn.points} points, {drawn.minutes} minutes")
    print(f"{key}: the key, not for students")
    return 0


def address(options: argparse.Namespace) -> int:
    """List the addresses that differ from that in _config.yml, and rewrite them unless checking."""
    found = differing()
    for line in found:
        print(line)
    if not options.check:
        rewrite()
    return int(options.check and bool(found))


def parser() -> argparse.ArgumentParser:
    """Describe the commands and their arguments."""
    described = argparse.ArgumentParser(prog="python -m bookkit", description=__doc__)
    commands = described.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("slides", help="make slides, in _build/html/slides")
    one.set_defaults(run=slides)

    one = commands.add_parser("archives", help="pack the notebooks, in _build/html/downloads")
    one.add_argument("audience", choices=AUDIENCES, help="without solutions, or with them")
    one.set_defaults(run=archives)

    one = commands.add_parser("print", help="print the built book, in _build/html/downloads")
    one.set_defaults(run=print_book)

    one = commands.add_parser("execute", help="run notebooks anew and store their outputs")
    one.add_argument("notebooks", nargs="*", type=Path, help="all of them, if none is named")
    one.set_defaults(run=execute_notebooks)

    one = commands.add_parser("drawings", help="draw the figures of ideas, in book/_static")
    one.set_defaults(run=drawings)

    one = commands.add_parser("items", help="write the item bank as GIFT")
    one.add_argument("out", type=Path, help="the file to write")
    one.set_defaults(run=items)

    one = commands.add_parser("exam", help="draw an exam by a seed, and apart its key")
    one.add_argument("--seed", type=int, required=True, help="another one, another exam")
    one.add_argument("--items", type=int, default=12, help="how many (default: %(default)s)")
    one.add_argument("--format", choices=FORMATS, default="html", help="default: %(default)s")
    one.add_argument(
        "--chapters", nargs="+", default=[], metavar="CHAPTER", help="such as 1 1b 2 (default: all)"
    )
    one.add_argument("--only-new", action="store_true", help="take nothing from the item bank")
    one.add_argument("--minutes", type=int, help="time allowed (default: the sum of the items')")
    one.add_argument(
        "--out", type=Path, default=EXAMS, help="the folder (default: exams, not published)"
    )
    one.set_defaults(run=exam)

    one = commands.add_parser("address", help="write the repository's address wherever it stands")
    one.add_argument("--check", action="store_true", help="only list what differs, and fail")
    one.set_defaults(run=address)

    add_challenge(commands)
    return described


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status: 2, and a sentence, if something given is wrong."""
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except (ValueError, OSError) as error:
        print(f"bookkit: error: {error}", file=sys.stderr)
        return 2
    return status


if __name__ == "__main__":
    sys.exit(main())
