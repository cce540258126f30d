"""Every check passes right answers, knows the stub, and helps with wrong answers."""

import math

import answers
import answers_fresh_noise
import answers_manipulating_model
import answers_robust_training
import numpy as np
import pytest
import torch
from answers import CHECKS, SOLUTIONS
from scipy import stats

import explman_lite as el
from explman_lite.checks.exercise import Exercise

ON_THE_CPU = ("saliency_maps", "six_methods", "curvature_theory", "hessian_in_disc")
ON_A_GPU = [name for name, check in CHECKS.items() if not check.__module__.endswith(ON_THE_CPU)]
CHAPTERS = answers, answers_fresh_noise, answers_robust_training, answers_manipulating_model
WRONG = [
    pytest.param(name, answer, hint, id=f"{name}-{hint}")
    for chapter in CHAPTERS
    for name, known in chapter.WRONG.items()
    for hint, answer in known.items()
]


def exercises_of(name):
    """Catch the exercises with which a check compares what a right answer returns."""
    caught, compare = [], Exercise.compare
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Exercise, "compare", lambda *given: caught.append(given[0]) or compare(*given)
        )
        CHECKS[name](SOLUTIONS[name])
    return caught


MISTAKES = [
    pytest.param(name, mistake, sentence, id=f"{name}-{sentence}")
    for name in CHECKS
    for exercise in exercises_of(name)[:1]
    for sentence, mistake in exercise.mistakes.items()
    if isinstance(mistake, torch.Tensor | list)  # others need more than a value to be recognised
]


@pytest.mark.parametrize("name", CHECKS)
def test_printed_solution_passes(name):
    verdict = CHECKS[name](SOLUTIONS[name])
    assert verdict, verdict
    assert verdict.sentence.startswith("Right")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ON_A_GPU)
def test_printed_solution_passes_where_tensors_are_made_on_a_gpu(name):
    with torch.device("cuda"):
        assert CHECKS[name](SOLUTIONS[name])


@pytest.mark.parametrize(
    ("name", "answer"), [known for chapter in CHAPTERS for known in chapter.RIGHT]
)
def test_other_way_passes(name, answer):
    verdict = CHECKS[name](answer)
    assert verdict, verdict
    assert verdict.sentence.startswith("Right")


@pytest.mark.parametrize("name", CHECKS)
def test_stub_is_not_done(name):
    assert CHECKS[name](lambda *given: None).status == "not done"


@pytest.mark.parametrize(("name", "value", "sentence"), MISTAKES)
def test_known_mistake_gets_its_own_sentence(name, value, sentence):
    if isinstance(value, list):  # of what several calls return
        values = iter(value)
        verdict = CHECKS[name](lambda *given: next(values))
    else:
        value.requires_grad_(value.is_floating_point())
        verdict = CHECKS[name](lambda *given: value.clone())
    assert verdict == el.checks.Verdict("wrong", sentence)


@pytest.mark.parametrize(("name", "answer", "hint"), WRONG)
def test_wrong_answer_gets_a_helpful_sentence(name, answer, hint):
    verdict = CHECKS[name](answer)
    assert verdict.status == "wrong"
    assert hint in verdict.sentence, verdict.sentence


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - {"depends_on_neighbours", "local_bound"}))
def test_wrong_form_is_named(name):
    for odd in ("words", [[]], torch.zeros(9, 8, 7)):
        verdict = CHECKS[name](lambda *given, odd=odd: odd)
        assert verdict.status == "wrong"
        assert type(odd).__name__ in verdict.sentence or "shape" in verdict.sentence, verdict


@pytest.mark.parametrize("make", [torch.Tensor.to_sparse, lambda tensor: tensor.to("meta")])
@pytest.mark.parametrize(
    ("name", "shape"),
    [("turning", (5,)), ("not_dominated", (12,)), ("free_direction", (9,)), ("tangent_part", (8,))],
)
def test_odd_tensor_is_named(name, shape, make):
    odd = make(torch.ones(shape, dtype=torch.bool))
    assert "ordinary tensor" in CHECKS[name](lambda *given: odd).sentence


def test_every_check_knows_two_wrong_answers():
    tested = [known.values[0] for known in MISTAKES + WRONG]
    assert [name for name in CHECKS if tested.count(name) < 2] == []


@pytest.mark.parametrize("name", CHECKS)
def test_checks_leave_the_random_numbers_alone(name):
    before = torch.get_rng_state()
    CHECKS[name](lambda *given: None)
    if name != "depends_on_neighbours":  # whose answer is a test, which draws by itself
        CHECKS[name](SOLUTIONS[name])
    if name == "fresh_smoothgrad":  # whose answers may draw elsewhere
        CHECKS[name](answers_fresh_noise.global_numbers)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_tighter_bound_says_so():
    bounds = answers.in_disc, lambda *given: answers.in_disc(*given, signs=True)
    one, other = (CHECKS["local_bound"](bound).sentence for bound in bounds)
    factors = [float(text.split("average ")[1].split(" times")[0]) for text in (one, other)]
    assert factors[1] < factors[0]
    assert f"ours: {factors[1]:.2f}" in other


def test_the_papers_number_is_that_of_a_gaussian_which_agrees_at_the_kink():
    gaussian = stats.norm(scale=math.log(2) * math.sqrt(2 * math.pi) / 5)
    assert gaussian.expect(lambda x: x, lb=0) == pytest.approx(math.log(2) / 5)
    assert stats.logistic(scale=1 / 5).std() == pytest.approx(SOLUTIONS["noise_of_beta"](5))


def test_closed_form_is_the_mean_over_noise():
    w, x = torch.tensor([3.0, -1.0]), torch.tensor([[0.2, 0.1], [-0.3, 0.4]])
    noise = torch.from_numpy(stats.logistic(scale=1 / 2).ppf((np.arange(4000) + 0.5) / 4000))
    noisy = x - noise.view(-1, 1, 1) * w / w.norm()
    mean = ((noisy @ w.double() > 0).unsqueeze(2) * w).mean(dim=0)
    assert torch.allclose(mean, SOLUTIONS["mean_gradient"](w, x, 2.0).to(mean), atol=2e-3)


def test_fresh_noise_approaches_the_expectation():
    image, generator = torch.tensor([[[[0.2, 0.9]]]]), torch.Generator().manual_seed(0)
    smoothgrad = SOLUTIONS["fresh_smoothgrad"]
    calls = [smoothgrad(lambda x: x**3, image, 50, 0.3, generator) for _ in range(400)]
    expected = image**3 + 3 * image * 0.3**2
    assert torch.allclose(torch.stack(calls).mean(dim=0), expected, atol=0.02)


def test_products_with_normal_directions_estimate_the_frobenius_norm():
    generator = torch.Generator().manual_seed(0)
    hessian, directions = (torch.randn(n, 6, generator=generator) for n in (6, 20_000))
    found = SOLUTIONS["frobenius"](directions @ (hessian + hessian.T))
    assert found == pytest.approx(torch.linalg.matrix_norm(hessian + hessian.T).item(), rel=0.02)


@pytest.mark.parametrize("angle", [0.2, 1.0, 1.5])
def test_no_gradient_turns_further_within_the_certified_radius(angle):
    radius = SOLUTIONS["certified_radius"](2.0, 6.0, angle)
    ways = torch.linspace(0, 2 * math.pi, 10_001, dtype=torch.float64)
    changed = 6 + 2 * radius * torch.polar(torch.ones_like(ways), ways)
    assert changed.angle().abs().max().item() == pytest.approx(angle, abs=1e-4)


def test_turning_is_the_penalty_that_networks_are_trained_with():
    model = el.load_model("crops_vgg_softplus")
    images, labels = (each[:3] for each in el.load_crops("test"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = el.training.hessian_penalty(model, images, labels)
    generator = torch.Generator().manual_seed(5)
    found = SOLUTIONS["turning"](model, images, labels, generator)
    assert torch.allclose(found, expected, rtol=1e-4)


def test_tangent_part_is_the_projection_that_the_book_explains_with():
    model, (known, _), (digits, labels) = (
        el.load_model("digits_vgg"),
        el.load_digits("train"),
        el.load_digits("test"),
    )
    image, own = digits[:1], labels[:1]
    order = (known - image).flatten(1).norm(dim=1).argsort()
    found = SOLUTIONS["tangent_part"](
        el.Gradient()(model, image, own).flatten(), known[order[:50]].flatten(1), 30
    )
    expected = el.Projected(el.Gradient(), known, neighbours=50, dimensions=30)(model, image, own)
    assert torch.allclose(found, expected.flatten(), atol=1e-4 * expected.abs().max().item())


def test_a_new_crop_is_nearly_in_the_span_of_the_known_ones():
    known, new = (el.load_crops(split)[0].flatten(1).double() for split in ("train", "test"))
    seen = torch.linalg.solve(known @ known.T, known @ new.T).T @ known
    share = (new - seen).square().sum() / new.square().sum()
    assert (known.shape, round(share.item(), 2)) == ((1000, 12_288), 0.01)


def test_nearly_every_new_digit_is_in_the_span_of_the_known_ones():
    known, new = (el.load_digits(split)[0].flatten(1).double() for split in ("train", "test"))
    sizes, ways = torch.linalg.eigh(known.T @ known)
    unseen = ways[:, sizes < 1e-9 * sizes[-1]]
    assert (known.shape, unseen.shape[1]) == ((1437, 1024), 1024 - 60)
    assert (len(new), ((new @ unseen).norm(dim=1) > 1e-6).sum()) == (360, 2)


def test_an_alarm_of_the_exercise_is_one_in_112():
    assert 1 / SOLUTIONS["share_of_true_alarms"](0.001, 0.9, 0.1) == pytest.approx(112)
