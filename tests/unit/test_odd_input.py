"""Numbers of NumPy, one class for all, outputs that are no logits, maps of zero, inference mode."""

import json
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

import explman_lite as el
from explman_lite import curvature, faithfulness, metrics
from explman_lite.attack import attack_defense

FAST = {"steps": 3, "progress": False}


@pytest.fixture
def targets():
    generator = torch.Generator().manual_seed(2)
    return torch.rand(3, 16, 16, dtype=torch.float64, generator=generator)


class Ending(nn.Module):
    """A network with something behind its logits."""

    def __init__(self, network, end):
        super().__init__()
        self.network, self.end = network, end

    def forward(self, images):
        return self.end(self.network(images))


@pytest.mark.parametrize("one", [2, np.int64(2), np.uint8(2)])
def test_an_integer_is_the_class_of_all_samples(one, explainer, network, images):
    expected = explainer(network, images, torch.tensor([2, 2, 2]))
    assert torch.equal(explainer(network, images, one), expected)


@pytest.mark.parametrize(
    ("one", "error", "message"),
    [
        (4, ValueError, r"classes must lie between 0 and 3, got \[4, 4, 4\]"),
        (-1, ValueError, "classes must lie between 0 and 3"),
        (True, TypeError, "one integer for all images, or a tensor .*, got bool"),
        (np.bool_(True), TypeError, "classes must be one integer"),
        (1.0, TypeError, "classes must be one integer .*, got float"),
        (None, TypeError, "classes must be one integer .*, got NoneType"),
    ],
)
def test_what_is_no_class_is_refused(one, error, message, explainer, network, images):
    with pytest.raises(error, match=message):
        explainer(network, images, one)


def test_an_integer_is_a_class_wherever_there_are_classes(network, images, targets):
    model, one, all_of_it = el.smoothed(network, 3.0), np.int64(2), torch.tensor([2, 2, 2])
    pairs = [
        [el.manipulate(network, images, targets, el.Gradient(), classes=c, **FAST).images
         for c in (one, all_of_it)],
        [curvature.hessian_vector_product(model, images, images, c) for c in (one, all_of_it)],
        [faithfulness.pixel_flipping(network, images, targets, c, 4) for c in (one, all_of_it)],
        [curvature.principal_curvatures(model, images[:1], c) for c in (one, 2)],
        [curvature.level_set_path(model, images[:1], images[:1], c).points for c in (one, 2)],
    ]  # fmt: skip
    assert all(torch.equal(found, expected) for found, expected in pairs)
    for cls in (2.0, True, torch.tensor([2])):
        with pytest.raises(TypeError, match="cls must be an integer, got"):
            curvature.principal_curvatures(model, images[:1], cls)
    with pytest.raises(ValueError, match="classes must lie between 0 and 3"):
        curvature.level_set_path(model, images[:1], images[:1], 4)


def test_numpys_numbers_are_numbers(network, images, targets):
    given = el.Settings(
        steps=np.int64(3), lr=np.float32(0.25), output_weight=np.float64(2),
        epsilon=np.float16(0.5), beta=(np.float32(5), np.int64(9)),
        momentum=(np.float32(0.5), np.float64(0.75)),
    )  # fmt: skip
    plain = el.Settings(
        steps=3, lr=0.25, output_weight=2.0, epsilon=0.5, beta=(5.0, 9), momentum=(0.5, 0.75)
    )
    assert given == plain
    assert repr(given) == repr(plain)
    json.dumps(given.record())
    found, expected = (
        el.manipulate(
            network, images, targets, el.Gradient(), **settings.keywords(), progress=False
        ).images
        for settings in (given, plain)
    )
    assert torch.equal(found, expected)
    assert repr(el.SmoothGrad(np.int64(4), np.float32(0.5))) == repr(el.SmoothGrad(4, 0.5))
    assert repr(el.IntegratedGradients(np.int32(4))) == repr(el.IntegratedGradients(4))
    smooth = el.BetaSmoothing(el.Gradient(), np.float32(2))
    assert smooth.name == "BetaSmoothing(Gradient, β = 2)"
    assert smooth == el.BetaSmoothing(el.Gradient(), 2.0)
    model = el.smoothed(network, 3.0)
    found = curvature.principal_curvatures(model, images[:1], 0, k=np.int64(2))
    assert found.shape == (2,)
    path = curvature.level_set_path(model, images[:1], images[:1], 0, points=np.int64(3))
    assert len(path.points) == 3


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: el.Settings(steps=True), TypeError, "steps must be an integer, got bool"),
        (lambda: el.Settings(steps=np.bool_(True)), TypeError, "steps must be an integer"),
        (lambda: el.Settings(lr=True), TypeError, "lr must be a number, got True"),
        (lambda: el.Settings(lr="fast"), TypeError, "lr must be a number, got 'fast'"),
        (lambda: el.Settings(epsilon="8/255"), TypeError, "epsilon must be a number"),
        (lambda: el.Settings(output_weight=None), TypeError, "output_weight must be a number"),
        (lambda: el.Settings(beta=("1", 2)), TypeError, "beta_start must be a number, got '1'"),
        (lambda: el.Settings(momentum=(0.5, None)), TypeError, "momentum_second must be a number"),
        (lambda: el.SmoothGrad(samples=True), ValueError, "samples must be an integer"),
        (lambda: el.SmoothGrad(noise=True), TypeError, "noise must be a number, got True"),
        (lambda: el.SmoothGrad(seed=0.5), TypeError, r"seed must be an integer, got 0\.5"),
        (lambda: el.BetaSmoothing(el.Gradient(), "5"), TypeError, "beta must be a number"),
    ],
)
def test_what_is_no_number_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("value", "dtype", "shown"),
    [
        (1.0000001, torch.float32, "to 1.0000001"),
        (1 + 1e-12, torch.float64, "to 1.000000000001"),
        (255.0, torch.float32, "to 255;"),
        (1.5, torch.float32, "to 1.5;"),
        (-1e-9, torch.float32, "from -1e-09 to"),
    ],
)
def test_a_message_shows_the_digits_that_matter(value, dtype, shown, network):
    images = torch.full((1, 3, 16, 16), 0.5, dtype=dtype)
    images[0, 0, 0, 0] = value
    with pytest.raises(ValueError, match=shown.replace(".", r"\.")):
        el.Gradient()(network.to(dtype), images, 0)


def test_a_single_logit_is_refused_where_probabilities_are_meant(raw, images, targets):
    single = Ending(raw, lambda logits: logits[:, :1]).eval()
    with pytest.raises(ValueError, match=r"at least two logits, got \(3, 1\).*torch\.cat"):
        el.manipulate(single, images, targets, el.Gradient(), **FAST)
    with pytest.raises(ValueError, match="at least two logits"):
        faithfulness.pixel_flipping(single, images, targets, 0)
    with pytest.raises(ValueError, match="at least two logits"):
        metrics.output_change(single(images), single(images))
    assert el.Gradient()(single, images, 0).shape == images.shape


def test_the_two_columns_that_are_recommended_have_the_sigmoid_as_their_probability():
    z = torch.randn(5, 1)
    two = torch.cat([-z / 2, z / 2], dim=1)
    torch.testing.assert_close(two.softmax(dim=1)[:, 1:], z.sigmoid())


def test_probabilities_in_place_of_logits_are_noticed(raw, images, targets):
    sure = Ending(raw, lambda logits: logits.softmax(dim=1)).eval()
    with pytest.warns(RuntimeWarning, match="returns probabilities.*leave out its softmax") as seen:
        el.manipulate(sure, images, targets, el.Gradient(), **FAST)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    with pytest.warns(RuntimeWarning, match="returns probabilities") as seen:
        el.Gradient()(sure, images, 0)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    with pytest.warns(RuntimeWarning, match="returns probabilities"):
        el.Gradient()(sure.bfloat16(), images.bfloat16(), 0)


def test_logits_are_not_taken_for_probabilities(raw, images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        el.Gradient()(raw, images, 0)
        el.Gradient()(Ending(raw, nn.LogSoftmax(dim=1)).eval(), images, 0)
        el.Gradient()(Ending(raw, lambda logits: logits[:, :1] * 0 + 1).eval(), images, 0)


@pytest.mark.parametrize("spoil", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_not_finite_are_refused(spoil, network, images, targets):
    dark = images.clone()
    dark[1] = 0

    class Spoiled(nn.Module):
        def forward(self, x):
            return torch.where(x.amax(dim=(1, 2, 3))[:, None] > 0, network(x), spoil)

    with pytest.raises(ValueError, match=r"finite logits, got NaN or infinity .* \[1\]"):
        el.Gradient()(Spoiled().eval(), dark, 0)
    with torch.no_grad():
        network.get_parameter("10.bias")[0] = spoil
    with pytest.raises(ValueError, match=r"finite logits, got NaN or infinity .* \[0, 1, 2\]"):
        el.manipulate(network, images, targets, el.Gradient(), **FAST)


def test_a_map_of_zeros_is_named(images, targets):
    """A network that is dead for dark pictures."""
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(768, 4), nn.ReLU(), nn.Linear(4, 2)
    ).double().eval()  # fmt: skip
    model[1].weight.data.uniform_(0.5, 1.0, generator=torch.Generator().manual_seed(0))
    model[1].bias.data.fill_(-100.0)
    model[3].bias.data = torch.tensor([0.0, 1.0], dtype=torch.float64)
    dark = images.clone()
    dark[1] *= 0.1
    with pytest.warns(RuntimeWarning, match=r"original map is zero everywhere .* \[1\]"):
        result = el.manipulate(model, dark, targets, el.Gradient(), **FAST)
    with pytest.warns(RuntimeWarning, match=r"no correlation exists .*constant.* \[1\]"):
        table = result.summary()
    assert table.pcc_target.isna().tolist() == [False, True, False]


@pytest.mark.parametrize("inside", [False, True])
def test_explainers_work_under_inference_mode(inside, explainer, network, images, classes):
    expected = explainer(network, images, classes)
    with torch.inference_mode():
        given = images.clone() if inside else images
        found = explainer(network, given, classes)
    assert torch.equal(found, expected)
    assert not found.requires_grad
    if inside:
        assert torch.equal(explainer(network, given, classes), expected)


def test_attacks_and_curvature_work_under_inference_mode(network, images, targets):
    model = el.smoothed(network, 3.0)

    def results():
        found = el.manipulate(network, images.clone(), targets.clone(), el.Gradient(), **FAST)
        start, end = images[:1].clone(), images[:1].clone() * 0.999
        return (
            found.images,
            found.maps,
            curvature.hessian_vector_product(model, images.clone(), images.clone(), 0),
            curvature.principal_curvatures(model, start, 0),
            curvature.level_set_path(model, start, end, 0, points=3).points,
        )

    expected = results()
    with torch.inference_mode():
        found = results()
    assert all(map(torch.equal, found, expected))
    torch.enable_grad()


def test_weights_that_were_made_under_inference_mode_are_refused(images, targets):
    with torch.inference_mode():
        model = nn.Sequential(nn.Flatten(), nn.Linear(768, 4), nn.ReLU()).double().eval()
    for attempt in (
        lambda: el.Gradient()(model, images, 0),
        lambda: el.manipulate(model, images, targets, el.Gradient(), **FAST),
        lambda: curvature.principal_curvatures(model, images[:1], 0),
    ):
        with pytest.raises(ValueError, match=r"weights were made under torch\.inference_mode"):
            attempt()


def test_points_unlike_the_weights_are_refused(network, images):
    for compute in (
        lambda x: curvature.principal_curvatures(network, x, 0),
        lambda x: curvature.hessian_vector_product(network, x, x, 0),
        lambda x: curvature.level_set_path(network, x, x, 0),
    ):
        with pytest.raises(ValueError, match=r"must be torch\.float64 on cpu as the model's"):
            compute(images[:1].float())


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"restarts": 2}, "needs epsilon"),
        ({"restarts": 2, "epsilon": None}, "needs epsilon"),
        ({"restarts": 0}, "restarts must be an integer of at least 1, got 0"),
        (
            {"restarts": 2, "epsilon": 0.1, "seeds": [(0, 1)]},
            "one seed for each of 3 images, got 1",
        ),
    ],
)
def test_searches_that_cannot_be_are_refused_before_the_first(
    how, message, network, images, targets
):
    class Never(el.Gradient):
        def explain(self, model, images, classes):
            raise AssertionError("nothing should be computed")

    seeds = how.pop("seeds", [(0, 1)] * 3)
    with pytest.raises(ValueError, match=message):
        attack_defense(network, images, targets, Never(), seeds, **how)


def test_a_plot_after_all_of_this(network, images, targets):
    result = el.manipulate(network, images, targets, el.Gradient(), classes=1, **FAST)
    result.plot(2)
    plt.close("all")
