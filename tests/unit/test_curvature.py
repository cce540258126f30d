"""Curvature against surfaces whose curvature is known, and against whole Hessians."""

import math

import pytest
import torch
from torch import nn

import explman_lite as el
from explman_lite import curvature
from explman_lite.curvature.hessian import EXACT
from explman_lite.networks.layers import Conv2d
from explman_lite.networks.prepare import prepare
from explman_lite.networks.softplus import CentredSoftplus


class Surface(nn.Module):
    """A network whose only logit is a function of the point (N, d)."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, points):
        return self.function(points).unsqueeze(1)


def surface(function):
    return Surface(function).eval()


def sphere():
    return surface(lambda points: points.square().sum(dim=1))


def vector(*values):
    return torch.tensor([values], dtype=torch.float64)


@pytest.fixture(scope="module")
def toy():
    """Build the network of the paper's appendix: two inputs, fifty hidden units."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 50, bias=False), nn.ReLU(), nn.Linear(50, 1, bias=False))
    for layer in network[::2]:
        nn.init.uniform_(layer.weight, -1, 1)
    return network.double().eval()


@pytest.fixture(scope="module")
def deep():
    torch.manual_seed(1)
    layers = [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2), nn.ReLU6()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16, 3)).double().eval()


@pytest.fixture(scope="module")
def digit():
    images, _ = el.load_digits("test")
    return images[:1].double()


@pytest.fixture(scope="module")
def digits_vgg():
    return el.load_model("digits_vgg").double()


def whole_hessian(model, point, cls):
    size = point.numel()
    found = torch.autograd.functional.hessian(lambda x: model(x)[0, cls], point)
    return found.reshape(size, size)


def test_product_is_that_of_the_whole_hessian(deep):
    smooth = el.smoothed(deep, beta=3.0)
    points = torch.rand(3, 2, 4, 4, dtype=torch.float64)
    vectors = torch.randn_like(points)
    classes = torch.tensor([0, 2, 1])
    products = curvature.hessian_vector_product(smooth, points, vectors, classes)
    for point, vector_, cls, product in zip(points, vectors, classes, products, strict=True):
        expected = whole_hessian(smooth, point[None], cls) @ vector_.flatten()
        torch.testing.assert_close(product.flatten(), expected)


@pytest.mark.parametrize("dimensions", [2, 3, 40, EXACT + 1])
@pytest.mark.parametrize("radius", [0.5, 2.0])
def test_a_sphere_bends_by_one_over_its_radius(dimensions, radius):
    direction = torch.randn(1, dimensions, dtype=torch.float64)
    point = radius * direction / direction.norm()
    found = curvature.principal_curvatures(sphere(), point, 0)
    assert found.item() == pytest.approx(-1 / radius)


def test_a_saddle_bends_both_ways_and_the_stronger_bend_comes_first():
    graph = surface(lambda p: p[:, 2] - (3 * p[:, 0].square() - 5 * p[:, 1].square()) / 2)
    found = curvature.principal_curvatures(graph, vector(0, 0, 0), 0, k=2)
    torch.testing.assert_close(found, torch.tensor([-5.0, 3.0], dtype=torch.float64))


def test_an_ellipsoid_bends_as_the_textbook_says():
    a, b, c = 2.0, 1.0, 0.5
    axes = torch.tensor([a, b, c], dtype=torch.float64)
    ellipsoid = surface(lambda p: (p / axes).square().sum(dim=1))
    found = curvature.principal_curvatures(ellipsoid, vector(a, 0, 0), 0, k=2)
    expected = torch.tensor([-a / c**2, -a / b**2], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


def test_curvature_belongs_to_the_surface_and_not_to_the_function():
    stretched = surface(lambda points: 7 * points.square().sum(dim=1).exp() - 2)
    point = vector(0.3, -0.4, 0.6)
    torch.testing.assert_close(
        curvature.principal_curvatures(stretched, point, 0, k=2),
        curvature.principal_curvatures(sphere(), point, 0, k=2),
    )


def test_curvature_is_that_of_the_second_fundamental_form(deep):
    smooth, point = el.smoothed(deep, beta=3.0), torch.rand(1, 2, 4, 4, dtype=torch.float64)
    hessian = whole_hessian(smooth, point, 1)
    gradient = torch.autograd.functional.jacobian(lambda x: smooth(x)[0, 1], point).flatten()
    normal = gradient / gradient.norm()
    projection = torch.eye(32, dtype=torch.float64) - torch.outer(normal, normal)
    form = -torch.einsum("ik,kl,lj->ij", projection, hessian, projection) / gradient.norm()
    expected = torch.linalg.eigvalsh(form)
    found = curvature.principal_curvatures(smooth, point, 1, k=4)
    torch.testing.assert_close(found, expected[expected.abs().argsort(descending=True)][:4])


def test_lanczos_agrees_with_the_whole_hessian_of_an_image(digits_vgg, digit):
    frame = nn.ZeroPad2d(7)  # with which the middle of the digit is a picture of its own
    smooth, digit = el.smoothed(nn.Sequential(frame, digits_vgg), beta=5.0), digit[..., 7:-7, 7:-7]
    cls, pixels = int(smooth(digit).argmax()), digit.numel()
    assert pixels > EXACT
    units = torch.eye(pixels, dtype=torch.float64).view(-1, *digit.shape[1:])
    copies, classes = digit.expand_as(units), torch.full((pixels,), cls)
    hessian = curvature.hessian_vector_product(smooth, copies, units, classes).flatten(1)
    gradient = el.Gradient()(smooth, digit, torch.tensor([cls])).flatten()
    normal = gradient / gradient.norm()
    tangent = torch.eye(pixels, dtype=torch.float64) - torch.outer(normal, normal)
    expected = torch.linalg.eigvalsh(-tangent @ hessian @ tangent / gradient.norm())
    found = curvature.principal_curvatures(smooth, digit, cls, k=3, tolerance=1e-9)
    torch.testing.assert_close(found, expected[expected.abs().argsort(descending=True)][:3])


def test_a_relu_network_is_flat_where_it_is_smooth(digits_vgg, digit, toy):
    assert not curvature.principal_curvatures(digits_vgg, digit, 0, k=2).any()
    assert not curvature.principal_curvatures(toy, vector(0.3, 0.2), 0).any()


def test_a_network_without_second_derivative_at_all_is_flat():
    linear = nn.Linear(3, 2).double().eval()
    classes = torch.tensor([1])
    product = curvature.hessian_vector_product(linear, vector(1, 2, 3), vector(1, 0, 0), classes)
    assert not product.any()


def test_a_path_on_a_circle_is_an_arc():
    path = curvature.level_set_path(sphere(), vector(1, 0), vector(0, 1), 0, points=200)
    assert path.length == pytest.approx(math.pi / 2, rel=1e-4)
    assert path.straight_distance == pytest.approx(math.sqrt(2))
    assert path.drift <= 1e-4
    torch.testing.assert_close(path.normals, path.points, atol=1e-4, rtol=0)
    assert path.normal_change[0] == 0
    assert path.normal_change[-1].item() == pytest.approx(math.sqrt(2), rel=1e-4)


def test_points_of_a_path_take_newton_s_steps(deep):
    smooth = el.smoothed(deep, beta=3.0)
    generator = torch.Generator().manual_seed(5)
    start, end = torch.rand(2, 1, 2, 4, 4, dtype=torch.float64, generator=generator)
    path = curvature.level_set_path(smooth, start, end, 2, points=5, tolerance=1e-10)
    level = smooth(start)[0, 2]
    for place, found in zip((0, 0.25, 0.5, 0.75, 1), path.points, strict=True):
        point = start + place * (end - start)
        for _ in range(20):
            value = smooth(point)[0, 2]
            gradient = torch.autograd.functional.jacobian(lambda x: smooth(x)[0, 2], point)
            point = point + (level - value) / gradient.square().sum() * gradient
        torch.testing.assert_close(found, point[0], rtol=0, atol=1e-8)


def test_a_path_brings_its_end_to_the_level():
    path = curvature.level_set_path(sphere(), vector(1, 0), vector(0, 3), 0, points=9)
    assert path.values.tolist() == pytest.approx([1.0] * 9, abs=1e-4)
    torch.testing.assert_close(path.points[-1:], vector(0, 1), atol=1e-4, rtol=0)


def test_a_path_that_cannot_be_says_so():
    # From 1 the line climbs into a region whose gradients lead ever further away.
    bell = surface(lambda points: (-points.square().sum(dim=1)).exp())
    with pytest.raises(RuntimeError, match="off the level"):
        curvature.level_set_path(bell, vector(0.1, 0), vector(9, 0), 0)


@pytest.mark.parametrize("beta", [1.0, 10.0])
def test_theorem_1_holds_on_the_toy_network(toy, beta):
    smooth = el.smoothed(toy, beta)
    start = vector(0.7, 0.1)
    end = start + vector(-0.05, 0.1)
    path = curvature.level_set_path(smooth, start, end, 0, points=400, tolerance=1e-9)
    limit = curvature.hessian_bound(smooth, start, 0)
    (row,) = curvature.theorem1_report(smooth, path, hessian_limit=limit).to_dict("records")
    assert row["holds"]
    assert 0 < row["normal_change"] <= row["curvature_bound"] <= row["weight_bound"]
    assert row["straight_distance"] <= row["length"]


def test_a_report_says_when_the_theorem_does_not_hold(toy):
    """With ReLU there is no curvature to be seen, and yet the normal turns at every kink."""
    path = curvature.level_set_path(toy, vector(0.7, 0.1), vector(0.2, 0.8), 0, points=20)
    report = curvature.theorem1_report(toy, path)
    assert report.lambda_max.item() == 0
    assert report.normal_change.item() > 0.01
    assert not report.holds.item()
    assert math.isnan(report.weight_bound.item())


@pytest.mark.parametrize(
    ("rounding", "kinks"),
    [({"beta": 5.0, "pooling": 5.0}, 0), ({"beta": 5.0}, 3), ({"beta": None, "pooling": 5.0}, 7)],
)
def test_a_report_counts_the_layers_with_kinks(digits_vgg, digit, rounding, kinks):
    smooth, end = el.smoothed(digits_vgg, **rounding), digit + 0.1
    path = curvature.level_set_path(smooth, digit, end, 3, points=2)
    assert curvature.theorem1_report(smooth, path).kinks.item() == kinks


def test_a_report_counts_kinks_that_are_no_layers_of_their_own():
    class Functions(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.RNNCell(4, 1, nonlinearity="relu")
            for weight in self.last.parameters():
                nn.init.ones_(weight)

        def forward(self, images):
            pooled = nn.functional.max_pool2d(images.relu(), 2)
            return self.last(pooled.flatten(1))

    network, image = Functions().double().eval(), torch.rand(1, 1, 4, 4).double() + 0.1
    path = curvature.level_set_path(network, image, image + 0.01, 0, points=2)
    assert curvature.theorem1_report(network, path).kinks.item() == 3


@pytest.mark.parametrize("pooling", [None, 100.0])
def test_the_normal_jumps_at_kinks_alone(digits_vgg, digit, pooling):
    """Halve a step where the normal turns most, twenty times: a smooth turn shrinks with it."""
    smooth = el.smoothed(digits_vgg, beta=100.0, pooling=pooling)
    ends = digit, digit + 0.2 * digit.roll(3, dims=-1)
    for _ in range(20):
        halves = curvature.level_set_path(smooth, *ends, 3, points=3, tolerance=1e-10)
        worst = int(halves.normals.diff(dim=0).flatten(1).norm(dim=1).argmax())
        ends = halves.points[[worst]], halves.points[[worst + 1]]
    path = curvature.level_set_path(smooth, *ends, 3, points=2, tolerance=1e-10)
    report = curvature.theorem1_report(smooth, path)
    smooth_turn = pooling is not None
    assert report.holds.item() == smooth_turn
    assert (report.normal_change.item() < 1e-3) == smooth_turn


@pytest.mark.parametrize("beta", [0.5, 8.0])
def test_no_hessian_exceeds_its_bound(deep, beta):
    chain = nn.Sequential(*list(deep)[:4], nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 2)).double()
    smooth = el.smoothed(chain.eval(), beta)
    points = torch.rand(6, 2, 4, 4, dtype=torch.float64)
    bound = curvature.hessian_bound(smooth, points[:1], 1)
    norms = [torch.linalg.matrix_norm(whole_hessian(smooth, p[None], 1), 2) for p in points]
    assert 0 < max(norms) < bound
    assert curvature.hessian_bound(el.smoothed(chain, 2 * beta), points[:1], 1) == pytest.approx(
        2 * bound
    )


def test_the_bound_of_three_layers_is_that_of_its_formula():
    torch.manual_seed(2)
    layers = [nn.Linear(5, 7), nn.Linear(7, 6), nn.Linear(6, 8)]
    last, beta = nn.Linear(8, 3), 6.0
    chain = [module for layer in layers for module in (layer, nn.ReLU())]
    smooth = el.smoothed(nn.Sequential(*chain, last).double().eval(), beta)
    norms = [torch.linalg.matrix_norm(layer.weight, 2).item() for layer in layers]
    row = last.weight[1]
    expected = 0.0
    for place in range(3):
        term = row.abs().max().item() if place == 2 else row.norm().item()
        for index, norm in enumerate(norms):
            term *= norm if index > place else norm**2
        expected += beta / 4 * term
    found = curvature.hessian_bound(smooth, torch.zeros(1, 5).double(), 1)
    assert found == pytest.approx(expected)


def test_the_bound_of_one_layer_is_reached_where_all_units_bend(toy):
    """At zero every unit is at its sharpest."""
    outer = nn.Linear(50, 1, bias=False).double()
    nn.init.constant_(outer.weight, 0.3)
    smooth = el.smoothed(nn.Sequential(toy[0], toy[1], outer).eval(), 6.0)
    zero = vector(0, 0)
    largest = torch.linalg.matrix_norm(whole_hessian(smooth, zero, 0), 2).item()
    assert curvature.hessian_bound(smooth, zero, 0) == pytest.approx(largest)


def test_the_norm_of_a_convolution_is_that_of_its_matrix():
    torch.manual_seed(0)
    chain = nn.Sequential(nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.ReLU())
    smooth = el.smoothed(nn.Sequential(*chain, nn.Flatten(), nn.Linear(27, 1)).double().eval(), 4.0)
    image = torch.zeros(1, 2, 6, 6, dtype=torch.float64)
    convolution = next(m for m in smooth.modules() if isinstance(m, Conv2d))
    columns = torch.eye(72, dtype=torch.float64).view(72, 2, 6, 6)
    matrix = (convolution(columns) - convolution(torch.zeros_like(columns))).flatten(1)
    outer = next(m for m in smooth.modules() if isinstance(m, nn.Linear)).weight
    expected = outer.abs().max() * torch.linalg.matrix_norm(matrix, 2).square()
    assert curvature.hessian_bound(smooth, image, 0) == pytest.approx(expected.item(), rel=1e-4)


def test_a_mean_over_windows_shortens_by_the_root_of_their_size():
    def bound(pool):
        torch.manual_seed(0)
        chain = nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), pool, nn.Flatten(), nn.Linear(27, 1)
        smooth = el.smoothed(nn.Sequential(*chain).double().eval(), 4.0)
        return curvature.hessian_bound(smooth, torch.zeros(1, 2, 6, 6, dtype=torch.float64), 0)

    assert bound(nn.AvgPool2d(2)) == pytest.approx(bound(nn.MaxPool2d(2)) / 2)
    assert bound(nn.AvgPool2d((2, 2), ceil_mode=True)) == bound(nn.MaxPool2d(2))
    with pytest.raises(ValueError, match="AvgPool2d"):
        bound(nn.AvgPool2d(2, divisor_override=1))


def test_the_bound_holds_for_a_network_that_was_trained_with_softplus():
    torch.manual_seed(0)
    layers = nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)
    rounded = el.smoothed(nn.Sequential(*layers).double().eval(), 3.0, centred=True)
    own = [CentredSoftplus(3.0) if isinstance(m, nn.ReLU) else m for m in layers]
    found = curvature.hessian_bound(prepare(nn.Sequential(*own).eval()), vector(0, 0), 1)
    assert found == curvature.hessian_bound(rounded, vector(0, 0), 1)


def test_a_network_without_a_known_bound_names_the_layer(toy):
    point = vector(0.1, 0.2)
    with pytest.raises(ValueError, match="smooth the network first"):
        curvature.hessian_bound(el.smoothed(toy, None), point, 0)
    strange = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Tanh(), nn.Linear(2, 1)).double().eval()
    with pytest.raises(ValueError, match="Tanh"):
        curvature.hessian_bound(el.smoothed(strange, 1.0), point, 0)

    class Residual(nn.Module):
        def forward(self, points):
            return points + points.relu()

    network = nn.Sequential(Residual(), nn.Linear(2, 1)).double().eval()
    with pytest.raises(ValueError, match="no chain"):
        curvature.hessian_bound(el.smoothed(network, 1.0), point, 0)
    with pytest.raises(ValueError, match="dense"):
        curvature.hessian_bound(prepare(toy[:2]), point, 0)


def test_the_bound_is_of_one_of_the_network_s_logits():
    layers = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 9)
    smooth, point = el.smoothed(nn.Sequential(*layers).eval(), 1.0), torch.zeros(1, 2)
    assert curvature.hessian_bound(smooth, point, 7) > 0
    for cls in (-1, 9):
        with pytest.raises(ValueError, match=rf"between 0 and 8, got \[{cls}\]"):
            curvature.hessian_bound(smooth, point, cls)


def test_curvature_follows_the_point_and_not_the_default_device(digits_vgg, digit):
    smooth, (east, north) = el.smoothed(digits_vgg, 2.0), torch.eye(2).split(1)

    def measure():
        bent = curvature.principal_curvatures(smooth, digit, 3)
        flat = curvature.principal_curvatures(digits_vgg, digit, 3)
        path = curvature.level_set_path(sphere(), east, north, 0, points=9)
        return bent, flat, path.points

    with torch.device("meta"):
        found = measure()
    torch.testing.assert_close(found, measure())


def test_wrong_arguments_are_refused_with_a_reason():
    point, network = vector(1, 2, 2), sphere()
    with pytest.raises(ValueError, match="k must be an integer from 1 to 2"):
        curvature.principal_curvatures(network, point, 0, k=3)
    with pytest.raises(ValueError, match="single"):
        curvature.principal_curvatures(network, point.repeat(2, 1), 0)
    with pytest.raises(ValueError, match="no normal"):
        curvature.principal_curvatures(network, 0 * point, 0)
    with pytest.raises(ValueError, match="NaN"):
        curvature.principal_curvatures(network, point * math.nan, 0)
    with pytest.raises(ValueError, match="between 0 and 0"):
        curvature.principal_curvatures(network, point, 1)
    with pytest.raises(ValueError, match="shape of points"):
        curvature.hessian_vector_product(network, point, point[:, :2], torch.tensor([0]))
    with pytest.raises(ValueError, match="at least 2"):
        curvature.level_set_path(network, point, point, 0, points=1)
    with pytest.raises(ValueError, match="same shape"):
        curvature.level_set_path(network, point, point[:, :2], 0)
