import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from untrained import TORCHVISION, untrained

import explman_lite as el
from explman_lite.explainers import averaging


@pytest.mark.parametrize(
    ("ours", "oracle"),
    [
        (el.Gradient(), lambda model: lambda x, c: Saliency(model).attribute(x, c, abs=False)),
        (el.GradientTimesInput(), lambda model: InputXGradient(model).attribute),
        (
            el.IntegratedGradients(steps=30),
            lambda model: (
                lambda x, c: IntegratedGradients(model).attribute(
                    x, target=c, n_steps=30, method="riemann_middle"
                )
            ),
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_agrees_with_captum(ours, oracle, raw, network, images, classes):
    expected = oracle(raw)(images.clone().requires_grad_(), classes)
    found = ours(network, images, classes)
    assert ((found - expected).norm() / expected.norm()).item() < 1e-5


@pytest.mark.parametrize("name", TORCHVISION)
def test_every_method_works_on_torchvisions_networks(name):
    network = el.prepare(untrained(name))
    images, classes = torch.rand(2, 3, 64, 64), torch.tensor([7, 4])
    patterns = el.fit_patterns(network, images)
    for method in (
        el.Gradient(),
        el.GuidedBackprop(),
        el.LRP(),
        el.LRP("gamma"),
        el.LRP("epsilon", epsilon=1e-3),
        el.PatternAttribution(patterns),
    ):
        attribution = method(network, images, classes)
        assert attribution.isfinite().all()
        assert attribution.abs().amax(dim=(1, 2, 3)).min() > 0


def test_every_method_works_on_efficientnet(imagenet):
    images, classes = el.load_photo("chelsea", size=64).repeat(2, 1, 1, 1), torch.tensor([285, 967])
    patterns = el.fit_patterns(imagenet, torch.cat([images[:1], el.load_photo("coffee", size=64)]))
    for method in (el.GuidedBackprop(), el.LRP(), el.PatternAttribution(patterns)):
        attribution = method(imagenet, images, classes)
        assert attribution.isfinite().all()
        assert not torch.equal(attribution[0], attribution[1])


def test_works_on_a_model_that_was_not_prepared(explainer, raw, network, images, classes):
    torch.testing.assert_close(explainer(raw, images, classes), explainer(network, images, classes))


def test_a_batch_equals_its_samples(explainer, network, images, classes):
    batch = explainer(network, images, classes)
    for index in range(len(images)):
        alone = explainer(network, images[index : index + 1], classes[index : index + 1])
        torch.testing.assert_close(batch[index : index + 1], alone, rtol=1e-6, atol=1e-9)


def test_needs_no_graph_unless_the_images_require_a_gradient(explainer, network, images, classes):
    assert not explainer(network, images, classes).requires_grad
    assert not explainer.explain(network, images, classes).logits.requires_grad
    assert explainer(network, images.requires_grad_(), classes).requires_grad
    with torch.no_grad():
        assert not explainer(network, images, classes).requires_grad


def test_follows_the_images_and_not_the_default_device(explainer, network, images, classes):
    averaging._unit_noise.cache_clear()
    with torch.device("meta"):
        found = explainer(network, images, classes)
    torch.testing.assert_close(found, explainer(network, images, classes))


def test_leaves_the_images_alone(explainer, network, images, classes):
    before = images.clone()
    explainer(network, images, classes)
    assert torch.equal(images, before)
    assert not images.requires_grad


def test_explain_returns_the_logits_too(explainer, network, images, classes):
    explanation = explainer.explain(network, images, classes)
    torch.testing.assert_close(explanation.logits, network(images))


BAD_IMAGES = {
    "above one": (lambda x: x + 0.5, ValueError, r"must lie in \[0, 1\], got values from"),
    "below zero": (lambda x: x - 0.5, ValueError, r"must lie in \[0, 1\]"),
    "NaN": (lambda x: x * float("nan"), ValueError, "must be finite"),
    "no batch": (lambda x: x[0], ValueError, r"\(N, C, H, W\).*got \(3, 16, 16\)"),
    "empty": (lambda x: x[:0], ValueError, "N >= 1"),
    "integers": (lambda x: (x * 255).byte(), TypeError, "floating point, got torch.uint8"),
    "an array": (lambda x: x.numpy(), TypeError, "must be a torch.Tensor, got ndarray"),
}


@pytest.mark.parametrize(("spoil", "error", "message"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images_are_refused(spoil, error, message, explainer, network, images, classes):
    with pytest.raises(error, match=message):
        explainer(network, spoil(images), classes)


@pytest.mark.parametrize(
    ("classes", "error", "message"),
    [
        (torch.tensor([0, 1, 4]), ValueError, r"between 0 and 3, got \[0, 1, 4\]"),
        (torch.tensor([0, -1, 2]), ValueError, "between 0 and 3"),
        (torch.tensor([0]), ValueError, r"\(N,\) = \(3,\), got \(1,\)"),
        (torch.tensor([0.0, 1.0, 2.0]), TypeError, "integers"),
        ([0, 1, 2], TypeError, "integers, got list"),
        (torch.tensor([True, False, True]), TypeError, r"integers, got torch\.bool"),
    ],
    ids=["too large", "negative", "too few", "floats", "a list", "booleans"],
)
def test_bad_classes_are_refused(explainer, network, images, classes, error, message):
    with pytest.raises(error, match=message):
        explainer(network, images, classes)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16])
def test_classes_may_be_short_integers(explainer, network, images, classes, dtype):
    expected = explainer(network, images, classes)
    assert torch.equal(explainer(network, images, classes.to(dtype)), expected)


def test_images_unlike_the_weights_are_refused(explainer, network, images, classes):
    with pytest.raises(ValueError, match=r"float64 on cpu as .*, got torch\.float32 on cpu"):
        explainer(network, images.float(), classes)
    with pytest.raises(ValueError, match=r"float64 on meta as .*, got torch\.float64 on cpu"):
        explainer(network.to("meta"), images, classes)


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (lambda x: (x.mean(dim=(2, 3)), x), TypeError, "tensor of logits, got tuple"),
        (lambda x: {"logits": x.mean(dim=(2, 3))}, TypeError, "tensor of logits, got dict"),
        (lambda x: x, ValueError, r"logits \(N, K\), got \(3, 3, 16, 16\)"),
    ],
    ids=["tuple", "dict", "4-D"],
)
@pytest.mark.parametrize("method", [el.Gradient(), el.SmoothGrad(), el.IntegratedGradients()])
def test_outputs_that_are_no_logits_are_refused(method, output, error, message, images, classes):
    class Odd(torch.nn.Module):
        def forward(self, x):
            return output(x)

    with pytest.raises(error, match=message):
        method(Odd().eval(), images, classes)


def test_a_model_in_training_mode_is_refused(explainer, raw, images, classes):
    with pytest.raises(ValueError, match="evaluation mode"):
        explainer(raw.train(), images, classes)


def test_something_that_is_no_model_is_refused(explainer, images, classes):
    with pytest.raises(TypeError, match=r"torch\.nn\.Module, got function"):
        explainer(lambda x: x, images, classes)
