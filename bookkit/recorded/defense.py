"""What β-smoothing and SmoothGrad protect from, and what they cost, for the page on results."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import explman_lite as el
from bookkit.recorded.suites import spread
from bookkit.recorded.tables import recorded
from explman_lite.figures import AFTER, BEFORE, THIRD

_CARDS = [*el.DEFENSES.values()]
# The sharpest first, beside the ReLU that it is nearest to.
_SHARPEST_FIRST = [card for card in reversed(_CARDS) if card.family == "softplus"]
NAMES = {
    card.name: card.title
    for card in [
        *(card for card in _CARDS if card.family == "none"),
        *_SHARPEST_FIRST,
        *(card for card in _CARDS if card.family == "noise"),
    ]
}


def by_defense(suite: str, settings: str = "adaptive") -> dict[str, pd.DataFrame]:
    """Group a suite's rows by the map that was attacked, with what the attack gained."""
    table = recorded(suite)
    rows = table[table.settings == settings].assign(
        gain=lambda t: t.pcc_target - t.pcc_target_unattacked
    )
    return {
        label: rows[rows.method == method]
        for method, label in NAMES.items()
        if (rows.method == method).any()
    }


def protection(suite: str) -> pd.DataFrame:
    """Tabulate how far the adaptive attack gets with each map.

    Noise with the spectrum of the attack's perturbation is shown where it was recorded.
    """
    noises = {"the same, by noise": "pcc_original_noise"}
    if "pcc_original_spectrum" in recorded(suite):
        noises["by noise of its spectrum"] = "pcc_original_spectrum"
    return pd.DataFrame(
        {
            "map": label,
            "n": len(rows),
            "target: before": f"{rows.pcc_target_unattacked.median():.2f}",
            "target: after (PCC)": spread(rows.pcc_target),
            "gain": spread(rows.gain),
            "honest map: after (PCC)": spread(rows.pcc_original),
            **{title: f"{rows[column].median():.2f}" for title, column in noises.items()},
            "picture (SSIM)": f"{rows.image_ssim.median():.2f}",
            "class kept": f"{rows.class_kept.mean():.0%}",
        }
        for label, rows in by_defense(suite).items()
    )


def price(suite: str) -> pd.DataFrame:
    """Tabulate what a smoothed map costs, in time and in faithfulness."""
    groups = by_defense(suite)
    model = groups["ReLU"].model.iloc[0]
    costs = recorded("defense_cost").set_index(["model", "method"]).explanations[model]
    return pd.DataFrame(
        {
            "map": label,
            "gradient explanations": f"{costs[rows.method.iloc[0]]:.1f}",
            "with the ReLU map (PCC)": spread(rows.pcc_gradient),
            "top tenth in common": f"{rows.top_k_gradient.median():.2f}",
            "pixel flipping": spread(rows.flipping),
            "in random order": f"{rows.flipping_random.median():.2f}",
        }
        for label, rows in groups.items()
    )


def transfer(suite: str) -> pd.DataFrame:
    """Tabulate which forgeries pass from map to map: medians of the PCC with the target."""
    groups = by_defense(suite)
    return pd.DataFrame(
        {
            "map": label,
            "forged for it": f"{rows.pcc_target.median():.2f}",
            "forged for ReLU, seen in it": f"{rows.pcc_target_transferred.median():.2f}",
            "forged for it, seen in ReLU": f"{rows.pcc_target_gradient.median():.2f}",
            "under other noise": (
                f"{rows.pcc_target_fresh.median():.2f}"
                if rows.pcc_target_fresh.notna().any()
                else None
            ),
        }
        for label, rows in groups.items()
    )


def settings() -> pd.DataFrame:
    """Tabulate the paper's small equal steps beside ours, on the plain and on a smoothed map."""
    lines = []
    for name, label in (("paper", "500 equal steps, as the paper"), ("adaptive", "ours")):
        groups = by_defense("defense", name)
        for shown in ("ReLU", "β = 0.8"):
            rows = groups[shown]
            lines.append(
                {
                    "attack": label,
                    "map": shown,
                    "gain": spread(rows.gain),
                    "honest map: after (PCC)": spread(rows.pcc_original),
                    "picture (SSIM)": f"{rows.image_ssim.median():.2f}",
                    "largest change (L∞)": f"{rows.image_linf.median():.3f}",
                }
            )
    return pd.DataFrame(lines)


def over_beta() -> Figure:
    """Draw, like the paper's Figure 4, how alike map and target become for each β."""
    suites = {"defense": "digits", "defense-photos": "photographs"}
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for ax, (suite, title) in zip(axes, suites.items(), strict=True):
        groups = by_defense(suite)
        order = [*reversed([name for name in groups if name.startswith("β")]), "ReLU"]
        order += [name for name in groups if name.startswith("SmoothGrad")]
        curves = {
            "target, after": ("pcc_target", AFTER, "o-"),
            "target, before": ("pcc_target_unattacked", THIRD, "D--"),
            "honest map, after": ("pcc_original", BEFORE, "s-"),
        }
        for label, (column, colour, style) in curves.items():
            low, middle, high = (
                np.array([groups[name][column].quantile(q) for name in order])
                for q in (0.25, 0.5, 0.75)
            )
            ax.plot(middle, style, color=colour, label=label, markersize=4)
            ax.fill_between(range(len(order)), low, high, color=colour, alpha=0.15, linewidth=0)
        short = [name.removeprefix("β = ").replace("SmoothGrad, ", "SG ") for name in order]
        ax.set_xticks(range(len(order)), [s.removesuffix(" samples") for s in short], rotation=60)
        ax.set(title=f"{title} (n = {len(groups['ReLU'])})", xlabel="β, ReLU, samples")
    axes[0].set_ylabel("correlation (PCC)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
