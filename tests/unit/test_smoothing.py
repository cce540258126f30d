import pytest
import torch
import torch.nn.functional as F
from torch import nn

import explman_lite as el
from explman_lite.explainers import smoothed as smoothed_explainer
from explman_lite.networks.smoothing import set_beta
from explman_lite.networks.softplus import SmoothReLU


def test_smoothed_replaces_every_relu_and_shares_the_weights(raw, network):
    smooth = el.smoothed(network, 5.0)
    kinds = [type(layer) for layer in smooth.modules()]
    assert kinds.count(SmoothReLU) == 3
    assert not {nn.ReLU, nn.ReLU6} & set(kinds)
    theirs = {parameter.data_ptr() for parameter in network.parameters()}
    assert {parameter.data_ptr() for parameter in smooth.parameters()} == theirs


def test_smoothed_leaves_the_model_as_it_was(network, images):
    before = network(images)
    el.smoothed(network, 1.0)
    assert torch.equal(network(images), before)


def test_smoothed_tends_to_the_relu_network(network, images):
    distance = [
        (el.smoothed(network, b)(images) - network(images)).abs().max() for b in (1.0, 100.0)
    ]
    assert distance[0] > 30 * distance[1] > 0


def test_beta_none_gives_relu_back(raw, network, images):
    again = el.smoothed(el.smoothed(raw, 1.0), None)
    torch.testing.assert_close(again(images), network(images))


def test_set_beta_changes_the_network_in_place(network, images):
    smooth = el.smoothed(network, 1.0)
    set_beta(smooth, 7.0)
    assert torch.equal(smooth(images), el.smoothed(network, 7.0)(images))


@pytest.mark.parametrize("beta", [0, -1.0, float("nan"), float("inf")])
def test_beta_must_be_positive(network, beta):
    with pytest.raises(ValueError, match="beta must be positive"):
        el.smoothed(network, beta)


def test_a_network_without_relu_is_refused():
    with pytest.raises(ValueError, match="no ReLU"):
        el.smoothed(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval(), 1.0)


class Scaled(nn.Module):
    """Uses a parameter outside of a layer."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU())
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, images):
        return self.layers(images) * self.scale


def test_a_parameter_outside_of_a_layer_is_kept():
    images = torch.rand(2, 1, 2, 2)
    network = Scaled().eval()
    expected = 2 * F.softplus(network.layers[1](images.flatten(1)), beta=3.0)
    smooth = el.smoothed(network, beta=3.0)
    torch.testing.assert_close(smooth(images), expected)
    torch.testing.assert_close(el.smoothed(smooth, None)(images), network(images))


def test_explanations_of_one_network_with_different_sharpness_leave_each_other_alone(
    network, images
):
    """Threads share a network, so no smoothed twin may change under another's hands."""
    soft = smoothed_explainer._twin(network, 2.0, False)
    before = soft(images)
    for beta in range(3, 3 + 2 * smoothed_explainer._KEPT):
        smoothed_explainer._twin(network, float(beta), False)
    assert torch.equal(soft(images), before)
    assert torch.equal(before, el.smoothed(network, 2.0)(images))
    assert len(smoothed_explainer._SMOOTHED[network]) == smoothed_explainer._KEPT
    again = smoothed_explainer._twin(network, float(beta), False)
    assert again is smoothed_explainer._twin(network, float(beta), False), "it is made once"
