import math

import numpy as np
import pytest
import torch
from torch import Tensor

import explman_lite as el
from explman_lite.controls import same_spectrum, white_noise

CONTROLS = pytest.mark.parametrize("control", [white_noise, same_spectrum])


def forged(model: el.Network, images: Tensor, lenders: Tensor, steps: int) -> Tensor:
    explainer = el.Gradient()
    maps = el.relevance_map(explainer(model, lenders, model(lenders).argmax(dim=1)))
    return el.manipulate(model, images, maps, explainer, steps=steps, progress=False).images


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    images = el.load_digits()[0][:32]
    return images[:16], forged(el.load_model("digits_vgg"), images[:16], images[16:], 40)


@pytest.fixture(scope="module")
def photos() -> tuple[Tensor, Tensor]:
    images = torch.cat([el.load_photo(name, size=96) for name in ("chelsea", "coffee")])
    return images, forged(el.load_model("efficientnet_lite0"), images, images.flip(0), 10)


@pytest.fixture(params=["digits", "photos"])
def attacked(request) -> tuple[Tensor, Tensor]:
    return request.getfixturevalue(request.param)


@pytest.fixture
def grey() -> tuple[Tensor, Tensor]:
    """Give pictures so far from black and white that no noise of theirs leaves [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    change = torch.randn(2, 3, 12, 10, dtype=torch.float64, generator=generator).cumsum(dim=3)
    images = torch.full_like(change, 0.5)
    return images, images + 0.02 * change / change.std()


def lengths(images: Tensor, changed: Tensor) -> Tensor:
    return (changed - images).double().flatten(1).norm(dim=1)


def transform(images: Tensor, changed: Tensor) -> Tensor:
    return torch.fft.fft2((changed - images).double())


def amplitude_error(images: Tensor, changed: Tensor, noisy: Tensor) -> Tensor:
    """Return how far the amplitudes of noise and attack are apart, over the latter's length."""
    wanted, found = (transform(images, other).abs().flatten(1) for other in (changed, noisy))
    return (found - wanted).norm(dim=1) / wanted.norm(dim=1)


@CONTROLS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_is_as_long_as_the_attack(control, dtype, attacked):
    images, changed = (pictures.to(dtype) for pictures in attacked)
    noisy = control(images, changed, range(len(images)))
    assert noisy.dtype == dtype
    assert 0 <= noisy.min() < noisy.max() <= 1
    torch.testing.assert_close(
        lengths(images, noisy), lengths(images, changed), rtol=1e-5, atol=1e-6
    )


def test_the_spectrum_is_that_of_the_attack_on_photographs(photos):
    assert amplitude_error(*photos, same_spectrum(*photos, [0, 1])).max() < 0.01
    assert amplitude_error(*photos, white_noise(*photos, [0, 1])).min() > 0.6


def test_the_spectrum_is_nearly_that_of_the_attack_on_a_black_ground(digits):
    images, changed = (pictures.repeat(4, 1, 1, 1) for pictures in digits)
    assert (images == 0).double().mean() > 0.25
    error = amplitude_error(images, changed, same_spectrum(images, changed, range(64)))
    assert error.quantile(0.75) < 0.05
    assert error.max() < 0.25
    assert amplitude_error(images, changed, white_noise(images, changed, range(64))).min() > 0.6


def test_noise_lies_as_far_from_the_attack_as_chance_would_have_it(photos):
    images, changed = (pictures.repeat(8, 1, 1, 1) for pictures in photos)
    noisy = same_spectrum(images, changed, range(16))
    assert el.metrics.pcc(noisy - images, changed - images).abs().max() < 0.1


def test_where_nothing_is_cut_off_it_is_the_formula(grey):
    images, changed = grey
    noisy = same_spectrum(images, changed, [3, 4])
    for index, seed in enumerate([3, 4]):
        white = np.fft.fft2(np.random.default_rng(seed).standard_normal((12, 10)))
        expected = np.fft.ifft2(transform(images, changed)[index].numpy() * white / abs(white))
        assert abs(expected.imag).max() < 1e-12
        torch.testing.assert_close((noisy - images)[index], torch.from_numpy(expected.real))


def test_channels_keep_how_they_are_correlated(grey):
    images, changed = grey
    wanted, found = (transform(images, p) for p in (changed, same_spectrum(*grey, [0, 1])))
    torch.testing.assert_close(found[:, 0] * found[:, 1].conj(), wanted[:, 0] * wanted[:, 1].conj())


@CONTROLS
def test_another_seed_gives_other_noise(control, grey):
    images, changed = (pictures[:1].expand(2, -1, -1, -1) for pictures in grey)
    noise = control(images, changed, [(0, 1), (0, 2)]) - images
    assert abs(el.metrics.pcc(noise[:1], noise[1:]).item()) < 0.5
    assert torch.equal(control(images, changed, [(0, 1), (0, 1)])[1], (noise + images)[0])


@CONTROLS
def test_noise_depends_on_its_sample_alone(control, digits):
    images, changed = digits
    together = control(images, changed, range(16))
    assert torch.equal(control(images[5:6], changed[5:6], [5]), together[5:6])


@CONTROLS
def test_precision_changes_nothing_but_rounding(control, digits):
    single = control(*digits, range(16))
    double = control(*(pictures.double() for pictures in digits), range(16))
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-6)


@CONTROLS
def test_what_was_not_changed_stays(control, digits):
    images, changed = digits[0][:2], digits[1][:2].clone()
    changed[0] = images[0]
    noisy = control(images, changed, [0, 1])
    assert torch.equal(noisy[0], images[0])
    assert not torch.equal(noisy[1], images[1])


def test_a_change_as_large_as_can_be_leaves_no_choice():
    images = torch.zeros(1, 1, 4, 4)
    torch.testing.assert_close(same_spectrum(images, images + 1, [0]), images + 1)


@CONTROLS
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.rand(2, 1, 4)}, r"images must have the shape \(N, C, H, W\)"),
        ({"changed": torch.rand(2, 1, 4, 4) + 1}, r"changed must lie in \[0, 1\]"),
        ({"changed": torch.full((2, 1, 4, 4), math.nan)}, "changed must be finite"),
        ({"changed": torch.rand(1, 1, 4, 4)}, r"same shape, got \(2, 1, 4, 4\) and \(1, 1, 4, 4\)"),
        ({"seeds": [0]}, r"one for each of 2 pictures, got \[0\]"),
        ({"seeds": 0}, "one for each of 2 pictures, got 0"),
    ],
)
def test_bad_input_is_refused(control, change, message):
    good = {"images": torch.rand(2, 1, 4, 4), "changed": torch.rand(2, 1, 4, 4), "seeds": [0, 1]}
    with pytest.raises(ValueError, match=message):
        control(**good | change)
