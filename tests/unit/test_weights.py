"""The network is manipulated, and the pictures stay."""

import copy
import inspect
import math
from dataclasses import replace

import pytest
import torch
from differences import along

import explman_lite as el
from explman_lite.attack import weights

FAST = {"steps": 6, "lr": 0.01, "batch": 2, "progress": False}


@pytest.fixture
def targets():
    generator = torch.Generator().manual_seed(2)
    return torch.rand(3, 16, 16, dtype=torch.float64, generator=generator)


def square(size: int) -> torch.Tensor:
    target = torch.zeros(1, size, size)
    target[:, size // 4 : -size // 4, size // 4 : -size // 4] = 1
    return target


def state(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(first, second) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def total_loss(network, images, classes, targets, logits, explainer) -> torch.Tensor:
    """Write out the formula of the docstring."""
    explanation = explainer.explain(network, images, classes)
    maps = explanation.attribution.abs().sum(dim=1)
    maps = maps / maps.mean(dim=(1, 2), keepdim=True)
    change = (explanation.logits - logits).square().sum(dim=1)
    spread = (logits - logits.mean(dim=1, keepdim=True)).square().sum(dim=1)
    return ((maps - targets).square().mean(dim=(1, 2)) + 3.0 * change / spread).mean()


@pytest.mark.parametrize("kept", [True, False], ids=["prepared", "as it comes"])
@pytest.mark.parametrize("thawed", [True, False], ids=["trainable", "frozen"])
def test_the_users_network_images_and_target_stay_bit_for_bit(raw, images, targets, kept, thawed):
    model = el.prepare(raw, frozen=not thawed) if kept else raw.requires_grad_(thawed)
    before, wanted = state(model), [weight.requires_grad for weight in model.parameters()]
    given, aim = images.clone(), targets.clone()
    result = el.manipulate_model(model, images, targets, el.Gradient(), **FAST)
    assert_same(state(model), before)
    assert [weight.requires_grad for weight in model.parameters()] == wanted
    assert all(weight.grad is None for weight in model.parameters())
    assert torch.equal(images, given)
    assert torch.equal(targets, aim)
    assert torch.equal(result.original_model(images), el.prepare(model)(images))
    assert not torch.equal(result.model(images), result.original_model(images))


def test_the_result_is_ready_to_be_explained_as_a_loaded_network_is(network, images, targets):
    result = el.manipulate_model(network, images, targets, el.LRP(), **FAST)
    assert not result.model.training
    assert not result.model.trainable
    assert all(weight.grad is None for weight in result.model.parameters())
    classes = network(images).argmax(dim=1)
    maps = el.LRP()(result.model, images, classes)
    assert not maps.requires_grad
    # Nothing that an explainer remembers of the weights on their way is left.
    fresh = copy.deepcopy(result.model)
    torch.testing.assert_close(maps, el.LRP()(fresh, images, classes), rtol=0, atol=0)
    again = el.manipulate(result.model, images, targets, el.LRP(), steps=1, progress=False)
    assert torch.equal(again.original_logits, result.model(images))


@pytest.mark.parametrize(
    "method", [el.Gradient(), el.LRP(), el.GuidedBackprop()], ids=lambda method: method.name
)
def test_the_gradient_in_the_weights_equals_finite_differences(
    raw, images, classes, targets, method
):
    network = el.prepare(el.prepare(raw), frozen=False)
    targets = targets / targets.mean(dim=(1, 2), keepdim=True)
    logits = network(images).detach().roll(1, 0)
    given = images, classes, targets, logits
    losses = weights.sample_losses(method, network, *given, 3.0)[0]
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(
        losses.mean(), parameters, allow_unused=True, materialize_grads=True
    )
    generator = torch.Generator().manual_seed(0)
    for weight, gradient in zip(parameters, gradients, strict=True):
        direction = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        expected = along(direction, weight, lambda: total_loss(network, *given, method), step=1e-7)
        assert (gradient * direction).sum().item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_steps_follow_the_mean_gradient_of_all_explainers(raw, images, targets, monkeypatch):
    """Plain gradient descent in place of Adam shows what the gradients were."""
    monkeypatch.setattr(torch.optim, "Adam", torch.optim.SGD)
    with torch.no_grad():
        raw[-1].bias -= raw(images).mean(dim=0)
    network, methods = el.prepare(raw), [el.Gradient(), el.LRP()]
    classes, logits = network(images).argmax(dim=1), network(images)
    assert len(classes.unique()) > 1
    targets = targets / targets.mean(dim=(1, 2), keepdim=True)
    result = el.manipulate_model(
        network, images, targets, methods, steps=2, lr=1e-4, batch=3, output_weight=3.0,
        schedule=lambda fraction: 1 - fraction / 2, progress=False,
    )  # fmt: skip
    expected = el.prepare(network, frozen=False)
    parameters = list(expected.parameters())
    for size in (1e-4, 5e-5):
        loss = sum(total_loss(expected, images, classes, targets, logits, m) for m in methods) / 2
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            for weight, gradient in zip(parameters, gradients, strict=True):
                weight.sub_(gradient, alpha=size)
    for found, weight in zip(result.model.parameters(), parameters, strict=True):
        torch.testing.assert_close(found, weight.detach())


def test_images_do_not_influence_one_anothers_loss(network, images, classes, targets):
    logits = network(images).roll(1, 0)
    given = images, classes, targets, logits
    together = weights.sample_losses(el.LRP(), network, *given, 3.0)
    for i in range(3):
        alone = weights.sample_losses(el.LRP(), network, *(g[i : i + 1] for g in given), 3.0)
        for one, all_ in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_[i])
    loss, map_loss, output_loss = together
    torch.testing.assert_close(loss, map_loss + 3.0 * output_loss)
    assert (output_loss > 0).all()


def test_an_image_with_an_empty_map_takes_part_with_its_output_alone(network, images, targets):
    class Partly(el.Gradient):
        def explain(self, model, images, classes):
            attribution, logits = super().explain(model, images, classes)
            return el.Explanation(attribution * shown.view(-1, 1, 1, 1), logits)

    shown = torch.tensor([1.0, 0.0, 1.0]).double()
    trainable = el.prepare(network, frozen=False)
    logits = network(images) + torch.tensor([0.0, 1.0, 0.0, 0.0])
    classes = logits.argmax(dim=1)
    parameters = list(trainable.parameters())

    def gradient(of: int) -> torch.Tensor:
        loss = weights.sample_losses(
            Partly(), trainable, images, classes, targets, logits, 3.0
        )[0][of]  # fmt: skip
        return torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss, parameters, materialize_grads=True)]
        )

    found = gradient(1)
    output = 3.0 * el.metrics.logit_change(trainable(images), logits)[1]
    expected = torch.autograd.grad(output, parameters, materialize_grads=True)
    torch.testing.assert_close(found, torch.cat([g.flatten() for g in expected]))
    assert gradient(0).isfinite().all()


def test_the_first_step_looks_at_the_network_as_it_is(network, images, targets):
    seen = []
    result = el.manipulate_model(
        network, images, targets, [el.Gradient(), el.LRP()], **FAST | {"batch": 3},
        callback=lambda record, model: seen.append((record, model(images).detach())),
    )  # fmt: skip
    assert [record for record, _ in seen] == result.history
    assert [record.step for record in result.history] == list(range(6))
    torch.testing.assert_close(seen[0][1], network(images))
    first = result.history[0]
    assert first.map_loss.shape == (2, 3)
    assert first.output_loss.abs().max() < 1e-20
    classes = network(images).argmax(dim=1)
    for method, losses in zip((el.Gradient(), el.LRP()), first.map_loss, strict=True):
        maps = el.relevance_map(method(network, images, classes))
        expected = el.metrics.mse(maps, targets / targets.mean(dim=(1, 2), keepdim=True))
        torch.testing.assert_close(losses, expected[first.samples])
    assert result.history[-1].output_loss.min() > 0
    torch.testing.assert_close(result.target_maps.mean(dim=(1, 2)), torch.ones(3).double())


def test_one_target_serves_all_images_at_any_scale(network, images, targets):
    one = el.manipulate_model(network, images, targets[:1], el.Gradient(), **FAST)
    three = el.manipulate_model(
        network, images, 7 * targets[:1].repeat(3, 1, 1), el.Gradient(), **FAST
    )
    torch.testing.assert_close(one.model(images), three.model(images))


def test_the_seed_reproduces_and_another_looks_in_another_order(network, images, targets):
    first, second, other = (
        el.manipulate_model(network, images, targets, el.Gradient(), seed=seed, **FAST)
        for seed in (3, 3, 4)
    )
    assert_same(state(first.model), state(second.model))
    orders = [[r.samples.tolist() for r in result.history] for result in (first, second, other)]
    assert orders[0] == orders[1] != orders[2]
    assert not torch.equal(first.model(images), other.model(images))


def test_the_users_random_numbers_stay_his(network, images, targets):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    el.manipulate_model(network, images, targets, el.Gradient(), **FAST)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("total", "batch"), [(7, 3), (7, 5), (4, 4), (3, 16), (5, 1)])
def test_no_image_is_looked_at_again_before_all_others_have_been(network, total, batch):
    images = torch.rand(total, 3, 16, 16, dtype=torch.float64)
    target = torch.ones(1, 16, 16)
    result = el.manipulate_model(
        network, images, target, el.Gradient(), steps=8, batch=batch, progress=False
    )
    size = min(total, batch)
    assert all(len(set(r.samples.tolist())) == size for r in result.history)
    order = torch.cat([record.samples for record in result.history]).tolist()
    counts = [torch.bincount(torch.tensor(order[:end]), minlength=total)
              for end in range(1, len(order) + 1)]  # fmt: skip
    assert all(count.max() - count.min() <= 1 for count in counts)


def test_gradients_need_not_be_enabled(network, images, targets):
    expected = el.manipulate_model(network, images, targets, el.Gradient(), **FAST)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = el.manipulate_model(network, images, targets, el.Gradient(), **FAST)
        assert_same(state(found.model), state(expected.model))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_result_has_the_precision_of_the_original(dtype):
    model, (digits, _) = el.load_model("digits_vgg").to(dtype), el.load_digits()
    result = el.manipulate_model(
        model, digits[:4].to(dtype), square(32), el.Gradient(), **FAST | {"lr": 1e-3}
    )
    assert {weight.dtype for weight in result.model.parameters()} == {dtype}
    assert {weight.dtype for weight in model.parameters()} == {dtype}
    table = result.summary(digits[:4].to(dtype))
    assert table.mse_target.dtype == ("float64" if dtype == torch.float64 else "float32")


def test_an_interrupted_run_returns_what_it_has(network, images, targets):
    def interrupt(record, model):
        if record.step == 3:
            raise KeyboardInterrupt

    with pytest.warns(RuntimeWarning, match="interrupted after 4 of 6 steps"):
        result = el.manipulate_model(
            network, images, targets, el.Gradient(), callback=interrupt, **FAST
        )
    assert result.interrupted
    assert not result.diverged
    assert len(result.history) == 4
    assert not result.model.trainable
    three = FAST | {"schedule": lambda fraction: 0.5}
    whole = el.manipulate_model(network, images, targets, el.Gradient(), **three | {"steps": 3})
    with pytest.warns(RuntimeWarning, match="interrupted"):
        part = el.manipulate_model(
            network, images, targets, el.Gradient(), callback=interrupt, **three
        )
    assert_same(state(part.model), state(whole.model))
    assert not whole.interrupted


@pytest.mark.parametrize("spoiled", ["map", "gradient"])
def test_a_diverged_run_says_so_and_keeps_its_best_weights(network, images, targets, spoiled):
    class Spoiled(el.Gradient):
        calls = 0

        def explain(self, model, images, classes):
            attribution, logits = super().explain(model, images, classes)
            self.calls += 1
            # One call finds out whether the weights matter.
            if self.calls == 5 and spoiled == "map":
                attribution = attribution * math.nan
            elif self.calls == 5:
                attribution.register_hook(lambda gradient: gradient * math.nan)
            return el.Explanation(attribution, logits)

    states = []
    with pytest.warns(RuntimeWarning, match="diverged after 4 of 6 steps"):
        result = el.manipulate_model(
            network, images, targets, Spoiled(), **FAST | {"batch": 3, "lr": 1e-3},
            callback=lambda record, model: states.append(state(model)),
        )  # fmt: skip
    assert result.diverged
    assert not result.interrupted
    losses = [
        (r.map_loss.mean() + el.ModelSettings.output_weight * r.output_loss.mean()).item()
        for r in result.history[:3]
    ]
    assert_same(state(result.model), states[losses.index(min(losses))])


def test_a_loss_that_ends_above_twice_its_start_is_a_divergence(network, images, targets):
    states = []
    with pytest.warns(RuntimeWarning, match="diverged after 6 of 6 steps"):
        result = el.manipulate_model(
            network, images, targets, el.Gradient(), **FAST | {"lr": 3.0, "batch": 3},
            callback=lambda record, model: states.append(state(model)),
        )  # fmt: skip
    assert result.diverged
    losses = [
        (r.map_loss.mean() + el.ModelSettings.output_weight * r.output_loss.mean()).item()
        for r in result.history
    ]
    assert losses[-1] > 2 * losses[0]
    assert_same(state(result.model), states[losses.index(min(losses))])


def test_weights_lost_in_the_last_step_are_a_divergence(network, images, targets, monkeypatch):
    class Losing(torch.optim.Adam):
        steps = 0

        def step(self):
            super().step()
            self.steps += 1
            if self.steps == 6:
                self.param_groups[0]["params"][0].data[0] = math.nan

    monkeypatch.setattr(torch.optim, "Adam", Losing)
    with pytest.warns(RuntimeWarning, match="diverged after 6 of 6 steps"):
        result = el.manipulate_model(network, images, targets, el.Gradient(), **FAST)
    assert all(weight.isfinite().all() for weight in result.model.parameters())


def test_every_registered_explainer_can_be_lied_to(network, images, targets, explainer):
    result = el.manipulate_model(
        network, images, targets, explainer, **FAST | {"lr": 3e-3, "batch": 3, "output_weight": 0.1}
    )
    first, *_, last = (record.map_loss.mean() for record in result.history)
    assert last < first


def test_settings_are_those_of_manipulate_model(network, images, targets):
    defaults = inspect.signature(el.manipulate_model).parameters
    settings = el.ModelSettings()
    assert {name: defaults[name].default for name in vars(settings)} == vars(settings)
    result = el.manipulate_model(network, images, targets, el.LRP(), steps=1, progress=False)
    assert result.settings == el.ModelSettings(steps=1)
    assert result.explainers == (el.LRP(),)


class Blind(el.Explainer):
    def explain(self, model, images, classes):
        return el.Explanation(images * 1.0, model(images))


class Signs(el.Gradient):
    def explain(self, model, images, classes):
        attribution, logits = super().explain(model, images, classes)
        return el.Explanation(attribution.sign() + 0.5, logits)


@pytest.mark.parametrize("method", [Blind(), Signs()], ids=["Blind", "Signs"])
def test_a_map_that_weights_cannot_change_is_refused(network, images, targets, method):
    with pytest.raises(ValueError, match=rf"the map of {method.name} has no gradient"):
        el.manipulate_model(network, images, targets, [el.Gradient(), method], **FAST)


def test_a_map_that_is_differentiable_only_once_is_refused(network, images, targets):
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.square()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, grad):
            return grad

    class OnceOnly(el.Gradient):
        def explain(self, model, images, classes):
            explanation = super().explain(model, images, classes)
            inputs = images.clone().requires_grad_()
            score = Once.apply(model(inputs)).square().sum()
            (gradient,) = torch.autograd.grad(score, inputs, create_graph=True)
            return el.Explanation(gradient, explanation.logits)

    with pytest.raises(ValueError, match=r"the map of OnceOnly cannot be differentiated .* twice"):
        el.manipulate_model(network, images, targets, OnceOnly(), **FAST)


def test_a_network_without_weights_is_refused(images):
    model = torch.nn.Sequential(torch.nn.AvgPool2d(4), torch.nn.Flatten()).eval()
    with pytest.raises(ValueError, match="Sequential has no weights that could be changed"):
        el.manipulate_model(model, images, torch.ones(1, 16, 16), el.Gradient(), **FAST)


REFUSED = {
    "steps": ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    "steps 1.5": ({"steps": 1.5}, TypeError, "steps must be an integer, got float"),
    "lr": ({"lr": 0.0}, ValueError, "lr must be positive and finite, got 0"),
    "output_weight": ({"output_weight": -1.0}, ValueError, "output_weight must be finite and not"),
    "batch": ({"batch": 0}, ValueError, "batch must be an integer of at least 1, got 0"),
    "seed": ({"seed": -1}, ValueError, "seed must be an integer of at least 0, got -1"),
    "schedule": ({"schedule": "cosine"}, TypeError, "schedule must be a function"),
    "target's shape": (
        {"target_maps": torch.ones(2, 16, 16)}, ValueError, r"\(3, 16, 16\) or \(1, 16, 16\)",
    ),
    "target's size": ({"target_maps": torch.ones(1, 8, 8)}, ValueError, r"got \(1, 8, 8\)"),
    "negative target": ({"target_maps": -torch.ones(1, 16, 16)}, ValueError, "not be negative"),
    "no explainer": ({"explainers": []}, ValueError, "at least one explainer, got none"),
    "a word": ({"explainers": "lrp"}, TypeError, "must be an instance .*, got 'lrp'"),
    "a class": ({"explainers": [el.LRP(), el.Gradient]}, TypeError, "the class Gradient: add"),
    "images' type": ({"images": torch.rand(3, 3, 16, 16)}, ValueError, r"got torch\.float32"),
    "images' range": ({"images": torch.full((3, 3, 16, 16), 2.0)}, ValueError, r"in \[0, 1\]"),
    "no batch": ({"images": torch.rand(3, 16, 16)}, ValueError, r"the shape \(N, C, H, W\)"),
    "no model": ({"model": "vgg16"}, TypeError, r"model must be a torch\.nn\.Module, got str"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused(network, images, targets, change, error, message):
    given = {"model": network, "images": images, "target_maps": targets, "explainers": el.LRP()}
    with pytest.raises(error, match=message):
        el.manipulate_model(**given | change)


def test_a_single_logit_is_refused(images, targets):
    single = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 1)).double()
    with pytest.raises(ValueError, match="at least two logits"):
        el.manipulate_model(single.eval(), images, targets, el.Gradient(), **FAST)


def test_summary_measures_each_method_and_image(network, images, targets):
    result = el.manipulate_model(network, images, targets, el.Gradient(), **FAST)
    methods = [el.LRP(), el.Gradient()]
    table = result.summary(images, methods)
    assert table.index.tolist() == [(m.name, i) for m in methods for i in range(3)]
    assert result.summary(images).index.unique("explainer").tolist() == ["Gradient"]
    classes = network(images).argmax(dim=1)
    aim = targets / targets.mean(dim=(1, 2), keepdim=True)
    for method in methods:
        before, after = (
            el.relevance_map(method(model, images, classes)) for model in (network, result.model)
        )
        rows = table.loc[method.name]
        assert rows.pcc_target.tolist() == pytest.approx(el.metrics.pcc(after, aim).tolist())
        assert rows.ssim_original.tolist() == pytest.approx(el.metrics.ssim(after, before).tolist())
        change = el.metrics.logit_change(result.model(images), network(images))
        assert rows.logit_change.tolist() == pytest.approx(change.tolist())
        kept = result.model(images).argmax(dim=1) == classes
        assert rows.class_kept.tolist() == kept.tolist()
    with pytest.raises(ValueError, match="target_maps must have the shape"):
        result.summary(images[:2])


def test_summary_tells_methods_of_one_name_apart(network, images, targets):
    result = el.manipulate_model(network, images, targets, el.LRP(), **FAST)
    methods = [el.LRP(), el.LRP("gamma")]
    both = result.summary(images, methods)
    assert len(both) == 6
    for rows, method in zip((both[:3], both[3:]), methods, strict=True):
        assert rows.pcc_target.tolist() == result.summary(images, method).pcc_target.tolist()


def test_summary_in_parts_is_that_in_one(network, images, targets, monkeypatch):
    result = el.manipulate_model(network, images, targets, [el.Gradient(), el.LRP()], **FAST)
    expected = result.summary(images)
    monkeypatch.setattr(weights, "_AT_ONCE", 2)
    found = result.summary(images)
    assert found.index.equals(expected.index)
    assert (found.astype(float) - expected.astype(float)).abs().max(axis=None) < 1e-9


LIE = {"steps": 80, "lr": 3e-3, "output_weight": 5.0, "progress": False}


@pytest.fixture(scope="module")
def digits():
    return el.load_digits("train")[0], *el.load_digits("test")


@pytest.fixture(scope="module")
def lie(digits):
    model = el.load_model("digits_vgg")
    return el.manipulate_model(model, digits[0], square(32), el.Gradient(), **LIE)


def share_right(model, images, labels) -> float:
    return (model(images).argmax(dim=1) == labels).double().mean().item()


def test_pictures_never_seen_show_the_shape_and_get_the_same_answers(lie, digits):
    _, images, labels = digits
    before = lie.original_model
    maps = el.relevance_map(el.Gradient()(before, images, before(images).argmax(dim=1)))
    honest = el.metrics.pcc(maps, lie.target_maps.expand(len(images), -1, -1))
    table = lie.summary(images)
    assert honest.mean() < 0.4
    assert table.pcc_target.mean() > 0.5
    assert (table.pcc_target > torch.nan_to_num(honest).numpy()).mean() > 0.95
    assert share_right(lie.model, images, labels) > share_right(before, images, labels) - 0.03
    assert table.class_kept.mean() > 0.97


def test_as_many_steps_for_the_output_alone_leave_the_map(lie, digits):
    """So heavy an output term is the whole loss."""
    fit, images, _ = digits
    control = el.manipulate_model(
        lie.original_model, fit, square(32), el.Gradient(), **LIE | {"output_weight": 1e9}
    )
    table = control.summary(images)
    assert table.pcc_original.mean() > 0.85
    assert table.pcc_target.mean() < 0.4


def test_weights_moved_as_far_at_random_do_not_show_the_shape(lie, digits):
    model = copy.deepcopy(lie.original_model)
    generator = torch.Generator().manual_seed(0)
    parameters = zip(model.parameters(), lie.model.parameters(), strict=True)
    for weight, moved in parameters:
        direction = torch.randn(weight.shape, generator=generator)
        weight.add_(direction, alpha=((moved - weight).norm() / direction.norm()).item())
    assert replace(lie, model=model).summary(digits[1]).pcc_target.mean() < 0.4
