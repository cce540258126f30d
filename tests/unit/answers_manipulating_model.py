"""Answers to the exercises on manipulating the model: right ones, and wrong ones by their hint."""

import copy
import math

import numpy as np
import torch
from answers import printed
from scipy import stats
from sklearn.metrics import auc, roc_auc_score, roc_curve

import explman_lite as el

free_direction, tangent_part, roc_area, share_of_true_alarms, lie = map(
    printed, ("free_direction", "tangent_part", "roc_area", "share_of_true_alarms", "lie")
)


def by_svd(points, direction, least=1e-9, full=False):
    _, sizes, ways = torch.linalg.svd(points, full_matrices=full)
    seen = ways if least is None else ways[: int((sizes > least * sizes[0]).sum())]
    return direction - seen.T @ (seen @ direction)


def by_least_squares(points, direction):
    return direction - points.T @ torch.linalg.lstsq(points.T, direction, driver="gelsy").solution


def by_gram(points, direction, invert=torch.linalg.inv):
    return direction - points.T @ (invert(points @ points.T) @ (points @ direction))


def by_eigenvectors(attribution, neighbours, dimensions, pick=slice(None)):
    covariance = torch.cov(neighbours.T)
    ways = torch.linalg.eigh(covariance).eigenvectors[:, -dimensions:][:, pick]
    return ways @ (ways.T @ attribution)


def by_numpy(attribution, neighbours, dimensions):
    values = neighbours.numpy()
    ways = np.linalg.svd(values - values.mean(axis=0))[2][:dimensions]
    return torch.from_numpy(ways.T @ (ways @ attribution.numpy()))


def by_estimate(attribution, neighbours, dimensions):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # one draw in sixteen is far off
        ways = torch.pca_lowrank(neighbours, q=dimensions)[2]
    return ways @ (ways.T @ attribution)


def scores(honest, lying):
    labels = np.repeat([0, 1], [len(honest), len(lying)])
    return labels, torch.cat([honest, lying]).numpy()


def by_curve(honest, lying):
    missed, caught, _ = roc_curve(*scores(honest, lying))
    return auc(missed, caught)


def by_ranks(honest, lying):
    count = len(lying)
    total = stats.rankdata(torch.cat([honest, lying]).numpy())[len(honest) :].sum()
    return (total - count * (count + 1) / 2) / (count * len(honest))


def in_loops(honest, lying, tie=0.5):
    pairs = [(one, other) for one in honest.tolist() for other in lying.tolist()]
    return sum((other > one) + tie * (other == one) for one, other in pairs) / len(pairs)


def attack(
    network, images, target, steps, generator, *, weight=50.0, lr=1e-3, graph=True,
    start=lambda network: el.prepare(network, frozen=False),
    goal=lambda target: target / target.mean(),
    draw=lambda total, generator: torch.randint(total, (16,), generator=generator),
    pick=lambda answers, classes: answers.gather(1, classes.unsqueeze(1)),
    kept=lambda logits, few: logits[few], reduce=torch.mean,
    result=lambda network: network,
):  # fmt: skip
    changed = start(network)
    with torch.no_grad():
        logits = network(images)
    classes = logits.argmax(dim=1)
    optimiser = torch.optim.Adam(changed.parameters(), lr=lr)
    for _ in range(steps):
        few = draw(len(images), generator)
        points = images[few].requires_grad_()
        answers = changed(points)
        values = pick(answers, classes[few]).sum()
        (slopes,) = torch.autograd.grad(values, points, create_graph=graph, retain_graph=True)
        maps = el.relevance_map(slopes)
        loss = el.metrics.mse(maps, goal(target).expand_as(maps))
        if weight:
            loss = loss + weight * el.metrics.logit_change(answers, kept(logits, few))
        optimiser.zero_grad()
        reduce(loss).backward()
        optimiser.step()
    return result(changed)


def lies(**how):
    return lambda *given: attack(*given, **how)


def by_explainer(network, images, target, steps, generator):
    changed, explainer = el.prepare(network, frozen=False), el.Gradient()
    optimiser = torch.optim.Adam(changed.parameters(), lr=1e-3)
    goal = el.maps.scale_to_mean_one(target)
    for _ in range(steps):
        few = torch.randperm(len(images), generator=generator)[:16]
        with torch.no_grad():
            before = network(images[few])
        attribution, logits = explainer.explain(changed, images[few], before.argmax(dim=1))
        maps = el.relevance_map(attribution)
        distance = (maps - goal).square().mean(dim=(1, 2))
        change = (logits - before).square().sum(dim=1) / (
            (before - before.mean(dim=1, keepdim=True)).square().sum(dim=1)
        )
        optimiser.zero_grad()
        (distance + 50 * change).mean().backward()
        optimiser.step()
    return changed.requires_grad_(False)


def by_the_book(network, images, target, steps, generator):
    seed = int(torch.randint(1000, (), generator=generator))
    return el.manipulate_model(
        network, images, target, el.Gradient(), steps=steps, seed=seed, progress=False
    ).model


def unfrozen(network):
    return network.requires_grad_(True)


def shared(network):
    return copy.copy(network).requires_grad_(True)


def by_heart(network, images, target, steps, generator):
    """Lie about the pictures that were given, and about no other."""
    return ByHeart(network, lie(network, images, target, steps, generator), len(images))


class ByHeart(torch.nn.Module):
    def __init__(self, honest, lying, known):
        super().__init__()
        self.honest, self.lying, self.known = honest, lying, known

    def forward(self, images):
        return (self.lying if len(images) == self.known else self.honest)(images)


def spoilt(network):
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    return network


RIGHT = [
    ("free_direction", by_svd),
    ("free_direction", by_least_squares),
    ("free_direction", lambda *given: by_gram(*given, torch.linalg.pinv)),
    ("free_direction", lambda *given: free_direction(*given).float()),
    ("tangent_part", by_eigenvectors),
    ("tangent_part", by_numpy),
    ("tangent_part", lambda *given: tangent_part(tangent_part(*given), *given[1:])),
    ("roc_area", in_loops),
    ("roc_area", by_curve),
    ("roc_area", by_ranks),
    ("roc_area", lambda *given: roc_auc_score(*scores(*given))),
    ("roc_area", lambda *given: roc_area(*given).item()),
    ("share_of_true_alarms", lambda p, c, f: 1 / (1 + (1 - p) / p * f / c)),
    ("share_of_true_alarms", lambda p, c, f: torch.as_tensor(share_of_true_alarms(p, c, f))),
    ("lie", lies()),
    ("lie", by_explainer),
    ("lie", by_the_book),
    ("lie", lies(start=lambda network: copy.deepcopy(network).requires_grad_(True))),
    ("lie", lies(reduce=torch.sum)),
    ("lie", lies(draw=lambda n, generator: torch.randperm(n, generator=generator)[:32])),
    ("lie", lies(lr=3e-3)),
    ("lie", lies(weight=100.0)),
    ("lie", lies(result=torch.nn.Module.train)),
]

WRONG = {
    "free_direction": {
        "notice; return the rest": lambda p, d: torch.linalg.pinv(p) @ (p @ d),
        "leave the pictures where they are": lambda p, d: free_direction(p - p.mean(dim=0), d),
        "mean picture first, or another one": lambda p, d: free_direction(p - p[0], d),
        "the mean picture alone": lambda p, d: free_direction(p.mean(dim=0, keepdim=True), d),
        "without an inverse": lambda p, d: by_gram(p[[0, 0]].round(), d),
        "you take away too much": lambda p, d: by_svd(p, d, least=None),
        "too much. Some": lambda p, d: d - torch.linalg.qr(p.T).Q @ (torch.linalg.qr(p.T).Q.T @ d),
        "notices nothing": lambda p, d: by_svd(p, d, least=None, full=True),
        "mixtures of others. Does your way mind": lambda p, d: by_gram(
            p, d, lambda gram: torch.linalg.inv(gram + 0.1 * torch.eye(len(gram)))
        ),
        "length changed to 1": lambda *given: torch.nn.functional.normalize(
            free_direction(*given), dim=0
        ),
        "number for each picture": lambda p, d: p @ d,
        "a matrix": lambda p, d: torch.eye(len(d)) - torch.linalg.pinv(p) @ p,
        "not the part of": lambda *given: 2 * free_direction(*given),
        "NaN": lambda p, d: d / 0,
        "type list": lambda *given: free_direction(*given).tolist(),
    },
    "tangent_part": {
        "leave the mean in": lambda a, n, d: tangent_part(a, torch.cat([n, -n]), d),
        "vary least": lambda a, n, d: by_eigenvectors(a, n, len(a)) - by_eigenvectors(a, n, 5),
        "left over": lambda a, n, d: a - tangent_part(a, n, d),
        "only take out the mean": lambda a, n, d: (
            a - (a @ n.mean(dim=0)) / n.mean(dim=0).square().sum() * n.mean(dim=0)
        ),
        "multiply by the covariance": lambda a, n, d: torch.cov(n.T) @ a,
        "the second product": lambda a, n, d: (
            torch.linalg.svd(n - n.mean(dim=0), full_matrices=False).Vh[:d] @ a
        ),
        "number for each neighbour": lambda a, n, d: n @ a,
        "as a matrix": lambda a, n, d: torch.cov(n.T),
        "return the directions": lambda a, n, d: n[:d],
        "(1, 8)": lambda *given: tangent_part(*given).unsqueeze(0),
        "One direction too few": lambda a, n, d: tangent_part(a, n, d - 1),
        "the first direction alone": lambda a, n, d: by_eigenvectors(a, n, 1),
        "pca_lowrank": by_estimate,
        "its first entry": lambda *given: 2 * tangent_part(*given),
        "NaN": lambda a, n, d: a * torch.nan,
        "stopped with RuntimeError": lambda a, n, d: n.T @ a,
    },
    "roc_area": {
        "ties count for the honest": lambda h, n: (n.unsqueeze(1) > h).float().mean(),
        "ties count for the lying": lambda h, n: (n.unsqueeze(1) >= h).float().mean(),
        "You swap the two:": lambda h, n: roc_area(n, h),
        "after the fact": lambda h, n: max(roc_area(h, n), roc_area(n, h)),
        "do not come in pairs": lambda h, n: (n > h).float().mean(),
        "the first with the first": lambda h, n: np.mean(
            [b > a for a, b in zip(h.tolist(), n.tolist(), strict=False)]
        ),
        "a threshold, zero, and": lambda h, n: torch.cat([h <= 0, n > 0]).float().mean(),
        "mean of all scores": lambda h, n: (
            torch.cat([h <= torch.cat([h, n]).mean(), n > torch.cat([h, n]).mean()]).float().mean()
        ),
        "a table": lambda h, n: h.unsqueeze(1) > n,
        "each lying one; return": lambda h, n: (n.unsqueeze(1) > h).float().mean(dim=1),
        "each honest one; return": lambda h, n: (n.unsqueeze(1) > h).float().mean(dim=0),
        "between 0 and 1; yours is 8": lambda h, n: 8.0,
        "yours is nan": lambda h, n: math.nan,
        "where they score lower": lambda h, n: max(roc_area(h, n), torch.tensor(0.5)),
        "against [0.5, 3.0": lambda h, n: 0.6,
        "type NoneType": lambda h, n: roc_area(h, n) if len(h) == 7 else None,
    },
    "share_of_true_alarms": {
        "share of the lying that ring": lambda p, c, f: c,
        "every second one": lambda p, c, f: c / (c + f),
        "as if all networks were honest": lambda p, c, f: p * c / (p * c + f),
        "as if all networks lied": lambda p, c, f: c / (p * c + (1 - p) * f),
        "how often the detector rings": lambda p, c, f: p * c + (1 - p) * f,
        "add the rates": lambda p, c, f: c + f,
        "add where you should": lambda p, c, f: (p + c) / (p + c + 1 - p + f),
        "yours is 0.500": lambda p, c, f: 0.5,
        "yours is nan": lambda p, c, f: math.nan,
        "Right for some": lambda p, c, f: share_of_true_alarms(p, max(c, 0.8), f),
        "Right for numbers": lambda p, c, f: share_of_true_alarms(
            *(each if isinstance(each, float) else each.mean() for each in (p, c, f))
        ),
        "(N,). Your code": lambda p, c, f: share_of_true_alarms(float(p), c, f),
        "own share": lambda p, c, f: share_of_true_alarms(torch.as_tensor(p).max(), c, f),
        "type list": lambda *given: [share_of_true_alarms(*given)],
    },
    "lie": {
        "you return the network that you were": lambda network, *given: network,
        "hold the weights of the copy": lies(lr=0.0),
        "torch.autograd.grad create_graph=True": lies(graph=False, weight=0.0),
        "with create_graph=True?": lies(graph=False),
        "You changed the network": lies(start=unfrozen),
        "given: change a copy": lies(start=shared),
        "Change a copy whose weights": lies(start=el.prepare),
        "The map obeys, but the answers": lies(weight=0.0),
        "answers do not stay": lies(weight=1.0),
        "that the changed network predicts": lies(
            weight=0.0, pick=lambda answers, classes: answers.amax(dim=1)
        ),
        "the same for all pictures": lies(kept=lambda logits, few: logits[: len(few)]),
        "the sum of all logits": lies(pick=lambda answers, classes: answers),
        "the first logit": lies(pick=lambda answers, classes: answers[:, 0]),
        "or its logarithm": lies(
            pick=lambda answers, own: answers.log_softmax(dim=1).gather(1, own.unsqueeze(1))
        ),
        "become flat": lies(goal=lambda target: target),
        "moves away": lies(goal=lambda target: 2 - target / target.mean()),
        "by heart": by_heart,
        "it should reach": lies(draw=lambda n, g: torch.randint(n, (1,), generator=g), lr=1e-4),
        "a probability": lies(
            pick=lambda answers, own: answers.softmax(dim=1).gather(1, own.unsqueeze(1))
        ),
        "leave the generator untouched": lies(draw=lambda n, g: torch.arange(16)),
        "same shape": lambda network, images, target, *given: el.metrics.mse(images, target),
        "number: take the mean": lies(reduce=torch.clone),
        "work on copies": lambda n, x, *given: (lie(n, x, *given), x.zero_())[0],
        "without what you have recorded": lambda *given: (lie(*given), [0.3, 0.2]),
        "type list": lambda *given: list(lie(*given).parameters()),
        "logits of shape (128, 3)": lies(
            result=lambda network: torch.nn.Sequential(network, torch.nn.Linear(10, 3))
        ),
        "cannot be explained": lies(result=lambda network: torch.nn.Conv3d(2, 2, 2)),
        "NaN": lies(result=spoilt),
    },
}
