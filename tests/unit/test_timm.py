"""The networks that users bring: architectures of timm, with random weights and few classes."""

import pytest
import timm
import torch
from torch import Tensor, nn

import explman_lite as el

RELU = [
    "resnet18", "resnet26d", "seresnet18", "legacy_seresnet18", "resnetv2_50", "densenet121",
    "regnetx_002", "repvgg_a0", "dla34", "hrnet_w18_small", "ghostnet_100", "mobilenetv2_100",
    "efficientnet_lite0", "inception_v4", "xception41",
]  # fmt: skip
"""Where every nonlinearity is a ReLU, but for gates: relevance is conserved without biases."""
LINEAR_BOTTLENECKS = {
    "hrnet_w18_small", "ghostnet_100", "mobilenetv2_100", "efficientnet_lite0", "xception41"
}  # fmt: skip
"""Where some values that no ReLU has rectified go into the next layer."""
SOME_RELU = ["mobilenetv3_small_100"]
NO_RELU = ["efficientnet_b0", "convnext_atto"]
NO_RULE = ["vit_tiny_patch16_224"]


def network(name: str, biases: bool = True) -> nn.Module:
    torch.manual_seed(0)
    options = {"img_size": 64} if name.startswith("vit") else {}
    model = timm.create_model(name, pretrained=False, num_classes=4, **options)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.1, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
        if not biases:
            for key, value in (
                *layer.named_parameters(recurse=False),
                *layer.named_buffers(recurse=False),
            ):
                if key in {"bias", "running_mean"}:
                    nn.init.zeros_(value)
    return model.eval()


def picture(name: str, dtype: torch.dtype = torch.float32) -> Tensor:
    size = 96 if name.startswith("inception") else 64
    return torch.rand(1, 3, size, size, dtype=dtype, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", [*RELU, *SOME_RELU, *NO_RELU, *NO_RULE])
def test_prepare_computes_what_the_network_computes(name):
    model, image = network(name).double(), picture(name, torch.float64).requires_grad_()
    prepared = el.prepare(model)
    torch.testing.assert_close(prepared(image), model(image), rtol=1e-6, atol=1e-9)
    (found,) = torch.autograd.grad(prepared(image)[0, 1], image)
    (expected,) = torch.autograd.grad(model(image)[0, 1], image)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7 * expected.abs().max().item())


@pytest.mark.parametrize("name", RELU)
def test_lrp_conserves_relevance_without_biases(name):
    model, image = network(name, biases=False).double(), picture(name, torch.float64)
    prepared = el.prepare(model)
    best = prepared(image).argmax(dim=1)
    for inner in ("zplus", "epsilon"):
        attribution, logits = el.LRP(inner, epsilon=1e-30).explain(prepared, image, best)
        # By the z⁺ rule a negative value gets lost where no positive contribution takes it over.
        lost = 0.1 if inner == "zplus" and name in LINEAR_BOTTLENECKS else 1e-9
        torch.testing.assert_close(attribution.sum(), logits.max(), rtol=lost, atol=0)


@pytest.mark.parametrize("name", [*RELU, *SOME_RELU, *NO_RELU])
def test_lrp_has_a_rule_for_every_layer(name):
    found = el.LRP()(network(name), picture(name), torch.tensor([1]))
    assert found.isfinite().all()
    assert found.any()


@pytest.mark.parametrize("name", [*RELU, *SOME_RELU])
def test_guided_backprop_guides_wherever_there_is_a_relu(name):
    model, image, classes = el.prepare(network(name)), picture(name), torch.tensor([1])
    found = el.GuidedBackprop()(model, image, classes)
    gradient = el.Gradient()(model, image, classes)
    assert found.isfinite().all()
    assert (found - gradient).norm() > 0.1 * gradient.norm()


@pytest.mark.parametrize("name", [*NO_RELU, *NO_RULE])
def test_guided_backprop_refuses_a_network_without_a_relu(name):
    with pytest.raises(ValueError, match="this network has none"):
        el.GuidedBackprop()(network(name), picture(name), torch.tensor([1]))


@pytest.mark.parametrize("name", NO_RULE)
def test_attention_has_no_rule(name):
    with pytest.raises(ValueError, match=r"no rule for the layer 'scaled_dot_product_attention"):
        el.LRP()(network(name), picture(name), torch.tensor([1]))


@pytest.mark.parametrize("name", ["mobilenetv2_100", "efficientnet_b0", "regnetx_002"])
def test_functional_batch_norm_is_folded(name):
    prepared = el.prepare(network(name))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in prepared.modules())
