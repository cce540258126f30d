"""The drawn figures are what their script draws, and can be read on a phone."""

import re
from xml.etree import ElementTree

import pytest

from bookkit.archives.links import relinked
from bookkit.drawings import PALETTES, WIDTH, files
from bookkit.places import DRAWINGS
from bookkit.slides.text import markdown

SMALLEST = 9
PHONE = 358
"""What the margins leave of 390 pixels."""


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, as WCAG has it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", files())
def test_a_drawing_is_what_its_script_draws(name):
    text = (DRAWINGS / name).read_text("utf-8")
    assert text == files()[name], "draw it anew: python -m bookkit drawings"
    assert ElementTree.fromstring(text).find("{*}title").text


@pytest.mark.parametrize("name", files())
def test_its_words_are_large_enough_and_inside(name):
    drawn = files()[name]
    sizes = [float(size) for size in re.findall(r"font(?:-size)?: ([\d.]+)px", drawn)]
    assert min(sizes) * min(PHONE / WIDTH, 1) >= SMALLEST
    for words in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text"):
        assert 0 <= float(words.get("x")) <= WIDTH


@pytest.mark.parametrize("scheme", PALETTES)
@pytest.mark.parametrize("ink", ["ink", "soft", "red", "blue"])
def test_its_inks_stand_out_from_the_paper(scheme, ink):
    palette = PALETTES[scheme]
    low, high = sorted(luminance(palette[name]) for name in (ink, "paper"))
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_slides_and_archives_find_it_where_sphinx_copies_it():
    source = "![A level line](../book/_static/level_line.svg)"
    slide = markdown("notebooks/04_curvature_theory.ipynb").render(source)
    assert '<img src="../_static/level_line.svg" alt="A level line"' in slide
    assert relinked(source, "notebooks/04_curvature_theory.ipynb").endswith(
        "/_static/level_line.svg)"
    )
