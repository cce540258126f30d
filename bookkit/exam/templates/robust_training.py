"""Questions about chapter 6 whose numbers are drawn."""

from math import cos, radians, sin, sqrt
from statistics import mean, median

from bookkit.exam.template import Question, steps, template
from bookkit.exam.written import fixed, plain, significant


@template(
    "exercise-3--how-far-the-certificate-reaches-15-minutes",
    slope=steps(0.1, 10, 0.1),
    angle=steps(23, 82),
    bound=steps(12, 90, 2),
)
def radius_of_a_certificate(slope: float, angle: float, bound: float) -> Question:
    """Say how far a gradient cannot turn by more than an angle."""
    alpha = radians(angle)
    return Question(
        f"A logit's gradient has length {slope} at a picture, and the norm of its Hessian is "
        f"nowhere larger than {bound}. Within which distance is it certain that the gradient "
        f"turns by no more than {angle}°, to three significant digits?",
        (
            significant(slope * sin(alpha) / bound),
            f"The tip of the arrow moves by at most {bound} r, and {slope} sin "
            f"{angle}° is how far it is from the cone.",
        ),
        [
            (significant(slope * alpha / bound), "This takes the angle for its sine."),
            (significant(slope / bound), "Within this distance the gradient may turn by 90°."),
            (significant(slope * cos(alpha) / bound), "This takes the cosine for the sine."),
        ],
    )


@template(
    "exercise-2--a-norm-from-a-few-products-10-minutes",
    a=steps(1, 40),
    b=steps(5, 44),
    c=steps(21, 60),
    d=steps(31, 70),
)
def norm_from_products(a: float, b: float, c: float, d: float) -> Question:
    """Estimate the norm of a Hessian from four products."""
    lengths = (a, b, c, d)
    squares = mean(x * x for x in lengths)
    return Question(
        "The products of a Hessian with four random vectors from N(0, 1) have the lengths "
        f"{', '.join(map(plain, lengths))}. What does that estimate its Frobenius norm to be, "
        "to two decimal places?",
        (
            fixed(sqrt(squares), 2),
            f"The mean of the squares is {plain(squares)}; this is its root.",
        ),
        [
            (fixed(mean(lengths), 2), "It is the squared length that is right on average."),
            (fixed(squares, 2), "That is the estimate of the squared norm."),
            (
                fixed(sqrt(4 * squares), 2),
                "This adds up the squares, and does not take their mean.",
            ),
        ],
    )


@template(
    "what-to-make-small",
    minutes=2,
    entropy=steps(0.05, 3, 0.05),
    weight=steps(0.01, 0.4, 0.01),
    hessian=steps(11, 50),
    slope=steps(1.4, 9.2, 0.2),
)
def loss_with_a_penalty(entropy: float, weight: float, hessian: float, slope: float) -> Question:
    """Add a penalty on how fast the gradient turns."""
    return Question(
        f"On a batch the cross-entropy is {entropy}. For each picture the norm of the Hessian is "
        f"estimated to be {hessian}, and the gradient has length {slope}. The weight "
        f"λ of the chapter's penalty is {weight}. What is the loss, to three significant digits?",
        (
            significant(entropy + weight * hessian / slope),
            f"{entropy} + {weight} · {hessian}/{slope}.",
        ),
        [
            (
                significant(entropy + weight * hessian),
                "This penalises ‖H‖ alone, which small logits make small.",
            ),
            (
                significant((entropy + weight) * hessian / slope),
                "The penalty is added to the cross-entropy, and does not multiply it.",
            ),
            (significant(entropy + weight * slope / hessian), "The ratio is upside down."),
        ],
    )


@template(
    "the-result-first",
    a0=steps(0.01, 0.4, 0.01),
    a1=steps(0.41, 0.8, 0.01),
    b0=steps(0.01, 0.4, 0.01),
    b1=steps(0.41, 0.8, 0.01),
    c0=steps(-0.1, 0.09, 0.01),
    c1=steps(0.5, 0.69, 0.01),
)
def median_of_gains(a0: float, a1: float, b0: float, b1: float, c0: float, c1: float) -> Question:
    """Summarise what an attack has gained on three pairs."""
    before, after = (a0, b0, c0), (a1, b1, c1)
    gains = [y - x for x, y in zip(before, after, strict=True)]
    return Question(
        "On three pairs the correlation with the target was "
        f"{a0}, {b0} and {c0} before the attack, and {a1}, {b1} and {c1} after it, in the same "
        "order. What is the median gain, to two decimal places?",
        (fixed(median(gains), 2), f"The gains are {', '.join(fixed(gain, 2) for gain in gains)}."),
        [
            (
                fixed(median(after) - median(before), 2),
                "A difference of medians is not the median of the differences.",
            ),
            (fixed(mean(gains), 2), "That is the mean gain."),
            (fixed(median(after), 2), "This forgets where each attack began."),
        ],
    )
