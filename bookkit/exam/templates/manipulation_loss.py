"""Questions about chapter 2 whose numbers are drawn."""

from math import exp, hypot, log, sqrt

from bookkit.exam.template import Question, steps, template
from bookkit.exam.written import fixed, plain, significant, vector

SIDES = steps(24, 322, 2)


@template(
    "softplus-rounds-off-the-kinks",
    beta=steps(0.5, 30, 0.5),
    x=steps(-0.4, -0.001, 0.001),
)
def curvature_of_softplus(beta: float, x: float) -> Question | None:
    """Differentiate softplus twice."""
    if beta * x < -6:  # where hardly anything is left to compute with
        return None
    slope = 1 / (1 + exp(-beta * x))
    return Question(
        f"What is the second derivative of softplus with β = {beta} at x = {x}, "
        "to three significant digits?",
        (
            significant(beta * slope * (1 - slope)),
            f"It is β σ (1 − σ), and σ(βx) = {fixed(slope, 4)}.",
        ),
        [
            (significant(beta / 4), "That is the height of the bump, at x = 0."),
            (significant(slope), "That is the slope, σ(βx)."),
            (significant(slope * (1 - slope)), "This forgets the factor β of the chain rule."),
        ],
    )


@template(
    "the-loss-term-by-term",
    beta=steps(0.5, 40, 0.5),
    x=steps(-0.6, -0.002, 0.002),
)
def softplus_above_relu(beta: float, x: float) -> Question | None:
    """Evaluate softplus where ReLU is zero."""
    if beta * x < -6:
        return None
    return Question(
        f"An attacker looks through softplus with β = {beta} in place of ReLU. By how much does "
        f"it exceed ReLU at x = {x}, to three significant digits?",
        (
            significant(log(1 + exp(beta * x)) / beta),
            f"ReLU is 0 there, softplus log(1 + exp({plain(beta * x)}))/{beta}.",
        ),
        [
            (significant(log(2) / beta), "That is log(2)/β, the excess at the kink itself."),
            (significant(log(1 + exp(beta * x))), "This forgets to divide by β."),
            (significant(log(1 + exp(x)) / beta), "This forgets β in the exponent."),
        ],
    )


@template(
    "the-loss-term-by-term",
    minutes=5,
    here=steps(0.01, 0.4, 0.01),
    there=steps(0.41, 0.8, 0.01),
    cat=steps(11, 30),
    cup=steps(-9, 10),
    moved=steps(0.1, 2, 0.1),
    weight=steps(2, 21),
)
def loss_of_a_tiny_attack(
    here: float, there: float, cat: float, cup: float, moved: float, weight: float
) -> Question:
    """Add up both terms of the manipulation loss for maps of two pixels and two logits."""
    maps, spread = (here + there) ** 2, (cat - cup) ** 2 / 2
    return Question(
        f"A map of two pixels is {vector(1 + here, 1 - here)}, its target "
        f"{vector(1 - there, 1 + there)}. The logits were {vector(cat, cup)}, and the attack has "
        f"moved the first by {moved}. The loss is the mean squared error of the maps, plus "
        f"γ = {weight} times a ratio: the sum of the squared changes of the logits over the sum of "
        "the squared distances of the original logits from their mean. What is the loss, to three "
        "significant digits?",
        (
            significant(maps + weight * moved**2 / spread),
            f"Both pixels are off by {plain(here + there)}; the logits' distances make "
            f"{plain(spread)}.",
        ),
        [
            (
                significant(2 * maps + weight * moved**2 / spread),
                "This adds up the squared errors of the pixels, and does not take their mean.",
            ),
            (
                significant(maps + weight * moved**2),
                "This does not divide by the spread of the logits.",
            ),
            (significant(maps), "This leaves out the second term, which holds the output."),
        ],
    )


@template(
    "exercise-3--back-to-valid-pictures-10-minutes",
    minutes=2,
    original=steps(54, 253),
    raised=steps(1, 30),
    step=steps(5, 44),
    bound=steps(4, 43),
)
def step_and_box(original: float, raised: float, step: float, bound: float) -> Question | None:
    """Take a step and go back into the box."""
    if not raised <= bound < raised + step or original + raised > 255:
        return None
    right = min(original + bound, 255)
    return Question(
        f"A pixel is {original} in the original, in grey levels from 0 to 255, and the attack has "
        f"raised it by {raised} so far. The next step would raise it by {step} more. "
        f"Allowed are changes of at most {bound}. What is the pixel after the step and the "
        "way back to the nearest allowed picture?",
        (
            plain(right),
            "The step leaves the box, whose end is "
            + ("white." if right == 255 else f"{original} + {bound}."),
        ),
        [
            (plain(original + raised + step), "This forgets the box."),
            (
                plain(original + raised),
                "This takes back the whole step. The nearest allowed picture is farther on.",
            ),
            (plain(bound), "This lays the box around zero, and not around the original."),
        ],
    )


@template(
    "how-small-is-small",
    level=1,
    minutes=2,
    first=steps(0.001, 0.04, 0.001),
    second=steps(-0.06, -0.021, 0.001),
    third=steps(0.002, 0.041, 0.001),
    fourth=steps(-0.02, -0.0005, 0.0005),
)
def largest_change(first: float, second: float, third: float, fourth: float) -> Question | None:
    """Take the L∞ norm of a perturbation, in grey levels."""
    changes = (first, second, third, fourth)
    largest = max(map(abs, changes))
    if largest == max(changes):
        return None
    return Question(
        f"A forgery changes the values of a tiny picture in [0, 1] by {vector(*changes)}. What is "
        "the L∞ norm of the change in grey levels of 1/255, to two decimal places?",
        (fixed(255 * largest, 2), f"The largest absolute value is {plain(largest)}."),
        [
            (fixed(255 * max(changes), 2), "This takes the largest value with its sign."),
            (fixed(255 * hypot(*changes), 2), "That is the L2 norm."),
            (fixed(255 * sum(map(abs, changes)) / 4, 2), "That is the mean absolute change."),
        ],
    )


@template(
    "what-stayed-the-same",
    minutes=4,
    mean=steps(0.1, 4, 0.1),
    other_mean=steps(0.15, 4.05, 0.1),
    variance=steps(0.05, 2, 0.05),
    other_variance=steps(2.1, 4, 0.1),
    covariance=steps(0.05, 1, 0.05),
)
def similarity_of_two_windows(
    mean: float, other_mean: float, variance: float, other_variance: float, covariance: float
) -> Question | None:
    """Compute the SSIM of a window from its moments."""
    if covariance > sqrt(variance * other_variance):
        return None
    light = 2 * mean * other_mean / (mean**2 + other_mean**2)
    structure = 2 * covariance / (variance + other_variance)
    return Question(
        f"In a window, two maps have the means {mean} and {other_mean}, the variances "
        f"{variance} and {other_variance}, and the covariance {covariance}. What "
        "is the SSIM of the window, to three significant digits, if the two small constants are "
        "neglected?",
        (
            significant(light * structure),
            f"The means give {significant(light)}, the other moments {significant(structure)}.",
        ),
        [
            (
                significant(covariance / sqrt(variance * other_variance)),
                "That is the correlation, which does not see means and contrast.",
            ),
            (significant(light), "This compares the means only."),
            (significant(light * structure / 4), "This leaves out both factors of 2."),
        ],
    )


@template(
    "six-methods-one-loss",
    minutes=5,
    a=steps(0, 29),
    b=steps(1, 30),
    c=steps(2, 31),
    p=steps(0, 29),
    q=steps(1, 30),
    r=steps(3, 32),
)
def correlation_of_tiny_maps(
    a: float, b: float, c: float, p: float, q: float, r: float
) -> Question | None:
    """Correlate two maps of three pixels."""
    one, two = (a, b, c), (p, q, r)
    first, second = ([x - sum(each) / 3 for x in each] for each in (one, two))
    product = sum(x * y for x, y in zip(first, second, strict=True))
    if not any(first) or not any(second):
        return None
    right = product / hypot(*first) / hypot(*second)
    cosine = sum(x * y for x, y in zip(one, two, strict=True)) / hypot(*one) / hypot(*two)
    return Question(
        f"Two maps of three pixels are {vector(*one)} and {vector(*two)}. What is their Pearson "
        "correlation, to three decimal places?",
        (
            fixed(right, 3),
            f"The means are {fixed(sum(one) / 3, 2)} and {fixed(sum(two) / 3, 2)}. The products of "
            f"the distances from them add up to {fixed(product, 2)}.",
        ),
        [
            (fixed(cosine, 3), "That is the cosine: the means were not subtracted."),
            (fixed(right**2, 3), "That is the square of the correlation."),
            (
                fixed(product / hypot(*one) / hypot(*two), 3),
                "Here the means were subtracted in the numerator only.",
            ),
        ],
    )


@template("the-loss-term-by-term", replaces="loss-resolution", minutes=3, before=SIDES, after=SIDES)
def map_term_at_another_size(before: float, after: float) -> Question:
    """Change the resolution under maps of sum 1."""
    return Question(
        "An attack uses maps of sum 1 and the mean squared error. It goes from pictures of "
        f"{before} × {before} to pictures of {after} × {after}, with maps "
        "that look alike. By which factor does the map term change, to three significant digits?",
        (
            significant((before / after) ** 4),
            f"A value changes by ({before}/{after})², its square by the square of that.",
        ),
        [
            (significant((before / after) ** 2), "So do the values, but their squares count."),
            (
                significant((after / before) ** 4),
                "Other way round: more pixels share the sum of 1.",
            ),
            ("1.00", "The sum is the same; the values, and their mean squared error, are not."),
        ],
    )
