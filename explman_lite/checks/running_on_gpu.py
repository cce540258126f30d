"""Checks for the exercises of the chapter on running on a GPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from operator import eq
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from explman_lite.checks.exercise import Exercise
from explman_lite.checks.random_numbers import normal
from explman_lite.checks.verdict import Verdict, judge, misfit, wrong


class _PretendedGPU:
    """A pretended GPU with a pretended clock: it returns at once and computes later."""

    LAUNCH, RUN, FIRST, DISTURBED = 0.001, 1.0, 7.0, 4.0

    def __init__(self) -> None:
        self.now = self.ready = 0.0
        self.calls = 0
        self.readings: list[tuple[int, bool]] = []
        """At each look at the clock: the calls so far, and whether there is unfinished work."""

    def action(self) -> None:
        """Launch one run: the first takes long, and the fourth happens to."""
        self.calls += 1
        self.now += self.LAUNCH
        self.ready = max(self.ready, self.now) + self.cost(self.calls)

    def cost(self, call: int) -> float:
        """Return how long a run takes."""
        return {1: self.FIRST, 4: self.DISTURBED}.get(call, self.RUN)

    def synchronize(self) -> None:
        """Wait until all runs are finished."""
        self.now = max(self.now, self.ready)

    def clock(self) -> float:
        """Return the time."""
        self.readings.append((self.calls, self.ready > self.now))
        return self.now


def stopwatch(answer: Callable[..., Any], repeats: int = 5) -> Verdict:
    """Check a reader's stopwatch for a device that works asynchronously.

    Parameters
    ----------
    answer : callable
        From a function to time, a function that waits for the device, a clock (seconds) and a
        number of repetitions to the seconds that one run takes, after a warm-up: the median of
        the repetitions, or the smallest.
    repeats : int
        How many repetitions to ask for.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.stopwatch(lambda action, synchronize, clock, repeats: 0.0)
    ✗ You never call the action, so there is nothing to time.
    """
    gpu = _PretendedGPU()
    return judge(
        lambda: answer(gpu.action, gpu.synchronize, gpu.clock, repeats),
        lambda value: _judge_seconds(value, gpu, repeats),
    )


def _judge_seconds(value: Any, gpu: _PretendedGPU, repeats: int) -> Verdict:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return wrong(f"Return a number of seconds; yours is of type {type(value).__name__}.")
    if not gpu.calls:
        return wrong("You never call the action, so there is nothing to time.")
    if (form := _misread_clock(gpu, repeats)) is not None:
        return form
    usual = gpu.LAUNCH + gpu.RUN
    timed = range(gpu.calls - repeats + 1, gpu.calls + 1)
    runs = [gpu.LAUNCH + gpu.cost(call) for call in timed]
    exercise = Exercise(
        right=usual,
        praise="Right: warmed up, nothing pending at either end, and no odd run counts.",
        mistakes={
            "You add the runs up; return what one of them takes.": sum(runs),
            "You return the slowest run; take the median or the smallest.": max(runs),
            "You take the mean, and one disturbed run spoils it: take the median or the "
            "smallest.": fmean(runs),
            "Those are milliseconds; return seconds.": 1000 * usual,
        },
        otherwise=f"A run takes {usual:g} s on the pretended device; you say {value:g} s.",
        same=partial(math.isclose, rel_tol=1e-6),
    )
    return exercise.compare(value)


def _misread_clock(gpu: _PretendedGPU, repeats: int) -> Verdict | None:
    """Find a look at the clock at a wrong time, if there is one."""
    starts, stops = gpu.readings[::2], gpu.readings[1::2]
    if not stops:
        return wrong("Read the clock that you are given, before and after each run.")
    if starts[0][0] == 0:
        return wrong(
            "You time the very first call, which pays for set-up: call the action once before."
        )
    if starts[0][1]:
        return wrong(
            "You start the clock while the device is still busy with the warm-up: synchronize "
            "first."
        )
    if any(busy for _, busy in stops):
        return wrong(
            "You stop the clock while the device is still working: that is the time of the "
            "launch. Synchronize after the action."
        )
    if len(stops) != repeats or len(starts) != repeats:
        return wrong(
            f"Read the clock before and after each of the {repeats} runs; you read it "
            f"{len(gpu.readings)} times."
        )
    return None


def largest_batch(
    answer: Callable[[tuple[int, int], tuple[int, int], int], Any],
) -> Verdict:
    """Check a reader's largest batch for a budget of memory, from two measurements.

    Parameters
    ----------
    answer : callable
        From two measurements (pictures, bytes) and a budget in bytes to the largest number of
        pictures whose bytes, on the straight line through both, are within the budget.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.largest_batch(lambda first, second, budget: budget // first[1] * first[0])
    ✗ You divide by the bytes of a first batch, which hold the fixed part as well: take the slope.
    """
    lines = [(300, 70, budget) for budget in (1000, 930, 929, 950, 250)]
    lines += [(0, 50, 500), (0, 50, 140)]
    exact = [(budget - fixed) / each for fixed, each, budget in lines]
    fits = [max(math.floor(count), 0) for count in exact]
    exercise = Exercise(
        right=fits,
        praise="Right: the slope is the price of a picture, and the rest is fixed.",
        mistakes={
            "You divide by the bytes of a first batch, which hold the fixed part as well: take the "
            "slope.": [budget // (fixed + 2 * each) * 2 for fixed, each, budget in lines],
            "You forget the fixed part, which is there before the first picture: subtract it from "
            "the budget.": [budget // each for _, each, budget in lines],
            "You round up, and the last picture does not fit: round down.": [
                max(math.ceil(count), 0) for count in exact
            ],
            "You round to the nearest number; the last picture may not fit: round down.": [
                max(round(count), 0) for count in exact
            ],
            "You leave out a batch that fills the budget to the last byte; it fits.": [
                max(math.ceil(count) - 1, 0) for count in exact
            ],
            "Where not even the fixed part fits, the answer is 0, not a negative number.": [
                math.floor(count) for count in exact
            ],
        },
        otherwise=lambda found: (
            f"2 pictures take 440 bytes and 5 take 650, so 10 fit into 1000; you say {found[0]}."
        ),
        same=eq,
    )

    def every() -> list[Any] | None:
        found = [
            answer((2, fixed + 2 * each), (5, fixed + 5 * each), budget)
            for fixed, each, budget in lines
        ]
        return None if found[0] is None else found

    def examine(found: list[Any]) -> Verdict:
        for value in found:
            if isinstance(value, bool) or not isinstance(value, int):
                return wrong(
                    "Return a whole number of pictures, an int; yours is of type "
                    f"{type(value).__name__}."
                )
        return exercise.compare(found)

    return judge(every, examine)


def attack_in_chunks(
    answer: Callable[[Callable[[Tensor, Tensor], Tensor], Tensor, Tensor, int], Any],
) -> Verdict:
    """Check a reader's attack on many pictures, so many at a time.

    Parameters
    ----------
    answer : callable
        From an attack (images and target maps to images), images (N, C, H, W), target maps
        (N, H, W) and the largest batch to the attacked images (N, C, H, W).

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.attack_in_chunks(lambda attack, images, targets, size: attack(images, targets))
    ✗ You attack 7 pictures at once, but only 3 fit into memory.
    """
    count, size = 7, 3
    images, targets = normal(count, 3, 4, 4).sigmoid(), normal(count, 4, 4).abs()
    batches: list[int] = []

    def attack(pictures: Tensor, maps: Tensor) -> Tensor:
        if len(maps) not in {1, len(pictures)}:
            raise ValueError(f"{len(pictures)} pictures came with {len(maps)} target maps")
        batches.append(len(pictures))
        return _pretended_attack(pictures, maps)

    attacked = _pretended_attack(images, targets)
    exercise = Exercise(
        right=attacked,
        praise="Right: every picture is attacked once, with its own target, in order.",
        mistakes={
            "Every chunk gets the targets of the first: cut the targets as you cut the images.": (
                _pretended_attack(images, targets[:size].repeat(3, 1, 1)[:count])
            ),
            "All pictures get the first target: cut the targets as you cut the images.": (
                _pretended_attack(images, targets[:1])
            ),
            "The pictures come back in another order.": attacked.flip(0),
            "You return the pictures as they were; collect what the attack returns.": images,
        },
        otherwise="Some pictures are not what they are when all are attacked at once.",
    )

    def examine(value: Any) -> Verdict:
        if batches and max(batches) > size:
            return wrong(
                f"You attack {max(batches)} pictures at once, but only {size} fit into memory."
            )
        if isinstance(value, Tensor) and value.shape == images[:6].shape:
            return wrong(
                "7 pictures went in and 6 came out: the last chunk is smaller than the others, "
                "and it is missing."
            )
        verdict = exercise.examine(value)
        if verdict and len(batches) > 3:
            return wrong(
                f"The result is right, but you needed {len(batches)} batches; with 3 at a time, 3 "
                "are enough."
            )
        return verdict

    return judge(lambda: answer(attack, images.clone(), targets.clone(), size), examine)


def _pretended_attack(images: Tensor, targets: Tensor) -> Tensor:
    """Change each picture in a way that depends on it and on its target alone."""
    return (images * 0.9 + 0.01 * targets.unsqueeze(1)).clamp(0, 1)


def follow_gradient(
    answer: Callable[[Callable[[Tensor], Tensor], Tensor, float, int], Any],
) -> Verdict:
    """Check a reader's gradient descent with a bfloat16 gradient and a float32 master copy.

    Parameters
    ----------
    answer : callable
        From a function that maps bfloat16 pixels to their bfloat16 gradient, float32 pixels
        (N, C, H, W), a step size and a number of steps to the float32 pixels after so many
        steps, clamped to [0, 1].

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.follow_gradient(lambda gradient_at, pixels, lr, steps: pixels)
    ✗ No pixel has moved.
    """
    start = normal(2, 3, 4, 4).sigmoid()
    aim = start + normal(2, 4, 3, 4).transpose(1, 2)
    lr, steps = 1e-3, 60
    given = start.clone()

    def gradient_at(pixels: Tensor) -> Tensor:
        if pixels.dtype != torch.bfloat16:
            raise TypeError(f"this network takes bfloat16 pixels, got {pixels.dtype}")
        return (pixels.detach() - aim.to(pixels)).to(torch.bfloat16)

    def descend(
        *,
        master: torch.dtype = torch.float32,
        sign: float = 1.0,
        stale: bool = False,
        clamp: bool = True,
    ) -> Tensor:
        pixels = start.to(master)
        for _ in range(steps):
            at = start if stale else pixels
            pixels = pixels - sign * lr * gradient_at(at.bfloat16()).to(master)
            pixels = pixels.clamp(0, 1) if clamp else pixels
        return pixels.float()

    right, tolerance = descend(), {True: 3e-4, False: 1e-7}  # a right one may round otherwise
    exercise = Exercise(
        right=right,
        praise="Right: the gradient may be coarse, the sum of the steps is not.",
        mistakes={
            "No pixel has moved.": start,
            "Your pixels are bfloat16 while they move, so that small steps vanish: keep them in "
            "float32 and round only what the network sees.": descend(master=torch.bfloat16),
            "The pixels were rounded to bfloat16 in the end; return the float32 ones.": (
                right.bfloat16().float()
            ),
            "Your pixels leave [0, 1]; clamp them after every step.": descend(clamp=False),
            "You climb; subtract the gradient.": descend(sign=-1.0),
            "You follow the gradient of the first step all the time; ask for a new one at every "
            "step.": descend(stale=True),
        },
        otherwise=lambda found: (
            f"After {steps} steps your pixels are up to {(found - right).abs().max():.2g} away "
            "from the right ones."
        ),
        same=lambda found, other: torch.allclose(found, other, atol=tolerance[other is right]),
    )

    def examine(value: Any) -> Verdict:
        if (form := misfit(value, start.shape)) is not None:
            return form
        verdict = exercise.examine(value)
        if verdict.sentence in exercise.mistakes:
            return verdict
        if value.dtype != torch.float32:
            return wrong(f"Return float32 pixels; yours are {value.dtype}.")
        if not torch.equal(given, start):
            return wrong("You changed the pixels you were given: work on a copy.")
        return verdict

    return judge(lambda: answer(gradient_at, given, lr, steps), examine)
