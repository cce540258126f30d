"""What an attack costs, for the page on costs."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

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
    figure, axes = plt.subplots(2, 3, figsize=(8.4, 4.6), sharex="col")
    for (study, (column, label)), (time, memory) in zip(panels.items(), axes.T, strict=True):
        rows = table[table.grows == study]
        for ax, measured, colour in (
            (time, "explanations", BEFORE),
            (memory, "memory_mb", AFTER),
        ):
            ax.plot(rows[column], rows[measured], "o-", color=colour)
            ax.set(xscale="log", yscale="log")
            ax.set_xticks(rows[column], rows[column].astype(str))
            ax.minorticks_off()
        memory.set_xlabel(label)
    axes[0, 0].set_ylabel("time of a step\n(gradient explanations)")
    axes[1, 0].set_ylabel("memory of a step\n(MB)")
    return figure


def explanations_needed(rows: pd.DataFrame) -> str:
    """Return the budget at which the goal is reached, between the recorded ones: two a step."""
    rows = rows.sort_values("pcc")
    if rows.pcc.max() < GOAL:
        return f"more than {2 * rows.steps.max()}"
    return f"about {2 * np.exp(np.interp(GOAL, rows.pcc, np.log(rows.steps))):.0f}"


def best_at(rows: pd.DataFrame, steps: int) -> pd.Series:
    """Return the trial of the highest PCC among those of one budget, or a little above it."""
    near = rows[(rows.steps >= steps) & (rows.steps < 1.5 * steps)]
    return near.loc[near.pcc.idxmax()]


def compared(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Summarise trials: a row per kind, its best PCC at each budget, and what it needed."""
    lines = []
    for kind, trials in rows.groupby(by, sort=False):
        line = dict(zip(by, kind, strict=True))
        for steps in (30, 60):
            trial = best_at(trials, steps)
            line[f"{steps} steps"] = f"{trial.pcc:.2f} / {trial.image_ssim:.2f}"
        line[f"explanations to PCC {GOAL}"] = explanations_needed(trials)
        lines.append(line)
    return pd.DataFrame(lines)


def optimisers() -> pd.DataFrame:
    """Tabulate the optimisers and their step sizes."""
    table = recorded("optimisers").rename(columns={"lr": "step size"})
    return compared(table[table.study == "optimiser"], ["optimiser", "step size"])


def beta_schedules() -> pd.DataFrame:
    """Tabulate the schedules of β."""
    table = recorded("optimisers")
    rows = table[(table.study == "beta")].rename(
        columns={"beta_start": "β at the start", "beta_end": "β at the end"}
    )
    return compared(rows, ["β at the start", "β at the end"])


def varied(study: str, column: str, label: str) -> pd.DataFrame:
    """Tabulate a study of one setting."""
    table = recorded("optimisers")
    rows = table[table.study == study]
    shown = {
        column: label,
        "pcc": "map and target (PCC)",
        "image_ssim": "picture (SSIM)",
        "output_change": "softmax change",
    }
    return rows[list(shown)].round(3).rename(columns=shown)


def methods() -> pd.DataFrame:
    """Tabulate the step sizes by method."""
    table = recorded("optimisers")
    rows = table[table.study == "method"]
    cells = rows.assign(
        cell=rows.pcc.map("{:.2f}".format) + " / " + rows.image_ssim.map("{:.2f}".format),
        step=rows.lr.map("step size {:g}".format),
    )
    return cells.pivot(index=["case", "method"], columns="step", values="cell").reset_index()


def trade_off() -> Figure:
    """Draw how close the map gets against how much of the picture it costs."""
    table = recorded("optimisers")
    figure, ax = plt.subplots(figsize=(5.6, 3.6))
    rows = table[table.study == "trade-off"]
    styles = zip((BEFORE, AFTER), ("o", "^"), strict=True)
    for (steps, trials), (colour, marker) in zip(rows.groupby("steps"), styles, strict=True):
        ax.plot(trials.image_ssim, trials.pcc, marker + "-", color=colour, label=f"{steps} steps")
        for trial in trials.itertuples():
            ax.annotate(
                f"{trial.lr:g}", (trial.image_ssim, trial.pcc), (4, -9), textcoords="offset points",
                fontsize=8, color=colour,
            )  # fmt: skip
    ax.set(xlabel="picture against original (SSIM)", ylabel="map against target (PCC)")
    ax.legend(title="numbers: step size")
    return figure
