"""Questions about chapter 7 whose numbers are drawn."""

from math import ceil, log
from statistics import mean

from bookkit.exam.template import Question, signed, steps, template
from bookkit.exam.written import fixed, plain, significant, vector

DIRECTIONS = (
    (3, 4), (4, -3), (5, 12), (6, 8), (7, -24), (8, 15), (9, -12), (12, 5), (15, -8), (16, 30),
    (20, -21), (21, 20), (24, 7), (28, -45), (30, 16), (35, -36), (36, 27), (40, 9), (48, -14),
    (1, 2), (2, -1), (10, 24), (11, -60), (13, 6), (14, -5), (18, 1), (22, -7), (25, 10), (27, -11),
    (33, -56),
)  # fmt: skip


@template(
    "exercise-4--what-is-an-alarm-worth-10-minutes",
    replaces="model-prevalence",
    networks=steps(40, 1030, 10),
    caught=steps(50, 99),
    accused=steps(0.5, 20, 0.5),
)
def worth_of_an_alarm(networks: float, caught: float, accused: float) -> Question:
    """Say how likely it is that an accused network lies."""
    share, hits, alarms = 1 / networks, caught / 100, accused / 100
    return Question(
        f"One network in {networks} lies. A test catches {caught} % of the liars and "
        f"accuses {accused} % of the honest ones. It accuses the network before you. How likely "
        "is it that this one lies, in per cent, to three significant digits?",
        (
            significant(100 * share * hits / (share * hits + (1 - share) * alarms)),
            f"Of {plain(100 * networks)} networks, {caught} liars and "
            f"{plain(accused * (networks - 1))} honest ones are accused.",
        ),
        [
            (
                significant(100 * hits / (hits + alarms)),
                "This would hold if every second network lied.",
            ),
            (significant(caught), "That is the share of the liars that it catches."),
            (
                significant(100 * share * hits),
                "That is the share of all networks that lie and are caught.",
            ),
        ],
    )


@template(
    "exercise-4--what-is-an-alarm-worth-10-minutes",
    replaces="model-half-the-alarms",
    minutes=4,
    rate=steps(0.01, 8, 0.01),
    confidence=steps(60, 99.5, 0.5),
)
def honest_networks_to_try(rate: float, confidence: float) -> Question | None:
    """Say how many trials without an alarm show that alarms are rare."""
    alarm, sure = rate / 100, confidence / 100
    exact = log(1 - sure) / log(1 - alarm)
    if abs(exact - round(exact)) < 1e-3:
        return None
    return Question(
        f"A test has accused none of n honest networks. If its rate of false alarms were "
        f"{rate} %, how large must n be at least for this to happen with a probability "
        f"of at most {plain(100 - confidence)} %?",
        (
            plain(ceil(exact)),
            f"(1 − {plain(alarm)})ⁿ must not exceed {plain(1 - sure)}, so take logarithms.",
        ),
        [
            (
                plain(ceil(1 / alarm)),
                "This many produce one false alarm on average, and none in more than one case of "
                "three.",
            ),
            (
                plain(ceil(sure / alarm)),
                "The probabilities of several trials multiply; they do not add up.",
            ),
            (
                plain(ceil(log(sure) / log(1 - alarm))),
                "With so few, no alarm at all is the likely outcome.",
            ),
        ],
    )


@template(
    "exercise-3--one-number-for-a-detector-10-minutes",
    minutes=4,
    l1=steps(1, 30),
    l2=steps(6, 35),
    l3=steps(11, 40),
    h1=steps(1, 30),
    h2=steps(3, 32),
    h3=steps(9, 38),
    h4=steps(12, 41),
)
def area_of_a_detector(
    l1: float, l2: float, l3: float, h1: float, h2: float, h3: float, h4: float
) -> Question:
    """Count the pairs in which the liar has the higher score."""
    liars, honest = (l1, l2, l3), (h1, h2, h3, h4)
    won = sum((x > y) + (x == y) / 2 for x in liars for y in honest)
    return Question(
        f"A high score is suspicious. Three lying networks score {l1}, {l2} and {l3}, four honest "
        f"ones {h1}, {h2}, {h3} and {h4}. What is the area under the ROC curve, to two decimal "
        "places?",
        (
            fixed(won / 12, 2),
            f"Of twelve pairs of one each, the liar wins {plain(won)}; a tie is half a pair.",
        ),
        [
            (fixed(1 - won / 12, 2), "This counts the pairs that the honest network wins."),
            (
                fixed(sum(x > max(honest) for x in liars) / 3, 2),
                "That is the share of liars caught without a false alarm, one point of the curve.",
            ),
            (
                fixed(sum(x > mean(honest) for x in liars) / 3, 2),
                "That is the share of liars above the honest ones' mean.",
            ),
        ],
    )


@template(
    "exercise-1--what-no-picture-notices-10-minutes",
    minutes=2,
    side=steps(8, 87),
    pictures=steps(33, 92),
    mixtures=steps(2, 31),
)
def free_dimensions(side: float, pictures: float, mixtures: float) -> Question | None:
    """Count the directions that no picture notices."""
    pixels = side**2
    if pixels <= pictures + mixtures:
        return None
    return Question(
        f"A linear classifier without biases is shown {pictures} grey pictures of {side} × {side} "
        f"pixels. {mixtures} of them are mixtures of the others, which are independent. In how "
        "many dimensions may the weights of one class change without any logit of these pictures "
        "changing?",
        (
            plain(pixels - pictures + mixtures),
            f"The pictures span {plain(pictures - mixtures)} of {plain(pixels)} dimensions.",
        ),
        [
            (plain(pixels - pictures), "Mixtures span nothing new."),
            (plain(pictures - mixtures), "That is the span, where every change is noticed."),
            (plain(pixels - pictures - mixtures), "This subtracts the mixtures twice over."),
        ],
    )


@template(
    "exercise-2--the-part-along-the-data-15-minutes",
    direction=DIRECTIONS,
    v=signed(61),
    w=steps(0.5, 50, 0.5),
)
def part_along_the_data(direction: tuple[float, float], v: float, w: float) -> Question | None:
    """Project a map on a direction."""
    x, y = direction
    square = x * x + y * y
    share = (v * x + w * y) / square
    if not share:
        return None
    return Question(
        f"The data lie along {vector(x, y)}. The map {vector(v, w)} is projected on them. What is "
        "its projection, to two decimal places?",
        (
            vector(share * x, share * y, places=2),
            f"The product of the two is {plain(v * x + w * y)}, to be divided by the square of the "
            f"direction's length, {plain(square)}.",
        ),
        [
            (
                vector(v - share * x, w - share * y, places=2),
                "That is what the projection takes away.",
            ),
            (
                vector(share * square * x, share * square * y, places=2),
                "The direction has to have length 1.",
            ),
            (
                vector(share * square**0.5 * x, share * square**0.5 * y, places=2),
                "The direction has to be divided by its length twice.",
            ),
        ],
    )
