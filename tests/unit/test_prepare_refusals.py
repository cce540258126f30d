"""What `prepare` refuses, and what it looks into: hooks, states, wrappers, hidden layers."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from forwards import Forward
from torch import nn
from torch.ao.quantization import quantize_dynamic
from torch.nn.modules import module as global_hooks
from torch.nn.utils import prune, spectral_norm, weight_norm

import explman_lite as el
from explman_lite.networks.refusals import hidden_rectifiers, refuse_state

HOOKS = {
    "forward": lambda part, hook: part.register_forward_hook(hook),
    "forward-pre": lambda part, hook: part.register_forward_pre_hook(hook),
    "backward": lambda part, hook: part.register_full_backward_hook(hook),
    "backward-pre": lambda part, hook: part.register_full_backward_pre_hook(hook),
}


@pytest.mark.parametrize("kind", HOOKS)
@pytest.mark.parametrize(
    ("name", "words"),
    {
        "": "the model",
        "0": "the layer '0'",  # a convolution
        "1": "the layer '1'",  # batch norm
        "2": "the layer '2'",  # a ReLU
        "3": "the layer '3'",  # a block
        "3.norm": "the layer '3.norm'",
        "9": "the layer '9'",  # dropout
    }.items(),
)
def test_a_hook_is_named(raw, kind, name, words):
    calls = []

    def doubled(*arguments):
        calls.append(arguments)

    HOOKS[kind](raw.get_submodule(name), doubled)
    with pytest.raises(ValueError, match=rf"{words} has a {kind} hook \(.*doubled\)"):
        el.prepare(raw)
    assert not calls


def test_a_hook_for_all_modules_is_named(raw):
    handle = global_hooks.register_module_forward_hook(lambda *_: None)
    try:
        with pytest.raises(ValueError, match="a global forward hook for all modules is set"):
            el.prepare(raw)
    finally:
        handle.remove()
    el.prepare(raw)


@pytest.mark.parametrize("frozen", [True, False])
def test_hooks_of_the_prepared_network_are_not_those_of_the_original(raw, images, frozen):
    raw[4] = nn.Conv2d(6, 6, 2, 2).double()
    network, calls = el.prepare(raw, frozen=frozen), []
    for name in ("4", "6", "7", "10"):
        network.get_submodule(name).register_forward_hook(lambda *_: calls.append(1))
    raw(images)
    assert not calls
    network(images)
    assert len(calls) == 4  # those that the comparison makes are not among them


def test_a_hook_that_smoothing_would_lose_is_named(network):
    network.get_submodule("6").register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="the layer '6' has a forward hook"):
        el.smoothed(network, 1.0)


@pytest.mark.parametrize(
    ("compute", "words"),
    [
        (lambda layer: prune.l1_unstructured(layer, "weight", 0.5), r"prune\.remove"),
        (weight_norm, "remove_weight_norm"),
        (spectral_norm, "remove_spectral_norm"),
    ],
)
def test_a_weight_that_a_hook_computes_is_named(raw, images, compute, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compute(raw[0])
    raw(images)
    with pytest.raises(ValueError, match=rf"the layer '0' computes its weights in a hook.*{words}"):
        el.prepare(raw)


def test_a_pruned_layer_is_taken_once_the_pruning_is_made_permanent(raw, images):
    prune.l1_unstructured(raw[0], "weight", 0.5)
    prune.remove(raw[0], "weight")
    torch.testing.assert_close(el.prepare(raw)(images), raw(images))


@pytest.mark.parametrize("name", ["1", "3.norm", "9"])
def test_a_part_in_training_mode_is_named(raw, images, classes, name):
    raw.get_submodule(name).train()
    before = copy.deepcopy(raw.state_dict())
    for call in (
        lambda: el.prepare(raw),
        lambda: el.Gradient()(raw, images, classes),
        lambda: el.SmoothGrad()(raw, images, classes),
    ):
        with pytest.raises(ValueError, match=rf"the layer '{name}' is in training mode"):
            call()
    assert all(torch.equal(value, before[key]) for key, value in raw.state_dict().items())


def test_a_part_that_computes_the_same_in_both_modes_is_taken(raw, images):
    raw[10] = nn.Linear(8, 3).double()
    assert raw[10].training
    torch.testing.assert_close(el.prepare(raw)(images), raw(images))
    assert raw[10].training


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.SyncBatchNorm])
def test_batch_norm_of_the_batch_is_named(norm):
    model = Forward(lambda net, h: net.norm(h), norm=norm(4, track_running_stats=False))
    for refuse in (el.prepare, refuse_state):
        with pytest.raises(ValueError, match="the layer 'norm' normalises by the batch at hand"):
            refuse(model)


def test_a_quantised_layer_is_named(raw):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = quantize_dynamic(raw.float(), {nn.Linear})
    with pytest.raises(ValueError, match="the layer '10' is quantised"):
        el.prepare(quantised)


def test_a_layer_without_weights_yet_is_named():
    with pytest.raises(ValueError, match="the layer '1' has no weights yet"):
        el.prepare(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)))


@pytest.mark.parametrize("compile_", [torch.jit.script, lambda m: torch.jit.trace(m, IMAGE)])
@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_scripted_network_or_layer_is_named(compile_):
    scripted = compile_(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).eval())
    for model, words in ((scripted, "the model"), (nn.Sequential(scripted), "the layer '0'")):
        with pytest.raises(ValueError, match=rf"{words} was scripted by torch\.jit"):
            el.prepare(model)


IMAGE = torch.rand(1, 3, 8, 8)


def test_a_name_is_no_network():
    with pytest.raises(TypeError, match="got 'resnet18': load_model loads"):
        el.prepare("resnet18")


def compiled_in_place(model):
    model.compile()
    return model


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        torch.compile,
        compiled_in_place,
        lambda m: nn.DataParallel(torch.compile(m)),
    ],
    ids=["DataParallel", "compile", "compile()", "both"],
)
def test_wrappers_are_looked_into(raw, images, classes, wrap):
    expected = el.GuidedBackprop()(raw, images, classes)
    wrapped = wrap(copy.deepcopy(raw))
    network = el.prepare(wrapped)
    assert {name for name, _ in network.named_modules()} == {
        name for name, _ in el.prepare(raw).named_modules()
    }
    torch.testing.assert_close(network(images), raw(images))
    torch.testing.assert_close(el.GuidedBackprop()(network, images, classes), expected)
    torch.testing.assert_close(
        el.GuidedBackprop()(
            nn.Sequential(nn.Identity(), nn.DataParallel(raw)).eval(), images, classes
        ),
        expected,
    )


class Tokens(nn.Module):
    """A convolution that makes tokens, a layer on them, and a dense layer."""

    def __init__(self, layer):
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.layer = nn.Conv2d(3, 8, 4, 4), layer
        self.dense = nn.Linear(8, 4)
        self.double().eval()

    def forward(self, images):
        tokens = self.layer(self.patches(images).flatten(2).transpose(1, 2))
        return self.dense((tokens[0] if isinstance(tokens, tuple) else tokens)[:, 0])


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_transformer_layer_is_looked_into(images, classes, norm_first):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first)
    model = Tokens(layer)
    network = el.prepare(model)
    torch.testing.assert_close(network(images), model(images))
    assert not hidden_rectifiers(network)
    expected = el.Gradient()(model, images, classes)
    torch.testing.assert_close(el.Gradient()(network, images, classes), expected)
    layer.activation = lambda x: F.softplus(x, beta=2.0)
    torch.testing.assert_close(el.smoothed(network, 2.0)(images), model(images))


class Recurrent(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, tokens):
        return self.layer(tokens)[0]


@pytest.mark.parametrize(
    "layer",
    [
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2),
        Recurrent(nn.RNN(8, 8, nonlinearity="relu", batch_first=True)),
    ],
    ids=["TransformerEncoder", "RNN"],
)
def test_a_relu_that_cannot_be_looked_at_is_named_where_it_matters(images, classes, layer):
    model = Tokens(layer)
    network = el.prepare(model)
    torch.testing.assert_close(network(images), model(images))
    assert hidden_rectifiers(network)
    for call in (
        lambda: el.smoothed(network, 1.0),
        lambda: el.GuidedBackprop()(network, images, classes),
        lambda: el.BetaSmoothing(el.Gradient(), 1.0)(network, images, classes),
    ):
        with pytest.raises(ValueError, match=r"the layer 'layer.*has a ReLU inside"):
            call()


def test_a_layer_with_another_nonlinearity_is_no_relu(images):
    network = el.prepare(Tokens(Recurrent(nn.LSTM(8, 8, batch_first=True))))
    assert not hidden_rectifiers(network)
    assert el.Gradient()(network, images, torch.tensor([0, 1, 2])).any()


def test_a_layer_whose_forward_was_replaced_is_traced_as_it_is(raw, images):
    raw[6].forward = lambda x: x.clamp(min=-1)
    torch.testing.assert_close(el.prepare(raw)(images), raw(images))
    raw.forward = lambda x: 2 * nn.Sequential.forward(raw, x)
    torch.testing.assert_close(el.prepare(raw)(images), raw(images))
