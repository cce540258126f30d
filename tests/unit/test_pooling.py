"""Log-sum-exp pooling against windows cut by hand, over all that MaxPool2d takes."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

import explman_lite as el
from explman_lite.networks.pooling import SmoothMaxPool2d
from explman_lite.networks.smoothing import set_pooling

GEOMETRIES = [
    {"kernel_size": k, "stride": s, "padding": p, "dilation": d, "ceil_mode": c}
    for k, s, p, d, c in itertools.product((2, 3, (2, 3)), (1, 2, 3), (0, 1), (1, 2), (False, True))
]


def by_hand(layer: nn.MaxPool2d, image: Tensor, sharpness: float) -> Tensor:
    """Pool one channel (H, W), window by window."""
    pairs = [layer.kernel_size, layer.stride, layer.padding, layer.dilation]
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = (v if isinstance(v, tuple) else (v, v) for v in pairs)
    rows, columns = layer(image[None, None]).shape[2:]
    pooled = torch.empty(rows, columns, dtype=image.dtype)
    for row, column in itertools.product(range(rows), range(columns)):
        inside = [
            image[y, x].item()
            for i, j in itertools.product(range(kh), range(kw))
            if 0 <= (y := row * sh - ph + i * dh) < image.shape[0]
            and 0 <= (x := column * sw - pw + j * dw) < image.shape[1]
        ]
        pooled[row, column] = math.log(sum(math.exp(sharpness * v) for v in inside)) / sharpness
    return pooled


@pytest.fixture
def image() -> Tensor:
    return torch.randn(7, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_every_window_that_max_pooling_takes(geometry, image):
    layer = nn.MaxPool2d(**geometry)
    smooth = SmoothMaxPool2d.of(layer, 3.0)
    torch.testing.assert_close(smooth(image[None, None])[0, 0], by_hand(layer, image, 3.0))
    sharp = SmoothMaxPool2d.of(layer, 1e300)(image[None, None])
    torch.testing.assert_close(sharp, layer(image[None, None]))
    assert torch.equal(smooth.hard()(image[None, None]), layer(image[None, None]))


@pytest.mark.parametrize("geometry", GEOMETRIES[::5], ids=str)
def test_passes_gradcheck_to_third_order(geometry, image):
    smooth = SmoothMaxPool2d.of(nn.MaxPool2d(**geometry), 3.0)
    x = image[None, None, :5, :6].clone().requires_grad_()
    assert torch.autograd.gradcheck(smooth, x)
    assert torch.autograd.gradgradcheck(smooth, x)

    def slope(x: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(smooth(x).square().sum(), x, create_graph=True)
        return gradient

    assert torch.autograd.gradgradcheck(slope, x)


@pytest.mark.parametrize("sharpness", [1e-3, 1.0, 1e3, 1e30])
def test_no_sharpness_overflows(sharpness):
    x = 1e4 * torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    pooled = SmoothMaxPool2d.of(nn.MaxPool2d(2), sharpness)(x.requires_grad_())
    (gradient,) = torch.autograd.grad(pooled.sum(), x)
    assert pooled.isfinite().all()
    torch.testing.assert_close(gradient.sum(), torch.tensor(2 * 3 * 9.0))
    excess = pooled - nn.MaxPool2d(2)(x)
    assert excess.min() >= 0
    assert excess.max() <= math.log(4) / sharpness * 1.01


def test_of_equals_each_gets_its_share():
    x = torch.ones(1, 1, 2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(SmoothMaxPool2d.of(nn.MaxPool2d(2), 5.0)(x).sum(), x)
    assert gradient.flatten().tolist() == [0.25] * 4


def test_a_sharpness_in_spreads_suits_layers_of_any_scale(image):
    layer = SmoothMaxPool2d.of(nn.MaxPool2d(2), 3.0, in_spreads=True)
    batch = torch.stack([image, 2 + image.flip(0), 1e-3 * image]).unsqueeze(1)
    pooled = layer(batch)
    spread = image.std(correction=0).item()
    torch.testing.assert_close(
        pooled[:2], SmoothMaxPool2d.of(nn.MaxPool2d(2), 3.0 / spread)(batch[:2])
    )
    torch.testing.assert_close(pooled[2], 1e-3 * pooled[0])
    torch.testing.assert_close(layer(batch[1:2]), pooled[1:2])


def test_equals_have_no_spread_and_are_pooled_all_the_same():
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    layer = SmoothMaxPool2d.of(nn.MaxPool2d(2), 5.0, in_spreads=True)
    (gradient,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(gradient.sum(), x)
    assert gradient.isfinite().all()
    assert curvature.isfinite().all()


@pytest.fixture(scope="module")
def digits() -> tuple[el.Network, Tensor]:
    return el.load_model("digits_vgg").double(), el.load_digits()[0][:2].double()


def test_smoothed_rounds_both_kinks_and_gives_both_back(digits):
    network, images = digits
    both = el.smoothed(network, 30.0, pooling=30.0)
    kinds = [type(layer) for layer in both.modules()]
    assert kinds.count(SmoothMaxPool2d) == 3
    assert nn.MaxPool2d not in kinds
    assert not torch.allclose(both(images), el.smoothed(network, 30.0)(images))
    torch.testing.assert_close(el.smoothed(both, 30.0)(images), el.smoothed(network, 30.0)(images))
    torch.testing.assert_close(el.smoothed(both, None)(images), network(images))
    set_pooling(both, 1e6)
    torch.testing.assert_close(
        both(images), el.smoothed(network, 30.0)(images), rtol=1e-4, atol=1e-3
    )


def test_explainers_take_rounded_pooling_for_pooling(digits):
    """Relevance is routed by the derivative, so that shares still add up."""
    network, images = digits
    classes = network(images).argmax(dim=1)
    smooth = el.smoothed(network, None, pooling=1e6)
    for card in el.EXPLAINERS.values():
        explainer = card.make(network, images, points=3)
        found, expected = (explainer(n, images, classes) for n in (smooth, network))
        assert el.metrics.pcc(found, expected).min() > 0.99, card.name


def test_what_cannot_be_rounded_is_named(network):
    with pytest.raises(ValueError, match="pools by no maximum"):
        el.smoothed(el.load_model(), 5.0, pooling=5.0)
    with pytest.raises(ValueError, match="pooling must be positive"):
        el.smoothed(network, 5.0, pooling=0.0)
    with pytest.raises(ValueError, match="a smooth maximum lies in no one place"):
        SmoothMaxPool2d.of(nn.MaxPool2d(2, return_indices=True), 5.0)
