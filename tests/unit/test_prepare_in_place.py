"""Networks that change tensors in place: what the prepared network computes, and changes not."""

import operator

import pytest
import torch
import torch.nn.functional as F
from forwards import Forward
from torch import fx, nn

import explman_lite as el
from explman_lite.explainers.propagation import Propagation


def add_changed(change):
    def forward(_, h):
        before = h + 1
        changed = change(h)
        return before * changed + h

    return forward


def add_twice_changed(_, h):
    changed = F.relu(h, True)
    changed.add_(1)
    return F.leaky_relu(h, 0.5, True) - h * changed


IN_PLACE = {
    "module": (lambda net, h: h + net.relu(h), {"relu": nn.ReLU(inplace=True)}),
    "dropout": (lambda net, h: h + net.drop(h).relu_(), {"drop": nn.Dropout(inplace=True)}),
    "F.relu": (add_changed(lambda h: F.relu(h, True)), {}),
    "F.leaky_relu": (add_changed(lambda h: F.leaky_relu(input=h, inplace=True)), {}),
    "F.hardtanh": (add_changed(lambda h: F.hardtanh(h, -0.1, 0.1, True)), {}),
    "relu_": (add_changed(lambda h: h.relu_()), {}),
    "torch.relu_": (add_changed(torch.relu_), {}),
    "add_": (add_changed(lambda h: h.add_(0.5)), {}),
    "not": (add_changed(lambda h: F.avg_pool2d(h, 3, 1, 1, True)), {}),
    "several": (add_twice_changed, {}),
}


@pytest.mark.parametrize(("forward", "layers"), IN_PLACE.values(), ids=IN_PLACE.keys())
def test_prepare_keeps_the_meaning_of_in_place_layers(forward, layers, images):
    model = Forward(forward, **layers)
    network = el.prepare(model)
    torch.testing.assert_close(network(images), model(images))
    assert not any(getattr(layer, "inplace", False) for layer in network.modules())
    changed = fx.Interpreter(network, garbage_collect_values=False)
    changed.run(images)
    name = next(node for node in network.graph.nodes if node.target == "convolution")
    torch.testing.assert_close(changed.env[name], model.convolution(images))


def spelled(*lines):
    """Make a forward pass of lines of code, so that its name shows them."""
    code = "def forward(net, h):\n" + "".join(f"    {line}\n" for line in lines)
    names = {"F": F, "torch": torch, "operator": operator}
    exec(code, names)
    return names["forward"]


STATEMENTS = [
    ("y = h * 2", "y.sub_(h)", "return y + h"),
    ("gate = h.mean((2, 3), keepdim=True).sigmoid()", "h.mul_(gate)", "return h + 1"),
    ("h.clamp_(min=0)", "return h"),
    ("h.copy_(h.relu())", "return h"),
    ("before = h * 2", "h.zero_()", "return h + before"),
    ("before = h * 2", "h.fill_(3.0)", "return h + before"),
    ("h.masked_fill_(h < 0, 0)", "return h"),
    ("h.transpose_(2, 3)", "return h"),
    ("torch.sigmoid_(h)", "return h"),
    ("F.elu_(h)", "return h"),
    ("F.threshold_(h, 0.0, 0.0)", "return h"),
    ("a = h", "a += 1", "return h * a"),
    ("a = h", "a *= 2", "return h * 3 - a"),
    ("operator.iadd(h, 1)", "return h"),
    ("h[:, 0] = 0", "return h.relu()"),
    ("h[:, 0] = h[:, 1]", "return h.relu()"),
    ("h[h < 0] = 0", "return h"),
    ("z = torch.zeros_like(h)", "z[:, 1:3] = h[:, 1:3]", "z[:, 0].add_(h[:, 0])", "return z"),
    ("h[h < 0].add_(5)", "return h"),
]
VIEWS = [
    ("h[:, :2].relu_()", "return h"),
    ("h[:, :2] += 1", "return h.relu()"),
    ("v = h[:, :2]", "v.relu_()", "v.add_(1)", "return h * v.mean((1, 2, 3), keepdim=True)"),
    ("v = h.flatten(2)", "v.relu_()", "return h"),
    ("v = h.view(h.shape[0], -1)", "h.relu_()", "return h + v.view_as(h)"),
    ("v = h.transpose(1, 2)", "v.relu_()", "return h"),
    ("v = h.flatten(2)[:, 1:3]", "v.relu_()", "return h + h[:, 2, None]"),
    ("w = h[:, 2]", "v = h.flatten(2)[:, 1:3]", "v.relu_()", "return h + w[:, None]"),
    ("v = h.permute(0, 2, 3, 1)", "v.relu_()", "return v.permute(0, 3, 1, 2)"),
    ("F.relu(h[:, 1:], inplace=True)", "return h"),
    ("F.relu_(h.unsqueeze(0))", "return h"),
]
WITHOUT_GRADIENT = [  # the original computes, but PyTorch does not differentiate it
    ("torch.mul(h, 2, out=h)", "return h"),
    ("a, b = h.chunk(2, 1)", "a.relu_()", "return h"),
    ("a, b = h.chunk(2, dim=1)", "a.relu_()", "b.add_(a)", "return h * 2 + torch.cat([b, a], 1)"),
    ("a, b = torch.split(h, 2, 1)", "a.relu_()", "b.mul_(a)", "return h * 2"),
    ("a = h.unbind(1)", "a[0].relu_()", "a[1].add_(a[0])", "return h * 2"),
]
NUMBERS = [
    ("n = h.shape[2]", "k = n", "k //= 2", "return F.interpolate(h[:, :, :k], size=(n, n))"),
    ("n = h.size(2)", "k = n", "k -= 1", "return h[:, :, :k] * n"),
]


@pytest.mark.parametrize("lines", STATEMENTS + VIEWS + WITHOUT_GRADIENT + NUMBERS, ids="; ".join)
def test_prepare_follows_changes_in_place(lines, images):
    model = Forward(spelled(*lines))
    with torch.no_grad():
        torch.testing.assert_close(el.prepare(model)(images), model(images))


@pytest.mark.parametrize("lines", STATEMENTS + VIEWS[:2] + VIEWS[3:], ids="; ".join)
def test_the_way_back_leads_through_changes_in_place(lines, images):
    """The walk sees data flow in the graph only: what was dropped from it has no gradient."""
    model, classes = Forward(spelled(*lines)), torch.tensor([0, 1, 1])
    points = images.clone().requires_grad_()
    logits = model(points.clone()).gather(1, classes.unsqueeze(1))
    (expected,) = torch.autograd.grad(logits.sum(), points)

    class ChainRule(Propagation):
        pass

    for explainer in (el.Gradient(), ChainRule()):
        torch.testing.assert_close(explainer(el.prepare(model), images, classes), expected)


@pytest.mark.parametrize("layer", ["net.relu(h[:, :2])", "net.relu(net.flatten(h))"])
def test_prepare_follows_layers_that_change_a_view(layer, images):
    layers = {"relu": nn.ReLU(inplace=True), "flatten": nn.Flatten()}
    model = Forward(spelled(layer, "return h"), **layers)
    torch.testing.assert_close(el.prepare(model)(images), model(images))


class ChangesItsInput(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.layers, self.change = nn.Sequential(nn.Flatten(), nn.Linear(768, 2)), change

    def forward(self, images):
        self.change(images)
        return self.layers(images)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.sub_(0.5),
        lambda x: x[:, 0].mul_(0),
        lambda x: x.flatten().clamp_(0.3, 0.6),
        lambda x: x.unbind(1)[2].neg_(),
    ],
)
def test_a_network_that_writes_to_its_images_leaves_the_users(change, images):
    model, before = ChangesItsInput(change).double().eval(), images.clone()
    logits = el.prepare(model)(images)
    assert torch.equal(images, before)
    with torch.no_grad():
        torch.testing.assert_close(logits.detach(), model(images))


def test_a_network_that_writes_to_its_images_is_normalised_first(images):
    model = ChangesItsInput(lambda x: x.sub_(0.5)).double().eval()
    network = el.prepare(model, mean=[0.25] * 3, std=[0.5] * 3)
    with torch.no_grad():
        torch.testing.assert_close(network(images), model((images - 0.25) / 0.5))


REFUSED = {
    "permute": (("v = h.permute(0, 2, 3, 1)", "v.relu_()", "return h"), "a view of 'convolution'"),
    "detach": (("h.detach().mul_(2)", "return h"), r"in place \(detach, by 'mul_'\)"),
    "no counterpart": (("h.uniform_()", "return h"), "'uniform_', which has no counterpart"),
    "buffer": (("net.mean.add_(h.mean())", "return h"), "writes to 'mean'"),
    "constant": (("z = torch.zeros(4)", "z[0] = h.mean()", "return h * z[0]"), "new_zeros"),
}


@pytest.mark.parametrize(("lines", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_prepare_names_changes_that_it_cannot_follow(lines, words):
    model = Forward(spelled(*lines))
    model.register_buffer("mean", torch.zeros(1, dtype=torch.float64))
    with pytest.raises(ValueError, match=words):
        el.prepare(model)
