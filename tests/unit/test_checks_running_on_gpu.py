"""The checks of chapter 3 answer the reference, the stub and known wrong answers as they should."""

import statistics

import pytest
import torch

import explman_lite as el


def time_runs(action, synchronize, clock, repeats, *, warm_up=1, before=True, after=True):
    for _ in range(warm_up):
        action()
    seconds = []
    for _ in range(repeats):
        if before:
            synchronize()
        start = clock()
        action()
        if after:
            synchronize()
        seconds.append(clock() - start)
    return seconds


def watch(pick, **how):
    return lambda *given: pick(time_runs(*given, **how))


def all_together(action, synchronize, clock, repeats):
    action()
    synchronize()
    start = clock()
    for _ in range(repeats):
        action()
    synchronize()
    return (clock() - start) / repeats


def slope_and_rest(first, second):
    slope = (second[1] - first[1]) / (second[0] - first[0])
    return slope, first[1] - slope * first[0]


def fit(rounded, *, least=0):
    def answer(first, second, budget):
        slope, rest = slope_and_rest(first, second)
        return max(rounded((budget - rest) / slope), least)

    return answer


def chunks(attack, images, targets, size):
    starts = range(0, len(images), size)
    return torch.cat([attack(images[i : i + size], targets[i : i + size]) for i in starts])


def without_the_rest(attack, images, targets, size):
    whole = len(images) // size * size
    return chunks(attack, images[:whole], targets[:whole], size)


def same_targets(attack, images, targets, size):
    starts = range(0, len(images), size)
    parts = [images[i : i + size] for i in starts]
    return torch.cat([attack(part, targets[: len(part)]) for part in parts])


def follow(
    gradient_at, pixels, lr, steps, *, master=torch.float32, sign=1, clamp=True, stale=False
):
    start, moving = pixels, pixels.to(master, copy=True)
    for _ in range(steps):
        gradient = gradient_at((start if stale else moving).bfloat16())
        moving = moving - sign * lr * gradient.to(master)
        moving = moving.clamp(0, 1) if clamp else moving
    return moving


def in_place(gradient_at, pixels, lr, steps):
    for _ in range(steps):
        pixels.sub_(lr * gradient_at(pixels.bfloat16()).float()).clamp_(0, 1)
    return pixels


def rounded_product(gradient_at, pixels, lr, steps):
    for _ in range(steps):
        pixels = (pixels - lr * gradient_at(pixels.bfloat16())).clamp(0, 1)
    return pixels


REFERENCES = {
    "stopwatch": watch(statistics.median),
    "largest_batch": fit(int),
    "attack_in_chunks": chunks,
    "follow_gradient": follow,
}

WRONG = [
    ("stopwatch", "no wait after", watch(min, after=False), "time of the launch"),
    ("stopwatch", "no wait before", watch(min, before=False), "busy with the warm-up"),
    ("stopwatch", "no warm-up", watch(min, warm_up=0), "very first call"),
    ("stopwatch", "mean", watch(statistics.fmean), "spoils it"),
    ("stopwatch", "sum", watch(sum), "what one of them takes"),
    ("stopwatch", "slowest", watch(max), "slowest run"),
    ("stopwatch", "milliseconds", watch(lambda s: 1000 * min(s)), "milliseconds"),
    ("stopwatch", "all together", all_together, "each of the 5 runs"),
    ("stopwatch", "one run", lambda a, s, c, r: min(time_runs(a, s, c, 1)), "each of the 5"),
    ("stopwatch", "no clock", lambda action, *others: action() or 1.0, "Read the clock"),
    ("stopwatch", "no action", lambda *given: 1.0, "never call the action"),
    ("stopwatch", "a list", time_runs, "type list"),
    ("stopwatch", "another number", watch(lambda s: 3 * min(s)), "on the pretended device"),
    (
        "largest_batch",
        "by the first",
        lambda first, second, budget: budget // first[1] * first[0],
        "take the slope",
    ),
    (
        "largest_batch",
        "no fixed part",
        lambda first, second, budget: int(budget / slope_and_rest(first, second)[0]),
        "forget the fixed part",
    ),
    ("largest_batch", "up", fit(lambda x: int(-(-x // 1))), "You round up"),
    ("largest_batch", "nearest", fit(round), "nearest number"),
    ("largest_batch", "strictly less", fit(lambda x: int(-(-x // 1)) - 1), "last byte"),
    ("largest_batch", "negative", fit(lambda x: int(x // 1), least=-99), "negative"),
    ("largest_batch", "a float", fit(lambda x: x // 1), "type float"),
    ("largest_batch", "something else", lambda *given: 3, "fit into 1000"),
    ("attack_in_chunks", "all at once", lambda a, x, t, size: a(x, t), "7 pictures at once"),
    ("attack_in_chunks", "rest lost", without_the_rest, "6 came out"),
    ("attack_in_chunks", "first targets", same_targets, "targets of the first"),
    (
        "attack_in_chunks",
        "targets whole",
        lambda attack, x, t, size: torch.cat([attack(part, t) for part in x.split(size)]),
        "came with 7 target maps",
    ),
    (
        "attack_in_chunks",
        "one target",
        lambda attack, x, t, size: torch.cat([attack(part, t[:1]) for part in x.split(size)]),
        "get the first target",
    ),
    ("attack_in_chunks", "one by one", lambda a, x, t, s: chunks(a, x, t, 1), "7 batches"),
    ("attack_in_chunks", "backwards", lambda *g: chunks(*g).flip(0), "another order"),
    ("attack_in_chunks", "unchanged", lambda attack, images, *o: images, "as they were"),
    ("attack_in_chunks", "a list", lambda a, x, t, s: list(chunks(a, x, t, s)), "type list"),
    ("attack_in_chunks", "noise, float64", lambda *g: chunks(*g).double() + 0.1, "not what they"),
    ("attack_in_chunks", "noise", lambda *g: chunks(*g) + 0.1, "not what they are"),
    ("follow_gradient", "still", lambda gradient_at, pixels, *o: pixels, "No pixel"),
    ("follow_gradient", "bfloat16", lambda *g: follow(*g, master=torch.bfloat16), "vanish"),
    ("follow_gradient", "rounded", lambda *g: follow(*g).bfloat16(), "in the end"),
    ("follow_gradient", "no clamp", lambda *g: follow(*g, clamp=False), "leave [0, 1]"),
    ("follow_gradient", "uphill", lambda *g: follow(*g, sign=-1), "climb"),
    ("follow_gradient", "stale", lambda *g: follow(*g, stale=True), "first step"),
    ("follow_gradient", "double", lambda *g: follow(*g).double(), "Return float32"),
    ("follow_gradient", "in place", in_place, "work on a copy"),
    ("follow_gradient", "half the way", lambda *g: follow(*g[:3], 30), "away from"),
    (
        "follow_gradient",
        "float32 pixels",
        lambda gradient_at, pixels, lr, steps: pixels - lr * gradient_at(pixels),
        "takes bfloat16 pixels",
    ),
]


@pytest.mark.parametrize("warm_up", [1, 2, 5])
@pytest.mark.parametrize("pick", [min, statistics.median])
def test_stopwatch_may_warm_up_longer_and_take_the_smallest(pick, warm_up):
    assert el.checks.stopwatch(watch(pick, warm_up=warm_up))


def test_a_right_answer_in_another_precision_passes():
    assert el.checks.attack_in_chunks(lambda *given: chunks(*given).double())


def test_product_of_step_and_gradient_may_be_rounded():
    assert el.checks.follow_gradient(rounded_product)
