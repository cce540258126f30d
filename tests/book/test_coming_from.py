"""What book/coming_from.md prints is run, and its maps are those of Captum and Zennit."""

import contextlib
import io
import warnings
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from captum.attr import IntegratedGradients
from printed_code import blocks

import explman_lite as el

PAGE = (Path(__file__).resolve().parents[2] / "book" / "coming_from.md").read_text("utf-8")
TOLERANCE = 1e-6
# The blocks in their order, and what each prints: how many comparisons, or how alike two maps are.
SETUP, GRADIENTS, GRAD_CAM, NOISE, LRP, GUIDED, SMOOTH = range(7)


@pytest.fixture(scope="module")
def printed():
    """Run the page from its top, and keep what each block prints."""
    names: dict[str, object] = {}
    said = []
    for block in blocks(PAGE, "python"):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Captum says that it sets hooks
            torch.manual_seed(0)
            exec(block, names)
        said.append([float(line) for line in out.getvalue().splitlines()])
    return names, said


def test_the_same_maps_within_the_tolerance_of_the_page(printed):
    _, said = printed
    compared = [said[block] for block in (GRADIENTS, GRAD_CAM, LRP, GUIDED)]
    assert [len(lines) for lines in compared] == [4, 1, 1, 1]
    assert sum(map(len, compared)) == PAGE.count("\ncompare(") + PAGE.count("\n    compare(")
    assert max(max(lines) for lines in compared) < TOLERANCE
    assert f"prints less than `{TOLERANCE:.0e}`" in PAGE


def test_smoothgrad_is_alike_and_captums_default_is_not(printed):
    signed, absolute = printed[1][NOISE]
    assert absolute < 0.75 < 0.8 < signed


def test_zennits_smoothing_is_ours_with_one_hidden_layer_only(printed):
    shallow, deep = printed[1][SMOOTH]
    assert shallow > 1 - TOLERANCE
    assert deep < 0.9


def test_few_points_of_integrated_gradients_are_an_estimate(printed):
    names = printed[0]
    model, picture, classes = names["model"], names["picture"], names["classes"]
    theirs = el.relevance_map(IntegratedGradients(model).attribute(picture, 0, classes))
    ours = el.relevance_map(el.IntegratedGradients()(model, picture, classes))
    assert (theirs - ours).norm() / ours.norm() > 1 / 20


def test_the_versions_are_those_of_the_page():
    for name in ("Captum", "Zennit"):
        assert f"{name} {'.'.join(version(name.lower()).split('.')[:2])}" in PAGE
