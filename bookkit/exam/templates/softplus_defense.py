"""Questions about chapter 5 whose numbers are drawn."""

from math import exp, log, pi, sqrt

from bookkit.exam.template import Question, steps, template
from bookkit.exam.written import fixed, significant, times, vector

WEIGHTS = (
    (3, 4, 5), (4, 3, 5), (5, 12, 13), (6, 8, 10), (7, 24, 25), (8, 15, 17), (9, 40, 41),
    (10, 0, 10), (12, 35, 37), (15, 36, 39), (16, 30, 34), (20, 21, 29), (21, 28, 35), (24, 18, 30),
    (28, 45, 53), (30, 16, 34), (33, 56, 65), (36, 27, 45), (40, 9, 41), (48, 14, 50),
    (14, 48, 50), (44, 33, 55), (11, 60, 61), (60, 11, 61), (39, 52, 65), (52, 39, 65),
    (56, 42, 70), (18, 80, 82), (13, 84, 85), (51, 68, 85),
)  # fmt: skip
"""Two weights and their length."""


@template(
    "exercise-1--how-much-noise-is-in-a-softplus-5-minutes",
    replaces="defense-noise",
    weights=WEIGHTS,
    noise=steps(0.001, 0.6, 0.001),
)
def sharpness_of_a_noise(weights: tuple[float, float, float], noise: float) -> Question:
    """Find the softplus that averages over a given noise."""
    first, second, length = weights
    right = pi / (sqrt(3) * noise * length)
    return Question(
        f"A unit has the weights {vector(first, second)}. Its gradient is averaged over logistic "
        f"noise of the standard deviation {noise} along w/‖w‖. The average is the gradient of a "
        "softplus unit. What is its β, to three significant digits?",
        (
            significant(right),
            f"The noise has the scale {noise} · √3/π, and wᵀx is ‖w‖ = {length} times as wide.",
        ),
        [
            (significant(right * length), "This forgets that wᵀx varies by ‖w‖ times the noise."),
            (
                significant(log(2) * sqrt(2 * pi) / (noise * length)),
                "That is the paper's number, of the Gaussian that agrees at the kink.",
            ),
            (
                significant(1 / (noise * length)),
                "The scale of the logistic distribution is not its standard deviation.",
            ),
        ],
    )


@template(
    "theorem-2-softplus-is-an-average",
    minutes=4,
    weights=WEIGHTS,
    beta=steps(0.1, 10, 0.1),
    product=(*steps(-1, -0.02, 0.02), *steps(0.02, 1, 0.02)),
)
def averaged_gradient(weights: tuple[float, float, float], beta: float, product: float) -> Question:
    """Average the gradient of a ReLU unit over logistic noise."""
    first, second, length = weights
    share = 1 / (1 + exp(-beta * product / length))
    return Question(
        f"A unit is g(x) = max(0, wᵀx) with w = {vector(first, second)}, and wᵀx = {product} for "
        "a picture. Its gradient is averaged over the points x − ε w/‖w‖, where ε is logistic with "
        f"scale 1/{beta}. What is the first entry of the average, to three significant digits?",
        (
            significant(first * share),
            f"{first} times σ({times(beta, product)}/{length}), the probability of being on.",
        ),
        [
            (
                significant(first / (1 + exp(-beta * product))),
                "This forgets to divide by the length of w.",
            ),
            (
                significant(first) if product > 0 else "0",
                "That is the gradient at the picture itself, without noise.",
            ),
            (significant(first * share / length), "This divides w by its length as well."),
        ],
    )


@template(
    "most-of-it-is-a-bias",
    minutes=2,
    count=steps(10, 209),
    weight=steps(0.01, 0.4, 0.01),
    beta=steps(2, 31),
)
def surplus_of_a_layer(count: float, weight: float, beta: float) -> Question:
    """Add up what softplus has more than ReLU at the kink."""
    surplus = count * weight * log(2) / beta
    return Question(
        f"{count} units are all just at their kink, and all feed the same unit of the next layer, "
        f"each with the weight {weight}. Softplus with β = {beta} replaces their ReLUs. By how "
        "much does that unit's input rise, to three significant digits?",
        (significant(surplus), f"By {count} · {weight} · log(2)/{beta}."),
        [
            (significant(count * weight / beta), "At the kink the excess is log(2)/β, not 1/β."),
            (significant(weight * log(2) / beta), "That is the part of one unit."),
            (significant(count * weight * log(2)), "This forgets to divide by β."),
        ],
    )


@template(
    "exercise-3--erase-what-matters-15-minutes",
    a=steps(0.555, 0.8, 0.005),
    b=steps(0.305, 0.5, 0.005),
    c=steps(0.005, 0.2, 0.005),
    p=steps(0.805, 1, 0.005),
    q=steps(0.51, 0.7, 0.01),
    r=steps(0.21, 0.4, 0.01),
)
def credit_of_a_map(a: float, b: float, c: float, p: float, q: float, r: float) -> Question:
    """Compare pixel flipping by a map with a random order."""
    by_map, at_random = (1 + a + b + c) / 4, (1 + p + q + r) / 4
    return Question(
        "Pixel flipping erases a third of the pixels at a time. The probability of the class, 1 at "
        f"first, falls to {a}, {b} and {c} in the order of a map, and to "
        f"{p}, {q} and {r} in a random order. The area under a curve is the mean "
        "of its four values. By how much is the map's area smaller than the random order's, which "
        "is what the map may take credit for, to three decimal places?",
        (
            fixed(at_random - by_map, 3),
            f"Its area, {fixed(by_map, 4)}, is smaller by that than the random order's.",
        ),
        [
            (fixed(by_map, 3), "This is its area, which says little without the random order."),
            (fixed(1 - by_map, 3), "A random order makes the probability fall, too."),
            (fixed(r - c, 3), "This compares the last values, where nearly all is erased."),
        ],
    )
