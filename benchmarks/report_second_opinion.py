"""Record the numbers of the two sample reports on "A second opinion", and draw their figure.

python benchmarks/report_second_opinion.py

It takes less than twenty seconds on one core. What the other two sample reports use as well is
here, too.
"""

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from detectors import explained, forged, predicted
from scipy.stats import binomtest
from torch import Tensor

import explman_lite as el
from explman_lite.bench import bootstrap_interval
from explman_lite.bench.suites import within
from explman_lite.faithfulness import pixel_flipping

ROOT = Path(__file__).resolve().parents[1]
GRADIENT, LRP = el.Gradient(), el.LRP()
METHODS = {"gradient": GRADIENT, "times": el.GradientTimesInput(), "lrp": LRP}
EPSILON, STEPS = 0.1, 30
PAIRS, TUNED_ON = 16, 8
SIZE, LEVELS = 64, 0.03


class Numbers(dict[str, tuple[float, float, float, int]]):
    """What a report states, by name: a value, the ends of its interval, decimals to show."""

    def state(self, name: str, value: float, digits: int = 2) -> None:
        """State a number without an interval, such as a count."""
        self[name] = (float(value), np.nan, np.nan, digits)

    def counts(self, **counts: float) -> None:
        """State how many of each there were."""
        for name, count in counts.items():
            self.state(name, count, 0)

    def median(self, name: str, values: Tensor, level: float = 0.95) -> None:
        """State a median over pairs that share no picture, with its bootstrap interval."""
        pairs = range(len(values))
        ends = bootstrap_interval(values.tolist(), pairs, pairs, level=level)
        self[name] = (values.median().item(), *ends, 2)

    def share(self, name: str, hits: Tensor) -> None:
        """State how many of all in hundredths, with the exact interval of Clopper and Pearson."""
        ends = binomtest(int(hits.sum()), len(hits)).proportion_ci()
        self[name] = (100 * hits.double().mean().item(), 100 * ends.low, 100 * ends.high, 0)

    def table(self) -> pd.DataFrame:
        """Return a row for each number."""
        rows = pd.DataFrame.from_dict(self, "index", columns=["value", "low", "high", "digits"])
        return rows.round(4).rename_axis("name").reset_index()

    def save(self, report: str, script: str) -> None:
        """Record them in ``results/``."""
        path = ROOT / "results" / f"report-{report}.csv"
        el.results.save_table(path, self.table(), command=f"python benchmarks/{script}.py")
        print(self.table().to_string(index=False))


def digits(count: int, first: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return digits to forge, digits whose maps are wanted, and third ones; none occurs twice."""
    images = el.load_digits("test")[0]
    return tuple(images[start : start + count] for start in (first, 120 + first, 240 + first))


def gain(after: Tensor, before: Tensor, target: Tensor) -> Tensor:
    """Return how much nearer maps come to their targets: the correlation after minus before."""
    return el.metrics.pcc(after, target) - el.metrics.pcc(before, target)


def flipped(
    network: el.Network, images: Tensor, maps: Tensor, classes: Tensor, **settings: str
) -> Tensor:
    """Return the median over pictures of the mean probability while pixels are erased."""
    curve = pixel_flipping(network, images, maps, classes, steps=10, **settings)
    return curve.mean(dim=1).median()


def disagreement(maps: Mapping[str, Tensor]) -> Tensor:
    """Return group A's detector: one minus the correlation of the gradient's map with LRP's."""
    return 1 - el.metrics.pcc(maps["gradient"], maps["lrp"])


def best_threshold(honest: Tensor, lied: Tensor) -> float:
    """Return the threshold between scores with the fewest errors, of both kinds alike."""
    scores = torch.cat([honest, lied]).sort().values
    middles = (scores[1:] + scores[:-1]) / 2
    errors = [
        (honest > middle).double().mean() + (lied <= middle).double().mean() for middle in middles
    ]
    return middles[int(torch.stack(errors).argmin())].item()


def group_a(numbers: Numbers) -> dict[str, Tensor]:
    """Forge for each method, see with each; test a detector on pairs it was not tuned on."""
    network, settings = el.load_model("digits_vgg"), within(EPSILON, STEPS)
    images, others, third = digits(PAIRS)
    classes = predicted(network, images)

    def see(pictures: Tensor, own: Tensor) -> dict[str, Tensor]:
        return {name: explained(method, network, pictures, own) for name, method in METHODS.items()}

    wanted = see(others, predicted(network, others))
    strange = see(third, predicted(network, third))
    honest = see(images, classes)
    for viewer in METHODS:
        numbers.median(f"before-{viewer}", el.metrics.pcc(honest[viewer], wanted[viewer]))
    forgeries = {
        name: forged(network, images, classes, {method: wanted[name]}, settings)
        for name, method in METHODS.items()
    }
    seeds = list(range(PAIRS))
    noised = el.controls.same_spectrum(images, forgeries["gradient"], seeds)
    seen = {name: see(changed, classes) for name, changed in forgeries.items()}
    seen["noise"] = see(noised, classes)
    for name, maps in seen.items():
        for viewer in METHODS:
            numbers.median(f"{name}-{viewer}", gain(maps[viewer], honest[viewer], wanted[viewer]))
    for viewer in METHODS:
        gained = gain(seen["gradient"][viewer], honest[viewer], strange[viewer])
        numbers.median(f"third-{viewer}", gained)

    tuned, tested = slice(TUNED_ON), slice(TUNED_ON, None)
    scores = {"honest": disagreement(honest)}
    scores |= {name: disagreement(maps) for name, maps in seen.items()}
    innocent = torch.cat([scores["honest"][tuned], scores["noise"][tuned]])
    threshold = best_threshold(innocent, scores["gradient"][tuned])
    numbers.state("threshold", threshold)
    numbers.counts(pairs=PAIRS, tuned=TUNED_ON, tested=PAIRS - TUNED_ON)
    both = {METHODS[name]: wanted[name][tested] for name in ("gradient", "lrp")}
    aware = forged(network, images[tested], classes[tested], both, settings)
    maps = see(aware, classes[tested])
    numbers.share("found", scores["gradient"][tested] > threshold)
    numbers.share("alarm-honest", scores["honest"][tested] > threshold)
    numbers.share("alarm-noise", scores["noise"][tested] > threshold)
    numbers.share("found-aware", disagreement(maps) > threshold)
    gained = gain(maps["gradient"], honest["gradient"][tested], wanted["gradient"][tested])
    numbers.median("aware-gradient", gained)
    kept = [predicted(network, changed) == classes for changed in forgeries.values()]
    numbers.state("class-lost", (~torch.cat(kept)).sum(), 0)
    return scores


def group_b(numbers: Numbers, scores: Mapping[str, Tensor]) -> list[Tensor]:
    """Forge one photograph; tune and test a detector on the same digits. As one should not."""
    network = el.load_model("efficientnet_lite0")
    cat, cup = (el.load_photo(name, size=SIZE) for name in ("chelsea", "coffee"))
    cat_class, cup_class = predicted(network, cat), predicted(network, cup)
    target = explained(GRADIENT, network, cup, cup_class)
    means = {"epsilon": LEVELS, "lr": LEVELS / 4, "steps": 60, "progress": False}
    result = el.manipulate(network, cat, target, GRADIENT, **means)
    by_lrp = [
        explained(LRP, network, *case)
        for case in ((cat, cat_class), (cup, cup_class), (result.images, cat_class))
    ]
    noise = el.controls.same_spectrum(cat, result.images, [0])
    numbers.state("b-gradient", el.metrics.pcc(result.maps, target))
    numbers.state("b-gradient-before", el.metrics.pcc(result.original_maps, target))
    numbers.state("b-lrp", el.metrics.pcc(by_lrp[2], by_lrp[1]))
    numbers.state("b-lrp-before", el.metrics.pcc(by_lrp[0], by_lrp[1]))
    numbers.state(
        "b-lrp-noise", el.metrics.pcc(explained(LRP, network, noise, cat_class), by_lrp[1])
    )
    for name, picture in (("before", cat), ("after", result.images)):
        sure = network(picture).softmax(dim=1)[0, cat_class]
        numbers.state(f"b-sure-{name}", 100 * sure.item(), 0)
    honest, lied, noised = (scores[name][:TUNED_ON] for name in ("honest", "gradient", "noise"))
    threshold = best_threshold(honest, lied)
    numbers.state("b-right", (honest <= threshold).sum() + (lied > threshold).sum(), 0)
    numbers.state("b-judged", 2 * TUNED_ON, 0)
    numbers.state("b-alarm-noise", (noised > threshold).sum(), 0)
    maps = [result.original_maps, result.maps, target, by_lrp[0], by_lrp[2], by_lrp[1]]
    return [shown[0].detach() for shown in maps]


def draw(maps: list[Tensor]) -> None:
    """Draw group B's figure: each map in colours that are scaled to itself."""
    figure, axes = plt.subplots(2, 3, figsize=(5.2, 3.7))
    titles = ("honest", "forged", "the cup's") * 2
    for ax, shown, title in zip(axes.flat, maps, titles, strict=True):
        ax.imshow(shown, cmap=el.figures.MAP_COLOURS, vmin=0, vmax=shown.max())
        ax.set(title=title, xticks=[], yticks=[])
    axes[0, 0].set_ylabel("gradient")
    axes[1, 0].set_ylabel("LRP")
    folder = ROOT / "book" / "_static" / "reports"
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / "second_opinion.png", dpi=160, facecolor="white", bbox_inches="tight")


def measure(numbers: Numbers) -> list[Tensor]:
    """State the numbers of both reports; return the maps of group B's figure."""
    return group_b(numbers, group_a(numbers))


if __name__ == "__main__":
    stated = Numbers()
    draw(measure(stated))
    stated.save("opinion", "report_second_opinion")
