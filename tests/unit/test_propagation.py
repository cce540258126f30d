import math
import pickle

import pytest
import torch
import torch.nn.functional as F
import zennit.composites
import zennit.core
import zennit.layer
import zennit.rules
import zennit.torchvision
import zennit.types
from captum.attr import GuidedBackprop as CaptumGuidedBackprop
from forwards import needs_newer_torch
from torch import nn
from untrained import untrained

import explman_lite as el
from explman_lite.explainers import kinds, lrp
from explman_lite.explainers.propagation import Propagation

EPSILON = 1e-6


def relative_error(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def vgg_like(bias=True):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=bias), nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2, bias=bias), nn.ReLU(),
        nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(32, 10, bias=bias), nn.ReLU(), nn.Linear(10, 4, bias=bias),
    ).double().eval()  # fmt: skip


class ShareByMagnitude(zennit.core.BasicHook):
    """Our rule for sums, in zennit's words."""

    def __init__(self):
        super().__init__(
            input_modifiers=[torch.abs],
            param_modifiers=[zennit.core.ParamMod(lambda param, _: param)],
            output_modifiers=[lambda output: output],
            gradient_mapper=lambda relevance, outputs: relevance / (outputs[0] + EPSILON),
            reducer=lambda inputs, gradients: inputs[0] * gradients[0],
        )


def zennit_relevance(model, images, classes, inner):
    """Compute LRP with zennit: the inner rule, z-box on the first layer, our rule for sums."""
    low, high = torch.zeros_like(images[:1]), torch.ones_like(images[:1])
    first = zennit.rules.ZBox(low, high, stabilizer=EPSILON)
    last_rules = [
        (zennit.types.Activation, zennit.rules.Pass()),
        (zennit.types.AvgPool, zennit.rules.Norm(stabilizer=EPSILON)),
        (zennit.layer.Sum, ShareByMagnitude()),
        (zennit.types.Linear, inner),
    ]
    composite = zennit.composites.SpecialFirstLayerMapComposite(
        last_rules,
        [(zennit.types.Linear, first)],
        canonizers=[
            zennit.torchvision.ResNetCanonizer(),
            zennit.canonizers.SequentialMergeBatchNorm(),
        ],
    )
    inputs = images.clone().requires_grad_()
    with composite.context(model) as modified:
        logits = modified(inputs)
        seed = torch.zeros_like(logits)
        picked = classes.unsqueeze(1)
        seed.scatter_(1, picked, logits.detach().gather(1, picked))
        (relevance,) = torch.autograd.grad(logits, inputs, seed)
    return relevance


INNER = {
    "zplus": lambda: zennit.rules.ZPlus(stabilizer=EPSILON, zero_params=["bias"]),
    "epsilon": lambda: zennit.rules.Epsilon(epsilon=EPSILON),
    "gamma": lambda: zennit.rules.Gamma(gamma=0.25, stabilizer=EPSILON, zero_params=["bias"]),
}


@pytest.mark.parametrize("inner", INNER)
def test_lrp_agrees_with_zennit(inner, images, classes):
    model = vgg_like()
    expected = zennit_relevance(model, images, classes, INNER[inner]())
    assert relative_error(el.LRP(inner)(model, images, classes), expected) < 1e-5


def refuses_to_divide_by_nothing() -> bool:
    try:
        F.batch_norm(torch.ones(1, 1), torch.ones(1), torch.ones(1), eps=0.0)
    except ValueError:
        return True
    return False


folded_by_zennit = pytest.mark.skipif(
    refuses_to_divide_by_nothing(), reason="this PyTorch refuses what zennit folds a batch norm to"
)


@pytest.mark.parametrize("name", ["vgg16", pytest.param("resnet18", marks=folded_by_zennit)])
def test_lrp_agrees_with_zennit_on_large_networks(name):
    model = untrained(name).double().eval()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.bias is None:
            # Without a bias zennit cannot undo its folding of batch norm.
            layer.bias = nn.Parameter(torch.zeros_like(layer.weight[:, 0, 0, 0]))
        if isinstance(layer, nn.BatchNorm2d):
            # What zennit leaves behind of a folded batch norm divides by √(1 + eps).
            layer.eps = 1e-12
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
    images, classes = torch.rand(1, 3, 64, 64, dtype=torch.float64), torch.tensor([7])
    found = el.LRP()(model, images, classes)
    assert relative_error(found, zennit_relevance(model, images, classes, INNER["zplus"]())) < 1e-5


@pytest.mark.parametrize("name", ["small", "vgg16", "resnet18"])
def test_guided_backprop_agrees_with_captum(name):
    model = vgg_like() if name == "small" else untrained(name).double().eval()
    size = 16 if name == "small" else 64
    images, classes = torch.rand(2, 3, size, size, dtype=torch.float64), torch.tensor([1, 3])
    found = el.GuidedBackprop()(model, images, classes)
    captums = model if name != "resnet18" else without_shared_relu(model)
    expected = CaptumGuidedBackprop(captums).attribute(images.clone().requires_grad_(), classes)
    assert relative_error(found, expected) < 1e-5


def without_shared_relu(model):
    """Give captum, whose hooks take each module once, a ReLU of its own for each use."""
    network = el.prepare(model)
    modules = dict(network.named_modules())
    for node in network.graph.nodes:
        if node.op == "call_module" and isinstance(modules[node.target], nn.ReLU):
            node.target = f"{node.target}_{node.name}"
            modules[node.target] = nn.ReLU()
    return el.Network(modules, network.graph).eval()


class SqueezeAndExcite(nn.Module):
    """Weights its channels; the weights are expanded to the shape of what they multiply."""

    def __init__(self):
        super().__init__()
        self.convolution, self.gate = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

    def forward(self, images):
        h = self.convolution(images).relu()
        gate = self.gate(h.mean((2, 3))).sigmoid()[:, :, None, None]
        return (h * gate.expand_as(h)).mean((2, 3))


def test_the_walk_passes_a_layer_that_reads_only_the_shape_of_an_input(images, classes):
    torch.manual_seed(0)
    model = SqueezeAndExcite().double().eval()
    expected = el.Gradient()(model, images, classes)
    torch.testing.assert_close(Propagation()(model, images, classes), expected)


def test_a_refusal_on_the_way_forward_keeps_its_words(network):
    images = torch.rand(2, 1, 16, 16, dtype=torch.float64)
    for call in (
        lambda: el.GuidedBackprop()(network, images, torch.tensor([0, 1])),
        lambda: el.fit_patterns(network, images),
    ):
        with pytest.raises(ValueError, match=r"^expected images with C = 3, got C = 1$"):
            call()


def test_without_a_rule_the_walk_is_the_chain_rule(network, images, classes):
    class ChainRule(Propagation):
        pass

    expected = el.Gradient()(network, images, classes)
    torch.testing.assert_close(ChainRule()(network, images, classes), expected)


@pytest.mark.parametrize("inner", ["zplus", "gamma", "epsilon"])
def test_lrp_conserves_relevance_without_biases(inner, images, classes):
    model = vgg_like(bias=False)
    logits = model(images).gather(1, classes.unsqueeze(1)).squeeze(1)
    total = el.LRP(inner, epsilon=1e-12)(model, images, classes).sum(dim=(1, 2, 3))
    torch.testing.assert_close(total, logits, rtol=1e-6, atol=1e-9)


def test_lrp_zplus_conserves_relevance_even_with_biases(network, images, classes):
    logits = network(images).gather(1, classes.unsqueeze(1)).squeeze(1)
    total = el.LRP(epsilon=1e-12)(network, images, classes).sum(dim=(1, 2, 3))
    torch.testing.assert_close(total, logits, rtol=2e-2, atol=0)


def test_lrp_splits_a_weight_once_and_again_when_it_changes(network, images, classes):
    explainer = el.LRP()
    first = explainer(network, images, classes)
    layers = [layer for layer in network.modules() if isinstance(layer, kinds.WEIGHTED.modules)]
    known = {layer: lrp._SPLIT[layer] for layer in layers}
    torch.testing.assert_close(explainer(network, images, classes), first, rtol=0, atol=0)
    assert known
    assert all(lrp._SPLIT[layer] is split for layer, split in known.items())
    with torch.no_grad():
        for layer in known:
            layer.weight.mul_(-0.5)
    changed = explainer(network, images, classes)
    torch.testing.assert_close(changed, el.LRP()(network, images, classes), rtol=0, atol=0)
    network.float()
    assert explainer(network, images.float(), classes).dtype == torch.float32


def test_lrp_keeps_split_weights_on_the_meta_device(network, images, classes):
    network.to("meta")
    layer = next(layer for layer in network.modules() if isinstance(layer, nn.Linear))
    positive, _ = lrp._signed_weights(layer)
    assert lrp._signed_weights(layer)[0] is positive


def test_lrp_can_be_stored_after_use(network, images, classes):
    explainer = el.LRP("gamma", gamma=0.5)
    expected = explainer(network, images, classes)
    again = pickle.loads(pickle.dumps(explainer))
    assert (again.inner, again.gamma) == ("gamma", 0.5)
    torch.testing.assert_close(again(network, images, classes), expected)


def test_lrp_epsilon_is_gradient_times_input_without_biases(images, classes):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Identity(), nn.Flatten(), nn.Linear(768, 10, bias=False), nn.ReLU(),
        nn.Linear(10, 4, bias=False),
    ).double().eval()  # fmt: skip
    first = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.ReLU()).double()
    nn.init.dirac_(first[0].weight)
    whole = nn.Sequential(first, model).eval()
    found = el.LRP("epsilon", epsilon=1e-12)(whole, images, classes)
    expected = el.GradientTimesInput()(whole, images, classes)
    torch.testing.assert_close(found, expected)


class Added(nn.Module):
    """Two layers; what passes between them is given to ``add`` together with a constant."""

    def __init__(self, add, constant=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.flatten = nn.Flatten()
        self.first, self.last = nn.Linear(768, 24, bias=False), nn.Linear(24, 4, bias=False)
        self.add = add
        self.register_buffer("constant", torch.tensor(constant))

    def forward(self, images):
        return self.last(self.add(self.first(self.flatten(images)).relu(), self.constant))


@pytest.mark.parametrize("inner", ["zplus", "gamma", "epsilon"])
@pytest.mark.parametrize(
    "add", [lambda h, _: h + h, lambda h, _: torch.add(h, other=h)], ids=["operator", "keyword"]
)
def test_lrp_of_a_value_added_to_itself_is_that_of_twice_the_value(inner, add, images, classes):
    twice = Added(lambda h, _: h).double().eval()
    twice.last.weight.data *= 2
    expected = el.LRP(inner, epsilon=1e-12)(twice, images, classes)
    found = el.LRP(inner, epsilon=1e-12)(Added(add).double().eval(), images, classes)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    "add",
    [lambda h, b: h + b, lambda h, b: h + -1.0, lambda h, b: torch.add(h, other=-1.0)],
    ids=["buffer", "number", "keyword"],
)
def test_lrp_zplus_sees_that_a_constant_can_make_a_value_negative(add, images, classes):
    model = Added(add, -1.0).double().eval()
    h = model.first(images.flatten(1)).relu() - 1
    weight = model.last.weight[classes]
    contributions = h.clamp(min=0) * weight.clamp(min=0) + h.clamp(max=0) * weight.clamp(max=0)
    logits = model(images).gather(1, classes.unsqueeze(1)).squeeze(1)
    shares = contributions / contributions.sum(1, keepdim=True) * logits.unsqueeze(1)
    arriving = torch.where(h > -1, shares, 0)
    low = model.first.weight.clamp(max=0)
    numerators = images.flatten(1).unsqueeze(1) * model.first.weight - low
    expected = (numerators / numerators.sum(2, keepdim=True) * arriving.unsqueeze(2)).sum(1)
    found = el.LRP(epsilon=1e-12)(model, images, classes).flatten(1)
    torch.testing.assert_close(found, expected.detach())


def test_lrp_zbox_with_bounds_per_channel_by_hand():
    layer = nn.Linear(2, 1, bias=True)
    layer.weight.data, layer.bias.data = torch.tensor([[2.0, -1.0]]), torch.tensor([5.0])
    model = el.prepare(nn.Sequential(nn.Flatten(), layer), mean=[0.5, 0.0], std=[0.5, 1.0])
    images = torch.tensor([0.75, 0.25]).view(1, 2, 1, 1)
    # After normalisation x = (0.5, 0.25), l = (-1, 0), h = (1, 1), so that
    # z = (2·0.5 − (−1)·2, −0.25 − 1·(−1)) = (3, 0.75), and the logit is 1 − 0.25 + 5.
    expected = 5.75 * torch.tensor([3 / 3.75, 0.75 / 3.75])
    found = el.LRP()(model, images, torch.tensor([0])).flatten()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", [nn.Softmax(1), nn.Softmin(1)], ids=["Softmax", "Softmin"])
def test_lrp_names_a_layer_that_it_has_no_rule_for(layer):
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), layer, nn.Linear(3, 2)).eval()
    with pytest.raises(ValueError, match=rf"no rule for the layer '_2' \({type(layer).__name__}\)"):
        el.LRP()(model, torch.rand(1, 1, 2, 2), torch.tensor([0]))


def test_guided_backprop_wants_something_to_guide_at():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.GELU(), nn.Linear(3, 2)).eval()
    with pytest.raises(ValueError, match="this network has none"):
        el.GuidedBackprop()(model, torch.rand(1, 1, 2, 2), torch.tensor([0]))


class Halves(nn.Module):
    """Goes two ways after its first layer, and takes one or both."""

    def __init__(self, join):
        super().__init__()
        self.join = join

    def forward(self, images):
        return self.join((images.flatten(1) - 0.5).relu().chunk(2, dim=1))


def test_the_walk_goes_on_from_one_of_several_outputs():
    images, classes = torch.rand(1, 1, 2, 2), torch.tensor([1])
    model = Halves(lambda halves: halves[0] + 2 * halves[1]).eval()
    expected = el.Gradient()(model, images, classes)
    assert expected.any()
    torch.testing.assert_close(el.GuidedBackprop()(model, images, classes), expected)


@needs_newer_torch
def test_a_layer_with_several_outputs_that_are_taken_together_is_named():
    with pytest.raises(ValueError, match=r"no rule for the layer 'chunk'.* and 'cat' takes them"):
        el.GuidedBackprop()(
            Halves(lambda halves: torch.cat(halves, 1)).eval(),
            torch.rand(1, 1, 2, 2),
            torch.tensor([0]),
        )


def test_guided_backprop_finds_the_relu_of_an_encoder_layer_in_every_spelling():
    maps = []
    for activation in (F.relu, "relu", nn.ReLU()):
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, activation=activation)
        layers = nn.Flatten(1, 2), layer, nn.Flatten(), nn.Linear(12, 3)
        model = nn.Sequential(*layers).eval()
        images = torch.linspace(0, 1, 12).view(1, 1, 3, 4)
        maps.append(el.GuidedBackprop()(model, images, torch.tensor([0])))
        assert not torch.allclose(maps[-1], el.Gradient()(model, images, torch.tensor([0])))
    assert torch.equal(maps[0], maps[1])
    assert torch.equal(maps[0], maps[2])


class Biased(nn.Module):
    """Has a ReLU that no pixel passes, as torchvision's swin_v2_t has in its position bias."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 12))

    def forward(self, images):
        return images.flatten(1) @ self.weight.relu().T


def test_a_relu_that_no_pixel_passes_is_nothing_to_guide_at():
    with pytest.raises(ValueError, match="this network has none"):
        el.GuidedBackprop()(Biased().eval(), torch.rand(1, 1, 3, 4), torch.tensor([0]))


class Recurrent(nn.Module):
    def __init__(self, nonlinearity):
        super().__init__()
        self.relu, self.rnn = nn.ReLU(), nn.RNN(4, 3, nonlinearity=nonlinearity, batch_first=True)

    def forward(self, images):
        return self.rnn(self.relu(images.flatten(1, 2)))[0][:, -1]


def test_guided_backprop_passes_a_recurrent_layer_unless_there_is_a_relu_inside():
    images, classes = torch.rand(1, 1, 3, 4), torch.tensor([0])
    model = Recurrent("tanh").eval()
    torch.testing.assert_close(
        el.GuidedBackprop()(model, images, classes),
        el.Gradient()(model, images, classes).clamp(min=0),
    )
    with pytest.raises(ValueError, match=r"the layer 'rnn' \(RNN\) has a ReLU inside"):
        el.GuidedBackprop()(Recurrent("relu").eval(), images, classes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"inner": "z"}, "'epsilon', 'gamma' or 'zplus'"), ({"epsilon": 0}, "epsilon must be"),
     ({"gamma": -1}, "gamma must be")],
)  # fmt: skip
def test_lrp_refuses_bad_parameters(arguments, message):
    with pytest.raises(ValueError, match=message):
        el.LRP(**arguments)


@pytest.fixture
def patterns(network):
    generator = torch.Generator().manual_seed(5)
    data = torch.rand(70, 3, 16, 16, dtype=torch.float64, generator=generator)
    return el.fit_patterns(network, data)


def test_each_neurons_weight_times_pattern_is_one(network, patterns):
    for name, pattern in patterns.items():
        weight = network.get_submodule(name).weight
        assert pattern.shape == weight.shape
        torch.testing.assert_close(
            (weight * pattern).flatten(1).sum(dim=1), torch.ones(len(weight)).double()
        )


def test_patterns_of_a_dense_layer_are_covariance_over_variance_where_it_fires():
    torch.manual_seed(0)
    layer = nn.Linear(6, 3).double()
    network = el.prepare(nn.Sequential(nn.Flatten(), layer, nn.ReLU()))
    data = torch.rand(200, 1, 2, 3, dtype=torch.float64)
    layer.bias.data.copy_(-layer.weight.data.sum(dim=1) / 2)
    (pattern,) = el.fit_patterns(network, data).values()
    x = data.flatten(1)
    for neuron in range(3):
        y = x @ layer.weight[neuron].detach()
        fires = y + layer.bias[neuron] > 0
        joint = torch.cov(torch.cat([x[fires], y[fires].unsqueeze(1)], dim=1).T, correction=0)
        torch.testing.assert_close(pattern[neuron], joint[:6, 6] / joint[6, 6])


def test_patterns_of_a_convolution_are_those_of_a_dense_layer_on_its_patches():
    torch.manual_seed(0)
    convolution = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2).double()
    network = el.prepare(nn.Sequential(convolution, nn.ReLU()))
    data = torch.rand(20, 4, 8, 8, dtype=torch.float64)
    (pattern,) = el.fit_patterns(network, data).values()
    patches = nn.functional.unfold(data, 3, padding=1, stride=2).transpose(1, 2).flatten(0, 1)
    for group in range(2):
        seen = patches.view(-1, 2, 18)[:, group].reshape(-1, 1, 1, 18)
        dense = nn.Linear(18, 3).double()
        own = slice(3 * group, 3 * group + 3)
        dense.weight.data, dense.bias.data = (
            convolution.weight[own].flatten(1),
            convolution.bias[own],
        )
        (expected,) = el.fit_patterns(
            el.prepare(nn.Sequential(nn.Flatten(), dense, nn.ReLU())), seen
        ).values()
        torch.testing.assert_close(pattern[own].flatten(1), expected)


def test_patterns_of_a_dense_layer_on_tokens_are_those_on_its_positions():
    torch.manual_seed(0)
    layer = nn.Linear(4, 6).double()
    images = torch.rand(20, 3, 5, 4, dtype=torch.float64)
    (found,) = el.fit_patterns(el.prepare(nn.Sequential(layer, nn.ReLU())), images).values()
    one_by_one = nn.Sequential(nn.Flatten(), layer, nn.ReLU())
    data = images.reshape(-1, 1, 1, 4)
    (expected,) = el.fit_patterns(el.prepare(one_by_one), data).values()
    torch.testing.assert_close(found, expected)


def test_patterns_are_fitted_on_few_large_images_at_a_time():
    network = el.prepare(nn.Sequential(nn.Conv2d(1, 1, 1, stride=8), nn.Flatten()))
    sizes = []
    network.get_submodule("0").register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    el.fit_patterns(network, torch.rand(5, 1, 448, 224))
    el.fit_patterns(network, torch.rand(5, 1, 28, 28))
    assert sizes == [2, 2, 1, 5]


def test_a_neuron_that_never_fires_gets_the_pattern_of_white_noise():
    layer = nn.Linear(4, 2)
    layer.bias.data[1] = -100
    network = el.prepare(nn.Sequential(nn.Flatten(), layer, nn.ReLU()))
    (pattern,) = el.fit_patterns(network, torch.rand(30, 1, 2, 2)).values()
    weight = layer.weight[1].detach()
    torch.testing.assert_close(pattern[1], weight / weight.square().sum())
    assert pattern.isfinite().all()


def test_a_neuron_without_weights_gets_a_pattern_of_zeros():
    layer = nn.Linear(4, 2)
    layer.weight.data[1] = 0
    network = el.prepare(nn.Sequential(nn.Flatten(), layer))
    (pattern,) = el.fit_patterns(network, torch.rand(30, 1, 2, 2)).values()
    assert pattern[1].abs().max() == 0
    assert pattern[0].abs().min() > 0


def test_patterns_need_two_images(network, images):
    with pytest.raises(ValueError, match="at least two"):
        el.fit_patterns(network, images[:1])


def test_pattern_attribution_of_a_linear_network_is_weight_times_pattern_times_output():
    torch.manual_seed(0)
    layer = nn.Linear(4, 2)
    network = el.prepare(nn.Sequential(nn.Flatten(), layer))
    patterns = el.fit_patterns(network, torch.rand(30, 1, 2, 2))
    images = torch.rand(1, 1, 2, 2)
    found = el.PatternAttribution(patterns)(network, images, torch.tensor([1]))
    (pattern,) = patterns.values()
    expected = (layer.weight * pattern)[1] * network(images)[0, 1]
    torch.testing.assert_close(found.flatten(), expected.detach())


@pytest.mark.parametrize("activation", [nn.LeakyReLU, nn.SiLU, nn.Hardswish])
def test_patterns_and_their_attribution_are_the_same_for_an_activation_in_place(activation):
    images, classes = torch.rand(8, 1, 6, 6, dtype=torch.float64), torch.tensor([1] * 8)
    results = []
    for inplace in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3), activation(inplace=inplace), nn.Flatten(), nn.Linear(64, 2)
        )
        model.double().eval()
        patterns = el.fit_patterns(model, images)
        results.append(
            (*patterns.values(), el.PatternAttribution(patterns)(model, images, classes))
        )
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_bad_patterns_are_refused(network, images, classes, patterns):
    first = next(iter(patterns))
    with pytest.raises(ValueError, match="NaN or infinity"):
        el.PatternAttribution({**patterns, first: patterns[first] * math.nan})
    with pytest.raises(ValueError, match="zero everywhere"):
        el.PatternAttribution({**patterns, first: patterns[first] * 0})
    with pytest.raises(ValueError, match=f"no pattern for layer '{first}'"):
        missing = {name: value for name, value in patterns.items() if name != first}
        el.PatternAttribution(missing)(network, images, classes)
    with pytest.raises(ValueError, match="has the shape"):
        el.PatternAttribution({**patterns, first: patterns[first][:1]})(network, images, classes)
