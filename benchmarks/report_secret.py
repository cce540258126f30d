"""Record the numbers of the two sample reports on "The attacker of a secret".

python benchmarks/report_secret.py

It takes less than twenty seconds on one core.
"""

import torch
from detectors import explained, predicted
from report_second_opinion import Numbers, digits, flipped, gain
from torch import Tensor

import explman_lite as el

EPSILON, SAMPLES, STEPS, PAIRS = 0.1, 5, 16, 6
NOISE, SMALL = 0.1, 0.01
JUDGES = range(1000, 1005)
"""Seeds of the judges; an attacker who knows the noise has seed 0, the others count from 2⁴⁰."""
ATTACKS = {
    # its noise, samples of fresh noise at every step or None for the known ones, steps
    "known": (NOISE, None, STEPS),
    "fresh-one": (NOISE, 1, STEPS),
    "fresh-five": (NOISE, SAMPLES, STEPS),
    "fresh-longer": (NOISE, SAMPLES, 2 * STEPS),
    "small": (SMALL, SAMPLES, STEPS),
}
OF_F = 10


def smooth(noise: float, seed: int = 0) -> el.SmoothGrad:
    return el.SmoothGrad(samples=SAMPLES, noise=noise, seed=seed)


def judged(noise: float, pictures: Tensor, classes: Tensor, seeds: range = JUDGES) -> Tensor:
    """Return the maps that judges see, (judges, N, H, W)."""
    network = el.load_model("digits_vgg")
    return torch.stack(
        [explained(smooth(noise, seed), network, pictures, classes) for seed in seeds]
    )


def likeness(maps: Tensor, target: Tensor) -> Tensor:
    """Return the correlations of maps (judges, N, H, W) with targets, (judges, N)."""
    return torch.stack([el.metrics.pcc(seen, target) for seen in maps])


def attack(name: str, images: Tensor, target: Tensor) -> el.Manipulation:
    noise, fresh, steps = ATTACKS[name]
    return el.manipulate(
        el.load_model("digits_vgg"), images, target, smooth(noise), steps=steps, epsilon=EPSILON,
        lr=EPSILON / 2, fresh_noise=fresh, progress=False,
    )  # fmt: skip


def group_e(numbers: Numbers) -> tuple[dict[str, el.Manipulation], Tensor]:
    """Attack with more and more explanations; judge under noise that no attacker has drawn."""
    network = el.load_model("digits_vgg")
    images, others, third = digits(PAIRS)
    classes, their, thirds = (predicted(network, some) for some in (images, others, third))
    honest = {noise: judged(noise, images, classes) for noise in (NOISE, SMALL)}
    target = {noise: judged(noise, others, their).mean(dim=0) for noise in honest}
    numbers.counts(pairs=PAIRS, judges=len(JUDGES), samples=SAMPLES, steps=STEPS)
    numbers.counts(shown=OF_F)
    results = {}
    for name, (noise, fresh, steps) in ATTACKS.items():
        results[name] = result = attack(name, images, target[noise])
        before = likeness(honest[noise], target[noise])
        gained = likeness(judged(noise, result.images, classes), target[noise]) - before
        numbers.state(f"budget-{name}", (fresh or SAMPLES) * steps, 0)
        numbers.median(f"gain-{name}", gained.median(dim=0).values)
        numbers.state(f"judges-{name}", gained.std(dim=0).median())
        if name == "known":
            numbers.median("gain-own", gain(result.maps, result.original_maps, target[noise]))
        if name == "fresh-longer":
            noised = el.controls.same_spectrum(images, result.images, list(range(PAIRS)))
            seen = judged(noise, noised, classes)
            numbers.median(
                "gain-noise", (likeness(seen, target[noise]) - before).median(dim=0).values
            )
            strange = judged(noise, third, thirds).mean(dim=0)
            turned = likeness(judged(noise, result.images, classes), strange)
            turned = turned - likeness(honest[noise], strange)
            numbers.median("gain-third", turned.median(dim=0).values)
    numbers.state("before", likeness(honest[NOISE], target[NOISE]).median())
    gradient = explained(el.Gradient(), network, others, their)
    means = {"steps": STEPS, "epsilon": EPSILON, "lr": EPSILON / 2, "progress": False}
    plain = el.manipulate(network, images, gradient, el.Gradient(), **means)
    numbers.median("gain-none", gain(plain.maps, plain.original_maps, gradient))
    for label, noise in (("noise", NOISE), ("small", SMALL)):
        alike = [
            el.metrics.pcc(first, second)
            for at, first in enumerate(honest[noise])
            for second in honest[noise][at + 1 :]
        ]
        numbers.median(f"stable-{label}", torch.stack(alike).median(dim=0).values)
        numbers.state(f"flipping-{label}", flipped(network, images, honest[noise][0], classes))
    order = torch.rand(PAIRS, *images.shape[2:], generator=torch.Generator().manual_seed(0))
    for label, maps in (
        ("none", plain.original_maps),
        ("random", order),
        ("constant", torch.ones_like(order)),
    ):
        numbers.state(f"flipping-{label}", flipped(network, images, maps, classes))
    return results, target[NOISE]


def group_f(numbers: Numbers, results: dict[str, el.Manipulation], target: Tensor) -> None:
    """Show one forgery to ten judges, and report the one who sees most. As one should not."""
    known, fresh = results["known"], results["fresh-one"]
    judges = range(OF_F)  # the first is the attacker's own
    seen, before, by_fresh = (
        likeness(judged(NOISE, pictures, known.classes, judges), target)[:, 0]
        for pictures in (known.images, known.original_images, fresh.images)
    )
    best = int(seen.argmax())
    numbers.state("f-judge", best, 0)
    numbers.state("f-seen", seen[best])
    numbers.state("f-before", before[best])
    numbers.state("f-fresh", by_fresh[best])
    numbers.state("f-others", seen[1:].median())


def measure(numbers: Numbers) -> None:
    """State the numbers of both reports."""
    group_f(numbers, *group_e(numbers))


if __name__ == "__main__":
    stated = Numbers()
    measure(stated)
    stated.save("secret", "report_secret")
