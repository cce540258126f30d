"""Questions about chapter 1b whose numbers are drawn."""

from bookkit.exam.template import SIGNED, WHOLE, Question, steps, template
from bookkit.exam.written import fixed, linear, plain, significant, times, vector


@template(
    "gradient-times-input",
    v=SIGNED,
    a=WHOLE,
    b=WHOLE,
    c=SIGNED,
    d=SIGNED,
    x=steps(1, 30),
    y=steps(1, 30),
)
def what_gradient_times_input_leaves_out(
    v: float, a: float, b: float, c: float, d: float, x: float, y: float
) -> Question:
    """Subtract the contributions of gradient × input from the logit."""
    unit = linear(x=a, y=b, one=c)
    return Question(
        f"A network with biases is g(x, y) = {v} max(0, {unit}) "
        f"{'+' if d > 0 else '−'} {plain(abs(d))}. The contributions of gradient × input at "
        f"{vector(x, y)} are added up. What is the logit minus that sum?",
        (
            plain(v * c + d),
            "The unit is on. What passes through no input is left out: both biases, "
            f"{times(v, c)} and {d}.",
        ),
        [
            (plain(d), "The bias inside the unit reaches the logit too, and no pixel gets it."),
            (plain(v * c), "The bias of the output belongs to no pixel either."),
            (plain(c + d), "The inner bias reaches the logit through the weight behind the unit."),
        ],
    )


@template(
    "lrp-hands-down-shares",
    x1=steps(1, 20),
    w1=steps(2, 21),
    x2=steps(3, 22),
    w2=steps(4, 23),
    x3=steps(1, 20),
    w3=steps(-20, -1),
    relevance=steps(5, 200, 5),
)
def share_by_the_z_plus_rule(
    x1: float, w1: float, x2: float, w2: float, x3: float, w3: float, relevance: float
) -> Question | None:
    """Hand down a unit's relevance to its positive contributions."""
    z1, z2, z3 = x1 * w1, x2 * w2, x3 * w3
    if z1 + z2 + z3 <= 0:
        return None
    return Question(
        f"A unit receives the inputs {vector(x1, x2, x3)} with the weights {vector(w1, w2, w3)}. "
        f"It holds the relevance {relevance}. How much of it does the first input get by the z⁺ "
        "rule of LRP, to two decimal places?",
        (
            fixed(relevance * z1 / (z1 + z2), 2),
            f"The positive contributions are {plain(z1)} and {plain(z2)}; "
            f"the first gets {plain(z1)}/{plain(z1 + z2)}.",
        ),
        [
            (
                fixed(relevance * z1 / (z1 + z2 + z3), 2),
                "This subtracts the negative contribution from the whole, which z⁺ ignores.",
            ),
            (
                fixed(relevance * z1 / (z1 + z2 - z3), 2),
                "This gives a share to the negative contribution as well.",
            ),
            (
                fixed(relevance * w1 / (w1 + w2), 2),
                "This shares by the weights alone, and forgets the inputs.",
            ),
        ],
    )


@template(
    "integrated-gradients",
    a=WHOLE,
    kink=steps(1, 20.9, 0.1),
    x=steps(21, 80),
    parts=steps(4, 23),
)
def integrated_gradients_as_a_sum(a: float, kink: float, x: float, parts: float) -> Question | None:
    """Add up the gradient at the middles of the parts."""
    count = round(parts)
    middles = [(k + 0.5) * x / count for k in range(count)]
    ends = [(k + 1) * x / count for k in range(count)]
    if kink in middles + ends:
        return None
    beyond, ends_beyond = (sum(point > kink for point in each) for each in (middles, ends))
    return Question(
        f"For one pixel, g(x) = {a} max(0, x − {kink}). Integrated Gradients goes from "
        f"0 to x = {x}, in {parts} equal parts, and takes the gradient in the middle of "
        "each. What is the attribution, to two decimal places?",
        (
            fixed(a * x * beyond / count, 2),
            f"{beyond} of {count} middles lie beyond the kink, where the gradient is {a}.",
        ),
        [
            (fixed(a * (x - kink), 2), "That is the gain of g, which the integral would give."),
            (fixed(a * x, 2), "That is gradient × input."),
            (
                fixed(a * x * ends_beyond / count, 2),
                "This takes the ends of the parts, and not their middles.",
            ),
        ],
    )


@template(
    "pattern-attribution",
    replaces="six-pattern",
    minutes=4,
    w1=SIGNED,
    w2=steps(3, 32),
    s1=steps(1, 10.9, 0.1),
    s2=steps(0.5, 20, 0.5),
)
def entry_of_a_pattern(w1: float, w2: float, s1: float, s2: float) -> Question | None:
    """Regress an input on the output of a unit."""
    output = w1**2 * s1**2 + w2**2 * s2**2
    if abs(w1) * s1**2 < output / 1000:
        return None
    return Question(
        f"A unit computes z = {linear(x=w1, y=w2)}. Its inputs x and y are independent, with the "
        f"standard deviations {s1} and {s2}. What is the entry for x of the pattern "
        "cov((x, y), z) / var(z), to three significant digits?",
        (
            significant(w1 * s1**2 / output),
            f"The covariance is {w1} · {s1}², the variance of z {plain(output)}.",
        ),
        [
            (
                plain(w1),
                "That is the weight. The pattern says how the input varies with the output.",
            ),
            (significant(w1 / (w1**2 + w2**2)), "This holds for inputs that vary equally much."),
            (
                significant(w1 * s1 / (w1**2 * s1 + w2**2 * s2)),
                "This takes standard deviations for variances.",
            ),
        ],
    )


@template(
    "guided-backprop",
    level=1,
    minutes=2,
    on=steps(2, 60, 2),
    off=steps(-21, -2),
    also_on=steps(3, 61, 2),
    stopped=steps(-20, -1),
    blocked=steps(4, 42, 2),
    passed=steps(5, 63, 2),
)
def message_through_guided_backprop(
    on: float, off: float, also_on: float, stopped: float, blocked: float, passed: float
) -> Question:
    """Let a message pass three ReLUs."""
    first = round(on + off + also_on) % 3

    def turned(*entries: float) -> str:
        """Write the entries, beginning with another one from version to version."""
        return vector(*entries[first:], *entries[:first])

    return Question(
        f"Three ReLUs receive {turned(on, off, also_on)} on the way up, and the message "
        f"{turned(stopped, blocked, passed)} on the way down. What does Guided Backprop hand on?",
        (turned(0, 0, passed), "The unit has to be on, and the message has to be positive."),
        [
            (turned(stopped, 0, passed), "That is the chain rule: it only asks which unit is on."),
            (
                turned(0, blocked, passed),
                "This only asks for the message's sign, not for the unit.",
            ),
            (turned(0, 0, passed * also_on), "This also multiplies by what the unit puts out."),
        ],
    )
