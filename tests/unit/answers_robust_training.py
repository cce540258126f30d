"""Answers to the exercises on training: right ones, and wrong ones under the hint they deserve."""

import itertools
import math
import warnings

import numpy as np
import torch
from answers import printed

common_likeness, frobenius, certified_radius, not_dominated, turning = map(
    printed,
    ("common_likeness", "frobenius", "certified_radius", "not_dominated", "turning"),
)


def by_pairs(maps, likeness=lambda a, b: np.corrcoef(a, b)[0, 1], pairs=itertools.combinations):
    flat = maps.flatten(1).cpu().numpy()
    return np.mean([likeness(one, other) for one, other in pairs(flat, 2)])


def standardised(maps, correction=0):
    flat = maps.flatten(1)
    flat = (flat - flat.mean(dim=1, keepdim=True)) / flat.std(
        dim=1, correction=correction, keepdim=True
    )
    table = flat @ flat.T / flat.shape[1]
    return table[~torch.eye(len(maps), dtype=torch.bool)].mean()


def in_a_loop(accuracy, honest, beats=lambda a, h, b, i: a >= b and h >= i and (a > b or h > i)):
    points = list(zip(accuracy.tolist(), honest.tolist(), strict=True))
    return torch.tensor([not any(beats(*other, *one) for other in points) for one in points])


def by_sorting(accuracy, honest, twins=True):
    """Sweep from the most accurate down, and keep whoever is more honest than all before."""
    points = list(zip(accuracy.tolist(), honest.tolist(), strict=True))
    kept, best = [], -math.inf
    for place in sorted(range(len(points)), key=lambda i: (points[i], -i), reverse=True):
        if points[place][1] > best:
            best = points[place][1]
            kept.append(place)
    front = [points[place] for place in kept]
    return torch.tensor(
        [point in front if twins else place in kept for place, point in enumerate(points)]
    )


def turn(
    model, images, classes, generator, *, points=lambda images: images.detach().requires_grad_(),
    first=True, second=True, below=torch.clone, result=torch.clone, reduce=torch.sum,
    draw=lambda images, generator: torch.randn(images.shape, generator=generator),
):  # fmt: skip
    where = points(images)
    logits = model(where).gather(1, classes.unsqueeze(1))
    how = {"create_graph": first, "retain_graph": True}
    (slopes,) = torch.autograd.grad(reduce(logits), where, **how)
    how = {"create_graph": bool(second), "retain_graph": second is not None}
    along = (slopes * draw(images, generator)).sum()
    (turned,) = torch.autograd.grad(along, where, **how)
    return result(turned.flatten(1).norm(dim=1) / below(slopes).flatten(1).norm(dim=1))


def turns(**how):
    return lambda *given: turn(*given, **how)


def one_by_one(model, images, classes, generator):
    each = (slice(place, place + 1) for place in range(len(images)))
    return torch.cat([turning(model, images[i], classes[i], generator) for i in each])


def by_differences(model, images, classes, generator, step=0.002):
    def gradient(points):
        points = points.detach().requires_grad_()
        logits = model(points).gather(1, classes.unsqueeze(1))
        return torch.autograd.grad(logits.sum(), points, create_graph=True)[0]

    slopes = gradient(images)
    moved = gradient(images + step * torch.randn(images.shape, generator=generator))
    return ((moved - slopes) / step).flatten(1).norm(dim=1) / slopes.flatten(1).norm(dim=1)


def by_backward(model, images, classes, generator):
    points = images.detach().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, of the cycle that this leaves
        model(points).gather(1, classes.unsqueeze(1)).sum().backward(create_graph=True)
    slopes = points.grad
    directions = torch.randn(images.shape, generator=generator)
    (turned,) = torch.autograd.grad((slopes * directions).sum(), points, create_graph=True)
    return turned.flatten(1).norm(dim=1) / slopes.flatten(1).norm(dim=1)


def half_cut(*given):
    ratios = turning(*given)
    return torch.cat([ratios[:2], ratios[2:].detach()])


def on_a_copy(model, *given):
    points, (state, kind) = given[0], (model.state_dict(), type(model))
    copy = kind(points[0].numel())
    copy.load_state_dict(state)
    return turning(copy, *given)


RIGHT = [
    ("common_likeness", by_pairs),
    ("common_likeness", standardised),
    ("common_likeness", lambda maps: float(by_pairs(maps))),
    ("common_likeness", lambda maps: common_likeness(maps.float())),
    ("frobenius", lambda products: products.norm() / math.sqrt(len(products))),
    ("frobenius", lambda products: frobenius(products).item()),
    ("frobenius", lambda products: np.sqrt((products.cpu().numpy() ** 2).sum(axis=1).mean())),
    ("frobenius", lambda products: frobenius(products).requires_grad_()),
    ("certified_radius", lambda bound, slope, angle: np.sin(angle) / (bound / slope)),
    ("certified_radius", lambda b, s, a: s * torch.sin(torch.as_tensor(a)) / b),
    ("certified_radius", lambda b, s, a: s * math.sqrt(1 - math.cos(a) ** 2) / b),
    ("not_dominated", in_a_loop),
    ("not_dominated", by_sorting),
    ("turning", turns()),
    ("turning", turns(reduce=torch.mean)),  # N in both lengths, and so in neither
    ("turning", turns(points=lambda images: images.requires_grad_())),
    ("turning", turns(draw=lambda x, g: torch.empty_like(x).normal_(generator=g))),
    ("turning", turns(draw=lambda x, g: -torch.randn(x.shape, generator=g, dtype=x.dtype))),
    ("turning", one_by_one),
]

WRONG = {
    "common_likeness": {
        "the ones on the diagonal": lambda maps: by_pairs(
            maps, pairs=lambda flat, two: itertools.product(flat, repeat=two)
        ),
        "table of all pairs": lambda maps: torch.corrcoef(maps.flatten(1)),
        "number for each map": lambda maps: torch.corrcoef(maps.flatten(1)).mean(dim=1),
        "number for each pair": lambda maps: torch.corrcoef(maps.flatten(1))[
            tuple(torch.triu_indices(len(maps), len(maps), offset=1))
        ],
        "by one less": lambda maps: standardised(maps, correction=1),
        "the median": lambda maps: np.median(
            [by_pairs(maps[[i, j]]) for i, j in itertools.combinations(range(len(maps)), 2)]
        ),
        "the cosine": lambda maps: by_pairs(
            maps, lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        ),
        "the covariance": lambda maps: by_pairs(maps, lambda a, b: np.cov(a, b)[0, 1]),
        "drop the signs": lambda maps: by_pairs(maps, lambda a, b: abs(np.corrcoef(a, b)[0, 1])),
        "between -1 and 1; yours is 3": lambda maps: 3.0,
        "yours is nan": lambda maps: math.nan,
        "it is 0.": lambda maps: 0.9,
        "work on a copy": lambda maps: common_likeness(maps.sub_(1)),
        "type list": lambda maps: maps.tolist(),
        "type complex": lambda maps: 1j,
    },
    "frobenius": {
        "number for each direction": lambda products: products.norm(dim=1),
        "keep the entries apart": lambda products: products.square().mean(dim=0).sqrt(),
        "average the lengths": lambda products: products.norm(dim=1).mean(),
        "the largest length": lambda products: products.norm(dim=1).max(),
        "standard deviation of the entries": torch.std,
        "divide by d;": lambda products: frobenius(products) / products.shape[1],
        "divide by √d:": lambda products: products.square().mean().sqrt(),
        "square of the norm": lambda products: products.square().sum(dim=1).mean(),
        "more directions give a larger": lambda products: torch.linalg.matrix_norm(products),
        "shape (7, 3)": lambda products: products,
        "not the root of the mean": lambda products: 0.5,
        "yours is nan": lambda products: math.nan,
        "work on a copy": lambda products: frobenius(products.mul_(-1)),
        "type Tensor": lambda products: frobenius(products) + 1j,
    },
    "certified_radius": {
        "small angles": lambda bound, slope, angle: slope * angle / bound,
        "A tangent": lambda bound, slope, angle: slope * math.tan(angle) / bound,
        "a chord": lambda bound, slope, angle: 2 * slope * math.sin(angle / 2) / bound,
        "Half as far": lambda *given: certified_radius(*given) / 2,
        "Twice as far": lambda *given: 2 * certified_radius(*given),
        "one over the distance": lambda *given: 1 / certified_radius(*given),
        "swap bound and slope": lambda bound, slope, angle: certified_radius(slope, bound, angle),
        "convert the angle to degrees": lambda b, s, a: certified_radius(b, s, math.degrees(a)),
        "in radians already": lambda b, s, a: certified_radius(b, s, math.radians(a)),
        "math domain error": lambda bound, slope, angle: (
            math.asin(bound / slope) + math.asin(angle)
        ),
        "yours is 6.000": lambda bound, slope, angle: slope,
        "Right for one angle": lambda b, s, angle: certified_radius(b, s, min(angle, 1.5)),
        "not for tensors (N,). Your code stopped": lambda b, s, angle: (
            float(s) * math.sin(angle) / b
        ),
        "tensors (N,). The shape": lambda b, s, a: torch.as_tensor(certified_radius(b, s, a)).min(),
        "own bound": lambda b, s, a: certified_radius(torch.as_tensor(b).max(), s, a),
        "(N,). Return a tensor": lambda *given: np.asarray(certified_radius(*given)),
        "(N,). Not done": lambda b, s, a: certified_radius(b, s, a) if type(b) is float else None,
        "type NoneType": lambda *given: certified_radius(*given) if given[0] == 2 else None,
    },
    "not_dominated": {
        "strictly better in both": lambda *given: in_a_loop(
            *given, lambda a, h, b, i: a > b and h > i
        ),
        "Nobody is left": lambda *given: in_a_loop(*given, lambda a, h, b, i: a >= b and h >= i),
        "must be better in something": lambda *given: in_a_loop(
            *given, lambda a, h, b, i: a > b or h > i
        ),
        "less accurate is dominated": lambda *given: in_a_loop(
            *given, lambda a, h, b, i: a >= b and h > i
        ),
        "the worst": lambda *given: in_a_loop(
            *given, lambda a, h, b, i: a <= b and h <= i and (a < b or h < i)
        ),
        "keep the first alone": lambda *given: by_sorting(*given, twins=False),
        "best of each alone": lambda a, h: (a == a.max()) | (h == h.max()),
        "most accurate alone": lambda accuracy, honest: accuracy == accuracy.max(),
        "Equal twins": lambda a, h: torch.tensor(
            [
                not any(a[j] >= a[i] and h[j] >= h[i] for j in range(len(a)) if j != i)
                for i in range(len(a))
            ]
        ),
        "that are dominated": lambda *given: ~not_dominated(*given),
        "table of pairs": lambda accuracy, honest: accuracy.unsqueeze(1) > honest,
        "not which they are": lambda *given: not_dominated(*given).nonzero().squeeze(1),
        "a tensor of bool": lambda *given: not_dominated(*given).int(),
        "type list": lambda *given: not_dominated(*given).tolist(),
        "accuracy 0.6 and honesty 0.8 is dominated by none, and you drop": lambda a, h: (
            not_dominated(a, h) & (a != 0.6)
        ),
        "accuracy 0.3 and honesty 0.9 is dominated, and you keep": lambda a, h: (
            not_dominated(a, h) | (a == 0.3)
        ),
        "changed the tensors": lambda a, h: not_dominated(a.add_(1), h),
    },
    "turning": {
        "needs create_graph": turns(first=False),
        "H v has left the graph": turns(second=False),
        "learn from them": turns(result=torch.detach),
        "both calls of torch.autograd.grad. (Trying": turns(second=None),
        "small instead of straight": turns(below=torch.detach),
        "only a part": half_cut,
        "no gradient reaches": on_a_copy,
        "come without a gradient": turns(points=torch.clone),
        "the very tensor": lambda model, x, *given: turn(
            lambda points: model(x.requires_grad_()), x, *given
        ),
        "length 1": turns(
            draw=lambda x, g: torch.nn.functional.normalize(
                torch.randn(x.shape, generator=g).flatten(1), dim=1
            ).view_as(x)
        ),
        "draw one for each": turns(draw=lambda x, g: torch.randn(1, *x.shape[1:], generator=g)),
        "take torch.randn": turns(draw=lambda x, g: torch.rand(x.shape, generator=g)),
        "generator untouched": turns(draw=lambda x, g: torch.randn_like(x)),
        "set no seed": turns(draw=lambda x, g: torch.randn(x.shape, generator=g.manual_seed(0))),
        "nothing elsewhere": turns(
            draw=lambda x, g: torch.randn(x.shape, generator=g) + torch.randn_like(x)
        ),
        "differences of gradients": by_differences,
        "leaves a gradient": by_backward,
        "changed the images": lambda m, x, *given: (turning(m, x, *given), x.zero_())[0],
        "evaluation mode": lambda model, *given: turning(model.eval(), *given),
        "for the whole batch": turns(result=torch.mean),
        "a vector for each": lambda m, x, *given: x,
        "(N, 1)": turns(result=lambda ratios: ratios.unsqueeze(1)),
        "returns a tuple": lambda *given: (turning(*given),),
        "shape should be (5,); yours is (5, 4, 4)": lambda m, x, *given: x.norm(dim=1),
        "one number: the sum": turns(reduce=torch.clone),
        "predicted class": lambda m, x, c, g: turning(m, x, m(x).argmax(dim=1), g),
        "take the logit": lambda m, x, c, g: turning(lambda p: m(p).softmax(dim=1), x, c, g),
        "or the cross-entropy": lambda m, x, c, g: turning(
            lambda p: m(p).log_softmax(dim=1), x, c, g
        ),
        "do not divide": turns(below=lambda slopes: torch.eye(len(slopes))),
        "froze": lambda model, *given: turning(model.requires_grad_(False), *given),
        "square the ratio": turns(result=torch.square),
        "Draw all directions at once": turns(
            draw=lambda x, g: torch.randn(x.shape, generator=g, dtype=torch.float64)
        ),
        "Draw all": turns(draw=lambda x, g: 2 * torch.randn(x.shape, generator=g)),
        "NaN": turns(result=lambda ratios: ratios * torch.nan),
    },
}
