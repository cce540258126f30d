"""`prepare` against the original, for every classifier of torchvision that can be traced."""

import math

import pytest
import torch
import torchvision
from torch import Tensor, nn

import explman_lite as el

TOO_LARGE = {
    "regnet_y_128gf": "645 million weights, folded once more: regnet_y_16gf has the same blocks",
    "vit_h_14": "632 million weights: vit_l_16 has the same blocks",
}
SIZES = {"maxvit_t": 224, "inception_v3": 96, "googlenet": 96, "alexnet": 96}
"""Height and width in pixels, where they are not 64."""
OPTIONS = {"googlenet": {"init_weights": False}, "inception_v3": {"init_weights": False}}
NAMES = torchvision.models.list_models(module=torchvision.models)


def draw(model: nn.Module, gain: float) -> nn.Module:
    """Draw weights, and statistics of batch norm, that keep the numbers of the order of one.

    They are cut from one long draw: one for each weight of each network would take minutes.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2**20, generator=generator)
    with torch.no_grad():
        for name, value in model.named_parameters():
            start = int(torch.randint(len(noise) // 2, (), generator=generator))
            cut = noise[start:].repeat(value.numel() // (len(noise) - start) + 1)
            size = math.sqrt(2 / value[0].numel()) if value.ndim > 1 else 0.1
            value.copy_(cut[: value.numel()].view_as(value) * size)
            if value.ndim == 1 and name.endswith("weight"):
                value.add_(1).mul_(gain)
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.running_mean, -0.3, 0.3, generator=generator)
                nn.init.uniform_(layer.running_var, 0.5, 2, generator=generator)
    return model.eval()


@pytest.fixture
def no_initialisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no layer draw weights that are drawn anew in the end."""
    for name in vars(nn.init):
        if name.endswith("_") and not name.startswith("_"):
            monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)


def build(name: str) -> nn.Module:
    options = dict(OPTIONS.get(name, {}))
    if name.startswith("vit"):
        options["image_size"] = 64
    return torchvision.models.get_model(name, weights=None, num_classes=10, **options)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_prepare_computes_what_the_classifier_computes(name: str, no_initialisation: None):
    if name in TOO_LARGE:
        pytest.skip(TOO_LARGE[name])
    size = SIZES.get(name, 64)
    # Forty residual blocks in a row are chaotic: a change of 1e-15 becomes one of 1e-3.
    model = draw(build(name), 0.7 if name.startswith("efficientnet_v2") else 1.0)
    large = sum(weight.numel() for weight in model.parameters()) > 120e6
    dtype = torch.float32 if large else torch.float64
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1)).to(dtype)
    model = model.to(dtype)
    with torch.no_grad():
        expected: Tensor = model(images)
        assert expected.isfinite().all()
        # What is compared is what pictures do, not what biases do.
        effect = (expected[0] - expected[1]).abs().max()
        assert effect > 1e-7 * expected.abs().max()
        found = el.prepare(model)(images)
    error = (found - expected).abs().max() / effect
    assert error < 1e-2, f"{error:.2g} of the difference between two pictures"
