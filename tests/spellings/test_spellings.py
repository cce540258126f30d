"""Every spelling is computed right or refused by name, whatever is asked of it."""

import random
import re
import warnings

import numpy as np
import pytest
import torch
from spelling_references import (
    ACTIONS,
    ASK_THE_NETWORK,
    IMAGES,
    NEED_NO_RULE,
    classes_for,
    is_differentiable,
    reference,
)
from spelling_snapshots import changes, snapshot
from spelling_table import TABLE, Spelling
from torch import Tensor

CASES = [
    pytest.param(spelling, action, id=f"{name} - {action}")
    for name, spelling in TABLE.items()
    for action in ACTIONS
    # The gradient of a draw is the gradient of a draw: the map of the next one is another.
    if not (spelling.random and action in ASK_THE_NETWORK) and action not in spelling.skips
]


def test_the_table_is_large():
    assert len(TABLE) >= 60


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("spelling", "action"), CASES)
def test_a_spelling_is_computed_right_or_refused_by_name(spelling: Spelling, action: str):
    if action == "GradCAM" and spelling.name == "max pool: before ReLU":
        pytest.skip("Grad-CAM is about a place in the network, and this one has another")
    images, classes = IMAGES.to(spelling.dtype), classes_for(spelling)
    model, given = spelling.build(), images.clone()
    before, refusal, found = snapshot(model), None, None
    # Whoever draws, draws the same in each run: two draws of few numbers may be equal.
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    try:
        found = ACTIONS[action](model, given, classes.clone())
    except (ValueError, TypeError) as error:
        refusal = f"{type(error).__name__}: {error}"
    assert torch.equal(given, images), "the images were changed"
    if not (spelling.stateful and action in {*ASK_THE_NETWORK, "BetaSmoothing"}):
        assert not (changed := changes(before, snapshot(model))), f"the network changed: {changed}"
    expected = reference(spelling, images, action)
    if refusal is not None:
        check_refusal(spelling, action, refusal)
    else:
        assert expected is not None, "computed what has to be refused"
        check_equal(spelling, action, found, expected, images)
        if action == "Gradient":
            alone = ACTIONS[action](model, images[:1].clone(), classes[:1])
            torch.testing.assert_close(alone, found[:1], msg=lambda m: f"a batch decides: {m}")


def check_refusal(spelling: Spelling, action: str, refusal: str) -> None:
    allowed = [spelling.refusal, None if action in NEED_NO_RULE else spelling.no_rule]
    if action in ASK_THE_NETWORK and not is_differentiable(spelling):
        allowed.append("in.?place|differentia|gradient|depend")
    if action == "GradCAM":
        allowed.append("cannot tell where the features end")
    patterns = [pattern for pattern in allowed if pattern is not None]
    assert patterns, f"refused what has to be computed: {refusal}"
    assert any(re.search(p, refusal) for p in patterns), f"{patterns} not named by: {refusal}"


def check_equal(
    spelling: Spelling, action: str, found: Tensor, expected: Tensor, images: Tensor
) -> None:
    assert found.shape == expected.shape, f"shapes {found.shape} and {expected.shape}"
    assert found.dtype == spelling.dtype, f"{found.dtype} in place of {spelling.dtype}"
    if action == "manipulate" and spelling.tolerance > 1e-3:
        # The steps of few digits are others; none is longer than it may be.
        assert (found - images).abs().max() < 0.02
        return
    # LRP divides by sums that are kept from zero, by another number of them in another spelling.
    tolerance = max(spelling.tolerance, 1e-3 if "LRP" in action else 0)
    tolerance = max(tolerance, 1e-6 if action == "manipulate" else 0)
    largest = expected.abs().max().clamp(min=1e-12)
    error = (found.double() - expected.double()).abs().max() / largest
    assert error <= tolerance, f"differs by {error:.2g} of the largest value"


WARNED = [pytest.param(s, id=name) for name, s in TABLE.items() if s.warning is not None]


@pytest.mark.parametrize("spelling", WARNED)
def test_an_output_that_is_no_logit_is_named(spelling: Spelling):
    images, classes, said = IMAGES.to(spelling.dtype), classes_for(spelling), []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for action in ("prepare", "Gradient", "manipulate"):
            try:
                ACTIONS[action](spelling.build(), images, classes)
            except (ValueError, TypeError) as error:
                said.append(str(error))
    said += [str(warning.message) for warning in caught]
    assert any(re.search(spelling.warning, text) for text in said), said
