"""The adaptive attacker, and what it costs to defend oneself."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import explman_lite as el
from explman_lite import bench
from explman_lite.attack import restarts


@pytest.fixture(scope="module")
def model():
    return el.load_model("digits_vgg").double()


@pytest.fixture(scope="module")
def images():
    return el.load_digits("test")[0][:3].double()


@pytest.fixture(scope="module")
def others():
    return el.load_digits("test")[0][50:53].double()


def maps(model, explainer, images):
    return el.relevance_map(explainer(model, images, model(images).argmax(1)))


def attack(model, images, others, explainer, **settings):
    seeds = [(0, number) for number in range(len(images))]
    targets = maps(model, explainer, others)
    return restarts.attack_defense(model, images, targets, explainer, seeds, **settings)


def test_more_searches_never_end_further_from_the_target(model, images, others):
    settings = {"steps": 8, "lr": 0.03, "epsilon": 0.1}
    once, often = (
        attack(model, images, others, el.Gradient(), restarts=count, **settings) for count in (1, 4)
    )
    distances = [el.metrics.mse(r.maps, r.target_maps) for r in (once, often)]
    assert (distances[1] <= distances[0]).all()
    assert (distances[1] < distances[0]).any()
    assert (often.images - images).abs().max() <= 0.1 + 1e-12
    torch.testing.assert_close(often.maps, el.relevance_map(
        el.Gradient()(model, often.images, often.classes)))  # fmt: skip


def test_a_search_that_loses_the_class_is_not_the_best(model, images, others):
    found = attack(model, images, others, el.Gradient(), steps=1)
    perfect = replace(found, maps=found.target_maps, logits=found.logits.roll(1, dims=1))
    torch.testing.assert_close(restarts._better(found, perfect).maps, found.maps)
    kept = replace(found, maps=found.target_maps)
    torch.testing.assert_close(restarts._better(found, kept).maps, found.target_maps)


def test_starts_depend_on_the_pair_alone(images):
    seeds = [(0, 5, 1), (0, 6, 1), (0, 7, 1)]
    together = restarts._random_start(images, seeds, 0.1)
    torch.testing.assert_close(restarts._random_start(images[1:2], seeds[1:2], 0.1), together[1:2])
    assert not torch.equal(restarts._random_start(images[1:2], [(0, 6, 2)], 0.1), together[1:2])


def test_the_map_that_is_shown_is_the_map_that_is_attacked(model, images, others):
    """A map smoother than the search is followed exactly: no surrogate stands in between."""
    explainer = el.BetaSmoothing(el.Gradient(), 2.0)
    result = attack(model, images, others, explainer, steps=3, pooling=None)
    targets = maps(model, explainer, others)
    torch.testing.assert_close(
        result.history[0].map_loss, el.metrics.mse(maps(model, explainer, images), targets)
    )
    assert result.history[0].output_loss.max() == 0


def test_a_sharp_smoothed_map_is_approached_from_a_softer_one(model, images, others):
    explainer = el.BetaSmoothing(el.Gradient(), 50.0)
    result = attack(model, images, others, explainer, steps=3, pooling=None)
    targets = maps(model, explainer, others)
    softer = maps(model, replace(explainer, beta=el.Settings().beta[0]), images)
    torch.testing.assert_close(result.history[0].map_loss, el.metrics.mse(softer, targets))
    torch.testing.assert_close(result.maps, maps(model, explainer, result.images))


def test_fresh_noise_is_attacked_in_expectation(model, images, others):
    """Under noise that nobody fitted, an attacker who draws anew gets further than one who fits."""
    noisy = el.SmoothGrad(2, 0.1)
    gained = {}
    for fresh in (None, 2):
        result = attack(
            model, images, others, noisy, steps=40, lr=0.025, epsilon=0.1, fresh_noise=fresh
        )
        judge = el.SmoothGrad(50, 0.1, seed=5)
        gained[fresh] = el.metrics.pcc(
            el.relevance_map(judge(model, result.images, result.classes)),
            maps(model, judge, others),
        ).mean()
    assert gained[2] > gained[None]


def test_the_suite_attacks_every_defence_and_two_of_them_as_the_paper_did():
    suite = bench.SUITES["defense"]
    methods = {
        name: {case.method for case in suite.cases if case.settings == name}
        for name in suite.attacks
    }
    noisy = {card.name for card in el.DEFENSES.values() if card.family in {"noise", "both"}}
    assert methods["adaptive"] | methods["unseen"] == set(el.DEFENSES)
    assert methods["unseen"] == noisy
    assert methods["adaptive"] & noisy == {"SmoothGrad(10)"}
    assert methods["paper"] == {"Gradient", "BetaSmoothing(0.8)"}
    assert suite.attacks["unseen"].settings.fresh_noise == 5
    assert suite.attacks["adaptive"].settings.fresh_noise is None


def test_a_network_that_was_trained_with_softplus_is_attacked_too():
    (case,) = [c for c in bench.SUITES["defense"].cases if c.model == "crops_vgg_softplus"]
    suite = replace(bench.SUITES["defense"], cases=(case,), batch=2, steps=2)
    table = bench.measure(suite.jobs(limit=2)[0])
    assert (table.image_linf <= 8 / 255 + 1e-6).all()
    assert (table.pcc_gradient == 1).all()


def row(method, settings="adaptive", steps=4):
    case = bench.Case("digits_vgg", method, settings)
    suite = replace(
        bench.SUITES["defense"],
        cases=(case,),
        pictures="digits",
        precision="float64",
        batch=2,
        steps=steps,
    )
    return bench.measure(suite.jobs(limit=2)[0])


def test_the_plain_gradient_is_its_own_yardstick():
    table = row("Gradient")
    assert (table.pcc_gradient == 1).all()
    assert (table.top_k_gradient == 1).all()
    np.testing.assert_allclose(table.pcc_target_gradient, table.pcc_target, rtol=1e-5)
    np.testing.assert_allclose(table.pcc_target_transferred, table.pcc_target, rtol=1e-5)
    assert (table.image_linf <= 8 / 255 + 1e-6).all()


def test_a_row_says_what_smoothing_costs_and_what_passes_over(model):
    table = row("BetaSmoothing(1)")
    pairs = bench.SUITES["defense"].draw(0)[:2]
    digits = el.load_digits("test")[0].double()
    source = digits[[pair.source for pair in pairs]]
    target = digits[[pair.target for pair in pairs]]
    smooth = el.BetaSmoothing(el.Gradient(), 1.0)
    plain_map, smooth_map = (maps(model, e, source) for e in (el.Gradient(), smooth))
    np.testing.assert_allclose(table.pcc_gradient, el.metrics.pcc(plain_map, smooth_map), rtol=1e-4)
    np.testing.assert_allclose(
        table.top_k_gradient, el.metrics.top_k_overlap(plain_map, smooth_map), rtol=1e-4
    )
    adaptive = bench.SUITES["defense"].attacks["adaptive"]
    settings = replace(adaptive.settings, steps=4).keywords()
    forged = attack(model, source, target, el.Gradient(), restarts=adaptive.searches, **settings)
    judged = el.relevance_map(smooth(model, forged.images, forged.classes))
    np.testing.assert_allclose(
        table.pcc_target_transferred,
        el.metrics.pcc(judged, maps(model, smooth, target)),
        rtol=1e-4,
    )
    for kind in ("mean", "blur"):  # grey is no absence on a black digit
        assert (table[f"flipping_{kind}"] < table[f"flipping_random_{kind}"]).all()


def test_the_papers_attack_on_a_smoothed_map_takes_small_equal_steps():
    settings = bench.SUITES["defense"].attacks["paper"].settings
    assert settings == el.Settings.paper("Gradient", "crops_vgg", against_smoothing=True)
    assert settings.lr == pytest.approx(5.65e-5, rel=0.01), "of the pixel range"
    assert row("BetaSmoothing(0.8)", "paper", steps=2).steps.tolist() == [2, 2]


def test_what_a_suite_is_does_not_hang_on_its_name():
    renamed = replace(bench.SUITES["defense"], name="smoothing", batch=1, steps=2)
    table = bench.measure(renamed.jobs(limit=1)[0])
    assert table.pcc_gradient.notna().all()
    assert table.steps.tolist() == [2]
