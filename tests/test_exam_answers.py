"""Every answer to a drawn question is computed again, by other means where there are some."""

import re
from itertools import product
from math import inf

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

import explman_lite as el
from bookkit.exam.templates import TEMPLATES
from bookkit.exam.written import numbers
from explman_lite.attack.box import into_box


def exact(*values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def relu(value: Tensor) -> Tensor:
    return value.clamp_min(0)


def gradient_at(function, *point) -> Tensor:
    """Differentiate by autograd."""
    at = exact(*point).requires_grad_()
    (slope,) = torch.autograd.grad(function(at), at)
    return slope


def softplus(value, beta) -> Tensor:
    return nn.functional.softplus(exact(value), beta=float(beta), threshold=inf)


class OfPixels(nn.Module):
    """A network that gives a function of a picture's values as its first logit."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, images):
        first = torch.stack([self.function(image.flatten()) for image in images])
        return torch.stack([first, 0 * first], dim=1)


def tiny_gradient(v, a, b, u, c, d):
    return gradient_at(
        lambda p: v * relu(a * p[0] + b * p[1]) + u * relu(c * p[0] - d * p[1]), 1, 2
    )


def relevance(red, green, blue, others_red, others_green, others_blue):
    channels = exact([red, others_red], [green, others_green], [blue, others_blue])
    return el.relevance_map(channels.view(1, 3, 1, 2))[0, 0, 0]


def promise(side, slope, levels):
    signs = torch.randn(3, round(side), round(side)).sign().double()
    return ((slope * signs) * (levels / 255 * signs)).sum()


def trapped(first, second, third):
    maps = exact(first, second, third).view(3, 1, 1).expand(3, 4, 4)
    return (maps / maps.mean())[0].mean()


def left_out(v, a, b, c, d, x, y):
    def logit(p):
        return v * relu(a * p[0] + b * p[1] + c) + d

    point = exact(x, y)
    return logit(point) - (gradient_at(logit, x, y) * point).sum()


def z_plus(x1, w1, x2, w2, x3, w3, relevance):
    parts = relu(exact(x1, x2, x3) * exact(w1, w2, w3))
    return relevance * parts[0] / parts.sum()


def integrated(a, kink, x, parts):
    model = OfPixels(lambda pixel: a * relu(pixel[0] * float(x) - kink)).eval()
    picture = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    return el.IntegratedGradients(steps=round(parts))(model, picture, 0).sum()


def pattern(w1, w2, s1, s2):
    inputs = np.array([(one * s1, two * s2) for one, two in product((-1, 1), repeat=2)])
    output = inputs @ (w1, w2)
    return np.cov(inputs[:, 0], output)[0, 1] / np.var(output, ddof=1)


def guided(on, off, also_on, stopped, blocked, passed):
    turn = -(round(on + off + also_on) % 3)
    inputs, message = exact(on, off, also_on), exact(stopped, blocked, passed)
    return torch.where(inputs > 0, message, 0).clamp_min(0).roll(turn)


def bend(beta, x):
    slope = torch.func.grad(lambda z: nn.functional.softplus(z, beta=float(beta)))
    return torch.func.grad(slope)(exact(x)[0])


def tiny_loss(here, there, cat, cup, moved, weight):
    return el.manipulation_loss(
        exact([[1 + here, 1 - here]]),
        exact([[1 - there, 1 + there]]),
        exact([cat + moved, cup]),
        exact([cat, cup]),
        float(weight),
    )


def boxed(original, raised, step, bound):
    pixel, after = (exact(value) / 255 for value in (original, original + raised + step))
    return 255 * into_box(after, pixel, bound / 255)


def correlation(a, b, c, p, q, r):
    return stats.pearsonr((a, b, c), (p, q, r)).statistic


def window(mean, other_mean, variance, other_variance, covariance):
    """Draw a window of 7 × 7 pixels with just these moments, and let the package compare."""
    free = torch.randn(49, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    free = free - free.mean(dim=0)
    free = free @ torch.linalg.inv(torch.linalg.cholesky(free.T.cov())).T
    moments = exact([variance, covariance], [covariance, other_variance])
    maps = free @ torch.linalg.cholesky(moments).T + exact(mean, other_mean)
    one, two = maps.T.reshape(2, 1, 7, 7)
    return el.metrics.ssim(one, two, data_range=1e-6)


def scaled(before, after):
    """Compare the squares of random maps of sum 1, one of which is the other, enlarged."""
    common = np.gcd(round(before), round(after))
    pattern = torch.rand(round(common), round(common), dtype=torch.float64)
    errors = []
    for side in (round(before), round(after)):
        large = pattern.repeat_interleave(side // common, 0).repeat_interleave(side // common, 1)
        errors.append((large / large.sum()).square().mean())
    return errors[1] / errors[0]


def fitting(fixed_part, each, budget):
    count = 0
    while fixed_part + (count + 1) * each <= budget - budget / 10:
        count += 1
    return count


def first_that_moves(start, step):
    count, begin = 0, exact(start).bfloat16()
    while exact(start + count * step).bfloat16() == begin:
        count += 1
    return count


def turned(radius, length):
    """Walk along a great circle, and measure the angle between the normals."""
    ends = [exact(radius * np.cos(t), radius * np.sin(t)) for t in (0, length / radius)]
    one, two = (gradient_at(lambda p: p.square().sum(), *end) for end in ends)
    return torch.rad2deg(torch.acos(nn.functional.cosine_similarity(one, two, dim=0)))


def line_curvature(a, b, x):
    point = exact(x, 0)
    form = torch.diag(exact(a, b))
    hessian = torch.func.hessian(lambda p: p @ form @ p)(point)
    normal = torch.func.grad(lambda p: p @ form @ p)(point)
    tangent = exact(-normal[1], normal[0]) / normal.norm()
    return (tangent @ hessian @ tangent / normal.norm()).abs()


def product_of_hessian(a, b, c, v, w):
    def form(p):
        return a * p[0] ** 2 + b * p[0] * p[1] + c * p[1] ** 2

    return torch.autograd.functional.hvp(form, exact(0, 0), exact(v, w))[1]


def sharpness(weights, noise):
    """Find β by comparing the share of draws that leave a unit on with a sigmoid."""
    length = np.hypot(*weights[:2])
    logistic = stats.logistic(scale=1)
    scale = noise / logistic.std()
    level = 0.3
    share = stats.logistic(scale=scale).cdf(level / length)
    return np.log(share / (1 - share)) / level


def averaged(weights, beta, product):
    length = np.hypot(*weights[:2])
    density = stats.logistic(scale=1 / beta).pdf
    return weights[0] * quad(density, -np.inf, product / length, epsabs=1e-12)[0]


def surplus(count, weight, beta):
    at_kink = softplus(0.0, beta).expand(round(count))
    return (weight * at_kink).sum() - (weight * relu(torch.zeros(round(count)))).sum()


def largest_radius(slope, angle, bound):
    """Try vectors of all directions at the end of the arrow, and find how long they may be."""
    way = torch.linspace(0, torch.pi, 200001, dtype=torch.float64)
    limit = np.radians(angle)
    # The arrow (slope, 0) plus t (cos, sin) leaves the cone of the angle where this is t.
    reach = slope * np.sin(limit) / (way.sin() * np.cos(limit) - way.cos() * np.sin(limit))
    return reach[reach > 0].min() / bound


def alarm(networks, caught, accused):
    liars, honest = 1e6, 1e6 * (networks - 1)
    true, false = liars * caught / 100, honest * accused / 100
    return 100 * true / (true + false)


def to_try(rate, confidence):
    counts = np.arange(1, 100_000)
    silent = stats.binom(counts, rate / 100).pmf(0)
    return counts[silent <= 1 - confidence / 100][0]


def free(side, pictures, mixtures):
    generator = np.random.default_rng(0)
    several = generator.normal(size=(round(pictures - mixtures), round(side) ** 2))
    mixed = generator.normal(size=(round(mixtures), len(several))) @ several
    return round(side) ** 2 - np.linalg.matrix_rank(np.concatenate([several, mixed]))


def projected(direction, v, w):
    solved = torch.linalg.lstsq(exact(*direction)[:, None], exact(v, w)[:, None]).solution
    return (exact(*direction)[:, None] @ solved).flatten()


def norm_of(*changes):
    return 255 * torch.linalg.vector_norm(exact(*changes), ord=inf)


AGAIN = {
    "gradient-of-two-units": tiny_gradient,
    "value-in-a-relevance-map": relevance,
    "promise-of-a-signed-step": promise,
    "mean-after-the-batch-trap": trapped,
    "what-gradient-times-input-leaves-out": left_out,
    "share-by-the-z-plus-rule": z_plus,
    "integrated-gradients-as-a-sum": integrated,
    "entry-of-a-pattern": pattern,
    "message-through-guided-backprop": guided,
    "curvature-of-softplus": bend,
    "softplus-above-relu": lambda beta, x: softplus(x, beta) - relu(exact(x)),
    "loss-of-a-tiny-attack": tiny_loss,
    "step-and-box": boxed,
    "largest-change": lambda first, second, third, fourth: norm_of(first, second, third, fourth),
    "similarity-of-two-windows": window,
    "correlation-of-tiny-maps": correlation,
    "map-term-at-another-size": scaled,
    "memory-of-other-pictures": lambda megabytes, side, count, new_side: (
        megabytes
        * torch.empty(round(count), round(new_side), round(new_side)).numel()
        / side
        / side
    ),
    "largest-batch": fitting,
    "price-of-an-attack": lambda number, samples, milliseconds: sum(
        2 * milliseconds / 1000 for _ in range(round(number * samples))
    ),
    "steps-until-bfloat16-moves": first_that_moves,
    "usual-time": lambda warm, first, second, hiccup, third, fourth: np.median(
        [first, second, hiccup, third, fourth]
    ),
    "turn-on-a-sphere": turned,
    "bound-of-theorem-1": lambda hessian, slope, length: hessian / slope * length,
    "curvature-of-an-ellipse": line_curvature,
    "hessian-times-vector": product_of_hessian,
    "sharpness-of-a-noise": sharpness,
    "averaged-gradient": averaged,
    "surplus-of-a-layer": surplus,
    "credit-of-a-map": lambda a, b, c, p, q, r: np.mean((1, p, q, r)) - np.mean((1, a, b, c)),
    "radius-of-a-certificate": largest_radius,
    "norm-from-products": lambda a, b, c, d: exact(a, b, c, d).square().mean().sqrt(),
    "loss-with-a-penalty": lambda entropy, weight, hessian, slope: (
        entropy + weight * (hessian / slope)
    ),
    "median-of-gains": lambda a0, a1, b0, b1, c0, c1: np.median([a1 - a0, b1 - b0, c1 - c0]),
    "worth-of-an-alarm": alarm,
    "honest-networks-to-try": to_try,
    "area-of-a-detector": lambda l1, l2, l3, h1, h2, h3, h4: roc_auc_score(
        [1, 1, 1, 0, 0, 0, 0], [l1, l2, l3, h1, h2, h3, h4]
    ),
    "free-dimensions": free,
    "part-along-the-data": projected,
}


def half_a_unit(shown: float, places: int, question: str) -> float:
    """Return how far a rounded number may be from the exact one."""
    if "three significant digits" in question and shown:
        places = 2 - int(np.floor(np.log10(abs(shown))))
    return 0.5 * 10.0**-places * (1 + 1e-6) + 1e-9


def test_every_template_is_computed_again():
    assert AGAIN.keys() == TEMPLATES.keys()


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_right_answer_is_right(name):
    torch.manual_seed(0)
    for hand in TEMPLATES[name].hands:
        for version in hand[:: max(1, len(hand) // 5)]:
            found = np.ravel(AGAIN[name](**version.values)).astype(float)
            shown = numbers(version.question.right[0])
            assert len(shown) == len(found), version
            for (value, places), again in zip(shown, found, strict=True):
                allowed = half_a_unit(value, places, version.question.text)
                assert abs(value - again) <= allowed, f"{version}: {again}"


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_wrong_answer_is_right(name):
    """As numbers, whatever they look like."""
    for version in (version for hand in TEMPLATES[name].hands for version in hand):
        right = [value for value, _ in numbers(version.question.right[0])]
        for text, _ in version.question.wrong:
            found = [value for value, _ in numbers(text)]
            assert len(found) == len(right)
            assert not np.allclose(found, right, rtol=1e-9), version


def test_a_question_says_how_to_round_unless_the_answer_is_whole():
    for template in TEMPLATES.values():
        asked = re.search(
            r"to (one|two|three) (decimal places?|significant digits)",
            template.version(0).question.text,
        )
        shown = [n for hand in template.hands for v in hand for n in numbers(v.question.right[0])]
        digits = {"one": 1, "two": 2, "three": 3}
        if not asked:
            assert all(places == 0 for _, places in shown), template.id
        elif "decimal" in asked[2]:
            assert {places for _, places in shown} == {digits[asked[1]]}, template.id
        else:
            for value, places in shown:
                written = f"{abs(value):.{places}f}".replace(".", "").lstrip("0").rstrip("0")
                assert len(written) <= 3, template.id
