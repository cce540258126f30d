import pytest
import torch

import explman_lite as el


def test_map_is_absolute_summed_over_channels_and_of_mean_one():
    attribution = torch.tensor([[[[1.0, -2.0]], [[-1.0, 0.0]]]])
    assert el.relevance_map(attribution).tolist() == [[[1.0, 1.0]]]


def test_each_sample_is_scaled_by_itself():
    attribution = torch.rand(3, 2, 5, 5)
    scaled = attribution * torch.tensor([1.0, 10.0, 1e-20]).view(-1, 1, 1, 1)
    torch.testing.assert_close(el.relevance_map(scaled), el.relevance_map(attribution))
    torch.testing.assert_close(el.relevance_map(scaled).mean(dim=(1, 2)), torch.ones(3))


def test_a_map_of_zeros_stays_zero():
    assert el.relevance_map(torch.zeros(1, 3, 4, 4)).abs().max() == 0


def test_wrong_shape_is_named():
    with pytest.raises(ValueError, match=r"\(N, C, H, W\), got \(4, 4\)"):
        el.relevance_map(torch.zeros(4, 4))
