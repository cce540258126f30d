"""Patterns for every spelling of a layer with weights, or a refusal that names it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import explman_lite as el

DATA = torch.rand(30, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


class Spelled(nn.Module):
    """A convolution, a ReLU and a dense layer; ``spell`` says how they are written."""

    def __init__(self, spell) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.dense = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Linear(64, 4)
        self.pool, self.relu, self.spell = nn.MaxPool2d(2), nn.ReLU(), spell

    def forward(self, images: Tensor) -> Tensor:
        return self.spell(self, images)


def spelled(spell) -> nn.Module:
    return Spelled(spell).double().eval()


def of_modules(self, x):
    return self.dense(self.relu(self.convolution(x)).flatten(1))


def of_functions(self, x):
    kernel, weight = self.convolution, self.dense
    x = F.conv2d(x, kernel.weight, kernel.bias, stride=2, padding=1)
    return F.linear(F.relu(x).flatten(1), weight.weight, weight.bias)


def fitted(model) -> tuple[list[Tensor], Tensor]:
    patterns = el.fit_patterns(model, DATA)
    found = el.PatternAttribution(patterns)(model, DATA[:3], torch.tensor([0, 3, 1]))
    return list(patterns.values()), found


def test_functions_have_the_patterns_of_modules():
    (found, map_), (expected, expected_map) = (
        fitted(spelled(of_functions)),
        fitted(spelled(of_modules)),
    )
    assert len(found) == 2
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(map_, expected_map, rtol=0, atol=0)


def halves(values):
    first, second = values[0], values[1]
    return torch.cat([first.relu(), second.relu()], 1)


BEHIND = {
    "pooled": lambda self, y: self.relu(self.pool(y)).flatten(1),
    "flattened": lambda self, y: self.relu(F.max_pool2d(y, 2).flatten(1)),
    "transposed": lambda self, y: self.pool(y).mT.relu().mT.flatten(1),
    "in halves": lambda self, y: halves(self.pool(y).chunk(2, 1)).flatten(1),
}


@pytest.mark.parametrize("name", BEHIND)
def test_a_relu_behind_a_max_pooling_counts_as_one_before_it(name):
    def before(self, x):
        return self.pool(self.relu(self.convolution(x))).flatten(1)

    (expected,) = el.fit_patterns(spelled(before), DATA).values()
    behind = spelled(lambda self, x: BEHIND[name](self, self.convolution(x)))
    (found,) = el.fit_patterns(behind, DATA).values()
    torch.testing.assert_close(found, expected)


SHIFTED = {
    "times one": lambda y: y * 1,
    "plus nothing": lambda y: y + 0,
    "negated twice": lambda y: y.neg().neg(),
    "halved": lambda y: y / 2,
    "without dropout": lambda y: F.dropout2d(y, training=False),
}


@pytest.mark.parametrize("name", SHIFTED)
def test_constants_between_a_neuron_and_its_relu_do_not_hide_it(name):
    model = spelled(
        lambda self, x: self.dense(SHIFTED[name](self.convolution(x)).relu().flatten(1))
    )
    (found, _), _ = fitted(model)
    (expected, _), _ = fitted(spelled(of_modules))
    torch.testing.assert_close(found, expected)


def test_a_neuron_fires_where_its_shifted_and_negated_value_is_positive():
    torch.manual_seed(0)
    layer = nn.Linear(192, 3).double()
    (found,) = el.fit_patterns(Shifted(layer).eval(), DATA).values()
    x = DATA.flatten(1)
    for neuron in range(3):
        y = (x @ layer.weight[neuron]).detach()
        fires = 0.1 - (y + layer.bias[neuron]) > 0
        joint = torch.cov(torch.cat([x[fires], y[fires].unsqueeze(1)], dim=1).T, correction=0)
        torch.testing.assert_close(found[neuron], joint[:192, 192] / joint[192, 192])


class Shifted(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, images: Tensor) -> Tensor:
        return (0.1 - self.layer(images.flatten(1))).relu()


def test_batch_norm_behind_a_neuron_is_a_part_of_it():
    torch.manual_seed(0)
    dense, norm, last = nn.Linear(192, 6), nn.BatchNorm1d(6), nn.Linear(6, 4)
    nn.init.uniform_(norm.running_mean, -0.5, 0.5)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    nn.init.uniform_(norm.weight, -2, 2)
    folded = nn.utils.fusion.fuse_linear_bn_eval(dense.eval(), norm.eval())
    (_, expected_last), expected = fitted(
        nn.Sequential(nn.Flatten(), folded, nn.ReLU(), last).double().eval()
    )
    (_, found_last), found = fitted(
        nn.Sequential(nn.Flatten(), dense, norm, nn.ReLU(), last).double().eval()
    )
    torch.testing.assert_close(found_last, expected_last)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_a_learned_slope_of_zero_is_named():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.PReLU(init=0.0), nn.ReLU())
    with pytest.raises(ValueError, match="cannot know whether '_2' is a ReLU"):
        el.fit_patterns(model.double().eval(), DATA)


BY_HAND = {
    "maximum": lambda y: torch.maximum(y, torch.zeros_like(y)),
    "max": lambda y: torch.max(y, y.new_zeros(())),
    "where": lambda y: torch.where(y > 0, y, 0.0),
    "mul": lambda y: y * (y > 0),
    "masked_fill": lambda y: y.masked_fill(y < 0, 0),
    "abs": lambda y: (y + y.abs()) / 2,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_relu_by_hand_is_named(name):
    model = spelled(
        lambda self, x: self.dense(self.relu(BY_HAND[name](self.convolution(x))).flatten(1))
    )
    with pytest.raises(
        ValueError, match=rf"fit_patterns cannot know whether '{name}\w*' is a ReLU"
    ):
        el.fit_patterns(model, DATA)
    with pytest.raises(ValueError, match=rf"GuidedBackprop cannot know whether '{name}\w*' is a"):
        el.GuidedBackprop()(model, DATA[:1], torch.tensor([0]))


def test_patterns_of_a_convolution_along_a_line_are_those_of_one_in_a_picture():
    torch.manual_seed(0)
    line = nn.Conv1d(8, 6, 3, stride=2, padding=1, dilation=2, groups=2).double()
    plane = nn.Conv2d(8, 6, (1, 3), (1, 2), (0, 1), (1, 2), groups=2).double()
    plane.load_state_dict(
        {name: v.view_as(plane.state_dict()[name]) for name, v in line.state_dict().items()}
    )
    dense = nn.Linear(66, 4).double()
    rest = nn.Sequential(nn.ReLU(), nn.Flatten(), dense)
    (found, _), map_ = fitted(
        nn.Sequential(nn.Flatten(1, 1), nn.Unflatten(1, (3,)), Rows(line), rest).eval()
    )
    (expected, _), expected_map = fitted(nn.Sequential(Rows(plane), rest).eval())
    torch.testing.assert_close(found, expected.squeeze(2))
    torch.testing.assert_close(map_, expected_map)


class Rows(nn.Module):
    """Takes each column of a picture as a channel: (N, 8, 24), or (N, 8, 1, 24)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.flat = layer, isinstance(layer, nn.Conv1d)

    def forward(self, images: Tensor) -> Tensor:
        rows = images.transpose(1, 3).flatten(2)
        return self.layer(rows if self.flat else rows.unsqueeze(2))


class Pairs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Bilinear(192, 192, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1), images.flatten(1))


class Multiplied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 192))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T


def recurrent() -> nn.Module:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.LSTM(8, 4, batch_first=True)

        def forward(self, images: Tensor) -> Tensor:
            return self.layer(images.flatten(1, 2))[0][:, -1]

    return Last()


HIDDEN = {
    "layer.*Bilinear": Pairs,
    "matmul.*matmul": Multiplied,
    "layer.*LSTM": recurrent,
    "_1_self_attn.*MultiheadAttention": lambda: nn.Sequential(
        nn.Flatten(1, 2), nn.TransformerEncoderLayer(8, 2, 8, batch_first=True), nn.Flatten()
    ),
    "_0.*ConvTranspose2d": lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3), nn.Flatten()),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_weights_that_have_no_pattern_are_named(name):
    model = HIDDEN[name]().double().eval()
    layer, kind = name.split(".*")
    message = rf"no pattern for the weights of the layer '{layer}' \(<?.*{kind}"
    with pytest.raises(ValueError, match=message):
        el.fit_patterns(model, DATA)
    with pytest.raises(ValueError, match=message):
        el.PatternAttribution({"0": torch.ones(1)})(model, DATA[:1], torch.tensor([0]))


def test_a_network_without_neurons_has_no_patterns():
    with pytest.raises(ValueError, match="no layer with a pattern"):
        el.fit_patterns(nn.Sequential(nn.AvgPool2d(2), nn.Flatten()).double().eval(), DATA)


def test_what_scales_each_number_by_itself_needs_no_pattern():
    layers = nn.BatchNorm2d(4), nn.PReLU(4), nn.LayerNorm((4, 6, 6)), nn.GroupNorm(2, 4)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), *layers, nn.Flatten(), nn.Linear(144, 4))
    patterns, found = fitted(model.double().eval())
    assert len(patterns) == 2
    assert found.isfinite().all()
