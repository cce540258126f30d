"""A prepared network is compared with its original at the first call, and neither is changed."""

import copy
import gc
import io
import random
import weakref

import numpy as np
import pytest
import torch
from forwards import Forward
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import explman_lite as el
from explman_lite.networks import passes, prepare


class Around(nn.Module):
    """A network around another, whose forward pass is that of its subclass."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.eval()


class Optional(Around):
    def forward(self, images, normalised=None, *, scale=True, top=None):
        if normalised is None:
            images = (images - 0.5) / 0.25
        logits = self.inner(images)
        if scale:
            logits = 2 * logits
        return logits if top is None else logits[:, :top]


class AsksForItsType(Around):
    def forward(self, images):
        if isinstance(images, torch.Tensor):
            images = (images - 0.5) / 0.25
        return self.inner(images)


def test_arguments_beside_the_images_get_their_defaults(raw, images):
    model = Optional(raw)
    network = el.prepare(model, mean=[0.1] * 3, std=[0.5] * 3)
    torch.testing.assert_close(network(images), model((images - 0.1) / 0.5))


def test_a_test_that_a_trace_answers_otherwise_is_found_out(raw, images, classes):
    calls = [
        lambda network: network(images),
        lambda network: el.Gradient()(network, images, classes),
        lambda network: el.LRP()(network, images, classes),
        lambda network: el.fit_patterns(network, images),
        lambda network: el.smoothed(network, 1.0)(images),
        lambda network: copy.deepcopy(network)(images),
        lambda network: el.prepare(network, mean=[0.5] * 3, std=[0.5] * 3)(images),
        lambda network: el.BetaSmoothing(el.Gradient(), 3.0)(network, images, classes),
        lambda network: el.manipulate(
            network, images, torch.ones(1, 16, 16, dtype=torch.float64), el.Gradient(), steps=1
        ),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"differs from AsksForItsType by \d\.\d+, where"):
            call(el.prepare(AsksForItsType(raw)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_pass_that_changes_the_function_is_found_out(raw, images, monkeypatch, dtype):
    def forget_a_relu(graph, modules):
        for node in graph.find_nodes(op="call_module", target="6"):
            node.replace_all_uses_with(node.args[0])

    network = el.prepare(raw.to(dtype))
    network(images.to(dtype))
    monkeypatch.setattr(prepare, "PASSES", (*passes.PASSES, forget_a_relu))
    with pytest.raises(ValueError, match="differs from Sequential"):
        el.prepare(raw)(images.to(dtype))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_rounding_is_no_difference(raw, images, dtype):
    """Neither the type of the original's weights nor that given to the network later matters."""
    for change in (lambda: el.prepare(raw).to(dtype), lambda: el.prepare(raw.to(dtype))):
        network = change()
        network(images.to(dtype))
        assert network._original.model is None


class Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, *gradients):
        return -gradients[0]


def in_part_without_gradient(_, h):
    with torch.no_grad():
        gate = h.sigmoid()
    return h * gate


@pytest.mark.parametrize(
    "compute",
    [in_part_without_gradient, lambda _, h: Reversal.apply(h)],
    ids=["no_grad", "Function"],
)
def test_a_gradient_that_a_trace_does_not_see_is_found_out(images, compute):
    network = el.prepare(Forward(compute))
    with pytest.raises(ValueError, match="gradient of the prepared network differs from"):
        network(images)


def test_a_network_that_enlarges_rounding_is_taken(images):
    """The logistic map doubles a distance at every step: no two ways of computing it agree."""

    def chaotic(_, h):
        h = h.sigmoid()
        for _ in range(30):
            h = 3.99 * h * (1 - h)
        return h

    model = Forward(lambda net, h: chaotic(net, net.norm(h)), norm=nn.BatchNorm2d(4))
    model.norm.running_mean.uniform_()
    network = el.prepare(model.float())
    images = images.float()
    with torch.no_grad():
        assert (network(images) - model(images)).abs().max() > 1e-3


def test_where_numbers_are_equal_their_maximum_may_be_any(raw):
    """Rounding decides which of them it is, and so where the gradient goes."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.Flatten())
    model.eval()[1].running_mean.uniform_()
    for value in (0.0, 0.3, 1.0):
        el.prepare(model)(torch.full((2, 3, 16, 16), value))


NOISES = {
    "frozen": lambda _, h: h + 0.1 * torch.randn(4, 1, 1).double(),
    "traced": lambda _, h: h + 0.1 * torch.randn_like(h),
    "dropout": lambda _, h: nn.functional.dropout(h),
    "numpy": lambda _, h: h + np.random.rand(),  # noqa: NPY002
    "python": lambda _, h: h * random.random(),
    "counter": lambda net, h: h * net.counter.add_(1),
}


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES.keys())
def test_a_network_without_one_fixed_function_is_named(noise, images):
    model = Forward(noise)
    model.register_buffer("counter", torch.ones(1))
    with pytest.raises(ValueError, match=r"draws random numbers"):
        el.prepare(model)(images)
    assert model.counter.item() == 1


def test_random_numbers_go_on_from_where_they_were(raw, images):
    states = torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002
    el.prepare(nn.Sequential(nn.Dropout(), raw).eval())(images)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), str(np.random.get_state())) == states[1:]  # noqa: NPY002


def test_a_network_that_mixes_the_images_of_a_batch_is_named(images):
    model = Forward(lambda _, h: h - h.mean(0))
    with pytest.raises(ValueError, match="output of Forward for an image depends on the others"):
        el.prepare(model)(images)


def test_the_original_is_run_once_and_then_forgotten(raw, images, monkeypatch):
    calls = []
    forward = nn.Sequential.forward
    monkeypatch.setattr(
        nn.Sequential, "forward", lambda net, x: (calls.append(x.shape[0]), forward(net, x))[1]
    )
    network = el.prepare(raw)
    calls.clear()
    network(images)
    assert calls == [2, 1, 1]  # the last for its gradient
    calls.clear()
    for call in (network, copy.deepcopy(network), el.smoothed(network, 1.0)):
        call(images)
    assert not calls


def test_a_smoothed_network_or_a_copy_is_compared_for_all(raw, images):
    for derive in (lambda n: el.smoothed(el.smoothed(n, 1.0), 2.0), copy.deepcopy):
        network = el.prepare(raw)
        derive(network)(images)
        assert network._original.model is None


def test_an_original_is_not_kept_longer_than_its_network():
    model = Forward(lambda _, h: h)
    known, network = weakref.ref(model), el.prepare(model)
    del model
    assert known() is not None
    network(torch.rand(1, 3, 16, 16, dtype=torch.float64))
    gc.collect()
    assert known() is None


def test_a_network_that_was_changed_before_its_first_call_is_named(raw, images):
    network = el.prepare(raw)
    with torch.no_grad():
        network.get_submodule("0").weight.mul_(2)
    with pytest.raises(ValueError, match="changed before its first call: call it once before"):
        network(images)


def test_an_original_that_was_changed_in_between_is_told(raw, images):
    """What was folded has the old weights, what was not has the new ones."""
    network = el.prepare(raw)
    with torch.no_grad():
        for weight in raw.parameters():
            weight.mul_(1.5)
    with pytest.warns(RuntimeWarning, match="weights of Sequential were changed after"):
        logits = network(images)
    assert not torch.allclose(logits, raw(images))
    assert torch.equal(network(images), logits)


def test_a_trace_that_lies_is_found_out_whatever_was_changed(raw, images):
    model = AsksForItsType(raw)
    network = el.prepare(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.5)
    with pytest.raises(ValueError, match="differs from AsksForItsType"):
        network(images)


def test_where_there_is_no_batch_of_numbers_the_comparison_waits(raw, images):
    network = el.prepare(raw)
    meta = copy.deepcopy(network).to("meta")
    meta(images.to("meta"))
    torch.func.grad(lambda x: el.prepare(nn.Flatten())(x).sum())(images)
    with FakeTensorMode(allow_non_fake_inputs=True):
        small = el.prepare(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten()).eval())
        assert small(torch.rand(2, 3, 5, 5)).shape == (2, 18)
    assert network._original.model is raw
    with torch.inference_mode():
        network(images)
    assert network._original.model is None


def test_autocast_does_not_reach_the_comparison(raw, images):
    with torch.autocast("cpu"):
        assert el.prepare(raw.float())(images.float()).shape == (3, 4)


def test_a_network_is_stored_without_its_original(raw, images):
    network = el.prepare(raw)
    sizes = []
    for _ in range(2):
        file = io.BytesIO()
        torch.save(network, file)
        sizes.append(file.tell())
        file.seek(0)
        restored = torch.load(file, weights_only=False)
        torch.testing.assert_close(restored(images), network(images))
    assert abs(sizes[0] - sizes[1]) < 100


class Remembers(Around):
    """Stores what it computes in all the places that a module has."""

    def __init__(self, inner):
        super().__init__(inner)
        self.calls, self.log, self.records = 0, [], {"first": []}
        self.register_buffer("count", torch.zeros(()))

    def forward(self, images):
        self.features = self.inner[0](images)
        self.calls += 1
        self.log.append(images)
        self.records["first"].append(self.features)
        self.count += 1
        self.inner[0].seen = images
        return self.inner(images) + torch.ones(4)


def test_prepare_and_the_comparison_leave_nothing_on_the_users_network(images):
    model = Remembers(nn.Sequential(nn.Conv2d(3, 4, 16), nn.ReLU(), nn.Flatten()).double())
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    network = el.prepare(model)
    for _ in range(2):
        assert {name: set(vars(module)) for name, module in model.named_modules()} == before
        assert (model.calls, model.log, model.records) == (0, [], {"first": []})
        assert model.count == 0
        torch.save(model, io.BytesIO())
        network(images)
    torch.testing.assert_close(network(images), model(images))


def test_a_network_of_one_logit_and_one_of_several_outputs_are_compared(raw, images):
    one = nn.Sequential(nn.Flatten(), nn.Linear(768, 1)).double().eval()
    torch.testing.assert_close(el.prepare(one)(images[:1]), one(images[:1]))

    class Several(Around):
        def forward(self, x):
            return {"logits": self.inner(x), "size": (x.sum((1, 2, 3)), x.mean((2, 3)))}

    found = el.prepare(Several(raw))(images)
    torch.testing.assert_close(found["size"][0], images.sum((1, 2, 3)))


def test_the_original_is_compared_in_evaluation_mode_and_keeps_its_own(raw, images):
    raw.train()
    before = copy.deepcopy(raw.state_dict())
    el.prepare(raw)(images)
    assert raw.training
    assert all(torch.equal(value, before[name]) for name, value in raw.state_dict().items())
