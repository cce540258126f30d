import inspect
import json
import math
from dataclasses import replace

import pytest
import torch

import explman_lite as el
from explman_lite.attack import constant, one_cycle

STEP = 1e-5
FAST = {"steps": 8, "lr": 0.02, "progress": False}


class WithPlaces(torch.nn.Module):
    """Pools by maximum, and throws away what it was told about where the maxima lie."""

    def forward(self, x):
        return torch.nn.functional.max_pool2d(x, 2, return_indices=True)[0]


@pytest.fixture
def targets():
    generator = torch.Generator().manual_seed(2)
    return torch.rand(3, 16, 16, dtype=torch.float64, generator=generator)


def attack_loss(model, pixels, targets, classes, logits, explainer):
    explanation = explainer.explain(model, pixels, classes)
    maps = el.relevance_map(explanation.attribution)
    return el.manipulation_loss(maps, targets, explanation.logits, logits, 2.0).sum()


def test_attack_gradient_equals_finite_differences(explainer, network, images, classes, targets):
    model = el.smoothed(network, 3.0)
    logits = network(images)
    pixels = images.clone().requires_grad_()
    loss = attack_loss(model, pixels, targets, classes, logits, explainer)
    (gradient,) = torch.autograd.grad(loss, pixels)
    generator = torch.Generator().manual_seed(3)
    for _ in range(3):
        direction = torch.randn(images.shape, dtype=torch.float64, generator=generator)
        values = [
            attack_loss(
                model, images + k * STEP * direction, targets, classes, logits, explainer
            ).item()
            for k in (-2, -1, 1, 2)
        ]
        expected = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * STEP)
        assert (gradient * direction).sum().item() == pytest.approx(expected, rel=1e-6)


def test_attack_gradient_equals_forward_over_reverse(raw, images, classes, targets):
    """An independent way to the second derivative: torch.func on PyTorch's own layers."""
    smooth = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, groups=1), torch.nn.Softplus(3.0), torch.nn.Flatten(),
        torch.nn.Linear(4 * 14 * 14, 4),
    ).double().eval()  # fmt: skip
    relu = torch.nn.Sequential(smooth[0], torch.nn.ReLU(), *smooth[2:]).eval()
    ours = el.smoothed(relu, 3.0)
    pixels = images.clone().requires_grad_()
    attribution = el.Gradient()(ours, pixels, classes)
    weights = torch.rand_like(attribution)
    (found,) = torch.autograd.grad((attribution * weights).sum(), pixels)

    def score(x):
        return smooth(x).gather(1, classes.unsqueeze(1)).sum()

    _, expected = torch.func.jvp(torch.func.grad(score), (images,), (weights,))
    torch.testing.assert_close(found, expected)


def test_a_relu_network_gives_the_attacker_no_signal(network, images, classes, targets):
    pixels = images.clone().requires_grad_()
    relevance = el.relevance_map(el.Gradient()(network, pixels, classes))
    (gradient,) = torch.autograd.grad(el.metrics.mse(relevance, targets).sum(), pixels)
    assert gradient.abs().max() == 0


def test_the_map_moves_to_the_target_and_the_output_stays(network, images, targets):
    result = el.manipulate(
        network, images, targets, el.Gradient(), steps=60, lr=0.02, progress=False
    )
    before = el.metrics.mse(result.original_maps, result.target_maps)
    after = el.metrics.mse(result.maps, result.target_maps)
    assert (after < 0.8 * before).all()
    assert result.summary().class_kept.all()
    assert not result.diverged.any()


def test_each_sample_gets_the_result_it_gets_alone(network, images, targets):
    together = el.manipulate(network, images, targets, el.Gradient(), **FAST)
    for i in range(len(images)):
        alone = el.manipulate(network, images[i : i + 1], targets[i : i + 1], el.Gradient(), **FAST)
        torch.testing.assert_close(together.images[i], alone.images[0], rtol=0, atol=1e-7)
        torch.testing.assert_close(together.maps[i], alone.maps[0], rtol=1e-5, atol=1e-6)


def test_result_is_judged_by_the_relu_network(network, images, targets):
    result = el.manipulate(network, images, targets, el.Gradient(), **FAST)
    maps = el.relevance_map(el.Gradient()(network, result.images, result.classes))
    torch.testing.assert_close(result.maps, maps)
    torch.testing.assert_close(result.logits, network(result.images))
    assert torch.equal(result.original_images, images)
    assert torch.equal(result.classes, network(images).argmax(dim=1))
    torch.testing.assert_close(result.target_maps.mean(dim=(1, 2)), torch.ones(3).double())


def test_the_same_call_gives_the_same_result(network, images, targets):
    first, second = (
        el.manipulate(network, images, targets, el.Gradient(), **FAST) for _ in range(2)
    )
    assert torch.equal(first.images, second.images)


def test_the_search_begins_where_it_is_told_to(network, images, targets):
    seen = []
    start = (images + 0.2).clamp(0, 1)
    result = el.manipulate(
        network, images, targets, el.Gradient(), start=start, epsilon=0.05, steps=1, lr=1e-6,
        progress=False, callback=lambda record, pixels: seen.append(pixels),
    )  # fmt: skip
    torch.testing.assert_close(seen[0], torch.minimum(start, images + 0.05))
    torch.testing.assert_close(result.original_images, images)


def test_pixels_stay_valid_and_within_epsilon(network, images, targets):
    extremes = images.round()
    result = el.manipulate(
        network, extremes, targets, el.Gradient(), epsilon=0.01, steps=8, lr=0.5, progress=False
    )
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    assert (result.images - extremes).abs().amax(dim=(1, 2, 3)).tolist() == pytest.approx(
        [0.01] * 3
    )


def test_one_target_serves_all_samples_at_any_scale(network, images, targets):
    one = el.manipulate(network, images, targets[:1], el.Gradient(), **FAST)
    three = el.manipulate(network, images, 7 * targets[:1].repeat(3, 1, 1), el.Gradient(), **FAST)
    torch.testing.assert_close(one.images, three.images)


def test_history_records_each_step_and_beta_grows_geometrically(network, images, targets):
    seen = []
    result = el.manipulate(
        network,
        images,
        targets,
        el.Gradient(),
        beta=(10.0, 1000.0),
        steps=5,
        growth=1.0,
        progress=False,
        callback=lambda record, pixels: seen.append((record, pixels)),
    )
    assert [record.step for record in result.history] == [0, 1, 2, 3, 4]
    betas = [record.beta for record in result.history]
    assert betas == pytest.approx([10, 10**1.5, 100, 10**2.5, 1000])
    assert [record for record, _ in seen] == result.history
    assert torch.equal(seen[0][1], images)
    assert not torch.equal(seen[1][1], seen[0][1])


@pytest.mark.parametrize(("growth", "middle"), [(1.0, 30.0), (2.0, 3 * 100**0.25)])
def test_pooling_is_rounded_off_meanwhile_and_grows_as_told(
    network, images, targets, growth, middle
):
    result = el.manipulate(
        network, images, targets, el.Gradient(),
        pooling=(3.0, 300.0), growth=growth, steps=3, progress=False,
    )  # fmt: skip
    assert [record.pooling for record in result.history] == pytest.approx([3, middle, 300])
    assert torch.equal(result.logits, network(result.images))
    assert torch.equal(
        result.maps, el.relevance_map(el.Gradient()(network, result.images, result.classes))
    )


def test_pooling_is_rounded_off_even_where_relu_is_kept(network, images, targets):
    kept, rounded = (
        el.manipulate(
            network, images, targets, el.BetaSmoothing(el.Gradient(), 3.0), beta=None,
            pooling=pooling, **FAST,
        )
        for pooling in (None, (3.0, 30.0))
    )  # fmt: skip
    assert [record.pooling for record in kept.history] == [None] * 8
    assert rounded.history[0].beta is None
    assert not torch.equal(kept.images, rounded.images)


@pytest.mark.parametrize(
    "model",
    [
        torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AvgPool2d(2)),
        torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), WithPlaces()),
    ],
    ids=["averages", "says where its maxima lie"],
)
def test_a_network_whose_pooling_cannot_be_rounded_is_searched_as_it_is(model, images, targets):
    network = torch.nn.Sequential(model, torch.nn.Flatten(), torch.nn.LazyLinear(4)).double()
    network(images)
    first, second = (
        el.manipulate(network.eval(), images, targets, el.Gradient(), pooling=pooling, **FAST)
        for pooling in (None, (5.0, 100.0))
    )
    assert torch.equal(first.images, second.images)
    assert [record.pooling for record in second.history] == [None] * 8


def test_rounding_the_pooling_brings_an_attack_on_digits_further():
    """Within the same box, with the same steps, judged by the network as it is."""
    images, _ = el.load_digits("test")
    model, explainer = el.load_model("digits_vgg"), el.Gradient()
    target = el.relevance_map(explainer(model, images[16:32], model(images[16:32]).argmax(dim=1)))
    reached = [
        el.manipulate(
            model, images[:16], target, explainer, steps=80, lr=0.02, epsilon=0.2,
            pooling=pooling, progress=False,
        ).summary().pcc_target.median()
        for pooling in (None, (5.0, 100.0))
    ]  # fmt: skip
    assert reached[1] > reached[0] + 0.05


def test_one_cycle_goes_up_and_down():
    assert one_cycle(0.0) == pytest.approx(0.04)
    assert one_cycle(0.05) == pytest.approx(0.52)
    assert one_cycle(0.1) == pytest.approx(1)
    assert one_cycle(0.55) == pytest.approx(0.5)
    assert one_cycle(1.0) == pytest.approx(0, abs=1e-12)


def test_a_constant_schedule_makes_larger_first_steps(network, images, targets):
    def first_step(schedule):
        steps = []
        el.manipulate(network, images, targets, el.Gradient(), schedule=schedule,
                      callback=lambda record, pixels: steps.append(pixels), **FAST)  # fmt: skip
        return (steps[1] - steps[0]).abs().max().item()

    assert first_step(constant) == pytest.approx(FAST["lr"], rel=1e-4)
    assert first_step(one_cycle) == pytest.approx(0.04 * FAST["lr"], rel=1e-4)


def test_gamma_means_the_same_for_a_network_that_is_ten_times_as_sure(raw, images, targets):
    class Surer(torch.nn.Sequential):
        def forward(self, inputs):
            return 10 * super().forward(inputs)

    sure = el.prepare(Surer(raw).eval())
    calm = el.manipulate(raw, images, targets, el.Gradient(), **FAST)
    surer = el.manipulate(sure, images, targets, el.Gradient(), **FAST)
    torch.testing.assert_close(surer.images, calm.images, rtol=1e-5, atol=1e-6)
    assert surer.summary().logit_change.tolist() == pytest.approx(
        calm.summary().logit_change.tolist(), rel=1e-4
    )


def test_the_loss_is_the_papers_with_both_terms_free_of_units():
    """By hand, in the paper's units: maps of sum 1, and plain squares."""
    generator = torch.Generator().manual_seed(0)
    maps, targets = torch.rand(2, 2, 4, 5, generator=generator, dtype=torch.float64)
    logits, original = torch.rand(2, 2, 7, generator=generator, dtype=torch.float64)
    found = el.manipulation_loss(maps, targets, logits, original, output_weight=3.0)
    pixels, spread = 20, original.var(dim=1, correction=0)
    of_maps = (maps / pixels - targets / pixels).square().sum(dim=(1, 2)) * pixels
    of_output = (logits - original).square().sum(dim=1) / 7
    torch.testing.assert_close(found, of_maps + 3.0 / spread * of_output)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"steps": 2.0}, TypeError, "steps must be an integer, got float"),
        ({"lr": -1.0}, ValueError, "lr must be positive and finite, got -1"),
        ({"output_weight": math.nan}, ValueError, "output_weight must be finite"),
        ({"beta": 3.0}, TypeError, r"beta must be a pair \(start, end\) or None, got 3"),
        ({"beta": (0.0, 3.0)}, ValueError, "beta_start must be positive"),
        ({"schedule": "one cycle"}, TypeError, "schedule must be a function"),
        ({"momentum": (0.9, 1.0)}, ValueError, r"momentum must lie in \[0, 1\)"),
        ({"epsilon": 0.0}, ValueError, "epsilon must be positive"),
        ({"growth": 0.0}, ValueError, "growth must be positive"),
        ({"lr": None}, TypeError, "lr must be a number, got None"),
    ],
)
def test_settings_check_themselves_before_any_computing(settings, error, message):
    with pytest.raises(error, match=message):
        el.Settings(**settings)


def test_settings_are_those_of_manipulate(network, images, targets):
    defaults = inspect.signature(el.manipulate).parameters
    keywords = el.Settings().keywords()
    assert {name: defaults[name].default for name in keywords} == keywords
    result = el.manipulate(network, images, targets, el.LRP(), steps=1, progress=False)
    assert result.settings == el.Settings(steps=1)
    assert not result.interrupted
    json.dumps(result.settings.record())


def test_a_single_step_works(network, images, targets):
    assert (
        len(el.manipulate(network, images, targets, el.Gradient(), steps=1, progress=False).history)
        == 1
    )


def test_a_diverged_sample_says_so_and_keeps_its_best_step(network, images, targets):
    class Spoiled(el.Gradient):
        calls = 0

        def explain(self, model, images, classes):
            explanation = super().explain(model, images, classes)
            self.calls += 1
            factor = torch.ones(3, 1, 1, 1, dtype=images.dtype)
            factor[1] = math.nan if self.calls == 5 else 1.0
            return el.Explanation(explanation.attribution * factor, explanation.logits)

    with pytest.warns(RuntimeWarning, match="diverged for 1 of 3 samples"):
        result = el.manipulate(network, images, targets, Spoiled(), **FAST)
    assert result.diverged.tolist() == [False, True, False]
    assert result.images.isfinite().all()
    assert not torch.equal(result.images[1], images[1])
    healthy = el.manipulate(network, images, targets, el.Gradient(), **FAST)
    assert torch.equal(result.images[[0, 2]], healthy.images[[0, 2]])


def test_an_interrupted_run_returns_what_it_has(network, images, targets):
    def interrupt(record, pixels):
        if record.step == 3:
            raise KeyboardInterrupt

    with pytest.warns(RuntimeWarning, match="interrupted after 4 of 8 steps"):
        result = el.manipulate(network, images, targets, el.Gradient(), callback=interrupt, **FAST)
    assert len(result.history) == 4
    assert result.interrupted
    assert not torch.equal(result.images, images)


def test_an_interruption_in_the_last_step_is_one(network, images, targets, monkeypatch):
    class Interrupted(torch.optim.Adam):
        steps = 0

        def step(self):
            self.steps += 1
            if self.steps == 8:
                raise KeyboardInterrupt
            super().step()

    monkeypatch.setattr(torch.optim, "Adam", Interrupted)
    with pytest.warns(RuntimeWarning, match="interrupted after 8 of 8 steps"):
        assert el.manipulate(network, images, targets, el.Gradient(), **FAST).interrupted


def test_pixels_lost_in_the_last_step_are_a_divergence(network, images, targets, monkeypatch):
    class Losing(torch.optim.Adam):
        steps = 0

        def step(self):
            super().step()
            self.steps += 1
            if self.steps == 8:
                self.param_groups[0]["params"][0].data[:2, 0, 0, 0] = math.nan

    monkeypatch.setattr(torch.optim, "Adam", Losing)
    with pytest.warns(RuntimeWarning, match="diverged for 2 of 3 samples"):
        result = el.manipulate(network, images, targets, el.Gradient(), **FAST)
    assert result.diverged.tolist() == [True, True, False]
    assert result.images.isfinite().all()
    assert result.maps.isfinite().all()


def test_an_interruption_in_the_middle_of_a_step_leaves_valid_pixels(
    network, images, targets, monkeypatch
):
    class Interrupted(torch.optim.Adam):
        def step(self):
            super().step()
            raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim, "Adam", Interrupted)
    with pytest.warns(RuntimeWarning, match="interrupted after 1 of 8 steps"):
        result = el.manipulate(
            network, images.round(), targets, el.Gradient(), epsilon=0.01, steps=8, lr=2.0,
            progress=False,
        )  # fmt: skip
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    assert (result.images - images.round()).abs().max().item() == pytest.approx(0.01)


def test_summary_has_a_row_per_sample(network, images, targets):
    table = el.manipulate(network, images, targets, el.Gradient(), **FAST).summary()
    assert len(table) == 3
    assert {"pcc_target", "ssim_original", "image_linf", "output_change"} <= set(table.columns)
    assert table.notna().all(axis=None)


def test_an_attack_needs_no_gradient_mode(network, images, targets):
    expected = el.manipulate(network, images, targets, el.Gradient(), **FAST)
    with torch.no_grad():
        found = el.manipulate(network, images, targets, el.Gradient(), **FAST)
    assert torch.equal(found.images, expected.images)


def test_a_target_that_requires_a_gradient_leaves_none_behind(network, images, targets):
    result = el.manipulate(network, images, targets.requires_grad_(), el.Gradient(), **FAST)
    assert not result.target_maps.requires_grad
    assert len(result.summary()) == 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_results_of_every_precision_are_measured_and_drawn(dtype):
    model, (digits, _) = el.load_model("digits_vgg").to(dtype), el.load_digits()
    result = el.manipulate(
        model, digits[:1].to(dtype), torch.ones(1, 32, 32), el.Gradient(), steps=2, progress=False
    )
    table = result.summary()
    assert table.class_kept.dtype == bool
    assert table.mse_target.dtype == ("float64" if dtype == torch.float64 else "float32")
    assert "<img" in result.plot()._repr_html_()


BAD = {
    "steps 0": ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    "steps 1.5": ({"steps": 1.5}, TypeError, "steps must be an integer"),
    "lr": ({"lr": -1.0}, ValueError, "lr must be positive"),
    "output_weight": ({"output_weight": -1.0}, ValueError, "output_weight must be"),
    "beta": ({"beta": (0.0, 10.0)}, ValueError, "beta_start must be positive"),
    "one beta": ({"beta": 5.0}, TypeError, r"a pair \(start, end\) or None, got 5\.0"),
    "three betas": ({"beta": (1.0, 2.0, 3.0)}, TypeError, r"a pair .*, got \(1\.0, 2\.0, 3\.0\)"),
    "epsilon": ({"epsilon": 0.0}, ValueError, "epsilon must be positive"),
    "start": (
        {"start": torch.full((3, 3, 16, 16), 2.0)},
        ValueError,
        r"start must lie in \[0, 1\]",
    ),
    "start's shape": ({"start": torch.zeros(1, 3, 16, 16)}, ValueError, "the same shape"),
    "classes": ({"classes": torch.tensor([0, 1, 9])}, ValueError, "between 0 and 3"),
    "booleans": ({"classes": torch.tensor([True] * 3)}, TypeError, "integers, got torch.bool"),
}


@pytest.mark.parametrize(("setting", "error", "message"), BAD.values(), ids=BAD)
def test_bad_settings_are_refused(setting, error, message, network, images, targets):
    with pytest.raises(error, match=message):
        el.manipulate(network, images, targets, el.Gradient(), **setting)


BAD_TARGETS = {
    "negative": (lambda t: -t, ValueError, "must not be negative"),
    "zero": (
        lambda t: t * torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1),
        ValueError,
        "zero everywhere",
    ),
    "NaN": (lambda t: t * math.nan, ValueError, "finite"),
    "shape": (lambda t: t[:, :8], ValueError, r"\(3, 16, 16\) or \(1, 16, 16\).*got \(3, 8, 16\)"),
    "integers": (lambda t: (t > 0.5).long(), TypeError, "floating point"),
}


@pytest.mark.parametrize(("spoil", "error", "message"), BAD_TARGETS.values(), ids=BAD_TARGETS)
def test_bad_targets_are_refused(spoil, error, message, network, images, targets):
    with pytest.raises(error, match=message):
        el.manipulate(network, images, spoil(targets), el.Gradient())


def test_bad_images_are_refused(network, images, targets):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        el.manipulate(network, images * 2, targets, el.Gradient())


@pytest.mark.parametrize(
    ("explainer", "given"), [("lrp", "'lrp'"), (el.Gradient, "the class Gradient")]
)
def test_the_method_must_be_an_explainer(explainer, given, network, images, targets):
    with pytest.raises(TypeError, match=f"explainer must be an instance .*, got {given}"):
        el.manipulate(network, images, targets, explainer)


def test_images_unlike_the_weights_are_refused(network, images, targets):
    with pytest.raises(ValueError, match=r"float64 on cpu as .*, got torch\.float32 on cpu"):
        el.manipulate(network, images.float(), targets, el.Gradient())


@pytest.mark.parametrize("explainer", [el.Gradient(), el.LRP()])
def test_a_model_with_several_outputs_is_refused(explainer, raw, images, targets):
    class Several(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = raw

        def forward(self, x):
            return self.inner(x), x

    with pytest.raises(TypeError, match="model must return a tensor of logits, got tuple"):
        el.manipulate(Several().eval(), images, targets, explainer)


@pytest.mark.parametrize("explainer", [el.Gradient(), el.LRP()])
def test_classes_may_be_short_integers(explainer, network, images, targets, classes):
    expected, found = (
        el.manipulate(network, images, targets, explainer, classes=given, **FAST)
        for given in (classes, classes.byte())
    )
    assert torch.equal(found.images, expected.images)


def test_a_sharp_smoothed_map_is_approached_from_a_softer_one(network, images, classes):
    """The first step is no sharper than the search, and what is returned is the map itself."""
    sharp = el.BetaSmoothing(el.Gradient(), 50.0)
    targets = el.relevance_map(sharp(network, images.roll(1, 0), classes.roll(1, 0)))
    settings = {"classes": classes, "steps": 2, "beta": (4.0, 80.0), "pooling": None}
    result = el.manipulate(network, images, targets, sharp, progress=False, **settings)
    softer = el.relevance_map(replace(sharp, beta=4.0)(network, images, classes))
    torch.testing.assert_close(result.history[0].map_loss, el.metrics.mse(softer, targets))
    assert result.history[0].output_loss.max() == 0, "the output is that of the network itself"
    expected = el.relevance_map(sharp(network, result.images, classes))
    torch.testing.assert_close(result.maps, expected)


def test_a_map_smoother_than_the_search_is_searched_as_it_is(network, images, classes):
    smooth = el.BetaSmoothing(el.Gradient(), 2.0, centred=True)
    targets = el.relevance_map(smooth(network, images.roll(1, 0), classes.roll(1, 0)))
    settings = {"classes": classes, "steps": 3, "pooling": None, "progress": False}
    growing, fixed = (
        el.manipulate(network, images, targets, smooth, beta=beta, **settings)
        for beta in ((5.0, 100.0), None)
    )
    torch.testing.assert_close(growing.images, fixed.images)


def test_fresh_noise_is_drawn_at_every_step(network, images, classes):
    noisy = el.SmoothGrad(3, 0.1)
    targets = el.relevance_map(noisy(network, images.roll(1, 0), classes.roll(1, 0)))
    settings = {"classes": classes, "steps": 2, "lr": 1e-9, "progress": False}
    settings |= {"beta": None, "pooling": None}
    shown, fresh = (
        el.manipulate(network, images, targets, noisy, fresh_noise=count, **settings)
        for count in (None, 2)
    )
    torch.testing.assert_close(
        shown.history[0].map_loss, shown.history[1].map_loss, rtol=1e-4, atol=0
    )
    first, second = (record.map_loss for record in fresh.history)
    assert ((first - second).abs() > 1e-6 * first).all()
    torch.testing.assert_close(fresh.original_maps, shown.original_maps)


def test_an_attacker_of_the_expectation_gets_further_under_noise_that_nobody_knew():
    model = el.load_model("digits_vgg").double()
    digits = el.load_digits("test")[0].double()
    with torch.no_grad():
        classes, lenders = (model(some).argmax(1) for some in (digits[:10], digits[50:60]))
    shown, unseen = el.SmoothGrad(2, 0.1), el.SmoothGrad(2, 0.1, seed=5)
    targets = el.relevance_map(shown(model, digits[50:60], lenders))
    wanted = el.relevance_map(unseen(model, digits[50:60], lenders))
    settings = {"lr": 0.025, "epsilon": 0.1, "progress": False}
    reached = {}
    for count in (None, 2):
        found = el.manipulate(model, digits[:10], targets, shown, fresh_noise=count, **settings)
        maps = el.relevance_map(unseen(model, found.images, classes))
        reached[count] = el.metrics.pcc(maps, wanted).mean()
    assert reached[2] > reached[None]


def test_the_search_of_a_smoothed_map_leaves_a_smoothed_network_as_it_was(network, images, classes):
    """Its layers are those of whoever smoothed it, and keep their β."""
    relu = el.smoothed(network, None)
    before = relu(images)
    smooth = el.BetaSmoothing(el.Gradient(), 3.0)
    targets = el.relevance_map(smooth(relu, images.roll(1, 0), classes.roll(1, 0)))
    el.manipulate(relu, images, targets, smooth, classes=classes, steps=2, progress=False)
    assert torch.equal(relu(images), before)
