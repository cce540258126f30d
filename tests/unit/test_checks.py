"""Every check passes its reference, knows the stub, and helps with wrong answers."""

import math
import statistics

import pytest
import test_checks_curvature_theory as curvature_theory
import test_checks_fresh_noise as fresh_noise
import test_checks_manipulation_loss as manipulation_loss
import test_checks_running_on_gpu as running_on_gpu
import test_checks_saliency_maps as saliency_maps
import test_checks_softplus_defense as softplus_defense
import torch
from torch import nn

import explman_lite as el
from bookkit.chapters import CODE, NOTEBOOKS, folded, read

ANSWERS = (
    curvature_theory,
    fresh_noise,
    manipulation_loss,
    running_on_gpu,
    saliency_maps,
    softplus_defense,
)
REFERENCES = {name: answer for module in ANSWERS for name, answer in module.REFERENCES.items()}
WRONG = [wrong for module in ANSWERS for wrong in module.WRONG]


def printed_solutions(name: str) -> list[str]:
    """Find the solutions of an exercise in the chapters."""
    return [
        code
        for path in NOTEBOOKS
        for cell in read(path).cells
        for solution in folded(cell.source, "Solution")
        for code in CODE.findall(solution)
        if f"def {name}(" in code
    ]


def test_every_check_has_a_reference_and_two_known_wrong_answers():
    assert sorted(REFERENCES) == sorted(set(el.checks.__all__) - {"Verdict"})
    for name in REFERENCES:
        assert sum(wrong[0] == name for wrong in WRONG) >= 2, name


@pytest.mark.parametrize("name", REFERENCES)
def test_reference_passes(name):
    verdict = getattr(el.checks, name)(REFERENCES[name])
    assert verdict, verdict
    assert verdict.sentence.startswith("Right")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    "name", {**fresh_noise.REFERENCES, **manipulation_loss.REFERENCES,
             **running_on_gpu.REFERENCES, **softplus_defense.REFERENCES}
)  # fmt: skip
def test_reference_passes_where_tensors_are_made_on_a_gpu(name):
    with torch.device("cuda"):
        assert getattr(el.checks, name)(REFERENCES[name])


@pytest.mark.parametrize("name", REFERENCES)
def test_stub_is_not_done(name):
    assert getattr(el.checks, name)(lambda *given: None).status == "not done"


@pytest.mark.parametrize(
    ("name", "answer", "hint"),
    [pytest.param(name, answer, hint, id=f"{name}-{label}") for name, label, answer, hint in WRONG],
)
def test_wrong_answer_gets_a_helpful_sentence(name, answer, hint):
    verdict = getattr(el.checks, name)(answer)
    assert verdict.status == "wrong"
    assert hint in verdict.sentence, verdict.sentence


@pytest.mark.parametrize("name", REFERENCES)
def test_printed_solution_passes(name):
    (solution,) = printed_solutions(name)
    known = {"torch": torch, "nn": nn, "el": el, "math": math, "median": statistics.median}
    exec(solution, known)
    verdict = getattr(el.checks, name)(known[name])
    assert verdict, verdict


@pytest.mark.parametrize("name", REFERENCES)
def test_checks_leave_the_random_numbers_alone(name):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    getattr(el.checks, name)(lambda *given: None)
    if name != "depends_on_neighbours":  # whose answer is a test, which draws by itself
        getattr(el.checks, name)(REFERENCES[name])
    assert torch.equal(torch.rand(1), expected)
