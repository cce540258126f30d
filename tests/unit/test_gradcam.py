"""Grad-CAM against captum, and what it refuses."""

import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import nn
from torchvision import models

import explman_lite as el

LAST_FEATURES = {
    "vgg11": "features.19",  # the last ReLU, in front of the last pooling
    "alexnet": "features.11",
    "resnet18": "layer4",
    "mobilenet_v2": "features.18",
}


@pytest.mark.parametrize("name", LAST_FEATURES)
def test_it_agrees_with_captum(name):
    torch.manual_seed(0)
    model = getattr(models, name)(weights=None).eval().double()
    images, classes = torch.rand(2, 3, 96, 96).double(), torch.tensor([3, 700])
    layer = model.get_submodule(LAST_FEATURES[name])
    coarse = LayerGradCam(model, layer).attribute(images, classes, relu_attributions=True)
    expected = LayerAttribution.interpolate(coarse, (96, 96), "bilinear")
    found = el.GradCAM()(el.prepare(model), images, classes).sum(dim=1, keepdim=True)
    assert coarse.any()
    assert torch.allclose(found, expected.detach(), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["crops_vgg", "crops_resnet", "digits_vgg"])
def test_an_attack_brings_its_map_near_to_another(name):
    images, _ = (el.load_digits if name == "digits_vgg" else el.load_crops)("test")
    model, explainer = el.load_model(name), el.GradCAM()
    batch = images[:4]
    maps = el.relevance_map(explainer(model, batch, model(batch).argmax(dim=1)))
    assert maps.shape == (4, *images.shape[2:])
    assert maps.amax(dim=(1, 2)).min() > 1.2
    targets = maps.roll(1, dims=0)
    result = el.manipulate(model, batch, targets, explainer, progress=False)
    gained = el.metrics.pcc(result.maps, targets) - el.metrics.pcc(maps, targets)
    assert gained.median() > 0.1
    assert result.summary().class_kept.all()


def test_a_named_layer_is_read():
    model = el.load_model("crops_vgg")
    images, classes = el.load_crops("test")[0][:1], torch.tensor([1])
    names = [name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)]
    maps = [el.GradCAM(layer=name)(model, images, classes) for name in names[-2:]]
    assert not torch.allclose(*maps)
    assert repr(el.GradCAM(names[0])) == f"GradCAM(layer={names[0]!r})"


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.conv(self.conv(x).relu()).mean((2, 3)))


@pytest.mark.parametrize(
    ("model", "layer", "message"),
    [
        (
            nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2)),
            None,
            "cannot tell where the features end",
        ),
        (
            nn.Sequential(nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 16, 2)),
            None,
            "cannot tell where the features end",
        ),
        (
            nn.Sequential(
                nn.Conv2d(3, 4, 3), nn.Flatten(2), nn.LayerNorm(36), nn.Flatten(), nn.Linear(144, 2)
            ),
            None,
            "cannot tell where the features end, whether with '_2'",
        ),
        (
            nn.Sequential(nn.Conv2d(3, 4, 8), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2)),
            None,
            "one place only",
        ),
        (Twice(), "conv", "several"),
        (Twice(), "head", "returns none"),
        (Twice(), "body", "finds no layer 'body'; the layers are "),
    ],
)
def test_what_it_cannot_do_is_refused(model, layer, message):
    images = torch.rand(1, 3, 8, 8)
    with pytest.raises(ValueError, match=message):
        el.GradCAM(layer)(el.prepare(model.eval()), images, 0)


def test_a_layer_is_a_name():
    with pytest.raises(TypeError, match="layer must be the name of a layer, got 3"):
        el.GradCAM(3)


def test_a_vision_transformer_is_refused():
    model = el.prepare(models.vit_b_16(weights=None).eval())
    with pytest.raises(ValueError, match="cannot tell where the features end"):
        el.GradCAM()(model, torch.rand(1, 3, 224, 224), 0)
