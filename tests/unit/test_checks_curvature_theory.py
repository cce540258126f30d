"""The checks of chapter 4 answer the reference, the stub and known wrong answers as they should."""

import re

import torch

import explman_lite as el


def inner(first, second):
    return (first * second).flatten(1).sum(dim=1).view(-1, 1, 1, 1)


def tangential(vectors, gradients):
    return vectors - inner(vectors, gradients) / inner(gradients, gradients) * gradients


def quadratic(hessians, vectors):
    return torch.einsum("ni,nij,nj->n", vectors, hessians, vectors)


def turned(gradients):
    return torch.stack([-gradients[:, 1], gradients[:, 0]], dim=1)


def of_plane(gradients, hessians):
    return -quadratic(hessians, turned(gradients)) / gradients.norm(dim=1) ** 3


def central(gradient_at, point, vector, step):
    ahead, behind = (gradient_at(point + sign * step * vector) for sign in (1, -1))
    return (ahead - behind) / (2 * step)


def central_normalised(gradient_at, point, vector, step):
    return vector.norm() * central(gradient_at, point, vector / vector.norm(), step)


def newton(look, points, levels, steps, *, power=2, sign=1, whole=False):
    for _ in range(steps):
        values, gradients = look(points)
        squares = gradients.norm(dim=1, keepdim=True) ** power
        squares = squares.sum() if whole else squares
        points = points + sign * (levels - values).unsqueeze(1) * gradients / squares
    return points


def stale(look, points, levels, steps):
    _, gradients = look(points)
    for _ in range(steps):
        missing = (levels - look(points)[0]).unsqueeze(1)
        points = points + missing * gradients / gradients.square().sum(dim=1, keepdim=True)
    return points


def bump(z, beta):
    return beta * torch.sigmoid(beta * z) * torch.sigmoid(-beta * z)


def in_disc(weights, outer, beta, centre, radius, *, signs=False):
    nearest = ((weights @ centre).abs() - radius * weights.norm(dim=1)).clamp_min(0)
    most = outer * bump(nearest, beta)
    parts = (most.relu(), (-most).relu()) if signs else (most.abs(),)
    return max(torch.linalg.matrix_norm((weights.T * part) @ weights, 2).item() for part in parts)


def at_centre(weights, outer, beta, centre, radius):
    return torch.linalg.matrix_norm((weights.T * (outer * bump(weights @ centre, beta))) @ weights)


def in_whole_plane(weights, outer, beta, centre, radius):
    return beta / 4 * (outer.abs() @ weights.square().sum(dim=1))


REFERENCES = {
    "to_tangent": tangential,
    "plane_curvature": of_plane,
    "product_by_differences": central,
    "back_to_level": newton,
    "local_bound": in_disc,
}

WRONG = [
    ("to_tangent", "normal part", lambda v, g: v - tangential(v, g), "subtract it from"),
    ("to_tangent", "added", lambda v, g: 2 * v - tangential(v, g), "add the part"),
    ("to_tangent", "not divided", lambda v, g: v - inner(v, g) * g, "unit vector"),
    (
        "to_tangent",
        "divided once",
        lambda v, g: v - inner(v, g) / inner(g, g).sqrt() * g,
        "divide by its square",
    ),
    (
        "to_tangent",
        "whole batch",
        lambda v, g: v - (v * g).sum() / (g * g).sum() * g,
        "normal of its own",
    ),
    (
        "to_tangent",
        "unit length",
        lambda v, g: (t := tangential(v, g)) / inner(t, t).sqrt(),
        "unit length",
    ),
    ("to_tangent", "unchanged", lambda v, g: v, "as they were"),
    ("to_tangent", "difference", lambda v, g: v - g, "not tangential"),
    ("to_tangent", "zero", lambda v, g: 0 * v, "not what is left"),
    ("to_tangent", "shape", lambda v, g: v.flatten(1), "shape"),
    ("plane_curvature", "sign", lambda g, h: -of_plane(g, h), "sign is the other"),
    ("plane_curvature", "size", lambda g, h: of_plane(g, h).abs(), "keep its sign"),
    (
        "plane_curvature",
        "not divided",
        lambda g, h: of_plane(g, h) * g.norm(dim=1),
        "do not divide",
    ),
    (
        "plane_curvature",
        "divided twice",
        lambda g, h: of_plane(g, h) / g.norm(dim=1),
        "once is enough",
    ),
    (
        "plane_curvature",
        "long tangent",
        lambda g, h: -quadratic(h, turned(g)) / g.norm(dim=1),
        "length of the gradient instead of 1",
    ),
    (
        "plane_curvature",
        "long and not divided",
        lambda g, h: -quadratic(h, turned(g)),
        "You forget to divide",
    ),
    (
        "plane_curvature",
        "normal",
        lambda g, h: -quadratic(h, g) / g.norm(dim=1) ** 3,
        "runs along the tangent",
    ),
    (
        "plane_curvature",
        "trace",
        lambda g, h: -(h[:, 0, 0] + h[:, 1, 1]) / g.norm(dim=1),
        "trace",
    ),
    ("plane_curvature", "an entry", lambda g, h: h[:, 0, 0], "circle of radius 2"),
    ("plane_curvature", "a constant", lambda g, h: -0.5 + 0 * g[:, 0], "Right for a circle"),
    (
        "product_by_differences",
        "forward",
        lambda g, x, v, s: (g(x + s * v) - g(x)) / s,
        "one-sided",
    ),
    (
        "product_by_differences",
        "backward",
        lambda g, x, v, s: (g(x) - g(x - s * v)) / s,
        "one-sided",
    ),
    ("product_by_differences", "one step", lambda *a: 2 * central(*a), "two steps apart"),
    (
        "product_by_differences",
        "no division",
        lambda *a: 2 * a[3] * central(*a),
        "by nothing",
    ),
    ("product_by_differences", "times", lambda *a: 2 * a[3] ** 2 * central(*a), "multiply by"),
    ("product_by_differences", "sign", lambda *a: -central(*a), "sign is the other"),
    (
        "product_by_differences",
        "unit vector",
        lambda *a: central(*a) / a[2].norm(),
        "must grow with it",
    ),
    ("product_by_differences", "gradient", lambda g, x, v, s: g(x), "not how it changes"),
    ("product_by_differences", "no call", lambda g, x, v, s: v, "Use the function"),
    ("product_by_differences", "other", lambda g, x, v, s: g(v), "over two steps"),
    ("back_to_level", "still", lambda look, points, *o: points, "No point"),
    ("back_to_level", "away", lambda *a: newton(*a, sign=-1), "away from the level"),
    ("back_to_level", "length", lambda *a: newton(*a, power=1), "divide by its square"),
    ("back_to_level", "not divided", lambda *a: newton(*a, power=0), "far too long"),
    ("back_to_level", "whole batch", lambda *a: newton(*a, whole=True), "each sample"),
    ("back_to_level", "stale", stale, "gradient of the start"),
    ("back_to_level", "one step", lambda *a: newton(*a[:3], 1), "still take one"),
    ("back_to_level", "more steps", lambda *a: newton(*a[:3], 40), "took more"),
    ("back_to_level", "something", lambda look, points, *o: points + 1, "not what is missing"),
    ("back_to_level", "a pair", lambda *a: a[0](a[1]), "type tuple"),
    ("local_bound", "the plane", in_whole_plane, "whole plane"),
    ("local_bound", "at the centre", at_centre, "No bound"),
    ("local_bound", "too small", lambda *a: 0.9 * at_centre(*a), "No bound"),
    ("local_bound", "not finite", lambda *a: float("inf"), "not finite"),
]


def test_vector_may_be_normalised_if_its_length_comes_back():
    assert el.checks.product_by_differences(central_normalised)


def test_a_tighter_bound_says_so():
    one, other = (
        el.checks.local_bound(lambda *given, s=signs: in_disc(*given, signs=s)).sentence
        for signs in (False, True)
    )
    factors = [float(re.search(r"average ([\d.]+) times", text)[1]) for text in (one, other)]
    assert factors[1] < factors[0]
    assert f"ours: {factors[1]:.2f}" in other
