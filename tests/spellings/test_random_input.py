"""Bad input to any public function: a ValueError or TypeError that names the argument."""

import re

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import explman_lite as el

SIZE = 8


def pictures(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
    return nn.Sequential(*layers).eval()


def dense_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 5)).eval()


NO_TENSOR = st.sampled_from(
    [None, 3, 0.5, "a cat", [[0.1]], np.zeros((2, 3, SIZE, SIZE)), object()]
)
NAN = st.sampled_from([float("nan"), float("inf"), -float("inf")])


@st.composite
def spoiled(draw, good: Tensor):
    """Draw a tensor of the right shape with one number that is none."""
    bad = good.clone()
    bad.view(-1)[draw(st.integers(0, bad.numel() - 1))] = draw(NAN)
    return bad


@st.composite
def misshapen(draw, good: Tensor):
    """Draw a tensor with another number of dimensions, or none of one."""
    kind = draw(st.sampled_from(["flat", "deeper", "scalar", "empty"]))
    if kind == "empty":
        return good[:0]
    return {"flat": good.flatten(), "deeper": good[None, None], "scalar": good.sum()}[kind]


def batch(good: Tensor, *, low: float | None = None, high: float | None = None):
    """Return what is no batch of pictures or maps like ``good``."""
    types = st.sampled_from([torch.int64, torch.uint8, torch.bool, torch.complex64])
    kinds = [NO_TENSOR, types.map(good.to), spoiled(good), misshapen(good)]
    if low is not None:
        kinds.append(st.floats(-1e6, low - 0.01).map(lambda v: torch.full_like(good, v)))
    if high is not None:
        kinds.append(st.floats(high + 0.01, 1e6).map(lambda v: torch.full_like(good, v)))
    return st.one_of(kinds)


def points(good: Tensor):
    """Return what is no batch (N, ...) of any rank and range."""
    shapes = st.sampled_from([good.flatten(), good.sum(), good[:0]])
    return st.one_of(NO_TENSOR, spoiled(good), shapes)


def positive():
    """Return what is no number above zero."""
    return st.one_of(st.floats(max_value=0), NAN, st.sampled_from(["1", None, [1.0], object()]))


def count():
    """Return what is no number of things."""
    return st.one_of(
        st.integers(max_value=0), st.floats(0.1, 0.9), st.sampled_from(["3", None, True, [3], 2.5])
    )


def indices():
    """Return what is no class for each of two pictures."""
    return st.one_of(
        st.sampled_from([None, "cat", 0.5, torch.tensor([0.5, 1]), torch.tensor([True, False])]),
        st.lists(st.integers(5, 99), min_size=2, max_size=2).map(torch.tensor),
        st.lists(st.integers(-99, -1), min_size=2, max_size=2).map(torch.tensor),
        st.integers(3, 5).map(lambda n: torch.zeros(n, dtype=torch.long)),
        st.sampled_from([-6, 5, 99]),
    )


def no_model():
    """Return what is no network in evaluation mode."""
    return st.sampled_from([None, "resnet18", 3, lambda x: x, network().train(), nn.Linear])


def no_network():
    """Return what is no network at all."""
    return st.sampled_from([None, "resnet18", 3, lambda x: x, nn.Linear])


def no_explainer():
    """Return what is no explainer."""
    return st.sampled_from([None, "LRP", el.LRP, el.Gradient, lambda *a: None, 3])


def other(*choices: str):
    """Return what is none of the choices."""
    return st.one_of(
        st.text(max_size=5).filter(lambda text: text not in choices),
        st.sampled_from([None, 3, ["zplus"]]),
    )


X = pictures(2, 3, SIZE, SIZE)
MAPS = pictures(2, SIZE, SIZE) + 0.1
C = torch.tensor([0, 3])
EXPLAINER = {"model": network(), "images": X, "classes": C}
EXPLAINING = {"model": no_model(), "images": batch(X, low=0, high=1), "classes": indices()}
TWO = {"first": MAPS, "second": MAPS.flip(0)}
NO_BATCH = st.one_of(NO_TENSOR, misshapen(MAPS))
TWO_BAD = {"first": NO_BATCH, "second": NO_BATCH}
POINT = {"model": network(), "image": X[:1], "cls": 1}

# The function, arguments that are right, and for each argument what is wrong in its place.
CALLS = {
    "prepare": (
        el.prepare,
        {"model": network(), "mean": [0.5] * 3, "std": [0.2] * 3},
        {
            "model": no_network(),
            "mean": st.sampled_from([0.5, "a", [None] * 3, [], [[0.5] * 3], [float("nan")] * 3]),
            "std": st.sampled_from([0.5, "a", [0.0] * 3, [-1.0] * 3, [], [float("inf")] * 3]),
        },
    ),
    "smoothed": (
        el.smoothed,
        {"model": network(), "beta": 1.0},
        {
            "model": no_network(),
            "beta": positive().filter(lambda beta: beta is not None),
        },
    ),
    "fit_patterns": (
        el.fit_patterns,
        {"model": network(), "images": X},
        {"model": no_network(), "images": batch(X, low=0, high=1)},
    ),
    **{
        name: (explainer, EXPLAINER, EXPLAINING)
        for name, explainer in {
            "Gradient": el.Gradient(),
            "GradientTimesInput": el.GradientTimesInput(),
            "IntegratedGradients": el.IntegratedGradients(2),
            "GuidedBackprop": el.GuidedBackprop(),
            "LRP": el.LRP(),
            "SmoothGrad": el.SmoothGrad(2),
            "BetaSmoothing": el.BetaSmoothing(el.LRP(), 1.0),
            "PatternAttribution": el.PatternAttribution(el.fit_patterns(network(), X)),
        }.items()
    },
    "LRP()": (
        el.LRP,
        {"inner": "gamma"},
        {"inner": other("zplus", "gamma", "epsilon"), "gamma": positive(), "epsilon": positive()},
    ),
    "IntegratedGradients()": (el.IntegratedGradients, {"steps": 3}, {"steps": count()}),
    "SmoothGrad()": (
        el.SmoothGrad,
        {"samples": 3, "noise": 0.1},
        {
            "samples": count(),
            "noise": positive(),
            "explainer": no_explainer(),
            "distribution": other("gaussian", "logistic"),
        },
    ),
    "BetaSmoothing()": (
        el.BetaSmoothing,
        {"explainer": el.Gradient(), "beta": 1.0},
        {"explainer": no_explainer(), "beta": positive()},
    ),
    "PatternAttribution()": (
        el.PatternAttribution,
        {"patterns": {"0": torch.ones(2)}},
        {
            "patterns": st.sampled_from(
                [None, 3, "a", {"0": None}, {"0": torch.zeros(2)}, {"0": torch.tensor([np.nan])}]
            )
        },
    ),
    "manipulate": (
        el.manipulate,
        {
            **EXPLAINER,
            "target_maps": MAPS,
            "explainer": el.Gradient(),
            "steps": 1,
            "progress": False,
        },
        {
            **EXPLAINING,
            "classes": indices().filter(lambda given: given is not None),
            "target_maps": batch(MAPS, low=0),
            "explainer": no_explainer(),
            "steps": count(),
            "lr": positive().filter(lambda lr: lr is not None),
            "output_weight": st.one_of(
                st.floats(max_value=-0.1), NAN, st.sampled_from(["1", None])
            ),
            "beta": st.sampled_from([1.0, (1.0,), (0.0, 1.0), (1.0, -1.0), "ab", (1, 2, 3), []]),
            "schedule": st.sampled_from([None, 3, "one_cycle"]),
            "momentum": st.sampled_from([0.9, (0.9,), (1.0, 0.9), (-0.1, 0.9), None, "ab"]),
            "epsilon": positive().filter(lambda epsilon: epsilon is not None and epsilon != 0),
            "start": batch(X, low=0, high=1).filter(lambda start: start is not None),
        },
    ),
    "manipulation_loss": (
        el.manipulation_loss,
        {
            "maps": MAPS,
            "targets": MAPS,
            "logits": pictures(2, 5),
            "original_logits": pictures(2, 5),
        },
        {
            "maps": st.one_of(NO_TENSOR, misshapen(MAPS)),
            "targets": st.one_of(NO_TENSOR, misshapen(MAPS)),
            "logits": st.one_of(NO_TENSOR, misshapen(pictures(2, 5))),
            "original_logits": st.one_of(NO_TENSOR, misshapen(pictures(2, 5))),
        },
    ),
    "relevance_map": (
        el.relevance_map,
        {"attribution": X},
        {"attribution": st.one_of(NO_TENSOR, misshapen(X))},
    ),
    "load_photo": (
        el.load_photo,
        {"name": "chelsea", "size": 32},
        {"name": other(), "size": count()},
    ),
    "load_model": (el.load_model, {"name": "digits_vgg"}, {"name": other()}),
    "class_names": (el.class_names, {"name": "digits_vgg"}, {"name": other()}),
    "text_target": (
        el.text_target,
        {"text": "no", "size": 32},
        {"text": st.sampled_from(["", " ", None, 3, "猫", "🐈"]), "size": count()},
    ),
    "load_digits": (el.load_digits, {"split": "test"}, {"split": other("train", "test")}),
    **{
        name: (getattr(el.metrics, name), TWO, TWO_BAD)
        for name in ("mse", "pcc", "ssim", "output_change", "top_k_overlap")
    },
    "top_k_overlap, fraction": (
        el.metrics.top_k_overlap,
        TWO,
        {"fraction": st.one_of(st.floats(1.01, 9), positive())},
    ),
    "pixel_flipping": (
        el.faithfulness.pixel_flipping,
        {**EXPLAINER, "maps": MAPS, "steps": 2},
        {**EXPLAINING, "maps": batch(MAPS), "steps": count(), "patch": count()},
    ),
    "hessian_bound": (
        el.curvature.hessian_bound,
        {**POINT, "model": el.smoothed(dense_network(), 1.0)},
        {
            "model": no_model(),
            "image": points(X[:1]),
            "cls": st.sampled_from([None, "a", 0.5, 5, -9]),
        },
    ),
    "principal_curvatures": (
        el.curvature.principal_curvatures,
        {**POINT, "model": el.smoothed(network(), 1.0)},
        {
            "model": no_model(),
            "image": points(X[:1]),
            "cls": st.sampled_from([None, "a", 0.5, 5, -9]),
            "k": count(),
            "tolerance": positive(),
        },
    ),
    "hessian_vector_product": (
        el.curvature.hessian_vector_product,
        {"model": network(), "points": X, "vectors": X, "classes": C},
        {"model": no_model(), "points": batch(X), "vectors": batch(X), "classes": indices()},
    ),
    "level_set_path": (
        el.curvature.level_set_path,
        {"model": el.smoothed(network(), 1.0), "start": X[:1], "end": X[1:], "cls": 1, "points": 3},
        {
            "model": no_model(),
            "start": batch(X[:1]),
            "end": batch(X[:1]),
            "cls": st.sampled_from([None, "a", 0.5, 5, -9]),
            "points": count(),
            "tolerance": positive(),
        },
    ),
}
CASES = [(name, argument) for name, (_, _, bad) in CALLS.items() for argument in bad]
# What the message calls an argument, where it is not by its name.
ALIASES = {
    "patterns": "pattern",
    "maps": "maps|two batches",
    "targets": "targets|two batches",
    "logits": "logits|two batches",
    "original_logits": "original_logits|two batches",
    "first": "first|two batches",
    "second": "second|two batches",
    "cls": "cls|class",
    "k": r"\bk\b",
    "name": "name|unknown|photo",
    "text": "text|sentence",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "argument"), CASES, ids=lambda value: value)
def test_bad_input_is_refused_by_its_name(name: str, argument: str):
    function, right, wrong = CALLS[name]

    @settings(
        max_examples=30,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(wrong[argument])
    def refused(value):
        with pytest.raises((ValueError, TypeError)) as caught:
            function(**{**right, argument: value})
        assert re.search(ALIASES.get(argument, argument), str(caught.value)), str(caught.value)

    refused()


@pytest.mark.parametrize("name", CALLS)
def test_the_arguments_said_to_be_right_are(name: str):
    function, right, _ = CALLS[name]
    function(**right)
