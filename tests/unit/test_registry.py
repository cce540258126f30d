"""The lists that everything iterates over, and explainers as values."""

import pickle
from dataclasses import FrozenInstanceError, replace

import pytest
import torch

import explman_lite as el
from explman_lite.networks.zoo import CARDS


@pytest.mark.parametrize("card", el.EXPLAINERS.values(), ids=el.EXPLAINERS)
def test_a_card_makes_its_explainer(card, network, images):
    explainer = card.make(network, images, points=3)
    assert type(explainer).__name__ == card.name
    assert getattr(el, card.name) is type(explainer)
    if card.points is not None:
        assert getattr(explainer, card.points) == 3


def test_what_has_to_be_fitted_says_so(network):
    with pytest.raises(ValueError, match="PatternAttribution has to be fitted: give a model"):
        el.EXPLAINERS["PatternAttribution"].make(network)


def test_titles_and_options_name_one_explainer_each():
    for attribute in ("title", "option"):
        names = [getattr(card, attribute) for card in el.EXPLAINERS.values()]
        assert len(set(names)) == len(names)
    assert el.EXPLAINERS["GradientTimesInput"].option == "gradient-times-input"


def test_the_paper_has_six_methods():
    assert sum(card.in_paper for card in el.EXPLAINERS.values()) == 6


@pytest.mark.parametrize("card", el.DEFENSES.values(), ids=el.DEFENSES)
def test_a_defence_can_be_put_around_any_explainer(card):
    pictures = torch.rand(50, 3, 8, 8)
    plain, around_lrp = card.make(pictures=pictures), card.make(el.LRP(), pictures)
    assert (plain == el.Gradient()) == (card.family == "none")
    assert plain.is_smooth == (card.family in {"softplus", "centred", "both"})
    assert (plain.with_seed(7, 3) != plain) == (card.family in {"noise", "both"})
    assert (plain.softened(0.1) != plain) == plain.is_smooth
    assert "LRP" in around_lrp.name


def test_a_defence_that_has_to_know_the_data_says_so():
    with pytest.raises(ValueError, match="Projected has to know the data: give pictures"):
        el.DEFENSES["Projected"].make(el.LRP())
    assert sum(card.needs_pictures for card in el.DEFENSES.values()) == 1


def test_explainers_are_values(explainer):
    again = pickle.loads(pickle.dumps(explainer))
    assert again == explainer
    assert hash(again) == hash(explainer)
    assert repr(explainer).startswith(type(explainer).__name__)
    assert replace(explainer) == explainer
    with pytest.raises(FrozenInstanceError):
        explainer.steps = 3


def test_explainers_that_differ_are_not_equal(network, images):
    assert el.IntegratedGradients(3) != el.IntegratedGradients(4)
    assert el.Gradient() != el.GradientTimesInput()
    assert replace(el.LRP(), gamma=0.5) == el.LRP(gamma=0.5) != el.LRP()
    patterns = el.fit_patterns(network, images)
    other = {name: 2 * pattern for name, pattern in patterns.items()}
    assert el.PatternAttribution(patterns) == el.PatternAttribution(dict(patterns))
    assert el.PatternAttribution(patterns) != el.PatternAttribution(other)
    assert el.PatternAttribution(patterns) != el.LRP()


def test_other_noise_is_another_explainer_and_keeps_all_the_rest():
    noisy = el.SmoothGrad(3, 0.2, explainer=el.LRP(), distribution="logistic")
    assert noisy.with_seed(7) == replace(noisy, seed=7)
    assert noisy.with_seed(7, 2) == replace(noisy, seed=7, samples=2)
    smooth = el.BetaSmoothing(noisy, 2.0)
    assert smooth.with_seed(7) == el.BetaSmoothing(replace(noisy, seed=7), 2.0)
    for settled in (el.Gradient(), el.LRP(), el.BetaSmoothing(el.Gradient(), 2.0)):
        assert settled.with_seed(7) == settled


def test_a_softened_explainer_is_no_sharper_than_asked_and_never_sharper_than_it_was():
    smooth = el.BetaSmoothing(el.LRP(), 2.0, centred=True)
    assert smooth.softened(0.5) == replace(smooth, beta=0.5)
    assert smooth.softened(5.0) == smooth
    assert el.SmoothGrad(3, explainer=smooth).softened(0.5).explainer.beta == 0.5
    for settled in (el.Gradient(), el.LRP(), el.SmoothGrad(3)):
        assert settled.softened(0.5) == settled


def test_a_mean_of_smooth_maps_is_smooth():
    assert el.SmoothGrad(2, explainer=el.BetaSmoothing(el.Gradient(), 1.0)).is_smooth
    assert not el.SmoothGrad(2).is_smooth


def test_every_network_that_needs_no_download_is_what_its_card_says():
    for name, card in CARDS.items():
        assert card.name == name
        assert card.size % card.patch == 0
        if card.downloaded:
            continue
        network = el.load_model(name)
        channels = 1 if card.reads == "digits" else 3
        logits = network(torch.zeros(1, channels, card.smallest, card.smallest))
        assert logits.shape == (1, len(el.class_names(name)))
