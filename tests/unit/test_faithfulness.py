"""Erasing pixels, on networks whose answer to each erasure is known."""

import pytest
import torch
from torch import nn

import explman_lite as el
from explman_lite.faithfulness import pixel_flipping


class Counter(nn.Module):
    """Says class 0 with a probability that is the share of bright pixels in the left half."""

    def forward(self, images):
        share = (images[..., : images.shape[-1] // 2] > 0.75).flatten(1).double().mean(dim=1)
        return torch.stack([share, 1 - share], dim=1).log()


@pytest.fixture
def half_bright():
    image = torch.zeros(1, 1, 4, 8, dtype=torch.float64)
    image[..., :4] = 1
    return image


def left_first(size=(4, 8)):
    return torch.arange(size[1], 0, -1, dtype=torch.float64).expand(1, *size)


def test_the_curve_falls_as_the_pixels_that_matter_are_erased(half_bright):
    classes = torch.tensor([0])
    curve = pixel_flipping(Counter().eval(), half_bright, left_first(), classes, steps=8)
    expected = torch.tensor([[1, 0.75, 0.5, 0.25, 0, 0, 0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(curve, expected)
    wrong = pixel_flipping(Counter().eval(), half_bright, left_first().flip(2), classes, steps=8)
    late = torch.tensor([[1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]], dtype=torch.float64)
    torch.testing.assert_close(wrong, late)


def test_squares_are_erased_together(half_bright):
    maps = torch.zeros(1, 4, 8, dtype=torch.float64)
    maps[0, 1, 1] = 9
    curve = pixel_flipping(Counter().eval(), half_bright, maps, torch.tensor([0]), steps=8, patch=2)
    assert curve[0, 1].item() == pytest.approx(0.75)


def seen_at_the_end(images, **options):
    """Return what is left of images when everything is erased."""
    seen = []

    class Camera(nn.Module):
        def forward(self, pictures):
            seen.append(pictures)
            return pictures.flatten(1)[:, :2]

    maps = torch.ones(1, *images.shape[2:])
    pixel_flipping(Camera().eval(), images, maps, 0, steps=1, **options)
    return seen[-1]


def test_pixels_are_erased_to_the_mean_to_grey_or_to_a_blur_without_a_frame():
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mean = images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    torch.testing.assert_close(seen_at_the_end(images), mean)
    assert (seen_at_the_end(images, erased_to="grey") == 0.5).all()
    blurred = seen_at_the_end(images, erased_to="blur")
    assert 0.02 < blurred.std() < 0.3 * images.std()
    flat = torch.full((1, 3, 32, 32), 0.25)
    torch.testing.assert_close(seen_at_the_end(flat, erased_to="blur"), flat)
    with pytest.raises(ValueError, match="erased_to must be"):
        seen_at_the_end(flat, erased_to="black")


@pytest.mark.parametrize(("patch", "steps"), [(1, 7), (4, 5), (8, 16)])
def test_the_curve_is_that_of_the_formula(patch, steps):
    model = el.load_model("digits_vgg").double()
    (image, *_), (label, *_) = el.load_digits()
    image = image.double()
    generator = torch.Generator().manual_seed(3)
    relevance = torch.randint(5, (32, 32), generator=generator).double()  # many are equal
    corners = [(row, column) for row in range(0, 32, patch) for column in range(0, 32, patch)]

    def square(corner):
        return slice(corner[0], corner[0] + patch), slice(corner[1], corner[1] + patch)

    order = sorted(corners, key=lambda corner: -relevance[square(corner)].sum().item())
    expected = []
    for step in range(steps + 1):
        erased = image.clone()
        for rank, corner in enumerate(order):
            if rank < step * len(order) / steps:
                erased[0][square(corner)] = image.mean()
        expected.append(model(erased[None]).softmax(dim=1)[0, label].item())
    found = pixel_flipping(model, image[None], relevance[None], label[None], steps, patch)
    assert found[0].tolist() == pytest.approx(expected, abs=1e-12)


def test_each_picture_is_erased_by_its_own_map_and_keeps_its_own_colour():
    model = el.load_model("digits_vgg")
    images, labels = (x[:4] for x in el.load_digits())
    maps = el.relevance_map(el.Gradient()(model, images, labels))
    together = pixel_flipping(model, images, maps, labels, steps=5, patch=4)
    for index in range(4):
        one = slice(index, index + 1)
        alone = pixel_flipping(model, images[one], maps[one], labels[one], steps=5, patch=4)
        torch.testing.assert_close(together[one], alone)


def test_an_honest_map_beats_a_random_order():
    model = el.load_model("digits_vgg")
    images, labels = (x[:40] for x in el.load_digits())
    maps = el.relevance_map(el.Gradient()(model, images, labels))
    noise = torch.rand(maps.shape, generator=torch.Generator().manual_seed(0))
    honest, random = (
        pixel_flipping(model, images, order, labels, patch=4).mean().item()
        for order in (maps, noise)
    )
    assert honest < random - 0.1


def test_wrong_arguments_are_refused(half_bright):
    model, classes = Counter().eval(), torch.tensor([0])
    with pytest.raises(ValueError, match="patch must divide"):
        pixel_flipping(model, half_bright, left_first(), classes, patch=3)
    with pytest.raises(ValueError, match="steps must be an integer of at least 1"):
        pixel_flipping(model, half_bright, left_first(), classes, steps=0)
    with pytest.raises(ValueError, match=r"^maps must not be negative"):
        pixel_flipping(model, half_bright, -left_first(), classes)
