"""Questions about chapter 1 whose numbers are drawn."""

from bookkit.exam.template import SIGNED, WHOLE, Question, steps, template
from bookkit.exam.written import fixed, linear, plain, significant, vector


@template(
    "why-so-jumpy-the-network-is-made-of-flat-pieces",
    v=SIGNED,
    a=steps(2, 31),
    b=steps(2, 31),
    u=SIGNED,
    c=WHOLE,
    d=steps(2, 31),
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
    red=steps(1, 30),
    green=steps(-30, -1),
    blue=steps(2, 31),
    others_red=steps(-31, -2),
    others_green=steps(3, 32),
    others_blue=steps(4, 33),
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
        "red, green and blue. What is the value of the first pixel in the relevance map of this "
        "book, which has mean 1, to three decimal places?",
        (
            fixed(2 * one / (one + two), 3),
            f"The absolute values add up to {plain(one)} and {plain(two)}; their mean becomes 1.",
        ),
        [
            (
                fixed(2 * late / (late + later), 3),
                "This adds up the channels first, so that they cancel.",
            ),
            (fixed(one / (one + two), 3), "This scales the map to sum 1, as the paper does."),
            (fixed(one / max(one, two), 3), "This scales the map to maximum 1, as figures do."),
        ],
    )


@template(
    "the-idea-which-pixel-would-change-the-answer",
    side=steps(8, 66, 2),
    slope=steps(0.001, 0.2, 0.001),
    levels=steps(2, 41),
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
                "This multiplies the mean slope by the step's Euclidean length, and does not add "
                "over the values.",
            ),
        ],
    )


@template(
    "exercise-3--the-batch-trap-10-minutes",
    minutes=2,
    first=steps(0.2, 2, 0.02),
    second=steps(2.2, 4, 0.02),
    third=steps(4.2, 6, 0.02),
)
def mean_after_the_batch_trap(first: float, second: float, third: float) -> Question:
    """Scale a batch by the mean over all of its maps."""
    mean = (first + second + third) / 3
    return Question(
        f"Three maps of equal size have the means {first}, {second} and {third}. "
        "Somebody scales the batch with `maps / maps.mean()`. What mean does the first map have "
        "then, to three decimal places?",
        (fixed(first / mean, 3), f"All three are divided by their common mean, {fixed(mean, 2)}."),
        [
            ("1.000", "That is what was meant. It takes the mean of each map by itself."),
            (fixed(first / (3 * mean), 3), "This divides by the sum of the means."),
            (fixed(mean / first, 3), "This is the inverse."),
        ],
    )
