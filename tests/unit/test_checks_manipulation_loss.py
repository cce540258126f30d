"""The checks of chapter 2 answer the reference, the stub and known wrong answers as they should."""

import numpy as np
import pytest
import torch

import explman_lite as el


def loss(
    attributions,
    targets,
    logits,
    original,
    gamma,
    *,
    maps=el.relevance_map,
    mean=el.metrics.mse,
    outputs=lambda values: values,
    spread=lambda logits: logits.var(dim=1, correction=0),
):
    map_term, change = mean(maps(attributions), targets), mean(outputs(logits), outputs(original))
    return map_term + gamma * change / spread(original)


def unscaled(attributions):
    return attributions.abs().sum(dim=1)


def squared_sum(first, second):
    return (first - second).square().flatten(1).sum(dim=1)


def geometric(start, end, steps):
    return [start * (end / start) ** (step / max(steps - 1, 1)) for step in range(steps)]


def within_box(pixels, originals, epsilon):
    return pixels.clamp(originals - epsilon, originals + epsilon)


def nearest(pixels, originals, epsilon):
    return within_box(pixels, originals, epsilon).clamp(0, 1)


def only_first(pixels, originals, epsilon):
    pixels[:1] = nearest(pixels[:1], originals[:1], epsilon)
    return pixels


def rescaled(pixels, originals, epsilon):
    change = pixels - originals
    return (originals + change * epsilon / change.abs().max()).clamp(0, 1)


def norms(values):
    return values.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def of_norm(noise, perturbations):
    return noise / norms(noise) * norms(perturbations)


def seeded(perturbations):
    torch.manual_seed(7)
    return of_norm(torch.randn_like(perturbations), perturbations)


def by_largest(values):
    return values.abs().amax(dim=(1, 2, 3), keepdim=True)


class Forgetful:
    """Answer the first call, and no other."""

    def __init__(self):
        self.calls = 0

    def __call__(self, perturbations):
        self.calls += 1
        return torch.randn_like(perturbations) if self.calls % 2 else None


REFERENCES = {
    "loss_per_sample": loss,
    "beta_schedule": geometric,
    "project": nearest,
    "equal_norm_noise": lambda p: of_norm(torch.randn_like(p), p),
}

WRONG = [
    ("loss_per_sample", "mean of the batch", lambda *given: loss(*given).mean(), "whole batch"),
    (
        "loss_per_sample",
        "scaled by the batch",
        lambda *given: loss(*given, maps=lambda a: unscaled(a) / unscaled(a).mean()),
        "depends on its neighbours",
    ),
    ("loss_per_sample", "not scaled", lambda *g: loss(*g, maps=unscaled), "not yet scaled"),
    ("loss_per_sample", "no γ", lambda *given: loss(*given[:4], 1.0), "γ is missing"),
    (
        "loss_per_sample",
        "no output",
        lambda *given: loss(*given[:4], 0.0),
        "output term is missing",
    ),
    (
        "loss_per_sample",
        "γ on the map",
        lambda *given: given[4] * loss(*given[:4], 1 / given[4]),
        "wrong term",
    ),
    ("loss_per_sample", "sums", lambda *given: loss(*given, mean=squared_sum), "take the means"),
    (
        "loss_per_sample",
        "sum over pixels",
        lambda a, t, *o: loss(a, t, *o) + 19 * el.metrics.mse(el.relevance_map(a), t),
        "resolution",
    ),
    (
        "loss_per_sample",
        "sum over logits",
        lambda a, t, y, y0, gamma: loss(a, t, y, y0, 6 * gamma),
        "over the logits",
    ),
    (
        "loss_per_sample",
        "roots",
        lambda *given: loss(*given, mean=lambda a, b: el.metrics.mse(a, b).sqrt()),
        "roots",
    ),
    (
        "loss_per_sample",
        "probabilities",
        lambda *given: loss(*given, outputs=lambda y: y.softmax(dim=1)),
        "compare the logits",
    ),
    (
        "loss_per_sample",
        "no variance",
        lambda *given: loss(*given, spread=lambda logits: 1.0),
        "Divide the output term by the variance",
    ),
    (
        "loss_per_sample",
        "K - 1",
        lambda *given: loss(*given, spread=lambda logits: logits.var(dim=1)),
        "correction=0",
    ),
    (
        "loss_per_sample",
        "variance of the batch",
        lambda *given: loss(*given, spread=lambda logits: logits.var(correction=0)),
        "variance of the whole batch",
    ),
    ("loss_per_sample", "detached", lambda *given: loss(*given).detach(), "graph"),
    ("loss_per_sample", "a list", lambda *given: loss(*given).tolist(), "type list"),
    ("loss_per_sample", "something else", lambda a, *others: a.sum(dim=(1, 2, 3)), "plus γ times"),
    ("loss_per_sample", "an error", lambda *given: given[9], "IndexError"),
    (
        "beta_schedule",
        "arithmetic",
        lambda start, end, steps: torch.linspace(start, end, steps),
        "equal differences",
    ),
    (
        "beta_schedule",
        "one step short",
        lambda start, end, steps: [start * (end / start) ** (t / steps) for t in range(steps)],
        "one step short",
    ),
    (
        "beta_schedule",
        "one step late",
        lambda start, end, steps: [
            start * (end / start) ** ((t + 1) / steps) for t in range(steps)
        ],
        "one step late",
    ),
    (
        "beta_schedule",
        "one value too many",
        lambda start, end, steps: geometric(start, end, steps + 1),
        "shape should be (7,)",
    ),
    (
        "beta_schedule",
        "backwards",
        lambda start, end, steps: geometric(end, start, steps),
        "turn it round",
    ),
    (
        "beta_schedule",
        "divides by zero",
        lambda start, end, steps: [
            start * (end / start) ** (t / (steps - 1)) for t in range(steps)
        ],
        "single step",
    ),
    ("beta_schedule", "constant", lambda start, end, steps: [start] * steps, "ends with 10"),
    ("beta_schedule", "words", lambda *given: ["ten"], "type list"),
    ("project", "valid only", lambda pixels, *others: pixels.clamp(0, 1), "farther than ε"),
    ("project", "near only", within_box, "leave [0, 1]"),
    ("project", "first sample only", only_first, "Only the first sample"),
    ("project", "near zero", lambda p, o, e: p.clamp(-e, e).clamp(0, 1), "within ε of zero"),
    ("project", "the change", lambda p, o, e: nearest(p, o, e) - o, "add the originals"),
    ("project", "the original", lambda pixels, originals, epsilon: originals, "not the nearest"),
    ("project", "rescaled", rescaled, "not the nearest"),
    ("project", "untouched", lambda pixels, originals, epsilon: pixels, "away from"),
    ("project", "one sample", lambda p, o, e: nearest(p, o, e)[:1], "shape should be"),
    ("equal_norm_noise", "itself", lambda p: p, "must not know it"),
    (
        "equal_norm_noise",
        "norm of the batch",
        lambda p: torch.randn_like(p) / torch.randn_like(p).norm() * p.norm(),
        "times those",
    ),
    (
        "equal_norm_noise",
        "norm of the batch, exactly",
        lambda p: (noise := torch.randn_like(p)) / noise.norm() * p.norm(),
        "whole batch",
    ),
    (
        "equal_norm_noise",
        "not centred",
        lambda p: of_norm(torch.rand_like(p), p),
        "torch.rand is not",
    ),
    ("equal_norm_noise", "a seed inside", seeded, "set a seed"),
    (
        "equal_norm_noise",
        "the same for all",
        lambda p: of_norm(torch.randn_like(p[:1]).expand_as(p), p),
        "draw it for each",
    ),
    (
        "equal_norm_noise",
        "largest change",
        lambda p: (noise := torch.randn_like(p)) / by_largest(noise) * by_largest(p),
        "Euclidean norm",
    ),
    ("equal_norm_noise", "nothing", torch.zeros_like, "without any noise"),
    ("equal_norm_noise", "one sample", lambda p: torch.randn_like(p[:1]), "shape should be"),
    ("equal_norm_noise", "only once", Forgetful(), "second nothing"),
]


@pytest.mark.parametrize("convert", [list, torch.tensor, np.array])
def test_schedule_may_be_list_tensor_or_array(convert):
    assert el.checks.beta_schedule(lambda *given: convert(geometric(*given)))


def test_shuffled_perturbation_is_a_fair_control():
    def shuffled(perturbations):
        order = torch.randperm(perturbations[0].numel())
        return perturbations.flatten(1)[:, order].view_as(perturbations)

    assert el.checks.equal_norm_noise(shuffled)
