import math

import pytest
import torch
from scipy.stats import pearsonr
from skimage.metrics import mean_squared_error, structural_similarity

from explman_lite import metrics


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(4, 3, 24, 20, dtype=torch.float64, generator=generator)
    noise = torch.rand(4, 3, 24, 20, dtype=torch.float64, generator=generator)
    weight = torch.tensor([0.0, 0.1, 0.5, 1.0]).view(-1, 1, 1, 1)
    return first, (1 - weight) * first + weight * noise


def test_pcc_agrees_with_scipy(pair):
    expected = [pearsonr(a.flatten(), b.flatten())[0] for a, b in zip(*pair, strict=True)]
    torch.testing.assert_close(metrics.pcc(*pair), torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(metrics.pcc(pair[0], -pair[0]), -torch.ones(4).double())


@pytest.mark.parametrize("scale", [1e-30, 1e-14, 1e30])
def test_pcc_does_not_depend_on_the_scale(pair, scale):
    first, second = (values.float() for values in pair)
    expected = metrics.pcc(first, second)
    torch.testing.assert_close(metrics.pcc(scale * first, scale * second), expected)
    torch.testing.assert_close(metrics.pcc(first, scale * second), expected)


def test_pcc_of_a_constant_is_undefined():
    varied, constant = torch.rand(1, 9), torch.ones(1, 9)
    assert metrics.pcc(varied, constant).isnan()


def test_mse_agrees_with_scikit_image(pair):
    expected = [mean_squared_error(a.numpy(), b.numpy()) for a, b in zip(*pair, strict=True)]
    torch.testing.assert_close(metrics.mse(*pair), torch.tensor(expected))


def test_ssim_of_images_agrees_with_scikit_image(pair):
    expected = [
        structural_similarity(a.numpy(), b.numpy(), channel_axis=0, data_range=1.0)
        for a, b in zip(*pair, strict=True)
    ]
    found = metrics.ssim(*pair, data_range=1.0)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_ssim_of_maps_uses_the_span_of_each_pair(pair):
    first, second = pair[0][:, 0] * 30, pair[1][:, 0] * 30
    expected = [
        structural_similarity(
            a.numpy(),
            b.numpy(),
            data_range=(max(a.max(), b.max()) - min(a.min(), b.min())).item(),
        )
        for a, b in zip(first, second, strict=True)
    ]
    torch.testing.assert_close(
        metrics.ssim(first, second), torch.tensor(expected, dtype=torch.float64)
    )


def test_output_change_is_the_distance_of_the_probabilities():
    logits = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    other = torch.tensor([[0.0, torch.inf], [2.0, 3.0]]).clamp(max=100)
    torch.testing.assert_close(metrics.output_change(logits, other), torch.tensor([0.5**0.5, 0.0]))


def test_changes_of_the_output_are_those_of_their_formulas():
    generator = torch.Generator().manual_seed(2)
    logits, other = 3 * torch.randn(2, 5, 4, dtype=torch.float64, generator=generator)
    probabilities, moved = [], []
    for g, h in zip(logits.tolist(), other.tolist(), strict=True):
        p, q = ([math.exp(a) / sum(map(math.exp, row)) for a in row] for row in (g, h))
        probabilities.append(math.dist(p, q))
        mean = sum(h) / len(h)
        spread = sum((b - mean) ** 2 for b in h)
        moved.append(sum((a - b) ** 2 for a, b in zip(g, h, strict=True)) / spread)
    assert metrics.output_change(logits, other).tolist() == pytest.approx(probabilities)
    assert metrics.logit_change(logits, other).tolist() == pytest.approx(moved)
    assert metrics.logit_change(5 - 3 * logits, 5 - 3 * other).tolist() == pytest.approx(moved)


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.433, 1.0])
def test_the_top_pixels_are_those_of_a_sorted_list(pair, fraction):
    maps = [values.mean(dim=1) for values in pair]
    count = max(round(fraction * 24 * 20), 1)
    expected = []
    for sample in range(4):
        first, second = (m[sample].flatten().tolist() for m in maps)
        tops = [
            set(sorted(range(24 * 20), key=values.__getitem__)[-count:])
            for values in (first, second)
        ]
        expected.append(len(set.intersection(*tops)) / count)
    assert metrics.top_k_overlap(*maps, fraction=fraction).tolist() == pytest.approx(expected)


def test_top_pixels_are_counted_in_both_maps():
    first = torch.arange(100.0).view(1, 10, 10)
    second = first.clone()
    second[0, 9, 5:] = -1
    assert metrics.top_k_overlap(first, first).item() == 1
    assert metrics.top_k_overlap(first, second).item() == 0.5
    assert metrics.top_k_overlap(first, -first).item() == 0
    assert metrics.top_k_overlap(first, -first, fraction=1.0).item() == 1
    with pytest.raises(ValueError, match="fraction"):
        metrics.top_k_overlap(first, second, fraction=0)


@pytest.mark.parametrize(
    "metric",
    [metrics.pcc, metrics.mse, metrics.ssim, metrics.output_change, metrics.top_k_overlap],
)
def test_different_shapes_are_refused(metric):
    with pytest.raises(ValueError, match=r"same shape.*\(2, 8, 8\) and \(2, 8, 9\)"):
        metric(torch.zeros(2, 8, 8), torch.zeros(2, 8, 9))


def test_ssim_refuses_what_is_smaller_than_its_window():
    with pytest.raises(ValueError, match="at least 7"):
        metrics.ssim(torch.zeros(1, 6, 9), torch.zeros(1, 6, 9))


def test_logit_change_is_in_units_of_the_original_spread():
    original = torch.tensor([[0.0, 2.0], [0.0, 20.0]])
    logits = torch.tensor([[0.0, 3.0], [0.0, 30.0]])
    assert metrics.logit_change(logits, original).tolist() == [0.5, 0.5]
    single = torch.tensor([[1.0]])
    assert metrics.logit_change(single + 2, single).tolist() == [4.0]
