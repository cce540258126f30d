"""Training for maps that turn slowly: the penalties against the whole Hessian, and the loop."""

import pytest
import torch
from differences import along
from torch import nn

import explman_lite as el
from explman_lite.networks.softplus import CentredSoftplus

PENALTIES = [el.training.hessian_penalty, el.training.attribution_penalty]


@pytest.fixture
def smooth() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), CentredSoftplus(3.0), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(36, 8), CentredSoftplus(3.0), nn.Linear(8, 3),
    ).double()  # fmt: skip


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 2, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


CLASSES = torch.tensor([0, 2, 1, 0])


def alone(model, image, cls):
    return lambda flat: model(flat.view_as(image))[0, cls]


def test_the_mean_square_of_the_hessian_penalty_is_the_norm_of_the_hessian(smooth, images):
    torch.manual_seed(0)
    many = images[:1].expand(20_000, -1, -1, -1)
    classes = CLASSES[:1].expand(20_000)
    found = el.training.hessian_penalty(smooth, many, classes).square().mean().sqrt()
    function, flat = alone(smooth, images[:1], 0), images[:1].flatten()
    hessian = torch.autograd.functional.hessian(function, flat)
    slope = torch.autograd.functional.jacobian(function, flat)
    assert found.item() == pytest.approx((hessian.norm() / slope.norm()).item(), rel=0.03)


def test_the_attribution_penalty_is_worse_than_chance_and_stays_in_the_box(smooth, images):
    seen = []
    hook = smooth.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    torch.manual_seed(0)
    worst = el.training.attribution_penalty(smooth, images, CLASSES, epsilon=0.2)
    hook.remove()
    assert len(seen) == 3
    for moved in seen:
        assert (moved - images).abs().max() <= 0.2 + 1e-12
        assert moved.min() >= 0 and moved.max() <= 1
    assert (seen[2] - images).abs().mean() > 0.1

    def slope(at):
        at = at.requires_grad_()
        return torch.autograd.grad(smooth(at).gather(1, CLASSES[:, None]).sum(), at)[0].flatten(1)

    def turned(moved):
        return 1 - torch.cosine_similarity(slope(moved), slope(images.clone()))

    torch.testing.assert_close(worst.detach(), turned(seen[2]))
    chance = torch.stack(
        [turned((images + 0.2 * torch.randn_like(images).sign()).clamp(0, 1)) for _ in range(50)]
    )
    assert (worst > 1.5 * chance.mean(dim=0)).all()


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_penalty_has_the_right_gradient_in_the_weights(smooth, images, penalty):
    def value():
        torch.manual_seed(0)
        return penalty(smooth, images, CLASSES).sum()

    weights = [weight for weight in smooth.parameters() if weight.ndim > 1]
    for weight, found in zip(weights, torch.autograd.grad(value(), weights), strict=True):
        direction = torch.randn_like(weight)
        expected = along(direction, weight, value, step=1e-6)
        assert abs(expected) > 1e-4
        assert (found * direction).sum().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_penalty_does_not_care_how_large_the_logits_are(smooth, images, penalty):
    def value(model):
        torch.manual_seed(0)
        return penalty(model, images, CLASSES)

    class Loud(nn.Module):
        def forward(self, inputs):
            return 1000 * smooth(inputs)

    torch.testing.assert_close(value(Loud()), value(smooth))


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_network_whose_gradient_never_turns_is_refused(penalty, images):
    relu = nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    with pytest.raises(ValueError, match="train with softplus"):
        penalty(relu, images, CLASSES)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_batch_norm_that_mixes_images_is_refused_by_name(penalty, images):
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), CentredSoftplus(1.0), nn.Flatten(), nn.Linear(64, 3)
    ).double()
    with pytest.raises(ValueError, match="put 1 in evaluation mode"):
        penalty(model, images, CLASSES)
    assert penalty(model.eval(), images, CLASSES).isfinite().all()


def test_odd_arguments_are_refused(smooth, images):
    with pytest.raises(ValueError, match="epsilon"):
        el.training.attribution_penalty(smooth, images, CLASSES, epsilon=0.0)

    def train(**options):
        return el.training.train(smooth, lambda epoch: (images, CLASSES), **options)

    for options in (
        {"epochs": 0},
        {"epochs": 1, "share": 1.5},
        {"epochs": 1, "share": 0.0},
        {"epochs": 1, "weight_decay": -1.0},
        {"epochs": 1, "penalty_weight": -1.0},
        {"epochs": 1, "lr": 0.0},
    ):
        (name,) = [key for key in options if key != "epochs"] or ["epochs"]
        with pytest.raises(ValueError, match=name):
            train(**options)


def trained(penalty=None, seed=0, **options):
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2), CentredSoftplus(3.0), nn.AvgPool2d(3),
        nn.Flatten(), nn.Linear(200, 16), CentredSoftplus(3.0), nn.Linear(16, 10),
    )  # fmt: skip
    images, labels = el.load_digits("train")

    def draw(epoch):
        order = torch.randperm(len(images))
        return images[order], labels[order]

    options = {"epochs": 3, "lr": 1e-2, "progress": False} | options
    return el.training.train(model, draw, penalty=penalty, **options)


def test_the_seed_decides():
    first, second, other = (
        trained(el.training.hessian_penalty, seed=seed).state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])


@pytest.mark.parametrize(("penalty", "weight"), [*zip(PENALTIES, (1.0, 3.0), strict=True)])
def test_a_penalty_is_made_small_and_the_digits_are_still_read(penalty, weight):
    images, labels = el.load_digits("test")
    plain = trained(epochs=8)
    with_it = trained(penalty, penalty_weight=weight, share=0.5, epochs=8)

    def value(model):
        torch.manual_seed(1)
        return penalty(model, images[:100], labels[:100]).mean().item()

    assert not with_it.training
    assert value(with_it) < 0.5 * value(plain)
    assert (with_it(images).argmax(dim=1) == labels).float().mean() > 0.88


def test_the_penalty_sees_its_share_of_every_batch(images):
    seen = []

    def penalty(model, some, classes):
        seen.append(len(some))
        return model(some).square().mean(dim=1)

    trained(penalty, epochs=1, batch=100, share=1 / 8)
    assert len(set(seen[:-1])) == 1 and seen[0] == 13
