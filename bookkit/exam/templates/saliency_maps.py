"""Questions about chapter 1 whose numbers are drawn."""

from bookkit.exam.template import SIGNED, WHOLE, Question, steps, template
from bookkit.exam.written import fixed, linear, plain, significant, vector


@template(
    "why-so-jumpy-the-network-is-made-of-flat-pieces",
    v=SIGNED,
    a=WHOLE,
    b=WHOLE,
    u=SIGNED,
    c=WHOLE,
    d=WHOLE,
)
def gradient_of_two_units(
    v: float, a: float, b: float, u: float, c: float, d: float
) -> Question | None:
    """Differentiate a network of two units, one of which is silent."""
    if c - 2 * d >= 0:
        return None
    return Question(
        f"A network has two units: g(x, y) = {v} max(0, {linear(x=a, y=b)}) "
        f"{'+' if u > 0 else '−'} {plain(abs(u))} max(0, {linear(x=c, y=-d)}). "
        "What is its gradient with respect to (x, y) at the point (1, 2)?",
        (
            vector(v * a, v * b),
            f"Only the first unit is on, since {c} − {plain(2 * d)} is negative. "
            f"So it is {v} times {vector(a, b)}.",
        ),
        [
            (vector(v * a + u * c, v * b - u * d), "This also passes through the silent unit."),
            (vector(a, b), "This forgets the weight behind the unit."),
            (vector(v * a, 2 * v * b), "This is gradient × input."),
        ],
    )


@template(
    "from-attribution-to-relevance-map",
    red=steps(1, 20),
    green=steps(-20, -1),
    blue=steps(2, 21),
    others_red=steps(-21, -2),
    others_green=steps(3, 22),
    others_blue=steps(4, 23),
)
def value_in_a_relevance_map(
    red: float,
    green: float,
    blue: float,
    others_red: float,
    others_green: float,
    others_blue: float,
) -> Question:
    """Make a relevance map of two pixels."""
    pixel, other = (red, green, blue), (others_red, others_green, others_blue)
    one, two = (sum(map(abs, channels)) for channels in (pixel, other))
    late, later = abs(sum(pixel)), abs(sum(other))
    return Question(
        f"A picture has two pixels with the attributions {vector(*pixel)} and {vector(*other)} for "
        "red, green and blue. What is the value of the first pixel in the relevance map, "
        "to two decimal places?",
        (
            fixed(2 * one / (one + two), 2),
            f"The absolute values add up to {plain(one)} and {plain(two)}; their mean becomes 1.",
        ),
        [
            (
                fixed(2 * late / (late + later), 2),
                "This adds up the channels first, so that they cancel.",
            ),
            (fixed(one / (one + two), 2), "This scales the map to sum 1, and not to mean 1."),
            (fixed(one / max(one, two), 2), "This scales the map to maximum 1, and not to mean 1."),
        ],
    )


@template(
    "the-idea-which-pixel-would-change-the-answer",
    side=(8, 10, 12, 16, 20, 24, 28, 30, 32, 36, 40, 44, 48, 50, 56, 60, 64, 72, 80, 96),
    slope=steps(0.01, 0.2, 0.01),
    levels=steps(2, 21),
)
def promise_of_a_signed_step(side: float, slope: float, levels: float) -> Question:
    """Say by how much a step along the gradient's sign should raise the logit."""
    values = 3 * side**2
    rise = values * slope * levels / 255
    return Question(
        f"A colour picture has {side} × {side} pixels with values from 0 to 1, and the "
        f"absolute value of a logit's gradient is {slope} on average. Every value moves by "
        f"{levels} grey levels of 1/255, in the direction of its gradient's sign. By how much "
        "does the gradient promise that the logit rises, to three significant digits?",
        (
            significant(rise),
            f"{plain(values)} values contribute {slope} · {levels}/255 each.",
        ),
        [
            (significant(rise / 3), "This counts pixels, each of which has three values."),
            (significant(rise * 255), "This takes a grey level for a step of 1."),
            (
                significant(values**0.5 * slope * levels / 255),
                "This takes the length of the step, as if the gradient had its direction.",
            ),
        ],
    )


@template(
    "exercise-3--the-batch-trap-10-minutes",
    minutes=2,
    first=steps(0.2, 2.1, 0.1),
    second=steps(2.2, 4.1, 0.1),
    third=steps(4.2, 6.1, 0.1),
)
def mean_after_the_batch_trap(first: float, second: float, third: float) -> Question:
    """Scale a batch by the mean over all of its maps."""
    mean = (first + second + third) / 3
    return Question(
        f"Three maps of equal size have the means {first}, {second} and {third}. "
        "Somebody scales the batch with `maps / maps.mean()`. What mean does the first map have "
        "then, to two decimal places?",
        (fixed(first / mean, 2), f"All three are divided by their common mean, {fixed(mean, 2)}."),
        [
            ("1.00", "That is what was meant. It takes the mean of each map by itself."),
            (fixed(first / (3 * mean), 2), "This divides by the sum of the means."),
            (fixed(mean / first, 2), "This is the inverse."),
        ],
    )
