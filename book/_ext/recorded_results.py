"""Draw the book's tables and figures from results/ whenever it is built.

A page includes ``_recorded/NAME.md`` or shows ``_recorded/NAME.svg``, see `TABLES` and `FIGURES`.
"""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sphinx.application import Sphinx

import explman_lite as el
from explman_lite.bench import compare_methods
from explman_lite.figures import AFTER, BEFORE

ROOT = Path(__file__).resolve().parents[2]
DRAWN = ROOT / "book" / "_recorded"
GOAL = 0.8


def recorded(name: str) -> pd.DataFrame:
    """Read a table of results/."""
    return el.results.load_table(ROOT / "results" / f"{name}.csv")


def step_cost() -> pd.DataFrame:
    """Tabulate what explanations and steps cost."""
    return recorded("step_cost").rename(columns={"model": "network"})


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
    """Tell at which budget the goal is reached, between the recorded ones: two a step."""
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


NAMES = {
    "Gradient": "Gradient",
    "GradientTimesInput": "Gradient × Input",
    "IntegratedGradients": "Integrated Gradients",
    "GuidedBackprop": "Guided Backprop",
    "LRP": "LRP",
    "PatternAttribution": "Pattern Attribution",
}
GRADIENTS, PROPAGATIONS = list(NAMES)[:3], list(NAMES)[4:]


def claims() -> pd.DataFrame:
    """Set the paper's claims beside what was recorded."""
    photo = recorded("cat_to_coffee").iloc[-1]
    digits = recorded("digits")
    medians = digits.groupby("method").median(numeric_only=True)
    nearer = medians.pcc_target - medians.pcc_target_unattacked
    best, worst = nearer.idxmax(), nearer.idxmin()
    kept = f"{digits.class_kept.mean():.0%} of {len(digits)} attacks on digits; the cat: kept"
    lines = [
        (
            "C1: any map, invisibly",
            "map SSIM 0.6 to 0.9, PCC 0.7 to above 0.9; picture SSIM 0.90 to 0.95 and above",
            f"cat to coffee (n = 1): map SSIM {photo.ssim_target:.2f}, PCC {photo.pcc_target:.2f}; "
            f"picture SSIM {photo.image_ssim:.2f}",
            "reproduced; another network, 100 steps in place of 1500",
        ),
        (
            "C2: six methods",
            "all six, VGG-16 at 224 × 224",
            f"digits (n = 100 each): median PCC from {medians.pcc_target_unattacked.min():.2f} to "
            f"{medians.pcc_target_unattacked.max():.2f} before, {medians.pcc_target.min():.2f} to "
            f"{medians.pcc_target.max():.2f} after; most for {NAMES[best]} "
            f"({nearer[best]:+.2f}), least for {NAMES[worst]} ({nearer[worst]:+.2f})",
            "all move, none as far as on photographs: a digit has a fiftieth of the pixels. "
            "Chapter 2 has one photograph for each method",
        ),
        (
            "C3: four architectures",
            "map SSIM 0.4 to 0.8, PCC 0.4 to 0.8 (Gradient)",
            "not run",
            "needs downloaded weights and a GPU: `python -m explman_lite bench paper`",
        ),
        ("class unchanged", "everywhere", kept, "the output term holds it"),
        (
            "softmax change",
            "median about 1e-3",
            f"digits: median {digits.output_change.median():.0e}; cat: {photo.output_change:.3f}",
            "digits are read with certainty, the cat is not",
        ),
    ]
    return pd.DataFrame(lines, columns=["claim", "the paper", "ours", "why they differ"])


def spread(values: pd.Series) -> str:
    """Write median and quartiles."""
    low, middle, high = values.quantile([0.25, 0.5, 0.75])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def by_method(suite: str, columns: dict[str, str]) -> pd.DataFrame:
    """Tabulate medians and quartiles of a suite's columns by method."""
    groups = recorded(suite).groupby("method", sort=False)
    return pd.DataFrame(
        {"method": NAMES[method], "n": len(rows)}
        | {label: spread(rows[column]) for column, label in columns.items()}
        for method, rows in groups
    )


def suite_targets(suite: str) -> pd.DataFrame:
    """Tabulate how near the maps come to the target, and what chance reaches."""
    columns = {
        "pcc_target": "map and target (PCC)",
        "pcc_target_unattacked": "before the attack",
        "pcc_target_noise": "after noise",
        "pcc_random_target": "with a third map",
    }
    return by_method(suite, columns)


def suite_originals(suite: str) -> pd.DataFrame:
    """Tabulate what became of map, picture and output."""
    columns = {
        "pcc_original": "map and original (PCC)",
        "image_ssim": "picture and original (SSIM)",
    }
    table = by_method(suite, columns)
    groups = recorded(suite).groupby("method", sort=False)
    table["softmax change"] = groups.output_change.median().map("{:.0e}".format).to_numpy()
    table["class kept"] = groups.class_kept.mean().map("{:.0%}".format).to_numpy()
    return table


def suite_boxes(suite: str) -> Figure:
    """Draw box plots like the paper's: maps against target and pictures against original."""
    table = recorded(suite)
    panels = {
        "pcc_target": "map and target (PCC)",
        "ssim_target": "map and target (SSIM)",
        "image_ssim": "picture and original (SSIM)",
    }
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), sharey=True)
    names = list(NAMES)[::-1]
    for ax, (column, title) in zip(axes, panels.items(), strict=True):
        values = [table.loc[table.method == name, column] for name in names]
        boxes = ax.boxplot(values, orientation="horizontal", widths=0.6, patch_artist=True)
        for box, median in zip(boxes["boxes"], boxes["medians"], strict=True):
            box.set(facecolor="#cfe3f1", edgecolor=BEFORE)
            median.set(color="black", linewidth=1.5)
        ax.set(title=title, xlim=(min(0, table[column].min()), 1))
        if f"{column}_unattacked" in table:
            chance = [table.loc[table.method == n, f"{column}_unattacked"].median() for n in names]
            ax.plot(chance, range(1, 7), "D", color=AFTER, markersize=4, label="before the attack")
    axes[0].set_yticks(range(1, 7), [NAMES[name] for name in names])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left")
    return figure


def families(suite: str) -> pd.DataFrame:
    """Tabulate by how much propagation methods come closer to the target than gradients."""
    table = recorded(suite)
    lines = []
    for first in PROPAGATIONS:
        for second in GRADIENTS:
            found = compare_methods(table, first, second, "pcc_target")
            lines.append(
                {
                    "comparison": f"{NAMES[first]} − {NAMES[second]}",
                    "n": found.pairs,
                    "median difference of PCC": f"{found.median_difference:+.2f}",
                    "95 % interval": f"{found.interval.low:+.2f} to {found.interval.high:+.2f}",
                    "p (Wilcoxon)": f"{found.p_value:.1g}",
                }
            )
    return pd.DataFrame(lines)


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "step_cost": step_cost,
    "step_profile": step_profile,
    "optimisers": optimisers,
    "beta_schedules": beta_schedules,
    "precisions": partial(varied, "precision", "precision", "network in"),
    "output_weights": partial(varied, "output weight", "output_weight", "γ"),
    "methods": methods,
    "claims": claims,
    "digits_targets": partial(suite_targets, "digits"),
    "digits_originals": partial(suite_originals, "digits"),
    "digits_families": partial(families, "digits"),
}
FIGURES: dict[str, Callable[[], Figure]] = {
    "growth": growth,
    "trade_off": trade_off,
    "digits_boxes": partial(suite_boxes, "digits"),
}


def as_markdown(table: pd.DataFrame) -> str:
    """Write a table in Markdown; what was not measured is a dash."""
    cells = table.astype(object).where(table.notna(), "–").astype(str).values.tolist()
    lines = [list(table.columns), ["---"] * len(table.columns), *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_svg(figure: Figure) -> str:
    """Draw a figure, the same every time."""
    stream = io.StringIO()
    with plt.rc_context({"svg.hashsalt": "explman"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    plt.close(figure)
    return stream.getvalue()


def write(path: Path, text: str) -> None:
    """Write what has changed, so that Sphinx reads again only what it must."""
    if not path.is_file() or path.read_text("utf-8") != text:
        el.results.write_atomically(path, text)


def draw(app: Sphinx) -> None:
    el.figures.use_style()
    for name, tabulate in TABLES.items():
        write(DRAWN / f"{name}.md", as_markdown(tabulate()))
    for name, sketch in FIGURES.items():
        write(DRAWN / f"{name}.svg", as_svg(sketch()))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", draw)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
