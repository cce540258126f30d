"""The rules of LRP, each against a slow form of itself with explicit matrices."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import zennit.composites
import zennit.rules
import zennit.types
from torch import Tensor, nn

import explman_lite as el

EPSILON = 1e-9
UNITS = 12


class Joined(nn.Module):
    """Two dense layers with ReLUs, what joins them, and a dense layer to the logits."""

    def __init__(self, join: Callable[[Tensor, Tensor], Tensor], outputs: int = UNITS) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Linear(48, UNITS, bias=False)
        self.second = nn.Linear(48, UNITS, bias=False)
        self.last = nn.Linear(outputs, 4, bias=False)
        self.join = join

    def branches(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = images.flatten(1)
        return self.first(x).relu(), self.second(x).relu()

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.join(*self.branches(images)))


def joined(join, outputs: int = UNITS) -> Joined:
    return Joined(join, outputs).double().eval()


@pytest.fixture
def pictures() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(3, 3, 4, 4, dtype=torch.float64, generator=generator)


CLASSES = torch.tensor([0, 3, 1])


def share(contributions: Tensor, relevance: Tensor) -> Tensor:
    """Share relevance (N, J) among contributions (N, J, I): (N, I)."""
    totals = contributions.sum(2, keepdim=True)
    totals = totals + torch.where(totals < 0, -EPSILON, EPSILON)
    return (contributions / totals * relevance.unsqueeze(2)).sum(1)


def slow_dense(weight: Tensor, x: Tensor, relevance: Tensor, inner: str) -> Tensor:
    """Compute the z⁺ or ε rule of a dense layer (J, I) from its table of contributions."""
    contributions = weight * x.unsqueeze(1)
    return share(contributions.clamp(min=0) if inner == "zplus" else contributions, relevance)


def slow_zbox(weight: Tensor, x: Tensor, relevance: Tensor) -> Tensor:
    """Compute the z-box rule for pixels in [0, 1]: l = 0 and h = 1."""
    return share(weight * x.unsqueeze(1) - weight.clamp(max=0), relevance)


def slow_lrp(model: Joined, images: Tensor, inner: str, shares) -> Tensor:
    """Walk back through a `Joined`, whose join is given by its ``shares`` of relevance."""
    x = images.flatten(1)
    with torch.no_grad():
        branches = model.branches(images)
        y, logits = model.join(*branches), model(images)
        seed = F.one_hot(CLASSES, 4) * logits
        relevance = slow_dense(model.last.weight, y, seed, inner)
        arriving = shares(*branches, relevance, inner)
        layers = (model.first, model.second)
        found = [slow_zbox(e.weight, x, r) for e, r in zip(layers, arriving, strict=True)]
    return sum(found).view_as(images)


def by_contribution(a: float, b: float):
    """Share the relevance of a·h + b·g: by magnitude, or signed under the ε rule."""

    def shares(h: Tensor, g: Tensor, relevance: Tensor, inner: str) -> tuple[Tensor, Tensor]:
        first, second = a * h, b * g
        if inner != "epsilon":
            first, second = first.abs(), second.abs()
        total = first + second
        quotient = relevance / (total + torch.where(total < 0, -EPSILON, EPSILON))
        return first * quotient, second * quotient

    return shares


def all_to_first(h: Tensor, g: Tensor, relevance: Tensor, inner: str) -> tuple[Tensor, Tensor]:
    return relevance, torch.zeros_like(g)


def all_to_larger(h: Tensor, g: Tensor, relevance: Tensor, inner: str) -> tuple[Tensor, Tensor]:
    # Where both ReLUs are closed, they are equally large; no matter, for nothing arrives there.
    return relevance * (h > g), relevance * (g > h)


SUMS = {
    "alpha": (lambda h, g: torch.add(h, g, alpha=2), 1, 2),
    "negative alpha": (lambda h, g: torch.add(h, other=g, alpha=-0.5), 1, -0.5),
    "method with alpha": (lambda h, g: h.add(g, alpha=3), 1, 3),
    "difference": (lambda h, g: h - g, 1, -1),
    "torch.sub": (lambda h, g: torch.sub(h, g, alpha=0.5), 1, -0.5),
    "method sub": (lambda h, g: h.sub(g), 1, -1),
    "rsub": (lambda h, g: torch.rsub(h, g, alpha=2), -2, 1),
    "scaled": (lambda h, g: h * 0.5 + g / 4, 0.5, 0.25),
    "scaled on the left": (lambda h, g: 2 * h + torch.mul(g, 3), 2, 3),
    "negated": (lambda h, g: h + -g, 1, -1),
    "sum of a stack": (lambda h, g: torch.stack([h, g]).sum(0), 1, 1),
    "mean of a stack": (lambda h, g: torch.mean(torch.stack([h, g]), dim=0), 0.5, 0.5),
    "built-in sum": (lambda h, g: sum([h, g]), 1, 1),
    "three summands": (lambda h, g: h + g + h, 2, 1),
}


@pytest.mark.parametrize("inner", ["zplus", "epsilon"])
@pytest.mark.parametrize("name", SUMS)
def test_sums_share_by_what_each_summand_contributes(name, inner, pictures):
    join, *coefficients = SUMS[name]
    model = joined(join)
    expected = slow_lrp(model, pictures, inner, by_contribution(*coefficients))
    found = el.LRP(inner, epsilon=EPSILON)(model, pictures, CLASSES)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


GATES = {
    "sigmoid": lambda h, g: h * torch.sigmoid(g),
    "gate first": lambda h, g: g.sigmoid() * h,
    "hard sigmoid": lambda h, g: torch.mul(h, F.hardsigmoid(g)),
    "by hand": lambda h, g: h * F.relu6(g + 3) / 6,
    "by hand, divided first": lambda h, g: h * (torch.clamp(3 + g, 0, 6) / 6),
    "softmax": lambda h, g: h * g.softmax(1),
    "one minus": lambda h, g: h * (1 - g.sigmoid()),
    "residual attention": lambda h, g: h * (1 + g.sigmoid()),
    "gate of two": lambda h, g: h * (g.sigmoid() * h.sigmoid()),
    "one gate for all": lambda h, g: h * g.mean(1, keepdim=True).sigmoid(),
    "expanded": lambda h, g: h * g[:, :1].sigmoid().expand_as(h),
    "averaged": lambda h, g: h * F.avg_pool1d(g.sigmoid(), 3, 1, 1),
}


@pytest.mark.parametrize("inner", ["zplus", "epsilon"])
@pytest.mark.parametrize("name", GATES)
def test_in_a_product_with_a_gate_the_signal_takes_all(name, inner, pictures):
    model = joined(GATES[name])
    expected = slow_lrp(model, pictures, inner, all_to_first)
    found = el.LRP(inner, epsilon=EPSILON)(model, pictures, CLASSES)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


ACTIVATIONS = [
    nn.LeakyReLU(), nn.PReLU(), nn.ELU(), nn.SELU(), nn.SiLU(), nn.GELU(), nn.Mish(), nn.Tanh(),
    nn.Hardswish(), nn.Hardtanh(), nn.Softplus(), nn.Softsign(), nn.Sigmoid(), nn.Hardsigmoid(),
    nn.BatchNorm1d(UNITS), nn.LayerNorm(UNITS), nn.GroupNorm(3, UNITS),
    F.leaky_relu, F.elu, F.silu, F.gelu, F.hardswish, F.hardtanh, torch.tanh, torch.sigmoid,
    lambda y: y.tanh(), lambda y: F.layer_norm(y, (UNITS,)), lambda y: y.clamp(-1, 1),
    lambda y: y * 0.3, lambda y: torch.div(y, 2.0), lambda y: y / torch.tensor(3.0),
]  # fmt: skip


@pytest.mark.parametrize("inner", ["zplus", "epsilon"])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: getattr(a, "__name__", str(a)))
def test_activations_normalisations_and_constant_factors_hand_on_what_they_get(
    activation, inner, pictures
):
    model = joined(None)
    if isinstance(activation, nn.Module):
        activation = activation.double().eval()
    if isinstance(activation, nn.BatchNorm1d):
        torch.nn.init.uniform_(activation.running_mean)
    model.join = lambda h, g: activation(h - g)
    model.activation = activation  # so that torch.fx finds the module
    expected = slow_lrp(model, pictures, inner, by_contribution(1, -1))
    found = el.LRP(inner, epsilon=EPSILON)(model, pictures, CLASSES)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "join",
    [torch.maximum, torch.max, lambda h, g: h.maximum(g), lambda h, g: torch.stack([h, g]).amax(0),
     lambda h, g: torch.stack([h, g]).max(0)[0], lambda h, g: torch.stack([h, g]).max(0).values],
    ids=["maximum", "max", "method", "amax", "picked", "named"],
)  # fmt: skip
def test_a_maximum_gives_all_to_the_larger(join, pictures):
    model = joined(join)
    expected = slow_lrp(model, pictures, "zplus", all_to_larger)
    found = el.LRP(epsilon=EPSILON)(model, pictures, CLASSES)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


ENLARGED = {
    "nearest": lambda rows: F.interpolate(rows, scale_factor=2),
    "linear": lambda rows: F.interpolate(rows, scale_factor=2, mode="linear"),
    "aligned": lambda rows: F.interpolate(rows, 24, mode="linear", align_corners=True),
    "shrunk": lambda rows: F.interpolate(rows, size=5, mode="area"),
    "pooled": lambda rows: F.adaptive_avg_pool1d(rows, 5),
}


@pytest.mark.parametrize("inner", ["zplus", "epsilon"])
@pytest.mark.parametrize("name", ENLARGED)
def test_interpolation_shares_by_its_weights_as_a_dense_layer_would(name, inner, pictures):
    """With weights that are never negative, and inputs that are not, z⁺ is a share by magnitude."""
    enlarge = ENLARGED[name]
    matrix = enlarge(torch.eye(UNITS, dtype=torch.float64).unsqueeze(1)).squeeze(1).T
    assert matrix.min() >= 0
    dense = nn.Linear(UNITS, len(matrix), bias=False).double()
    dense.weight.data.copy_(matrix)
    model, reference = (joined(None, len(matrix)) for _ in range(2))
    model.join = lambda h, g: enlarge(h.unsqueeze(1)).squeeze(1)
    reference.dense, reference.join = dense, lambda h, g: dense(h)
    explainer = el.LRP(inner, epsilon=EPSILON)
    torch.testing.assert_close(
        explainer(model, pictures, CLASSES), explainer(reference, pictures, CLASSES)
    )


ROUTES = {
    "view by size": lambda x: x.view(x.size(0), -1),
    "view by shape": lambda x: x.view(x.shape[0], 48),
    "reshape": lambda x: x.reshape(-1, 48),
    "torch.reshape": lambda x: torch.reshape(x, (-1, 48)),
    "torch.flatten": lambda x: torch.flatten(x, 1),
    "flatten": lambda x: x.flatten(1),
    "keyword": lambda x: torch.flatten(input=x, start_dim=1),
    "contiguous": lambda x: x.contiguous().flatten(1),
    "unsqueezed": lambda x: x.unsqueeze(1).squeeze(1).flatten(1),
    "permuted twice": lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2).flatten(1),
    "transposed twice": lambda x: torch.transpose(x.transpose(1, 2), 1, 2).flatten(1),
    "slices": lambda x: torch.cat([x[:, :1], x[:, 1:]], dim=1).flatten(1),
    "picked and stacked": lambda x: torch.stack([x[:, 0], x[:, 1], x[:, 2]], 1).flatten(1),
    "chunks": lambda x: torch.cat(pair(x.flatten(1).chunk(2, 1)), 1),
    "split": lambda x: torch.cat(pair(x.split([1, 2], 1)), 1).flatten(1),
    "unbind": lambda x: torch.stack([x.unbind(1)[i] for i in range(3)], 1).flatten(1),
    "padded": lambda x: F.pad(x, (1, 1))[..., 1:-1].flatten(1),
    "expanded": lambda x: x.expand(-1, -1, -1, -1).flatten(1),
    "flipped twice": lambda x: x.flip(2).flip(2).flatten(1),
    "mT": lambda x: x.mT.mT.flatten(1),
    "clipped": lambda x: x.clamp(0, 1).flatten(1),
    "plus nothing": lambda x: (x + 0).flatten(1),
}


def pair(values):
    """Take two of several tensors, which `torch.fx` cannot count."""
    return values[0], values[1]


class Routed(nn.Module):
    def __init__(self, route) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.last = nn.Linear(48, 12), nn.Linear(12, 4)
        self.route = route

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.first(self.route(images)).relu())


def routed(route) -> nn.Module:
    return Routed(route).double().eval()


@pytest.mark.parametrize("inner", ["zplus", "gamma", "epsilon"])
@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES.keys())
def test_one_function_has_one_map(route, inner, pictures):
    explainer = el.LRP(inner)
    expected = explainer(routed(nn.Flatten()), pictures, CLASSES)
    found = explainer(routed(route), pictures, CLASSES)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


def channels(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1)


def transform_input(x: Tensor) -> Tensor:
    """As torchvision's googlenet and inception_v3 do with trained weights."""
    parts = [torch.unsqueeze(x[:, i], 1) * (1 / STD[i]) + -MEAN[i] / STD[i] for i in range(3)]
    return torch.cat(parts, 1)


def pixel_norm() -> nn.Module:
    norm = nn.BatchNorm2d(3, eps=1e-12, affine=False).double().eval()
    norm.running_mean.copy_(channels(MEAN).flatten())
    norm.running_var.copy_(channels(STD).flatten().square())
    return norm


AFFINE = {
    "operators": lambda x: (x - channels(MEAN)) / channels(STD),
    "functions": lambda x: torch.div(torch.sub(x, channels(MEAN)), channels(STD)),
    "methods": lambda x: x.sub(channels(MEAN)).mul(1 / channels(STD)),
    "add": lambda x: torch.add(x, -channels(MEAN)) / channels(STD),
    "reversed": lambda x: -((channels(MEAN) - x) / channels(STD)),
    "transform_input": transform_input,
    "batch norm": pixel_norm(),
}


@pytest.mark.parametrize("affine", AFFINE.values(), ids=AFFINE.keys())
def test_what_shifts_and_scales_pixels_is_a_normalisation(affine, pictures):
    class Normalised(Routed):
        def forward(self, images):
            return super().forward(self.affine(images))

    model = Normalised(nn.Flatten()).double().eval()
    model.affine = affine
    expected = el.LRP()(el.prepare(routed(nn.Flatten()), mean=MEAN, std=STD), pictures, CLASSES)
    torch.testing.assert_close(el.LRP()(model, pictures, CLASSES), expected, rtol=1e-6, atol=1e-9)


def test_the_box_of_negated_pixels_is_turned_round(pictures):
    expected = el.LRP()(routed(nn.Flatten()), 1 - pictures, CLASSES)
    found = el.LRP()(routed(lambda x: (1 - x).flatten(1)), pictures, CLASSES)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["flatten", "view", "reshape", "cat", "add", "mean", "sigmoid"])
def test_a_layers_name_says_nothing_about_it(name, pictures):
    def named(name: str, layer: nn.Module) -> nn.Module:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(48, 8))
        model.add_module(name, layer)
        model.add_module("last", nn.Linear(8, 4))
        return model.double().eval()

    expected = el.LRP()(named("activation", nn.GELU()), pictures, CLASSES)
    torch.testing.assert_close(el.LRP()(named(name, nn.GELU()), pictures, CLASSES), expected)
    with pytest.raises(ValueError, match=rf"no rule for the layer '{name}\w*' \(Softmax\)"):
        el.LRP()(named(name, nn.Softmax(1)), pictures, CLASSES)


def dense_twin(layer: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """Return a dense layer with the matrix of a linear one, found column by column."""
    size = torch.Size(shape).numel()
    with torch.no_grad():
        basis = torch.eye(size, dtype=torch.float64).view(size, *shape)
        matrix = (layer(basis) - layer(torch.zeros_like(basis))).flatten(1).T
        dense = nn.Linear(*reversed(matrix.shape)).double()
        dense.weight.copy_(matrix)
        dense.bias.copy_(layer(torch.zeros(1, *shape).double()).flatten())
    return dense


WEIGHTED = {
    "Conv1d": lambda: nn.Conv1d(3, 6, 3, stride=2, padding=1, dilation=2, groups=3),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(
        4, 6, 3, stride=2, padding=1, output_padding=1, groups=2
    ),
}


@pytest.mark.parametrize("inner", ["zplus", "gamma", "epsilon"])
@pytest.mark.parametrize("first", [True, False], ids=["of pixels", "inside"])
@pytest.mark.parametrize("name", WEIGHTED)
def test_other_convolutions_have_the_maps_of_their_matrices(name, first, inner, pictures):
    torch.manual_seed(0)
    layer = WEIGHTED[name]().double()
    shape = (3, 16) if name == "Conv1d" else (4, 2, 6)
    before = nn.Unflatten(1, shape) if first else nn.Sequential(
        nn.Linear(48, 48), nn.Tanh(), nn.Unflatten(1, shape)
    )  # fmt: skip
    twin = dense_twin(layer, shape)
    after = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(len(twin.weight), 4))
    model = nn.Sequential(nn.Flatten(), before, layer, after).double().eval()
    dense = nn.Sequential(nn.Flatten(), before, nn.Flatten(), twin, after).double().eval()
    explainer = el.LRP(inner)
    torch.testing.assert_close(
        explainer(model, pictures, CLASSES), explainer(dense, pictures, CLASSES)
    )


@pytest.mark.parametrize("activation", [nn.LeakyReLU, nn.SiLU, nn.GELU, nn.ELU, nn.Sigmoid])
def test_activations_agree_with_zennit(activation, images, classes):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False), activation(), nn.AvgPool2d(2), activation(), nn.Flatten(),
        nn.Linear(294, 4, bias=False),
    ).double().eval()  # fmt: skip
    rules = zennit.rules
    composite = zennit.composites.SpecialFirstLayerMapComposite(
        [
            (zennit.types.Activation, rules.Pass()),
            (zennit.types.AvgPool, rules.Epsilon(epsilon=EPSILON)),
            (zennit.types.Linear, rules.Epsilon(epsilon=EPSILON)),
        ],
        [(zennit.types.Linear, rules.ZBox(0 * images[:1], 0 * images[:1] + 1, EPSILON))],
    )
    points = images.clone().requires_grad_()
    with composite.context(model) as modified:
        logits = modified(points)
        seed = nn.functional.one_hot(classes, 4) * logits.detach()
        (expected,) = torch.autograd.grad(logits, points, seed)
    found = el.LRP("epsilon", epsilon=EPSILON)(model, images, classes)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)


REFUSED = {
    "two signals": (lambda h, g: h * g, "no rule for the product 'mul': no factor is a gate"),
    "a square": (lambda h, g: h * h, "no rule for the product 'mul': no factor is a gate"),
    "two gates": (lambda h, g: h.sigmoid() * g.sigmoid(), "both factors are gates"),
    "a quotient": (lambda h, g: h / (g + 1), r"no rule for the layer 'truediv' \(truediv\)"),
    "one over": (lambda h, g: 1 / (h + 1), r"no rule for the layer 'truediv' \(truediv\)"),
    "a rounded quotient": (
        lambda h, g: torch.div(h, 2, rounding_mode="floor"), r"no rule for the layer 'div' \(div\)"
    ),
    "a power": (lambda h, g: h**2, r"no rule for the layer 'pow_1' \(pow\)"),
    "a softmax": (lambda h, g: h.softmax(1), r"no rule for the layer 'softmax' \(softmax\)"),
    "bicubic": (
        lambda h, g: F.interpolate(h[:, None, None], (1, UNITS), mode="bicubic").flatten(1),
        r"no rule for the layer 'interpolate' \(interpolate\)",
    ),
    "a product of matrices": (
        lambda h, g: (h.unsqueeze(1) @ g.unsqueeze(2) + h.unsqueeze(1)).squeeze(1),
        r"no rule for the layer 'matmul' \(matmul\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("join", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_has_no_rule_is_named(join, message, pictures):
    with pytest.raises(ValueError, match=f"^LRP has .*{message}"):
        el.LRP()(joined(join), pictures, CLASSES)


def test_layers_that_hide_their_weights_are_named(pictures):
    attention = nn.TransformerEncoderLayer(16, 2, 8, batch_first=True)
    model = nn.Sequential(nn.Flatten(2), attention, nn.Flatten(), nn.Linear(48, 4)).double().eval()
    with pytest.raises(ValueError, match=r"no rule for the layer '_1_self_attn' \(Multi"):
        el.LRP()(model, pictures, CLASSES)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_lrp_refuses_numbers_that_are_too_coarse(dtype, pictures):
    model = routed(nn.Flatten()).to(dtype)
    with pytest.raises(ValueError, match=rf"needs float32 or float64, got {dtype}"):
        el.LRP()(model, pictures.to(dtype), CLASSES)


TURNED = {
    "subtracted": lambda a, b: b - a,
    "alpha": lambda a, b: torch.add(b, a, alpha=-1),
    "negated": lambda a, b: b + -a,
    "times": lambda a, b: b + a * -1,
    "divided": lambda a, b: a / -1 + b,
    "moved on the way": lambda a, b: b - torch.cat([a[:, :2], a[:, 2:]], 1),
}


class Subtracted(nn.Module):
    """Two convolutions without ReLU, and what joins them."""

    def __init__(self, join) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.before = nn.Conv2d(3, 4, 3)
        self.first, self.second = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.last, self.join = nn.Linear(16, 4), join

    def forward(self, images: Tensor) -> Tensor:
        x = self.before(images).relu()
        return self.last(self.join(self.first(x), self.second(x)).relu().flatten(1))


@pytest.mark.parametrize("inner", ["zplus", "gamma", "epsilon"])
@pytest.mark.parametrize("name", TURNED)
def test_what_is_subtracted_is_added_with_a_negative_weight(name, inner, pictures):
    model, reference = Subtracted(TURNED[name]), Subtracted(torch.add)
    with torch.no_grad():
        reference.first.weight.neg_()
        reference.first.bias.neg_()
    found = el.LRP(inner)(model.double().eval(), pictures, CLASSES)
    expected = el.LRP(inner)(reference.double().eval(), pictures, CLASSES)
    torch.testing.assert_close(found, expected)


def test_the_box_of_pixels_and_their_negative_is_that_of_both(pictures):
    """The box is made step by step: at no pixel are x and 1 − x small at once."""
    both = lambda x: torch.cat([x, 1 - x], 1)  # noqa: E731
    averaged = routed(lambda x: both(x).reshape(x.size(0), 2, 48).mean(1))
    model = el.prepare(averaged)
    found = el.LRP()(model, pictures, CLASSES)
    weight, y = averaged.first.weight.detach(), torch.full((3, 48), 0.5, dtype=torch.float64)
    hidden = averaged.first(y).relu().detach()
    logits = averaged(pictures).detach()
    seed = F.one_hot(CLASSES, 4) * logits
    relevance = slow_dense(averaged.last.weight.detach(), hidden, seed, "zplus")
    arriving = share(weight * y.unsqueeze(1) - weight.clamp(max=0), relevance)
    total = arriving.view(3, 3, 4, 4)
    torch.testing.assert_close(found.sum((1, 2, 3)), total.sum((1, 2, 3)), rtol=1e-4, atol=1e-6)


class Everything(nn.Module):
    """Has something for each of the rules."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.first = nn.Conv2d(3, 6, 3, padding=1, bias=bias)
        self.norm = nn.BatchNorm2d(6, affine=bias)
        self.reduce, self.expand = nn.Conv2d(6, 3, 1), nn.Conv2d(3, 6, 1)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2, bias=bias)
        self.row = nn.Conv1d(4, 4, 3, padding=1, bias=bias)
        self.gain = nn.Parameter(torch.rand(1, 4, 1, 1))
        self.offset = nn.Parameter(torch.rand(1, 4, 1, 1) if bias else torch.zeros(1))
        self.last = nn.Parameter(torch.randn(4, 4))
        if bias:
            nn.init.uniform_(self.norm.running_mean, -0.5, 0.5)

    def forward(self, images: Tensor) -> Tensor:
        a = self.first(images * 2 - 0.5)
        b, c = torch.chunk(F.leaky_relu(self.norm(a.relu() - 0.5 * a)), 2, dim=1)
        h = torch.cat([torch.add(b, c, alpha=-0.7), F.silu(c)], 1)
        h = h * self.expand(self.reduce(h.mean((2, 3), keepdim=True)).relu()).sigmoid()
        h = F.interpolate(self.up(F.avg_pool2d(h, 2)), scale_factor=2.0, mode="bilinear")
        h = self.offset + h.permute(0, 1, 3, 2) * self.gain
        h = torch.maximum(self.row(h.flatten(2)).view_as(h), h).sum((2, 3)) / 10
        return F.linear(h, self.last)


@pytest.fixture(params=["zplus", "gamma", "epsilon"])
def rule(request) -> el.LRP:
    return el.LRP(request.param, epsilon=1e-2)


def central_difference(function, points: Tensor, direction: Tensor, step: float) -> float:
    with torch.no_grad():
        points.add_(direction, alpha=step)
        above = function().item()
        points.sub_(direction, alpha=2 * step)
        below = function().item()
        points.add_(direction, alpha=step)
    return (above - below) / (2 * step)


@pytest.mark.parametrize("where", ["images", "weights"])
def test_maps_by_every_rule_are_differentiable(where, rule):
    """The attack's gradient, and a training's, against differences in float64."""
    network = el.prepare(Everything().double().eval(), frozen=where == "images")
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 4, 4, dtype=torch.float64, generator=generator)
    classes = torch.tensor([1, 2])
    weights = torch.linspace(-1, 2, images.numel(), dtype=torch.float64).view_as(images)
    scale = rule(network, images, classes).detach().abs().mean()

    def function() -> Tensor:
        return (weights * (rule(network, images, classes) / scale).sin()).mean()

    points = [images.requires_grad_()] if where == "images" else list(network.parameters())
    gradients = torch.autograd.grad(function(), points, materialize_grads=True)
    found, expected = [], []
    for point, gradient in zip(points, gradients, strict=True):
        direction = torch.randn(point.shape, dtype=point.dtype, generator=generator)
        found.append((gradient * direction).sum().item())
        expected.append(central_difference(function, point, direction, 1e-7))
    found, expected = torch.tensor(found), torch.tensor(expected)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5 * expected.abs().max().item())


def test_trained_constants_are_constants_in_a_trainable_network_too(rule):
    model = Everything().double().eval()
    images, classes = torch.rand(2, 3, 4, 4, dtype=torch.float64), torch.tensor([1, 2])
    expected = rule(el.prepare(model), images, classes)
    found = rule(el.prepare(model, frozen=False), images, classes)
    torch.testing.assert_close(found.detach(), expected)


@pytest.mark.parametrize("inner", ["zplus", "gamma", "epsilon"])
@pytest.mark.parametrize("seed", range(8))
def test_relevance_is_conserved_in_random_networks_without_biases(seed, inner):
    model = random_network(seed)
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=generator)
    classes = torch.tensor([0, 2])
    logits = model(images).gather(1, classes.unsqueeze(1)).squeeze(1).detach()
    total = el.LRP(inner, epsilon=1e-13)(model, images, classes).sum((1, 2, 3))
    torch.testing.assert_close(total, logits, rtol=1e-5, atol=1e-9)


class Block(nn.Module):
    """One of the shapes in which layers are joined, drawn at random."""

    SHAPES = (
        lambda self, x: self.a(x).relu() + x,
        lambda self, x: torch.add(self.a(x).relu(), self.b(x).relu(), alpha=0.5),
        lambda self, x: torch.cat([self.a(x).relu(), x], 1)[:, 2:6],
        lambda self, x: self.a(x).relu() * self.b(x.mean((2, 3), keepdim=True)).sigmoid(),
        lambda self, x: F.interpolate(F.max_pool2d(self.a(x).relu(), 2), scale_factor=2),
        lambda self, x: torch.maximum(self.a(x), self.b(x)).relu(),
        lambda self, x: self.a(x).clamp(min=0).transpose(2, 3) / 2,
        lambda self, x: F.relu6(self.c(F.avg_pool2d(x, 2))),
        lambda self, x: torch.stack(pair(self.a(x).relu().chunk(2, 1)), 1).flatten(1, 2),
    )  # fmt: skip

    def __init__(self, shape: int) -> None:
        super().__init__()
        self.shape = shape
        self.a, self.b = (nn.Conv2d(4, 4, 3, padding=1, bias=False) for _ in range(2))
        self.c = nn.ConvTranspose2d(4, 4, 2, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.SHAPES[self.shape](self, x)


def random_network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    shapes = torch.randperm(len(Block.SHAPES))[:4].tolist()
    blocks = [Block(shape) for shape in shapes]
    first, last = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Linear(4, 3, bias=False)
    # What makes a logit of negative contributions only has nothing to share among.
    nn.init.uniform_(last.weight)
    layers = [first, nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), last]
    return nn.Sequential(*layers).double().eval()
