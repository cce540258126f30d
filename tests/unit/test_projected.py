"""The projection on the data's tangent space against a plain one, and what it refuses.

That its derivatives are right, in images and weights, is among the tests of all explainers.
"""

import pickle
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import explman_lite as el
from explman_lite.explainers import projected

SHAPE = 3, 16, 16
VALUES = 3 * 16 * 16


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def pictures() -> Tensor:
    """Pictures around five centres, so that it matters which are near."""
    centres = drawn(5, 1, *SHAPE, seed=5)
    return (0.7 * centres + 0.3 * drawn(5, 12, *SHAPE, seed=6)).flatten(0, 1)


@pytest.fixture
def crops() -> tuple[Tensor, Tensor]:
    return el.load_crops("train")[0], el.load_crops("test")[0][::120]


def reference(image: Tensor, pictures: Tensor, neighbours: int, dimensions: int) -> Tensor:
    """Return the projection (D, D) at one image, by a sort and a full decomposition."""
    rows = pictures.flatten(1)
    distances = torch.stack([(row - image.flatten()).norm() for row in rows])
    near = rows[distances.argsort()[:neighbours]]
    _, _, directions = torch.linalg.svd(near - near.mean(dim=0), full_matrices=False)
    return directions[:dimensions].T @ directions[:dimensions]


def matrix(explainer: el.Projected, images: Tensor) -> Tensor:
    """Return the projections (N, D, D) that an explainer uses."""
    bases = explainer._bases(images)
    return bases.mT @ bases


@pytest.mark.parametrize(("neighbours", "dimensions"), [(10, 4), (20, 19), (60, 30)])
@pytest.mark.parametrize("inner", [el.Gradient(), el.LRP()], ids=lambda inner: inner.name)
def test_it_agrees_with_a_plain_projection(
    inner, neighbours, dimensions, network, images, classes, pictures, monkeypatch
):
    plain = inner(network, images, classes)
    expected = torch.stack([
        (reference(image, pictures, neighbours, dimensions) @ one.flatten()).view(SHAPE)
        for image, one in zip(images, plain, strict=True)
    ])  # fmt: skip
    explainer = el.Projected(inner, pictures, neighbours=neighbours, dimensions=dimensions)
    for at_once in (projected._VALUES_PER_PASS, 7 * VALUES, 1):
        monkeypatch.setattr(projected, "_VALUES_PER_PASS", at_once)
        found = explainer(network, images, classes)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert (found - plain).norm() > 0.1 * plain.norm()


def test_it_is_an_orthogonal_projection_of_the_dimensions_asked_for(images, pictures):
    found = matrix(el.Projected(el.Gradient(), pictures, neighbours=20, dimensions=7), images)
    torch.testing.assert_close(found @ found, found)
    torch.testing.assert_close(found, found.mT)
    traces = found.diagonal(dim1=1, dim2=2).sum(dim=1)
    torch.testing.assert_close(traces, torch.full_like(traces, 7))


def test_data_in_a_known_plane_have_that_plane_as_tangent_space(network, images, classes):
    plane = torch.linalg.qr(drawn(VALUES, 4, seed=7) - 0.5)[0]
    pictures = (0.5 + (drawn(40, 4, seed=8) - 0.5) @ plane.T).view(40, *SHAPE)
    explainer = el.Projected(el.Gradient(), pictures, neighbours=15, dimensions=4)
    expected = (plane @ plane.T).expand(3, -1, -1)
    torch.testing.assert_close(matrix(explainer, images), expected, rtol=0, atol=1e-9)
    gradient = el.Gradient()(network, images, classes).flatten(1)
    found = explainer(network, images, classes).flatten(1)
    torch.testing.assert_close(found, gradient @ plane @ plane.T)
    with pytest.raises(ValueError, match=r"dimensions must be at most 4, .* \[0, 1, 2\] vary in"):
        replace(explainer, dimensions=5)(network, images, classes)


def test_a_sphere_has_its_tangent_space():
    """Far more pictures than dimensions: the estimate comes near to the truth."""
    frame = torch.linalg.qr(drawn(VALUES, 3, seed=7) - 0.5)[0]
    on_sphere = torch.nn.functional.normalize(drawn(4000, 3, seed=8) - 0.5, dim=1)
    pictures = (0.5 + 0.4 * on_sphere @ frame.T).view(-1, *SHAPE)
    explainer = el.Projected(el.Gradient(), pictures[3:], neighbours=40, dimensions=2)
    normals = (frame @ on_sphere[:3].T).T.unsqueeze(1)
    expected = (frame @ frame.T) - normals.mT @ normals
    assert (matrix(explainer, pictures[:3]) - expected).norm(dim=(1, 2)).max() < 0.1


def test_a_picture_of_the_data_is_its_own_neighbour_before_and_after_a_small_change(pictures):
    explainer = el.Projected(el.Gradient(), pictures, neighbours=8, dimensions=7)
    own, changed = pictures[:1], (pictures[:1] + 0.01 * drawn(1, *SHAPE, seed=9)).clamp(max=1)
    assert torch.equal(explainer._bases(own), explainer._bases(changed))
    torch.testing.assert_close(
        matrix(explainer, own)[0], reference(own[0], pictures, 8, 7), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_neighbours_are_found_where_single_precision_could_not_tell(dtype, pictures):
    """Of pictures nearly alike it would add up others in a batch than for the sample alone."""
    alike = (pictures[:1].flatten(1) + 1e-6 * drawn(60, VALUES, seed=3)).to(dtype)
    images = pictures[30:50].flatten(1).to(dtype)
    apart = (images.double().unsqueeze(1) - alike.double()).square().sum(dim=2)
    expected = apart.argsort(dim=1)[:, :11].sort(dim=1).values
    for rows in (1, 7, 60):
        assert torch.equal(projected.nearest(images, alike, 11, rows), expected)
    for index, image in enumerate(images):
        alone = projected.nearest(image.unsqueeze(0), alike, 11, 60)
        assert torch.equal(alone[0], expected[index])


def test_the_gradient_is_the_projection_of_the_inner_one(network, images, classes, pictures):
    smooth, weights = el.smoothed(network, 3.0), drawn(3, *SHAPE, seed=4)
    explainer = el.Projected(el.Gradient(), pictures, neighbours=20, dimensions=9)
    slopes = []
    for method, seen in (
        (explainer, weights),
        (el.Gradient(), (matrix(explainer, images) @ weights.view(3, -1, 1)).view_as(weights)),
    ):
        pixels = images.clone().requires_grad_()
        total = (method(smooth, pixels, classes) * seen).sum()
        slopes.append(torch.autograd.grad(total, pixels)[0])
    assert slopes[0].abs().max() > 1e-6
    torch.testing.assert_close(*slopes)


def test_wrappers_go_inside_and_outside(network, images, classes, pictures):
    def around(inner: el.Explainer) -> el.Projected:
        return el.Projected(inner, pictures, neighbours=20, dimensions=9)

    smooth = el.BetaSmoothing(el.Gradient(), 2.0)
    inside, outside = around(smooth), el.BetaSmoothing(around(el.Gradient()), 2.0)
    expected = inside.explain(network, images, classes)
    torch.testing.assert_close(outside(network, images, classes), expected.attribution)
    torch.testing.assert_close(expected.logits, network(images))
    assert inside.is_smooth and outside.is_smooth and not around(el.Gradient()).is_smooth
    assert inside.softened(0.5) == around(el.BetaSmoothing(el.Gradient(), 0.5))
    assert inside.softened(5.0) == inside
    noisy = el.SmoothGrad(3, 0.01)
    assert around(noisy).with_seed(7, 2) == around(noisy.with_seed(7, 2)) != around(noisy)
    many = el.SmoothGrad(3, 0.01, explainer=around(el.Gradient()))
    noise = [many.points(images, at, at + 1) for at in range(3)]
    mean = sum(around(el.Gradient()).explain(network, x, classes).attribution for x in noise) / 3
    torch.testing.assert_close(many(network, images, classes), mean)
    assert "LRP" in around(el.LRP()).name


def test_it_is_a_value_that_nothing_outside_changes(pictures, network, images, classes):
    given = pictures.clone()
    explainer = el.Projected(el.Gradient(), given, neighbours=20, dimensions=9)
    before = explainer(network, images, classes)
    given.zero_()
    torch.testing.assert_close(explainer(network, images, classes), before)
    assert repr(explainer) == (
        "Projected(explainer=Gradient(), pictures=<60 pictures of 3 × 16 × 16>, neighbours=20, "
        "dimensions=9)"
    )
    assert explainer == el.Projected(el.Gradient(), pictures, neighbours=20, dimensions=9)
    assert explainer == pickle.loads(pickle.dumps(explainer)) == replace(explainer)
    assert explainer != el.Projected(el.Gradient(), pictures.flip(1), neighbours=20, dimensions=9)
    assert explainer != replace(explainer, dimensions=8)


def test_pictures_made_under_inference_mode_can_be_attacked(network, images, classes, pictures):
    with torch.inference_mode():
        explainer = el.Projected(el.Gradient(), pictures.clone(), neighbours=20, dimensions=9)
    pixels = images.requires_grad_()
    explainer(el.smoothed(network, 2.0), pixels, classes).square().sum().backward()
    assert pixels.grad is not None and pixels.grad.any()


@pytest.mark.parametrize(
    ("dtype", "roundings"), [(torch.float16, 0.36), (torch.bfloat16, 0.36), (torch.float32, 4)]
)
def test_it_is_as_precise_as_the_images(dtype, roundings, network, images, classes, pictures):
    explainer = el.Projected(el.Gradient(), pictures, neighbours=20, dimensions=9)
    rounded = images.to(dtype)
    found = explainer(network.to(dtype), rounded, classes)
    inner = el.Gradient()(network, rounded, classes).double().view(3, -1, 1)
    expected = (matrix(explainer, rounded.double()) @ inner).view(3, *SHAPE)
    assert found.dtype == dtype
    # Half precision rounds what is returned, and nothing before.
    error = (found.double() - expected).norm() / expected.norm()
    assert error < roundings * torch.finfo(dtype).eps


def test_a_sample_that_is_lost_leaves_the_others_alone(network, images, classes, pictures):
    explainer = el.Projected(el.Gradient(), pictures, neighbours=20, dimensions=9)
    expected = explainer.explain(network, images, classes).attribution
    lost = images.clone()
    lost[1] = float("nan")
    found = explainer.explain(network, lost, classes).attribution
    assert torch.equal(found[[0, 2]], expected[[0, 2]])


def test_pictures_are_nearer_to_their_tangent_space_than_to_a_random_one(crops):
    data, held_out = crops
    explainer = el.Projected(el.Gradient(), data)
    points = data.flatten(1)
    near = projected.nearest(held_out.flatten(1), points, explainer.neighbours, 100)
    away = held_out.flatten(1) - points[near].mean(dim=1)
    random = torch.linalg.qr(torch.randn(3 * 64 * 64, 30, generator=torch.manual_seed(0)))[0].T
    kept, by_chance = (
        (bases @ away.unsqueeze(2)).square().sum(dim=(1, 2)) / away.square().sum(dim=1)
        for bases in (explainer._bases(held_out), random)
    )
    assert explainer._bases(held_out).shape[1:] == random.shape
    assert kept.median() > 0.3
    assert by_chance.max() < 0.02


def refused(**changes: object) -> el.Projected:
    given = {"explainer": el.Gradient(), "pictures": torch.rand(20, *SHAPE)}
    return el.Projected(**(given | {"neighbours": 10, "dimensions": 5} | changes))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"explainer": el.Gradient}, TypeError, r"got the class Gradient: add \(\)"),
        ({"explainer": "LRP"}, TypeError, r"such as Gradient\(\), got 'LRP'"),
        ({"pictures": [1.0]}, TypeError, r"pictures must be a torch\.Tensor, got list"),
        ({"pictures": torch.rand(20, 16, 16)}, ValueError, r"pictures .* \(N, C, H, W\)"),
        ({"pictures": 2 * torch.ones(20, *SHAPE)}, ValueError, r"pictures must lie in \[0, 1\]"),
        ({"pictures": torch.rand(20, *SHAPE) / 0}, ValueError, "pictures must be finite"),
        ({"pictures": torch.rand(9, *SHAPE)}, ValueError, "as many as neighbours=10, got 9"),
        ({"neighbours": 1}, ValueError, "neighbours must be an integer of at least 2, got 1"),
        ({"neighbours": 10.0}, ValueError, r"neighbours must be an integer .*, got 10\.0"),
        ({"dimensions": 0}, ValueError, "dimensions must be an integer of at least 1, got 0"),
        ({"dimensions": 10}, ValueError, "at most 9 dimensions, got dimensions=10"),
    ],
)
def test_what_cannot_be_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        refused(**changes)


def test_images_of_another_size_are_refused(network, classes):
    with pytest.raises(ValueError, match=r"images' size \(3, 12, 16\), got \(3, 16, 16\)"):
        refused()(network, drawn(3, 3, 12, 16), classes)


def test_the_most_dimensions_and_neighbours_are_allowed(network, images, classes):
    assert refused(neighbours=20, dimensions=19)(network, images, classes).any()


def test_neighbours_that_are_all_the_same_have_no_tangent_space(network, images, classes):
    """The mean of ten equal numbers is not always the number, but the difference no direction."""
    explainer = refused(pictures=drawn(1, *SHAPE).repeat(20, 1, 1, 1), dimensions=1)
    with pytest.raises(ValueError, match="dimensions must be at most 0"):
        explainer(network, images, classes)


def test_one_sample_without_a_tangent_space_is_named(network, images, classes):
    """A dozen copies lie near to one of the images, and varied pictures near to the others."""
    copies = images[1:2].repeat(12, 1, 1, 1)
    near = (images[[0, 2]].repeat(12, 1, 1, 1) + 0.01 * drawn(24, *SHAPE)).clamp(max=1)
    explainer = refused(pictures=torch.cat([near, copies]))
    with pytest.raises(ValueError, match=r"the neighbours of the samples \[1\] vary in, got 5"):
        explainer(network, images, classes)
