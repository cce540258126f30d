"""Answers to exercises: the printed ones, others that are right, and wrong ones under a hint."""

import itertools
import math
import statistics

import numpy as np
import torch
from scipy import stats

import explman_lite as el
from bookkit.chapters import CODE, NOTEBOOKS, folded, read

CHECKS = {name: getattr(el.checks, name) for name in el.checks.__all__ if name != "Verdict"}
PRINTED = [
    code
    for path in NOTEBOOKS
    for cell in read(path).cells
    for solution in folded(cell.source, "Solution")
    for code in CODE.findall(solution)
]


def printed(name):
    """Run the only printed solution of an exercise."""
    (solution,) = [code for code in PRINTED if f"def {name}(" in code]
    known = {"torch": torch, "nn": torch.nn, "el": el, "math": math, "median": statistics.median}
    exec(solution, known)
    return known[name]


SOLUTIONS = {name: printed(name) for name in CHECKS}
chunks, follow, erased = map(printed, ("attack_in_chunks", "follow_gradient", "erase"))
newton, central = map(printed, ("back_to_level", "product_by_differences"))
logistic, closed_form = map(printed, ("noise_of_beta", "mean_gradient"))


def sizes(attribution):
    return attribution.abs().sum(dim=1)


def maps_of_size(*sizes):
    return torch.rand(len(sizes), 4, 4) * torch.tensor(sizes).view(-1, 1, 1)


def notices(scale, maps, sample):
    return not torch.allclose(scale(maps)[sample], scale(maps[sample : sample + 1])[0])


def has_mean_one(maps):
    return torch.allclose(maps.mean(dim=(1, 2)), torch.ones(len(maps)))


def shares(inputs, weight, relevance):
    parts = (inputs.unsqueeze(1) * weight).clamp(min=0)
    return (parts / parts.sum(dim=2, keepdim=True) * relevance.unsqueeze(2)).sum(dim=1)


def geometric(start, end, steps):
    return [start * (end / start) ** (step / max(steps - 1, 1)) for step in range(steps)]


def control(draw=torch.randn_like, norm=lambda p: p.flatten(1).norm(dim=1).view(-1, 1, 1, 1)):
    return lambda p: (noise := draw(p)) / norm(noise) * norm(p)


def time_runs(action, synchronize, clock, repeats, *, warm_up=1, before=True, after=True):
    for _ in range(warm_up):
        action()
    seconds = []
    for _ in range(repeats):
        if before:
            synchronize()
        start = clock()
        action()
        if after:
            synchronize()
        seconds.append(clock() - start)
    return seconds


def watch(pick, **how):
    return lambda *given: pick(time_runs(*given, **how))


def all_together(action, *given):
    repeats = given[-1]
    (seconds,) = time_runs(lambda: [action() for _ in range(repeats)], *given[:2], 1)
    return seconds / repeats


def in_disc(weights, outer, beta, centre, radius, signs=False):
    nearest = ((weights @ centre).abs() - radius * weights.norm(dim=1)).clamp_min(0)
    most = outer * beta * torch.sigmoid(beta * nearest) * torch.sigmoid(-beta * nearest)
    parts = (most.relu(), (-most).relu()) if signs else (most.abs(),)
    return max(torch.linalg.matrix_norm((weights.T * part) @ weights, 2).item() for part in parts)


def sampled(weights, outer, beta, centre, radius):
    angles = torch.linspace(0, 2 * math.pi, 148)[:-1].to(weights)
    ring = torch.stack([angles.cos(), angles.sin()], dim=1)
    points = torch.cat([centre + radius * share / 20 * ring for share in range(21)])
    slopes = torch.sigmoid(beta * points @ weights.T)
    bends = outer * beta * slopes * (1 - slopes)
    hessians = torch.einsum("nu,ui,uj->nij", bends, weights, weights)
    return torch.linalg.matrix_norm(hessians, 2).max().item()


def by_autograd(w, x, beta):
    outputs = torch.nn.functional.softplus(x.requires_grad_() @ w, beta=(beta / w.norm()).item())
    return torch.autograd.grad(outputs.sum(), x)[0]


def by_drawing(w, x, beta):
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(2000, 1, generator=generator, dtype=x.dtype).logit() / beta
    return ((x @ w - noise * w.norm() > 0).to(x).mean(dim=0)).unsqueeze(1) * w


def painted(image, mask, colour=None):
    mean = image.mean(dim=(1, 2), keepdim=True)
    return torch.where(mask, mean if colour is None else colour, image)


def most(values, portion):
    ranks = values.flatten().argsort().argsort().view_as(values)
    return ranks >= (1 - portion) * values.numel()


def closest(distances, kept, lost=torch.inf):
    return distances.masked_fill(~kept, lost).argmin(dim=0)


CALLS = itertools.count(1)

RIGHT = [
    ("beta_schedule", geometric),
    ("beta_schedule", lambda *given: torch.tensor(geometric(*given))),
    ("beta_schedule", lambda *given: np.array(geometric(*given))),
    ("equal_norm_noise", lambda p: p.flatten(1)[:, torch.randperm(p[0].numel())].view_as(p)),
    *(("stopwatch", watch(min, warm_up=n)) for n in (1, 2, 5)),
    *(("stopwatch", watch(statistics.median, warm_up=n)) for n in (1, 2, 5)),
    ("attack_in_chunks", lambda *given: chunks(*given).double()),
    ("follow_gradient", lambda g, x, lr, n: follow(lambda p: (lr * g(p)).float() / lr, x, lr, n)),
    ("product_by_differences", lambda g, x, v, s: v.norm() * central(g, x, v / v.norm(), s)),
    ("local_bound", in_disc),
    ("noise_of_beta", lambda beta: torch.tensor(logistic(beta))),
    ("noise_of_beta", lambda beta: np.float32(logistic(beta))),
    ("noise_of_beta", lambda beta: round(logistic(beta), 4)),
    ("noise_of_beta", lambda beta: stats.logistic(scale=1 / beta).std()),
    ("mean_gradient", by_autograd),
    ("mean_gradient", lambda *given: closed_form(*given).float()),
    ("erase", lambda image, r, portion: painted(image, most(r, portion))),
    ("best_of", lambda *given: closest(*given, lost=1e9)),
    ("best_of", lambda *given: closest(*given).int()),
]

WRONG = {
    "relevance_map": {
        "negative values": lambda a: a.sum(dim=1),
        "after the sum": lambda a: a.sum(dim=1).abs(),
        "instead of 1": sizes,
        "depends on its neighbours": lambda a: sizes(a) / sizes(a).mean(),
        "sum to 1": lambda a: el.relevance_map(a) / a[0, 0].numel(),
        "largest value": lambda a: sizes(a) / sizes(a).amax(dim=(1, 2), keepdim=True),
        "sum of the absolute values": lambda a: a[:, 0].abs(),
        "shape should be (3, 5, 4); yours is (3, 3, 5, 4)": lambda a: a.abs(),
        "NaN": lambda a: sizes(a) * torch.nan,
        "AttributeError": lambda a: a.nonsense,
    },
    "signed_map": {
        "sign": el.relevance_map,
        "absolute values": lambda a: a.sum(dim=1) / a.sum(dim=1).mean(dim=(1, 2), keepdim=True),
        "depends on its neighbours": lambda a: a.sum(dim=1) / a.sum(dim=1).abs().mean(),
        "over the channels": lambda a: a[:, 0] / a[:, 0].abs().mean(dim=(1, 2), keepdim=True),
    },
    "completeness_gap": {"minus the sum": lambda model, images, classes: model(images)[:, 0]},
    "positive_shares": {"0/0": shares, "not the shares": lambda x, w, r: r @ w},
    "from_baseline": {"mean gradient on": lambda m, x, c, b, n: (x - b) * el.Gradient()(m, b, c)},
    "depends_on_neighbours": {
        "accuses": lambda scale: True,
        "whole batch": lambda scale: False,
        "One map": lambda scale: notices(scale, maps_of_size(3.0), 0),
        "equal maps": lambda scale: notices(scale, maps_of_size(3.0)[[0, 0]], 1),
        "mean of the first": lambda scale: notices(scale, maps_of_size(1.0, 9.0), 0),
        "largest value": lambda scale: not has_mean_one(scale(maps_of_size(1.0, 9.0, 0.1))),
        "blends": lambda scale: notices(scale, maps_of_size(1.0, 9.0).mean((1, 2), True), 1),
        "The means stay 1": lambda scale: notices(
            lambda maps: scale(maps).mean(dim=(1, 2)), maps_of_size(1.0, 9.0), 1
        ),
    },
    "loss_per_sample": {
        "whole batch": lambda attributions, *given: attributions.mean(),
        "graph": lambda attributions, *given: attributions.detach().sum(dim=(1, 2, 3)),
        "plus γ times": lambda attributions, *given: attributions.sum(dim=(1, 2, 3)),
    },
    "beta_schedule": {
        "shape should be (7,)": lambda start, end, steps: geometric(start, end, steps + 1),
        "With a single step": lambda *given: geometric(*given)[: 1 // (given[-1] - 1) or None],
        "ends with 10": lambda start, end, steps: [start] * steps,
    },
    "project": {
        "not the nearest": lambda pixels, originals, epsilon: originals,
        "the border": lambda p, o, e: (o + (p - o) * e / (p - o).abs().max()).clamp(0, 1),
        "away from": lambda pixels, originals, epsilon: pixels,
    },
    "equal_norm_noise": {
        "must not know it": lambda p: p,
        "times those": lambda p: torch.randn_like(p) / torch.randn_like(p).norm() * p.norm(),
        "whole batch": control(norm=torch.norm),
        "torch.rand is not": control(torch.rand_like),
        "set a seed": lambda p: torch.manual_seed(7) and control()(p),
        "draw it for each": control(lambda p: torch.randn_like(p[:1]).expand_as(p)),
        "Euclidean norm": control(norm=lambda p: p.abs().amax(dim=(1, 2, 3), keepdim=True)),
        "without any noise": torch.zeros_like,
        "second nothing": lambda p: p if next(CALLS) % 2 else None,
    },
    "stopwatch": {
        "time of the launch": watch(min, after=False),
        "busy with the warm-up": watch(min, before=False),
        "very first call": watch(min, warm_up=0),
        "spoils it": watch(statistics.fmean),
        "what one of them takes": watch(sum),
        "slowest run": watch(max),
        "milliseconds": watch(lambda seconds: 1000 * min(seconds)),
        "each of the 5 runs": all_together,
        "Read the clock": lambda action, *others: action() or 1.0,
        "never call the action": lambda *given: 1.0,
        "on the pretended device": watch(lambda seconds: 3 * min(seconds)),
    },
    "largest_batch": {
        "type float": lambda first, second, budget: budget / first[1],
        "fit into 1000": lambda *given: 3,
    },
    "attack_in_chunks": {
        "7 pictures at once": lambda attack, images, targets, size: attack(images, targets),
        "6 came out": lambda attack, x, t, size: chunks(attack, x[:6], t[:6], size),
        "came with 7 target maps": lambda attack, x, t, size: attack(x[:size], t),
        "7 batches": lambda attack, x, t, size: chunks(attack, x, t, 1),
        "not what they": lambda *given: chunks(*given).double() + 0.1,
    },
    "follow_gradient": {
        "Return float32": lambda *given: follow(*given).double(),
        "work on a copy": lambda g, pixels, *given: pixels.copy_(follow(g, pixels, *given)),
        "away from": lambda *given: follow(*given[:3], 30),
        "takes bfloat16 pixels": lambda gradient_at, pixels, *others: gradient_at(pixels),
    },
    "to_tangent": {
        "not tangential": lambda vectors, gradients: vectors - gradients,
        "not what is left": lambda vectors, gradients: 0 * vectors,
    },
    "plane_curvature": {
        "circle of radius 2": lambda gradients, hessians: hessians[:, 0, 0],
        "Right for a circle": lambda gradients, hessians: -0.5 + 0 * gradients[:, 0],
    },
    "product_by_differences": {
        "one-sided": lambda g, x, v, step: (g(x + step * v) - g(x)) / step,
        "shrinks as the step": lambda g, x, v, step: (g(x) - g(x - step * v)) / step,
        "Use the function": lambda gradient_at, point, vector, step: vector,
        "over two steps": lambda gradient_at, point, vector, step: gradient_at(vector),
    },
    "back_to_level": {
        "the start": lambda look, p, *given: newton(lambda x: (look(x)[0], look(p)[1]), p, *given),
        "still take one": lambda *given: newton(*given[:3], 1),
        "took more": lambda *given: newton(*given[:3], 40),
        "not what is missing": lambda look, points, levels, steps: points + 1,
        "do not arrive": lambda *given: newton(*given[:3], min(given[3], 2)),
    },
    "local_bound": {
        "whole plane": lambda w, outer, beta, *disc: beta / 4 * (outer.abs() @ w.square().sum(1)),
        "No bound": lambda *given: 0.2 * in_disc(*given),
        "looks sampled": lambda *given: 1.01 * sampled(*given),
        "not finite": lambda *given: math.inf,
    },
    "noise_of_beta": {
        "does not shrink": lambda beta: logistic(1 / beta),
        "yours is 3.000": lambda beta: 3 / beta,
        "yours is nan": lambda beta: math.nan,
        "type NoneType": lambda beta: logistic(beta) if beta == 1 else None,
    },
    "mean_gradient": {
        "each of the 7 points": lambda *given: closed_form(*given)[0],
        "one number for each point": lambda w, x, beta: x @ w,
        "also has a direction": lambda *given: closed_form(*given)[:, :1],
        "overflows": lambda w, x, b: ((e := (b * (x @ w)).exp()) / (1 + e)).unsqueeze(1) * w,
        "If you draw noise": by_drawing,
        "between 0 and 1": lambda w, x, beta: x,
    },
    "erase": {
        "erase the most relevant": lambda image, r, portion: erased(image, -r, portion),
        "not in the mean": lambda x, r, portion: painted(x, most(r, portion), colour=1),
        "work on a copy": lambda x, r, portion: x.copy_(erased(x, r, portion)),
        "the relevance you were given": lambda x, r, portion: (erased(x, r, portion), r.zero_())[0],
        "all channels or in none": lambda x, r, portion: painted(x, most(x * r, portion)),
        "keep them in another": lambda x, *given: torch.cat([erased(x, *given)[:1], x[1:]]),
        "erase 0 of 32": lambda image, r, portion: erased(image, r, portion / 100),
        "erase 24 of 32": lambda image, r, portion: erased(image, r, 1 - portion),
        "With portion 0 you erase 1 of 32": lambda x, r, p: painted(x, r >= r.quantile(1 - p)),
        "[-0:]": lambda x, r, portion: painted(x, most(r, portion or 1)),
        "not the most relevant": lambda x, r, p: painted(x, most(r, p).T.reshape(r.shape)),
        "type NoneType": lambda *given: erased(*given) if given[2] else None,
    },
    "best_of": {
        "the best of all": lambda *given: closest(*given, lost=0.0),
        "NaN": lambda distances, kept: (distances + torch.inf * ~kept).argmin(dim=0),
        "same search for all": lambda distances, kept: 0 * closest(distances, kept),
        "for the whole batch": lambda distances, kept: distances.mean(dim=1).argmin(),
        "a search for each sample": lambda distances, kept: distances.argmin(dim=1),
        "not the closest": lambda *given: closest(*given, lost=1.0),
        "you return -1": lambda d, kept: closest(d, kept).where(kept.any(dim=0), -1),
        "Where none": lambda d, kept: closest(d + 9 * ~kept, kept | True),
        "changed the tensors": lambda d, kept: d.masked_fill_(~kept, torch.inf).argmin(dim=0),
        "return the indices": lambda distances, kept: distances.min(dim=0),
        "the index of a search": lambda distances, kept: distances.amin(dim=0),
        "a whole number": lambda distances, kept: kept[0],
    },
}
