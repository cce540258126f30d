"""Questions about chapter 3 whose numbers are drawn."""

from math import floor
from statistics import mean, median

from bookkit.exam.template import Question, steps, template
from bookkit.exam.written import fixed, plain, significant

SIDES = steps(32, 504, 8)


@template(
    "what-a-batch-costs-in-memory",
    replaces="gpu-memory",
    minutes=2,
    megabytes=steps(6, 25),
    side=SIDES,
    count=steps(3, 32),
    new_side=SIDES,
)
def memory_of_other_pictures(
    megabytes: float, side: float, count: float, new_side: float
) -> Question:
    """Scale the memory of a step to other pictures."""
    ratio = new_side / side
    return Question(
        f"A step keeps {megabytes} MB in its graph for one picture of {side} × "
        f"{side}. What does it keep for {count} pictures of {new_side} × "
        f"{new_side}, in MB, to three significant digits?",
        (
            significant(megabytes * count * ratio**2),
            f"{count} pictures, each with ({new_side}/{side})² times the pixels.",
        ),
        [
            (
                significant(megabytes * count * ratio),
                "The pixels grow by the square of the side.",
            ),
            (significant(megabytes * ratio**2), "That is one of the pictures."),
            (
                significant(megabytes * count * ratio**4),
                "Memory is proportional to the number of pixels, and not to its square.",
            ),
        ],
    )


@template(
    "exercise-2--the-largest-batch-15-minutes",
    replaces="gpu-largest-batch",
    fixed_part=steps(110, 1000, 10),
    each=steps(23, 62.5, 0.5),
    budget=steps(4000, 15900, 100),
)
def largest_batch(fixed_part: float, each: float, budget: float) -> Question:
    """Fit a batch into the memory of a GPU."""
    usable = 0.9 * budget
    return Question(
        f"An attack takes {fixed_part} MB of GPU memory whatever the batch, and "
        f"{each} MB for each picture. How many pictures fit into {budget} MB, "
        "if a tenth is to stay free?",
        (
            plain(floor((usable - fixed_part) / each)),
            f"({plain(usable)} − {fixed_part})/{each}, rounded down.",
        ),
        [
            (plain(floor(usable / each)), "This forgets the fixed part."),
            (plain(floor((budget - fixed_part) / each)), "This leaves nothing free."),
            (
                plain(floor(usable / (fixed_part + each))),
                "This pays the fixed part once for every picture.",
            ),
        ],
    )


@template(
    "what-a-step-costs-counted-and-timed",
    replaces="gpu-budget",
    number=steps(60, 2050, 10),
    samples=steps(5, 34),
    milliseconds=steps(11, 50),
)
def price_of_an_attack(number: float, samples: float, milliseconds: float) -> Question:
    """Estimate how long an attack on SmoothGrad takes."""
    seconds = number * samples * milliseconds / 1000
    return Question(
        f"An explanation by the gradient takes {milliseconds} ms. About how many seconds does "
        f"an attack of {number} steps take on the map of SmoothGrad with {samples} "
        "samples, to three significant digits?",
        (
            significant(2 * seconds),
            f"A map costs {samples} explanations, and a step about twice as much as a map.",
        ),
        [
            (
                significant(seconds),
                "A step also differentiates the map, which costs as much again.",
            ),
            (significant(2 * seconds / samples), "This is for a single sample."),
            (
                significant(4 * seconds),
                "A step is four forward passes, and the explanation is two of them already.",
            ),
        ],
    )


@template(
    "numbers-with-fewer-digits",
    replaces="gpu-small-steps",
    minutes=4,
    start=steps(0.0625, 0.9921875, 0.0078125),
    step=steps(0.0000005, 0.00015, 0.0000005),
)
def steps_until_bfloat16_moves(start: float, step: float) -> Question | None:
    """Count the steps until a rounded pixel notices that the master copy has moved."""
    spacing = 2.0**-7  # of the numbers from 1 to 2, with 8 binary digits
    octave = 1.0
    while start < octave:
        spacing, octave = spacing / 2, octave / 2
    ratio = spacing / 2 / step
    if abs(ratio - round(ratio)) < 1e-3:
        return None
    return Question(
        f"A pixel begins at {start}, which bfloat16 stores exactly; its numbers have 8 "
        f"significant binary digits. The attack adds {step} at every step to a float32 copy, "
        "and the network sees the copy rounded to bfloat16. After how many steps at the earliest "
        "does it see another number?",
        (
            plain(floor(ratio) + 1),
            f"Here the numbers are 1/{plain(1 / spacing)} apart, and half of that must be passed.",
        ),
        [
            (
                plain(floor(2 * ratio) + 1),
                "Rounding goes to the nearest, so half the way suffices.",
            ),
            (plain(floor(ratio / 8) + 1), "That is float16, which has 11 digits."),
            ("1", "The copy moves at once. The rounded number does not."),
        ],
    )


@template(
    "a-clock-that-does-not-lie",
    replaces="gpu-median",
    level=1,
    minutes=2,
    warm=steps(6, 8.9, 0.1),
    first=steps(0.71, 1, 0.01),
    second=steps(1.01, 1.2, 0.01),
    hiccup=steps(2.1, 5, 0.1),
    third=steps(0.83, 1.02, 0.01),
    fourth=steps(0.92, 1.11, 0.01),
)
def usual_time(
    warm: float, first: float, second: float, hiccup: float, third: float, fourth: float
) -> Question:
    """Summarise timings, the first of which is the warm-up."""
    timed = [first, second, hiccup, third, fourth]
    return Question(
        f"Six runs take {warm}, {first}, {second}, {hiccup}, {third} and {fourth} seconds; the "
        "first is the warm-up. What do you report as the usual time, to two decimal places?",
        (fixed(median(timed), 2), "The median of the five runs after the warm-up."),
        [
            (fixed(mean(timed), 2), "The mean of the five lets one hiccup speak for all."),
            (fixed(mean([warm, *timed]), 2), "The mean, and of the warm-up too."),
            (fixed(hiccup, 2), "The middle of the list as it stands, and not of the sorted one."),
        ],
    )
