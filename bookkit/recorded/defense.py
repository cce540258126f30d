"""What smoothed maps protect from, and what they cost, for the page on results."""

from collections.abc import Iterable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import explman_lite as el
from bookkit.recorded.suites import decimals, reached, spread, succeeded
from bookkit.recorded.tables import recorded
from explman_lite.bench import ERASED, bootstrap_interval, paired_difference
from explman_lite.bench.suites import PAPER_DEFENSE
from explman_lite.explainers.registry import UNPROTECTED
from explman_lite.figures import AFTER, BEFORE, THIRD

_CARDS = [*el.DEFENSES.values()]
# The sharpest first, beside the ReLU that it is nearest to.
_SHARPEST_FIRST = [card for card in reversed(_CARDS) if card.family in {"softplus", "centred"}]
NAMES = {
    card.name: card.title
    for card in sorted(
        [card for card in _CARDS if card not in _SHARPEST_FIRST] + _SHARPEST_FIRST,
        key=lambda card: ("none", "softplus", "centred", "noise", "both", "tangent").index(
            card.family
        ),
    )
}
RELU, TRAINED, HELD = NAMES[UNPROTECTED], "trained with softplus", "trained to hold"
PROJECTED = NAMES["Projected"]
_TRAINED = {"crops_vgg_softplus": TRAINED, "crops_vgg_robust": HELD}
"""Networks whose own gradient is shown."""


def gained(suite: str) -> pd.DataFrame:
    """Read a table, with what each attack gained."""
    table = recorded(suite)
    return table.assign(gain=table.pcc_target - table.pcc_target_unattacked)


def by_map() -> dict[str, pd.DataFrame]:
    """Group the audit's rows by the map that was attacked.

    Where a map is averaged over noise, the attacker knows the noise or does not.
    """
    rows = _by_case()
    groups = {}
    for method, title in NAMES.items():
        noisy = el.DEFENSES[method].family in {"noise", "both"}
        for settings, knows in (("adaptive", ", known"), ("unseen", ", unseen")):
            if ("crops_vgg", method, settings) in rows:
                groups[title + knows * noisy] = rows["crops_vgg", method, settings]
    return groups | {
        title: rows[model, UNPROTECTED, "adaptive"] for model, title in _TRAINED.items()
    }


def _by_case() -> dict[tuple[str, str, str], pd.DataFrame]:
    """Group the audit's rows by network, method and attack."""
    table = gained("defense").set_index("pair", drop=False)
    return dict(list(table.groupby(["model", "method", "settings"])))


def forged() -> pd.Index:
    """Return the pairs on which the attack of the ReLU map succeeds, as far as maps go."""
    rows = by_map()[RELU]
    return rows.index[reached(rows)]


def within(value: float, low: float, high: float) -> str:
    """Write a number and the ends of its interval, on one line."""
    return f"{decimals(value)}\u00a0({decimals(low)}\u00a0to\u00a0{decimals(high)})"


def median_within(rows: pd.DataFrame, column: str) -> str:
    """Write a median with its interval by photograph."""
    interval = bootstrap_interval(rows[column], *_photographs(rows))
    return within(rows[column].median(), *interval)


def difference_within(first: pd.DataFrame, second: pd.DataFrame, column: str) -> str:
    """Write the median difference of the same pairs, with its interval by photograph."""
    second = second.loc[first.index]
    found = paired_difference(first[column], second[column], *_photographs(first))
    return within(found.difference, *found.interval)


def _photographs(rows: pd.DataFrame) -> list[pd.Series]:
    """Return which photographs the pictures of each pair are of, or a single one twice."""
    if "photograph" in rows:
        return [rows.photograph, rows.photograph]
    pictures = (rows.source.astype(str), rows.target.astype(str))
    return [names.str.split().str[0] for names in pictures]


def protection() -> pd.DataFrame:
    """Tabulate how far the adaptive attack gets with each map."""
    groups, pairs = by_map(), forged()
    return pd.DataFrame(
        {
            "map": label,
            "before": f"{rows.pcc_target_unattacked.median():.2f}",
            "after": f"{rows.pcc_target.median():.2f}",
            "gain": median_within(rows, "gain"),
            "gain less the ReLU map's": (
                "–" if label == RELU else difference_within(rows, groups[RELU], "gain")
            ),
            "reached": f"{reached(rows.loc[pairs]).mean():.0%}",
            "class kept": f"{rows.class_kept.mean():.0%}",
        }
        for label, rows in groups.items()
    )


def honest() -> pd.DataFrame:
    """Tabulate what is left of the honest map, after the attack and after noise."""
    return pd.DataFrame(
        {
            "map": label,
            "after the attack (PCC)": spread(rows.pcc_original),
            "after noise of its spectrum": spread(rows.pcc_original_spectrum),
            "after white noise": spread(rows.pcc_original_noise),
        }
        for label, rows in by_map().items()
    )


def price() -> pd.DataFrame:
    """Tabulate what a smoothed map costs: accuracy, time, likeness and faithfulness."""
    costs = recorded("defense_cost").set_index(["model", "method"])
    return pd.DataFrame(
        {
            "map": label,
            "its network reads": f"{costs.accuracy[key]:.0%}",
            "gradient explanations": f"{costs.explanations[key]:.1f}",
            "with its network's ReLU map (PCC)": spread(rows.pcc_gradient),
            "top tenth in common": f"{rows.top_k_gradient.median():.2f}",
        }
        for label, rows in by_map().items()
        for key in [(rows.model.iloc[0], rows.method.iloc[0])]
    )


def faithful() -> pd.DataFrame:
    """Tabulate pixel flipping: how soon the class is lost in the order of each map."""
    return pd.DataFrame(
        {
            "map": label,
            **{f"to {kind}": f"{rows[f'flipping_{kind}'].median():.2f}" for kind in ERASED},
            **{
                f"at random, to {kind}": f"{rows[f'flipping_random_{kind}'].median():.2f}"
                for kind in ERASED
            },
        }
        for label, rows in by_map().items()
    )


def transfer() -> pd.DataFrame:
    """Tabulate which forgeries pass from map to map: medians of the gain."""
    return pd.DataFrame(
        {
            "map": label,
            "forged for it": f"{rows.pcc_target.median():.2f}",
            "forged for ReLU, seen in it": f"{rows.pcc_target_transferred.median():.2f}",
            "forged for it, seen in ReLU": f"{rows.pcc_target_gradient.median():.2f}",
            "before": f"{rows.pcc_target_unattacked.median():.2f}",
        }
        for label, rows in by_map().items()
    )


def settings() -> pd.DataFrame:
    """Tabulate the paper's small equal steps beside ours, on the plain and on a smoothed map."""
    cases = _by_case()
    return pd.DataFrame(
        {
            "attack": label,
            "map": NAMES[method],
            "gain": median_within(rows, "gain"),
            "honest map: after (PCC)": spread(rows.pcc_original),
            "picture (SSIM)": f"{rows.image_ssim.median():.2f}",
            "largest change (grey levels)": f"{255 * rows.image_linf.median():.1f}",
        }
        for name, label in (("paper", "500 equal steps, as the paper"), ("adaptive", "ours"))
        for method in (UNPROTECTED, PAPER_DEFENSE)
        for rows in [cases["crops_vgg", method, name]]
    )


def step_sizes() -> pd.DataFrame:
    """Tabulate what each step size gains with each map, on pairs that the audit does not use."""
    gains = gained("step-sizes").pivot_table(
        index=["model", "method"], columns="settings", values="gain", aggfunc="median", sort=False
    )
    names = [_TRAINED.get(model, NAMES[method]) for model, method in gains.index.to_list()]
    shown = gains.map("{:.2f}".format)
    shown.insert(0, "map", names)
    return shown.reset_index(drop=True)


def over_beta() -> Figure:
    """Draw what the attack gains, and what the smoothed network still reads, for each β."""
    groups = by_map()
    accuracies = recorded("defense_cost").set_index(["model", "method"]).accuracy
    figure, (gain, accuracy) = plt.subplots(2, 1, figsize=(5.2, 6), sharex=True)
    for family, label, colour, style in (
        ("softplus", "softplus", AFTER, "o-"),
        ("centred", "centred softplus", BEFORE, "s--"),
    ):
        cards = [card for card in _CARDS if card.family == family]
        betas = [card.strength for card in cards]
        rows = [groups[card.title] for card in cards]
        ends = np.array([bootstrap_interval(r.gain, *_photographs(r)) for r in rows])
        gain.fill_between(betas, *ends.T, color=colour, alpha=0.15, linewidth=0)
        gain.plot(betas, [r.gain.median() for r in rows], style, color=colour, label=label)
        read = [accuracies["crops_vgg", card.name] for card in cards]
        accuracy.plot(betas, read, style, color=colour)
    for name, model, label, colour, style in (
        (RELU, "crops_vgg", "ReLU", "0.35", ":"),
        (TRAINED, "crops_vgg_softplus", "trained with it (β = 1)", THIRD, "-."),
    ):
        gain.axhline(groups[name].gain.median(), color=colour, linestyle=style, label=label)
        accuracy.axhline(accuracies[model, UNPROTECTED], color=colour, linestyle=style)
    gain.set(ylabel="gain towards the target (PCC)", ylim=(0, None))
    gain.legend()
    accuracy.set(ylabel="crops read correctly", ylim=(0, 1), xlabel="β", xscale="log")
    ticks = sorted({card.strength for card in _CARDS if card.family in {"softplus", "centred"}})
    accuracy.set_xticks(ticks, [f"{beta:g}" for beta in ticks])
    accuracy.minorticks_off()
    return figure


_BUDGET_MAPS = {
    ("crops_vgg", UNPROTECTED): RELU,
    ("crops_vgg", "BetaSmoothing(1)"): "β = 1",
    ("crops_vgg_softplus", UNPROTECTED): TRAINED,
}


def _budgets() -> Iterable[tuple[str, pd.DataFrame]]:
    table = recorded("budgets")
    for (model, method), label in _BUDGET_MAPS.items():
        yield label, table[(table.model == model) & (table.method == method)]


def budgets() -> Figure:
    """Draw how far an attack gets with more grey levels, and with more steps."""
    figure, axes = plt.subplots(2, 1, figsize=(5.2, 6))
    styles = [("0.35", "o:"), (AFTER, "s-"), (THIRD, "^-.")]
    for (label, rows), (colour, style) in zip(_budgets(), styles, strict=True):
        for ax, unit in zip(axes, ("levels", "steps"), strict=True):
            some = rows[rows.settings.str.endswith(f" {unit}")]
            amount = some.settings.str.split().str[0].astype(int)
            quartiles = some.groupby(amount).pcc_target.quantile([0.25, 0.5, 0.75]).unstack()
            ax.plot(quartiles.index, quartiles[0.5], style, color=colour, label=label)
            ax.fill_between(
                quartiles.index, quartiles[0.25], quartiles[0.75], color=colour, alpha=0.12
            )
            ax.set_xscale("log", base=2)
            ax.set_xticks(quartiles.index, [str(a) for a in quartiles.index])
    for ax, label in zip(axes, ("grey levels (100 steps)", "steps (8 grey levels)"), strict=True):
        ax.set(xlabel=label, ylabel="map against target (PCC)", ylim=(0, 1))
    axes[0].legend()
    return figure


def ends() -> pd.DataFrame:
    """Tabulate the attacker who has everything, and the one who has nothing but luck."""
    return pd.DataFrame(
        {
            "map": label,
            "before": f"{chosen['8 levels'].pcc_target_unattacked.median():.2f}",
            "100 random pictures": spread(chosen["random search"].pcc_target),
            "8 grey levels, 100 steps": spread(chosen["8 levels"].pcc_target),
            "no limit, 400 steps": spread(chosen["no box"].pcc_target),
            "class kept": f"{chosen['no box'].class_kept.mean():.0%}",
        }
        for label, rows in _budgets()
        for chosen in [dict(list(rows.groupby("settings")))]
    )


_KINDS = {
    "crops_vgg_average": "VGG, average pooling",
    "crops_vgg_softplus": "VGG, trained with softplus",
    "crops_vgg_softplus_average": "VGG, trained with softplus, average pooling",
    "crops_vgg": "VGG",
    "crops_alexnet": "AlexNet",
    "digits_vgg": "VGG",
}


def masked(suite: str) -> pd.DataFrame:
    """Tabulate what the same attack gains with the maximum as it is, and with it rounded off.

    A cell holds what the networks of several seeds come to, in order.
    """
    table = gained(suite)
    table = table.assign(kind=table.model.str.replace(r"-\d$", "", regex=True).map(_KINDS))
    accuracy = recorded("masked-networks").set_index("model").accuracy
    lines = []
    for (kind, method), rows in table.groupby(["kind", "method"], sort=False):
        models = rows.model.unique()
        medians = rows.groupby(["settings", "model"])[["gain", "pcc_original"]].median()
        usual = "rounded" if "rounded" in medians.index else "maximum"
        lines.append(
            {
                "network": kind,
                "map": "gradient" if method == UNPROTECTED else NAMES[method],
                "reads": listed(accuracy[models], "{:.0%}"),
                **{
                    label: listed(medians.gain[name]) if name in medians.index else "–"
                    for name, label in (("maximum", "maximum"), ("rounded", "rounded off"))
                },
                "honest map": listed(medians.pcc_original[usual]),
            }
        )
    return pd.DataFrame(lines)


def listed(values: pd.Series, form: str = "{:.2f}") -> str:
    """Write several numbers on one line."""
    return ",\u00a0".join(map(form.format, values))


def architectures() -> pd.DataFrame:
    """Tabulate the attack on the gradient of small networks of the paper's families."""
    table = recorded("architectures")
    lines = []
    for model, rows in table.groupby("model", sort=False):
        won = succeeded(rows)
        interval = bootstrap_interval(won, *_photographs(rows), statistic="mean")
        lines.append(
            {
                "network": f"`{model}`",
                "map and target (SSIM)": spread(rows.ssim_target),
                "map and target (PCC)": spread(rows.pcc_target),
                "before": f"{rows.pcc_target_unattacked.median():.2f}",
                "picture (SSIM)": spread(rows.image_ssim),
                "class kept": f"{rows.class_kept.mean():.0%}",
                "success": f"{won.mean():.0%} ({interval.low:.0%} to {interval.high:.0%})",
            }
        )
    return pd.DataFrame(lines)
