"""Record the numbers of the two sample reports on "Whom does smoothing protect?".

python benchmarks/report_smoothing.py

It takes less than twenty seconds on one core.
"""

from functools import partial

import torch
from detectors import explained, predicted
from report_second_opinion import Numbers, digits, flipped, gain
from torch import Tensor

import explman_lite as el

EPSILON, LARGER, BETA, STEPS = 0.1, 0.3, 2.0, 20
TUNED_ON, PAIRS = 3, 10
SHARES = (1 / 8, 1 / 2)
"""Step sizes that were tried, as shares of ε."""
METHODS = {"gradient": el.Gradient(), "lrp": el.LRP()}
KINDS = {"relu": lambda method: method, "beta": partial(el.BetaSmoothing, beta=BETA)}
MAPS = {
    f"{name}-{kind}": wrap(method)
    for name, method in METHODS.items()
    for kind, wrap in KINDS.items()
}
FAILED = 0.1
"""A search that gains less counts as failed."""
CONTROL = 0.01


def attack(
    shown: el.Explainer, images: Tensor, others: Tensor, epsilon: float, share: float
) -> tuple[el.Manipulation, Tensor]:
    """Attack the map that is shown; return the result, and each pair's gain."""
    network = el.load_model("digits_vgg")
    target = explained(shown, network, others, predicted(network, others))
    means = {"steps": STEPS, "epsilon": epsilon, "lr": share * epsilon, "progress": False}
    result = el.manipulate(network, images, target, shown, **means)
    return result, gain(result.maps, result.original_maps, target)


def group_c(numbers: Numbers) -> dict[str, el.Manipulation]:
    """Attack each map with the step size that suits it, and look at what else there is to see."""
    network = el.load_model("digits_vgg")
    images, others, _ = digits(PAIRS)
    classes = predicted(network, images)
    numbers.counts(beta=BETA, steps=STEPS, pairs=PAIRS, tuned=TUNED_ON)
    results, gains = {}, {}
    for name, shown in MAPS.items():
        tuning = digits(TUNED_ON, first=60)[:2]
        tried = {share: attack(shown, *tuning, EPSILON, share)[1].median() for share in SHARES}
        share = max(tried, key=tried.get)
        numbers.state(f"step-{name}", share * EPSILON, 3)
        results[name], gains[name] = attack(shown, images, others, EPSILON, share)
        result, target = results[name], results[name].target_maps
        numbers.state(f"before-{name}", el.metrics.pcc(result.original_maps, target).median())
        numbers.median(f"gain-{name}", gains[name])
        numbers.state(f"failed-{name}", ((gains[name] < FAILED) | ~result.class_kept).sum(), 0)
        larger = attack(shown, images, others, LARGER, share)[1]
        numbers.state(f"larger-{name}", larger.median())
        noised = el.controls.same_spectrum(images, result.images, list(range(PAIRS)))
        noise = gain(explained(shown, network, noised, classes), result.original_maps, target)
        numbers.state(f"noise-{name}", noise.median())
        shuffled = gain(result.maps, result.original_maps, target.roll(1, dims=0))
        numbers.state(f"shuffled-{name}", shuffled.median())
        for erased in ("mean", "grey"):
            flips = flipped(network, images, result.original_maps, classes, erased_to=erased)
            numbers.state(f"{erased}-{name}", flips)
    orders = {
        "random": torch.rand(PAIRS, *images.shape[2:], generator=torch.Generator().manual_seed(0)),
        "constant": torch.ones(PAIRS, *images.shape[2:]),
    }
    for order, maps in orders.items():
        for erased in ("mean", "grey"):
            flips = flipped(network, images, maps, classes, erased_to=erased)
            numbers.state(f"{erased}-{order}", flips)
    # Three comparisons, so each interval is wider.
    protection = {name: gains[f"{name}-relu"] - gains[f"{name}-beta"] for name in METHODS}
    for name, difference in protection.items():
        numbers.median(f"protects-{name}", difference, level=1 - 0.05 / 3)
    numbers.median("protects-more", protection["lrp"] - protection["gradient"], level=1 - 0.05 / 3)
    pictures, labels = el.load_digits("test")
    for kind, read in (("relu", network), ("beta", el.smoothed(network, BETA))):
        numbers.state(
            f"accuracy-{kind}", 100 * (predicted(read, pictures) == labels).float().mean(), 0
        )
    return results


def group_d(numbers: Numbers, results: dict[str, el.Manipulation]) -> None:
    """Look at forgeries of the ReLU map in the smoothed one; show the best. As one should not."""
    network, seen = el.load_model("digits_vgg"), {}
    for name in METHODS:
        relu, smooth = results[f"{name}-relu"], MAPS[f"{name}-beta"]
        maps = explained(smooth, network, relu.images, relu.classes)
        seen[name] = el.metrics.pcc(maps, results[f"{name}-beta"].target_maps)
    best = int(seen["gradient"].argmin())
    first = results["gradient-relu"]
    for name in METHODS:
        relu, smooth = results[f"{name}-relu"], results[f"{name}-beta"]
        numbers.state(f"d-relu-{name}", el.metrics.pcc(relu.maps, relu.target_maps)[best])
        numbers.state(f"d-beta-{name}", seen[name][best])
        numbers.state(f"d-all-{name}", seen[name].median())
        numbers.state(
            f"d-before-{name}", el.metrics.pcc(smooth.original_maps, smooth.target_maps)[best]
        )
    picture, generator = first.original_images[[best]], torch.Generator().manual_seed(0)
    noise = CONTROL * (2 * torch.rand(picture.shape, generator=generator) - 1)
    noised = (picture + noise).clamp(0, 1)
    still = el.metrics.pcc(
        explained(el.Gradient(), network, noised, first.classes[[best]]),
        first.original_maps[[best]],
    )
    numbers.state("d-noise", still)
    shorter = (first.images[[best]] - picture).norm() / (noised - picture).norm()
    numbers.state("d-shorter", shorter, 0)


def measure(numbers: Numbers) -> None:
    """State the numbers of both reports."""
    group_d(numbers, group_c(numbers))


if __name__ == "__main__":
    stated = Numbers()
    measure(stated)
    stated.save("smoothing", "report_smoothing")
