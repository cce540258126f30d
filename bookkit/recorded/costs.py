"""What an attack costs, for the page on costs."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bookkit.recorded.numbers import of_step
from bookkit.recorded.tables import recorded
from explman_lite.figures import AFTER, BEFORE

GOAL = 0.8


def step_cost() -> pd.DataFrame:
    """Tabulate what our explanations and steps cost."""
    table = recorded("step_cost").query("by == 'ours'")
    return table.drop(columns=["pictures", "by"]).rename(columns={"model": "network"})


def step_cost_compared() -> pd.DataFrame:
    """Tabulate the same by others beside ours, wherever somebody else computes it.

    Gradient × Input and SmoothGrad cost what the gradient and Integrated Gradients cost.
    """
    table = recorded("step_cost").rename(columns={"model": "network"})
    table = table[~table.method.isin(["GradientTimesInput", "SmoothGrad"])]
    places = table.groupby(["network", "method"]).by.transform("count")
    shown = ["network", "method", "by", "explanation", "smoothed", "step"]
    return table[places > 1][shown]


def step_profile() -> pd.DataFrame:
    """Tabulate to which kinds of work the time of a step goes."""
    table = recorded("step_profile").pivot(index="work", columns="method", values="share")
    shares = table.fillna(0).sort_values("Gradient", ascending=False)
    return shares.map("{:.0%}".format).reset_index()


def growth() -> Figure:
    """Draw how time and memory of a step grow."""
    table = recorded("growth")
    panels = {
        "batch": ("batch", "pictures at once"),
        "resolution": ("size", "height and width in pixels"),
        "points": ("points", "points of Integrated Gradients"),
    }
    figure, axes = plt.subplots(3, 2, figsize=(5.2, 6.6))
    for (study, (column, label)), (time, memory) in zip(panels.items(), axes, strict=True):
        rows = table[table.grows == study]
        for ax, measured, colour in (
            (time, "explanations", BEFORE),
            (memory, "memory_mb", AFTER),
        ):
            ax.plot(rows[column], rows[measured], "o-", color=colour)
            ax.set(xscale="log", yscale="log", xlabel=label)
            ax.set_xticks(rows[column], rows[column].astype(str))
            ax.minorticks_off()
    axes[0, 0].set_title("time of a step\n(ReLU explanations)")
    axes[0, 1].set_title("memory of a step\n(MB)")
    return figure


def reached(rows: pd.DataFrame, label: str) -> pd.DataFrame:
    """Tabulate trials: a row for each, and what it reached with each step size."""
    cells = rows.assign(
        size=rows.lr.map("step size {:g}".format),
        cell=[
            f"{row.pcc:.2f} ({row.pcc_low:.2f} to {row.pcc_high:.2f}) / {row.image_ssim:.2f}"
            for row in rows.itertuples()
        ],
    )
    wide = cells.pivot_table(
        index="what", columns="size", values="cell", aggfunc="first", sort=False
    )
    kept = rows.groupby("what", sort=False).class_kept.mean().map("{:.0%}".format)
    change = rows.groupby("what", sort=False).output_change.mean().round(3)
    wide = wide.assign(**{"softmax change": change, "class kept": kept})
    return wide.reset_index().rename(columns={"what": label})


CHANGES = {
    "output_weight": "γ = {:g}",
    "momentum": "averages {}",
    "schedule": "step size: {}",
    "growth": "growth {:g}",
    "beta": "β {}",
    "sharpness": "β {}",
    "loss": "loss: {}",
    "gradient": "gradient {}",
    "optimiser": "{} in place of Adam",
    "stopped": "stopped after 40 of 100 steps",
}
"""How a change of a setting is told, by the setting."""


def told(row: pd.Series, base: pd.Series) -> str:
    """Say in which settings a trial differs from another."""
    changed = [name for name in CHANGES if str(row[name]) != str(base[name])]
    return ", ".join(
        CHANGES[name].format("none: ReLU" if pd.isna(row[name]) else row[name]) for name in changed
    )


def optimiser_path() -> pd.DataFrame:
    """Tabulate the way from the first edition's settings to today's, a change at a time."""
    rows = study("from the first edition on")
    settings = rows.drop_duplicates(subset=list(CHANGES)).reset_index(drop=True)
    names = ["the first edition's"] + [
        f"then {told(settings.loc[i], settings.loc[i - 1])}" for i in range(1, len(settings))
    ]
    return reached(rows.assign(what=np.repeat(names, len(rows) // len(names))), "settings")


def optimiser_changes() -> pd.DataFrame:
    """Tabulate what one other setting makes of it."""
    rows = study("one thing changed")
    base = study("from the first edition on").iloc[-1]
    what = [told(row, base) for _, row in rows.iterrows()]
    return reached(rows.assign(what=what), "changed")


def optimiser_methods() -> pd.DataFrame:
    """Tabulate the other methods."""
    rows = study("methods")
    return reached(rows.assign(what=rows.method), "method")


def optimiser_pooling() -> pd.DataFrame:
    """Tabulate attacks on digits with the maximum rounded off, and as it is."""
    rows = study("pooling")
    rounded = np.where(rows.pooling.isna(), "maximum", "rounded off")
    return reached(rows.assign(what=rows.method + ", " + rounded), "method, pooling")


def study(name: str) -> pd.DataFrame:
    """Return the trials of a study, in order."""
    table = recorded("optimisers")
    return table[table.study == name].reset_index(drop=True)


def steps() -> Figure:
    """Draw what more steps reach, in explanations of the ReLU network."""
    price = of_step("efficientnet_lite0", "step")
    table = recorded("optimisers")
    smaller = table[table.lr == table[table.case == "pictures"].lr.min()]
    path = smaller[smaller.study == "from the first edition on"]
    lines = {
        "the first edition's settings": (path.iloc[:1], "steps, first edition", BEFORE, "o"),
        "today's": (path.iloc[-1:], "steps", AFTER, "^"),
    }
    figure, axes = plt.subplots(2, 1, figsize=(5.2, 6), sharex=True)
    measures = (("pcc", "map against target (PCC)"), ("image_ssim", "picture (SSIM)"))
    for label, (forty, more, colour, marker) in lines.items():
        rows = pd.concat([forty, smaller[smaller.study == more]]).sort_values("steps")
        spent = price * rows.steps
        for ax, (measured, name) in zip(axes, measures, strict=True):
            low, high = rows[f"{measured}_low"], rows[f"{measured}_high"]
            ax.fill_between(spent, low, high, color=colour, alpha=0.2, linewidth=0)
            ax.plot(spent, rows[measured], marker + "-", color=colour, label=label)
            ax.set(ylabel=name)
    axes[1].set_xlabel("explanations of the ReLU network")
    axes[0].axhline(GOAL, color="0.5", linewidth=0.8, linestyle=":")
    axes[0].legend()
    return figure
