"""Layers that are written as functions are the modules they stand for."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from forwards import needs_newer_torch
from torch import Tensor, nn

import explman_lite as el
from explman_lite.networks.layers import FoldedConv2d


class Functional(nn.Module):
    """A network that keeps its weights itself and uses no layer, as some people write."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        shapes = {"kernel": (4, 3, 3, 3), "up": (4, 2, 2, 2), "row": (4, 2, 3), "dense": (4, 32)}
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape) / 4))
        self.shift, self.bias = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4))
        self.register_buffer("gain", torch.rand(4) + 0.5)
        self.register_buffer("mean", torch.randn(4))
        self.register_buffer("variance", torch.rand(4) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.kernel, None, 2, padding=1)
        x = F.batch_norm(x, self.mean, self.variance, self.gain, self.shift, eps=1e-3)
        x = F.conv_transpose2d(torch.clamp(x, min=0), self.up, groups=2)
        x = F.conv1d(F.max_pool2d(x, 2).flatten(2), self.row, stride=2, padding=1, groups=2)
        return F.linear(input=x.clamp_min(0).flatten(1), weight=self.dense, bias=self.bias)


def modular(model: Functional) -> nn.Module:
    """Build the same network of layers."""
    norm = nn.BatchNorm2d(4, eps=1e-3)
    norm.running_mean, norm.running_var = model.mean, model.variance
    norm.weight, norm.bias = nn.Parameter(model.gain), model.shift
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1, bias=False), norm, nn.ReLU(),
        nn.ConvTranspose2d(4, 4, 2, groups=2, bias=False), nn.MaxPool2d(2), nn.Flatten(2),
        nn.Conv1d(4, 4, 3, 2, 1, groups=2, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4),
    )  # fmt: skip
    for place, weight in ((0, model.kernel), (3, model.up), (6, model.row), (9, model.dense)):
        layers[place].weight = weight
    layers[9].bias = model.bias
    return layers.eval()


@pytest.fixture
def functional() -> Functional:
    return Functional().double().eval()


BY_MODULES = [el.Gradient(), el.GuidedBackprop(), el.LRP(), el.LRP("gamma"), el.LRP("epsilon")]


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "trainable"])
@pytest.mark.parametrize("explainer", BY_MODULES, ids=repr)
def test_functions_have_the_maps_of_modules(functional, explainer, frozen, images, classes):
    found = el.prepare(functional, frozen=frozen)
    expected = el.prepare(modular(functional).double(), frozen=frozen)
    torch.testing.assert_close(
        explainer(found, images, classes), explainer(expected, images, classes), rtol=0, atol=0
    )


def test_functional_batch_norm_is_folded_and_stays_trainable(functional, images):
    network = el.prepare(functional, frozen=False)
    kinds = [
        type(network.get_submodule(n.target)) for n in network.graph.nodes if n.op[5:] == "module"
    ]
    assert kinds.count(FoldedConv2d) == 1
    assert not any(issubclass(kind, nn.BatchNorm2d) for kind in kinds)
    assert {id(p) for p in network.parameters()} == {id(p) for p in functional.parameters()}
    with torch.no_grad():
        for weight in functional.parameters():
            weight.mul_(1.5)
    torch.testing.assert_close(network(images), functional(images))


class Normed(nn.Module):
    """Normalises numbers that are no pictures, and by the statistics of the batch if told so."""

    def __init__(self, by_batch: bool) -> None:
        super().__init__()
        self.by_batch, self.dense = by_batch, nn.Linear(48, 4)
        self.register_buffer("mean", torch.rand(4))
        self.register_buffer("variance", torch.rand(4) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dense(x.flatten(1))
        return F.batch_norm(y, self.mean, self.variance, training=self.by_batch)


def test_functional_batch_norm_takes_any_rank():
    model, images = Normed(by_batch=False).eval(), torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(el.prepare(model)(images), model(images))
    assert el.LRP()(model, images, torch.tensor([0, 1])).any()


def test_batch_norm_by_the_statistics_of_the_batch_is_refused():
    with pytest.raises(ValueError, match=r"'batch_norm' \(F.batch_norm\) normalises by the batch"):
        el.LRP()(Normed(by_batch=True).eval(), torch.rand(2, 3, 4, 4), torch.tensor([0, 1]))


RECTIFIERS: dict[str, tuple[Callable[..., Tensor], float | None]] = {
    "F.relu": (F.relu, None),
    "torch.relu": (torch.relu, None),
    "clamp": (lambda x: x.clamp(0), None),
    "clamp, named": (lambda x: torch.clamp(x, min=0.0), None),
    "clip": (lambda x: x.clip(min=0), None),
    "clamp_min": (lambda x: torch.clamp_min(x, 0), None),
    "threshold": (lambda x: F.threshold(x, 0, 0), None),
    "nn.Threshold": (nn.Threshold(0, 0), None),
    "F.leaky_relu": (lambda x: F.leaky_relu(x, 0), None),
    "nn.LeakyReLU": (nn.LeakyReLU(0.0), None),
    "F.relu6": (F.relu6, 6),
    "F.hardtanh": (lambda x: F.hardtanh(x, 0.0, 6.0), 6),
    "nn.Hardtanh": (nn.Hardtanh(0, 6), 6),
    "clamp on both sides": (lambda x: x.clamp(0, 0.3), 0.3),
}


class Rectified(nn.Module):
    def __init__(self, rectify: Callable[..., Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.rectify = nn.Linear(48, 9), nn.Linear(9, 4), rectify

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.rectify(self.first(images.flatten(1))))


@pytest.mark.parametrize("name", RECTIFIERS)
def test_a_relu_is_one_in_all_spellings(name):
    rectify, ceiling = RECTIFIERS[name]
    images, classes = torch.rand(2, 3, 4, 4), torch.tensor([0, 1])
    model = Rectified(rectify).eval()
    reference = Rectified(nn.ReLU() if ceiling is None else nn.Hardtanh(0, ceiling)).eval()
    torch.testing.assert_close(el.prepare(model)(images), model(images), rtol=0, atol=0)
    y = reference.first(images.flatten(1))
    slope = (y > 0) & (y < (ceiling or torch.inf))
    expected = ((reference.last.weight[classes] * slope).clamp(min=0)) @ reference.first.weight
    found = el.GuidedBackprop()(model, images, classes)
    torch.testing.assert_close(found.flatten(1), expected.detach())
    torch.testing.assert_close(
        el.smoothed(model, 5.0)(images), el.smoothed(reference, 5.0)(images), rtol=0, atol=0
    )
    assert not torch.allclose(el.smoothed(model, 5.0)(images), model(images), atol=1e-3)


@pytest.mark.parametrize(
    "rectify",
    [
        lambda x: x.clamp(-1, 1),
        lambda x: x.clamp(max=1),
        pytest.param(
            lambda x: torch.clamp(x, min=0, max=x.new_tensor(0.5)), marks=needs_newer_torch
        ),
        lambda x: F.threshold(x, 0.1, 0.0),
        nn.Hardtanh(),
    ],
)
def test_other_clamps_stay_as_they_are(rectify):
    model = Rectified(rectify).eval()
    with pytest.raises(ValueError, match="this network has none"):
        el.GuidedBackprop()(model, torch.rand(1, 3, 4, 4), torch.tensor([0]))


def test_to_clip_the_pixels_is_no_activation(images, classes):
    model = nn.Sequential(nn.Hardtanh(0, 1), nn.Flatten(), nn.Linear(768, 4)).double().eval()
    with pytest.raises(ValueError, match="no ReLU to smooth"):
        el.smoothed(model, 5.0)
    white = torch.ones_like(images)
    torch.testing.assert_close(
        el.Gradient()(el.prepare(model), white, classes), el.Gradient()(model, white, classes)
    )


class Computed(nn.Module):
    """A dense layer by a weight that is computed from another."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 48))

    def forward(self, images: Tensor) -> Tensor:
        return F.linear(images.flatten(1), self.weight.abs())


def test_a_computed_weight_is_named():
    model, images = Computed().eval(), torch.rand(2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"LRP has no rule for the layer 'linear' \(linear\)"):
        el.LRP()(model, images, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"no pattern for the weights of the layer 'linear'"):
        el.fit_patterns(model, images)
