"""Numbers in the prose of pages, computed from recorded tables and suites as the book is built.

A page writes ``{number}`photos-class-lost```, which becomes "eleven". A number whose name is
unknown, or that its table does not yield, is refused.
"""

import math
import re
from collections.abc import Callable
from functools import partial

import pandas as pd

import explman_lite as el
from bookkit.recorded import lying, reports, robust
from bookkit.recorded.defense import HELD, PROJECTED, RELU, TRAINED, by_map, forged, gained
from bookkit.recorded.suites import ends, spread, succeeded
from bookkit.recorded.tables import recorded
from explman_lite.bench import SUITES
from explman_lite.explainers.registry import UNPROTECTED

ROLE = re.compile(r"\{number\}`([^`]+)`")
PAPERS_OUTPUT_CHANGE = 1e-3
"""The median change of the softmax that the paper reports."""

SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
WORDS = {**dict(enumerate(SMALL)), 11: "eleven", 12: "twelve", 20: "twenty", 30: "thirty"}


def finite(value: float) -> float:
    """Return a value that was measured, and refuse one that was not."""
    if not math.isfinite(value):
        raise ValueError("it was not measured")
    return value


def decimals(value: float, digits: int = 2) -> str:
    """Write a number with so many digits after its point."""
    return f"{finite(value):.{digits}f}"


def significant(value: float) -> str:
    """Write a number with its first digit only."""
    return f"{float(f'{finite(value):.0e}'):g}"


def percent(share: float) -> str:
    """Write a share as a whole number of hundredths."""
    return f"{100 * finite(share):.0f}"


def words(value: float) -> str:
    """Write a count in words if it is small or round."""
    return WORDS.get(round(finite(value)), str(round(value)))


def cat() -> pd.Series:
    """Return what a hundred steps made of the cat."""
    return recorded("cat_to_coffee").set_index("steps").loc[100]


def medians(suite: str, column: str) -> pd.Series:
    """Return a column's median for each method."""
    return recorded(suite).groupby("method")[column].median()


def of_method(suite: str, method: str, column: str) -> str:
    """Write median and quartiles of a column over a method's attacks."""
    table = recorded(suite)
    return spread(table[table.method == method][column])


def of_networks(suite: str, column: str) -> pd.Series:
    """Return a column's median for each network."""
    return recorded(suite).groupby("model")[column].median()


def gained_on(networks: str) -> pd.Series:
    """Return what is gained on the gradient of networks that pool by average, of each seed."""
    table = gained("masked-crops").query("settings == 'maximum' and method == @UNPROTECTED")
    return table[table.model.str.match(rf"{networks}-\d$")].groupby("model").gain.median()


def of_cost(method: str, column: str) -> float:
    """Return what a smoothed map of ``crops_vgg`` costs, in time or in accuracy."""
    return float(
        recorded("defense_cost").set_index(["model", "method"])[column]["crops_vgg", method]
    )


def explanations(method: str) -> float:
    """Return what a smoothed map costs, in gradient explanations of the same run."""
    return of_cost(method, "explanations")


def times_as_long(method: str) -> float:
    """Return how often a smoothed explanation could be had in the time of another."""
    return explanations(method) / explanations("BetaSmoothing(1)")


def of_step(model: str, what: str, *, by: str = "ours") -> float:
    """Return what something costs for the gradient, in explanations of the ReLU network."""
    table = recorded("step_cost").set_index(["model", "method", "by"])
    return float(table.loc[(model, "Gradient", by), what])


def of_live(settings: str) -> float:
    """Return a map's correlation with its target after a run of the live attack."""
    return float(recorded("live_example").set_index("settings").pcc_target[settings])


def photos(method: str) -> pd.DataFrame:
    """Return the attacks of a method on photographs."""
    table = recorded("photos")
    return table[table.method == method]


def successes(suite: str) -> pd.Series:
    """Return each method's share of attacks that succeed."""
    table = recorded(suite)
    return succeeded(table).groupby(table.method).mean()


def of_map(label: str, column: str) -> float:
    """Return a column's median over the audit's attacks on a map, such as "ReLU" or "β = 5"."""
    return float(by_map()[label][column].median())


def gains(*, at_least: float = 0, below: float = math.inf) -> list[float]:
    """Return what is gained on the maps that are smoothed by softplus of some β alone."""
    return [
        of_map(card.title, "gain")
        for card in el.DEFENSES.values()
        if card.family in {"softplus", "centred"} and at_least <= card.strength < below
    ]


def taken(label: str) -> float:
    """Return how much less is gained on a map than on ReLU's, of the same pairs."""
    rows, relu = by_map()[label], by_map()[RELU]
    return float((relu.gain.loc[rows.index] - rows.gain).median())


SQUARE = ("crops_vgg", "square", UNPROTECTED)
"""The network that shows a square in the maps of its gradient."""


def square(column: str) -> float:
    """Return a column's median over these maps."""
    return float(lying.maps_of(*SQUARE)[UNPROTECTED][column].median())


def average_trained() -> pd.DataFrame:
    """Return the attacks on the networks with softplus and average pooling."""
    table = recorded("masked-crops")
    return table[table.model.str.startswith("crops_vgg_softplus_average")]


def longer() -> pd.Series:
    """Return how much nearer four times the steps bring each of these networks' maps."""
    reached = average_trained().groupby(["settings", "model"]).pcc_target.median()
    return reached["longer"] - reached["maximum"]


def paper_steps() -> dict[str, int]:
    """Return how many steps a pair of the suite ``paper`` takes, by the name of the settings."""
    steps = {"paper": 0, "ours": 0}
    for case in SUITES["paper"].cases:
        ours = case.settings == "ours"
        settings = el.Settings() if ours else el.Settings.paper(case.method, case.model)
        steps[case.settings] += settings.steps
    return steps


NUMBERS: dict[str, Callable[[], str]] = {
    "cat-pcc": lambda: decimals(cat().pcc_target),
    "cat-picture-ssim": lambda: decimals(cat().image_ssim),
    "live": lambda: decimals(of_live("as it stands")),
    "live-second": lambda: decimals(of_live("second challenge")),
    "live-patient": lambda: decimals(of_live("with patience")),
    "live-maximum": lambda: decimals(of_live("pooling as it is")),
    "live-unknown": lambda: decimals(of_live("not known")),
    "robust-accuracy": lambda: decimals(100 * robust.networks().accuracy["crops_vgg_robust"], 1),
    "robust-accuracy-relu": lambda: decimals(100 * robust.networks().accuracy["crops_vgg"], 1),
    "robust-gain": lambda: decimals(robust.by_network()["crops_vgg_robust"].gain.median()),
    "robust-gain-relu": lambda: decimals(robust.by_network()["crops_vgg"].gain.median()),
    "step-explanations": lambda: decimals(of_step("efficientnet_lite0", "step"), digits=1),
    "step-explanations-by-pytorch": lambda: decimals(
        of_step("efficientnet_lite0", "step", by="plain PyTorch"), digits=0
    ),
    "step-explanations-relu": lambda: decimals(
        of_step("efficientnet_lite0", "step with ReLU"), digits=1
    ),
    "smoothed-explanations": lambda: decimals(of_step("efficientnet_lite0", "smoothed"), digits=1),
    "smoothed-explanations-by-pytorch": lambda: decimals(
        of_step("efficientnet_lite0", "smoothed", by="plain PyTorch"), digits=1
    ),
    "paper-steps-per-pair": lambda: str(sum(paper_steps().values())),
    "paper-steps-share": lambda: percent(paper_steps()["paper"] / sum(paper_steps().values())),
    # The suites of six methods.
    "digits-pcc-lowest": lambda: decimals(medians("digits", "pcc_target").min()),
    "digits-pcc-highest": lambda: decimals(medians("digits", "pcc_target").max()),
    "photos-pcc-lowest": lambda: decimals(medians("photos", "pcc_target").min()),
    "photos-pcc-highest": lambda: decimals(medians("photos", "pcc_target").max()),
    "photos-attacks": lambda: str(len(recorded("photos"))),
    "photos-class-lost": lambda: words((~recorded("photos").class_kept).sum()),
    "photos-output-change": lambda: significant(recorded("photos").output_change.median()),
    "photos-output-change-over-papers": lambda: words(
        float(significant(recorded("photos").output_change.median() / PAPERS_OUTPUT_CHANGE))
    ),
    **{
        f"{suite}-pcc-{when}": partial(lambda s, c: ends(medians(s, c)), suite, column)
        for suite in ("digits", "photos", "imagenet")
        for when, column in (("before", "pcc_target_unattacked"), ("after", "pcc_target"))
    },
    "digits-attacks": lambda: str(len(recorded("digits"))),
    "digits-output-change-millionths": lambda: significant(
        1e6 * recorded("digits").output_change.median()
    ),
    "imagenet-output-change": lambda: significant(recorded("imagenet").output_change.median()),
    "imagenet-gradient-ssim": lambda: of_method("imagenet", "Gradient", "ssim_target"),
    "imagenet-gradient-pcc": lambda: of_method("imagenet", "Gradient", "pcc_target"),
    "imagenet-gradient-picture": lambda: of_method("imagenet", "Gradient", "image_ssim"),
    "small-networks-ssim": lambda: ends(of_networks("architectures", "ssim_target")),
    "small-networks-pcc": lambda: ends(of_networks("architectures", "pcc_target")),
    "imagenet-attacks": lambda: str(len(recorded("imagenet"))),
    "imagenet-class-lost": lambda: words((~recorded("imagenet").class_kept).sum()),
    "imagenet-success-gradient": lambda: percent(successes("imagenet")["Gradient"]),
    "imagenet-success-lowest": lambda: percent(successes("imagenet").min()),
    "imagenet-success-highest": lambda: percent(successes("imagenet").max()),
    "photos-gradient-attacks": lambda: words(len(photos("Gradient"))),
    "photos-gradient-pcc": lambda: decimals(photos("Gradient").pcc_target.median()),
    "photos-gradient-pcc-lower": lambda: decimals(photos("Gradient").pcc_target.quantile(0.25)),
    "photos-gradient-pcc-upper": lambda: decimals(photos("Gradient").pcc_target.quantile(0.75)),
    "photos-gradient-class-lost": lambda: words((~photos("Gradient").class_kept).sum()),
    "photos-gradient-class-kept": lambda: percent(photos("Gradient").class_kept.mean()),
    "photos-china-attacks": lambda: words((photos("Gradient").source == "china").sum()),
    "digits-success-lowest": lambda: percent(successes("digits").min()),
    "digits-success-highest": lambda: percent(successes("digits").max()),
    "photos-success-lowest": lambda: percent(successes("photos").min()),
    "photos-success-highest": lambda: percent(successes("photos").max()),
    "photos-lrp-before": lambda: decimals(medians("photos", "pcc_target_unattacked")["LRP"]),
    "photos-lrp-kept": lambda: decimals(medians("photos", "pcc_original")["LRP"]),
    "photos-patterns-before": lambda: decimals(
        medians("photos", "pcc_target_unattacked")["PatternAttribution"]
    ),
    "photos-patterns-before-roughly": lambda: decimals(
        medians("photos", "pcc_target_unattacked")["PatternAttribution"], digits=1
    ),
    # The audit of the defences: what is gained on a map, such as "β = 5".
    "defense-forged": lambda: words(len(forged())),
    "defense-gain-relu": lambda: decimals(of_map(RELU, "gain")),
    "defense-gain-sharp-lowest": lambda: decimals(min(gains(at_least=5))),
    "defense-gain-soft-lowest": lambda: decimals(min(gains(below=5))),
    "defense-taken-five": lambda: decimals(taken("β = 5")),
    "defense-taken-one": lambda: decimals(taken("β = 1"), 1),
    "defense-reads-five": lambda: percent(of_cost("BetaSmoothing(5)", "accuracy")),
    "defense-gain-trained": lambda: decimals(of_map(TRAINED, "gain")),
    "defense-gain-known-noise": lambda: decimals(of_map("SmoothGrad, 10 samples, known", "gain")),
    "defense-gain-unseen-noise": lambda: decimals(of_map("SmoothGrad, 10 samples, unseen", "gain")),
    "defense-gain-projected": lambda: decimals(of_map(PROJECTED, "gain")),
    "defense-gain-held": lambda: decimals(of_map(HELD, "gain")),
    "defense-honest-projected": lambda: decimals(of_map(PROJECTED, "pcc_original")),
    "defense-honest-held": lambda: decimals(of_map(HELD, "pcc_original")),
    "defense-honest-relu": lambda: decimals(of_map(RELU, "pcc_original")),
    "defense-pcc-lowest": lambda: decimals(
        min(
            rows.pcc_target.median()
            for name, rows in by_map().items()
            if "unseen" not in name and name not in {PROJECTED, HELD}
        )
    ),
    # The network that lies.
    "lying-square": lambda: decimals(square("pcc_target")),
    "lying-square-before": lambda: decimals(square("pcc_target_before")),
    "lying-accuracy": lambda: decimals(100 * lying.answers().accuracy[SQUARE], 1),
    "lying-accuracy-before": lambda: decimals(100 * lying.answers().accuracy_before[SQUARE], 1),
    "masked-average-relu": lambda: ends(gained_on("crops_vgg_average")),
    "masked-average-softplus": lambda: ends(gained_on("crops_vgg_softplus_average")),
    "smoothed-time": lambda: decimals(explanations("BetaSmoothing(1)"), 1),
    "smoothgrad-time": lambda: decimals(explanations("SmoothGrad(10)"), 0),
    "smoothgrad-times": lambda: decimals(times_as_long("SmoothGrad(10)"), 0),
    "smoothgrad-times-fifty": lambda: decimals(times_as_long("SmoothGrad(50)"), 0),
    "smoothgrad-time-fifty": lambda: decimals(explanations("SmoothGrad(50)"), 0),
    "masked-longer": lambda: decimals(longer().max()),
    "masked-without-limit": lambda: decimals(
        average_trained().query("settings == 'no box'").groupby("model").pcc_target.median().min()
    ),
    # The sample reports of the teaching part.
    **{
        f"{report}-{name}": partial(reports.stated, report, name)
        for report, name in reports.names()
    },
}


def number(name: str) -> str:
    """Write the number of a name."""
    if name not in NUMBERS:
        raise ValueError(f"no number is called {name!r}; there are {', '.join(sorted(NUMBERS))}")
    try:
        return NUMBERS[name]()
    except (AttributeError, LookupError, OSError, ValueError) as error:
        raise ValueError(
            f"the recorded tables do not yield the number {name!r}: {error}"
        ) from error


def filled(text: str) -> str:
    """Write the numbers into a page's Markdown, for those who read it without Sphinx."""
    return ROLE.sub(lambda found: number(found[1]), text)
