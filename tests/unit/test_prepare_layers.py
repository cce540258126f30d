"""Names, padding, normalisation and architectures that `prepare` has to take as they come."""

import pytest
import timm
import torch
import torchvision
from forwards import Forward
from timm.models.vgg import ConvMlp
from torch import nn

import explman_lite as el
from explman_lite.explainers.propagation import Propagation

ODD_NAMES = ["global", "None", "graph", "code", "meta", "trainable", "verify", "conv-1", 'a"b', "ü"]


def oddly_named():
    model = nn.Sequential()
    for name in ODD_NAMES:
        model.add_module(name, nn.Conv2d(3, 3, 1))
    model.add_module("global_", nn.ReLU())
    model.add_module("flat", nn.Flatten())
    return model.double().eval()


def test_odd_names_of_layers_are_no_matter(images):
    model = oddly_named()
    network = el.prepare(model)
    torch.testing.assert_close(network(images), model(images))
    assert len(list(network.parameters())) == 2 * len(ODD_NAMES)
    again = el.prepare(network, mean=[0.5] * 3, std=[0.5] * 3)
    torch.testing.assert_close(again(images), model((images - 0.5) / 0.5))


def test_a_parameter_may_have_the_name_of_a_keyword(images):
    model = Forward(lambda net, h: h * getattr(net, "class"))
    model.register_parameter("class", nn.Parameter(torch.tensor(3.0, dtype=torch.float64)))
    torch.testing.assert_close(el.prepare(model)(images), model(images))


def test_a_constant_of_one_network_may_be_in_another(images):
    first = el.prepare(Forward(lambda _, h: h + torch.ones(4, 1, 1)))
    second = Forward(lambda net, h: h + torch.full((4, 1, 1), 2.0) + net.inner(h).mean())
    second.register_buffer("_tensor_constant0", torch.ones(1))
    second.inner = nn.Sequential(nn.Conv2d(4, 3, 1).double(), first).eval()
    with pytest.raises(ValueError, match="depends on the others"):
        el.prepare(second)(images)
    torch.testing.assert_close(el.prepare(second)(images[:1]), second(images[:1]))


PADDINGS = [
    {"kernel_size": 3, "padding": "same"},
    {"kernel_size": 4, "padding": "same"},
    {"kernel_size": (2, 3), "padding": "same", "dilation": (3, 2)},
    {"kernel_size": 3, "padding": "valid"},
    {"kernel_size": 3, "padding": (1, 2), "padding_mode": "reflect"},
    {"kernel_size": 4, "padding": "same", "padding_mode": "circular"},
    {"kernel_size": 3, "padding": 1, "padding_mode": "replicate", "stride": 2},
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("options", PADDINGS, ids=str)
def test_all_ways_to_pad_are_taken(options, frozen, images, classes):
    layers = {"layer": nn.Conv2d(4, 4, groups=2, **options), "norm": nn.BatchNorm2d(4)}
    nn.init.uniform_(layers["norm"].running_mean)
    model = Forward(lambda net, h: net.norm(net.layer(h.relu())), **layers)
    before = repr(model)
    network = el.prepare(model, frozen=frozen)
    torch.testing.assert_close(network(images), model(images))
    classes = classes % 2
    expected = el.Gradient()(model, images, classes)
    for explainer in (el.Gradient(), Propagation()):
        found = explainer(network, images, classes).detach()
        torch.testing.assert_close(found, expected)
    assert repr(model) == before


NORMALISATIONS = {
    "zero": ({"mean": [0.5] * 3, "std": [0.5, 0.0, 0.5]}, ValueError, "std must be positive"),
    "negative": ({"mean": [0.5] * 3, "std": [-1.0] * 3}, ValueError, "std must be positive"),
    "NaN": ({"mean": [0.5] * 3, "std": [float("nan")] * 3}, ValueError, "std must be positive"),
    "infinite": ({"mean": [float("inf")] * 3, "std": [1.0] * 3}, ValueError, "mean must be finite"),
    "too few": ({"mean": [0.5] * 3, "std": [0.5]}, ValueError, "got 3 and 1 values"),
    "for grey": ({"mean": [0.5], "std": [0.5]}, ValueError, "3 for the layer '0', got 1"),
    "numbers": ({"mean": 0.5, "std": 0.5}, TypeError, "sequences of a number per channel"),
}


@pytest.mark.parametrize(
    ("options", "kind", "words"), NORMALISATIONS.values(), ids=NORMALISATIONS.keys()
)
def test_a_normalisation_that_is_none_is_refused(raw, options, kind, words):
    with pytest.raises(kind, match=words):
        el.prepare(raw, **options)


def test_mean_and_std_may_be_tensors(raw, images):
    network = el.prepare(raw, mean=torch.full((3,), 0.25), std=torch.full((3,), 0.5))
    torch.testing.assert_close(network(images), raw((images - 0.25) / 0.5))


TIMM = [
    "resnet18", "resnet26d", "seresnet18", "legacy_seresnet18", "mobilenetv2_100",
    "mobilenetv3_small_100", "efficientnet_lite0", "efficientnet_b0", "vgg11", "vgg11_bn",
    "densenet121", "regnetx_002", "convnext_atto", "repvgg_a0", "dla34", "hrnet_w18_small",
    "ghostnet_100", "vit_tiny_patch16_224", "resnetv2_50", "inception_v4", "xception41",
]  # fmt: skip


def randomise_statistics(model):
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return model.eval()


def assert_computes_the_same(model, size):
    images = torch.rand(1, 3, size, size)
    with torch.inference_mode():
        found, expected = el.prepare(model)(images), model(images)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", TIMM)
def test_prepare_takes_networks_of_timm(name):
    torch.manual_seed(0)
    options = {"mlp_ratio": 0.02} if name.startswith("vgg") else {}  # its head has 120 M weights
    model = timm.create_model(name, pretrained=False, num_classes=10, **options)
    size = model.pretrained_cfg["input_size"][1] if model.pretrained_cfg["fixed_input_size"] else 96
    assert_computes_the_same(randomise_statistics(model), size)


@pytest.mark.parametrize("size", [(7, 7), (5, 9), (9, 5), (3, 4), (8, 12)])
def test_the_head_of_timms_vgg_takes_what_is_smaller_than_its_kernel(size):
    torch.manual_seed(0)
    model = nn.Sequential(ConvMlp(3, 8, kernel_size=7), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images, network = torch.rand(2, 3, *size), el.prepare(model.eval())
    torch.testing.assert_close(network(images), model(images))
    assert sum(isinstance(layer, nn.ReLU) for layer in network.modules()) == 2


@pytest.mark.parametrize(
    "name", ["googlenet", "mnasnet0_5", "shufflenet_v2_x0_5", "squeezenet1_1", "regnet_x_400mf"]
)
def test_prepare_takes_networks_of_torchvision_with_any_statistics(name):
    torch.manual_seed(0)
    options = {"init_weights": True} if name == "googlenet" else {}
    model = torchvision.models.get_model(name, weights=None, **options)
    assert_computes_the_same(randomise_statistics(model), 96)
