"""Where the parts of the repository lie."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
GENERATED = ROOT / "book" / "_recorded"
"""What pages include and no person wrote: written anew whenever the book is built."""
DRAWINGS = ROOT / "book" / "_static"
HTML = ROOT / "_build" / "html"
EXAMS = ROOT / "exams"
"""Kept from Git and from `make clean`: nothing publishes or removes them."""
