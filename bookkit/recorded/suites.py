"""What the suites of the benchmark reached, for the page on results."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

import explman_lite as el
from bookkit.recorded.tables import recorded
from explman_lite.bench import bootstrap_interval, compare_methods
from explman_lite.figures import AFTER, BEFORE

_CARDS = [card for card in el.EXPLAINERS.values() if card.in_paper]
NAMES = {card.name: card.title for card in _CARDS}
GRADIENTS, PROPAGATIONS = (
    [card.name for card in _CARDS if card.family == family]
    for family in ("gradient", "propagation")
)
REACHED, LIKE = 0.7, 0.9
"""What counts as a success: where the paper's ranges of PCC and of picture SSIM begin."""


def ends(values: pd.Series) -> str:
    """Write the smallest and the largest."""
    return f"{decimals(values.min())} to {decimals(values.max())}"


def decimals(value: float, digits: int = 2) -> str:
    """Write a number with so many digits, a true minus sign, and no minus before zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def spread(values: pd.Series) -> str:
    """Write median and quartiles."""
    low, middle, high = map(decimals, values.quantile([0.25, 0.5, 0.75]))
    return f"{middle}\u00a0({low}–{high})"


def by_method(suite: str, columns: dict[str, str]) -> pd.DataFrame:
    """Tabulate medians and quartiles of a suite's columns by method."""
    groups = recorded(suite).groupby("method", sort=False)
    return pd.DataFrame(
        {"method": NAMES[method], "n": len(rows)}
        | {label: spread(rows[column]) for column, label in columns.items()}
        for method, rows in groups
    )


def targets(suite: str) -> pd.DataFrame:
    """Tabulate how near the maps come to the target, and what chance reaches."""
    columns = {
        "pcc_target": "map and target (PCC)",
        "pcc_target_unattacked": "before the attack",
        "pcc_target_noise": "after noise",
        "pcc_target_spectrum": "after noise of its spectrum",
        "pcc_random_target": "with a third map",
    }
    return by_method(suite, columns)


def originals(suite: str) -> pd.DataFrame:
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


def reached(table: pd.DataFrame) -> pd.Series:
    """Return which attacks keep the class and reach the target."""
    return table.class_kept & (table.pcc_target > REACHED)


def succeeded(table: pd.DataFrame) -> pd.Series:
    """Return which attacks do so and spare the picture."""
    return reached(table) & (table.image_ssim > LIKE)


def success(suite: str) -> pd.DataFrame:
    """Tabulate how often each method succeeds, with its interval, and what each part allows."""
    lines = []
    for method, rows in recorded(suite).groupby("method", sort=False):
        won = succeeded(rows)
        interval = bootstrap_interval(won, rows.source, rows.target, statistic="mean")
        ends = f"{interval.low:.0%} to {interval.high:.0%}"
        lines.append(
            {
                "method": NAMES[method],
                "success": f"{won.mean():.0%}",
                "95 % interval": ends if won.nunique() > 1 else "–",
                "class kept": f"{rows.class_kept.mean():.0%}",
                f"PCC > {REACHED}": f"{(rows.pcc_target > REACHED).mean():.0%}",
                f"SSIM > {LIKE}": f"{(rows.image_ssim > LIKE).mean():.0%}",
                "pairs": len(rows),
                "pictures": pd.concat([rows.source, rows.target]).nunique(),
            }
        )
    return pd.DataFrame(lines)


def by_source(suite: str, method: str) -> pd.DataFrame:
    """Tabulate what became of the attacks on each picture."""
    table = recorded(suite).query("method == @method")
    groups = table.assign(success=succeeded(table)).groupby("source")
    lines = [
        {
            "attacked": f"`{source}`",
            "attacks": len(rows),
            "class kept": rows.class_kept.sum(),
            "success": rows.success.sum(),
            "map and target (PCC)": spread(rows.pcc_target),
            "picture (SSIM)": spread(rows.image_ssim),
        }
        for source, rows in groups
    ]
    return pd.DataFrame(lines)


def boxes(suite: str) -> Figure:
    """Draw box plots like the paper's: maps against target and pictures against original."""
    table = recorded(suite)
    panels = {
        "pcc_target": "map and target (PCC)",
        "ssim_target": "map and target (SSIM)",
        "image_ssim": "picture and original (SSIM)",
    }
    figure, axes = plt.subplots(3, 1, figsize=(5.2, 7.2))
    names = list(NAMES)[::-1]
    for ax, (column, title) in zip(axes, panels.items(), strict=True):
        values = [table.loc[table.method == name, column] for name in names]
        drawn = ax.boxplot(values, orientation="horizontal", widths=0.6, patch_artist=True)
        for box, median in zip(drawn["boxes"], drawn["medians"], strict=True):
            box.set(facecolor="#cfe3f1", edgecolor=BEFORE)
            median.set(color="black", linewidth=1.5)
        ax.set(title=title, xlim=(min(0, table[column].min()), 1))
        ax.set_yticks(range(1, 7), [NAMES[name] for name in names])
        if f"{column}_unattacked" in table:
            chance = [table.loc[table.method == n, f"{column}_unattacked"].median() for n in names]
            ax.plot(chance, range(1, 7), "D", color=AFTER, markersize=4, label="before the attack")
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
                    "median difference of PCC": f"{found.difference:+.2f}",
                    "95 % interval": f"{found.interval.low:+.2f} to {found.interval.high:+.2f}",
                    "pairs": found.pairs,
                    "pictures": found.pictures,
                }
            )
    return pd.DataFrame(lines)


def gradcam() -> pd.DataFrame:
    """Tabulate the attack on Grad-CAM: one network on photographs, four on crops of them."""
    columns = {
        "pcc_target_unattacked": "before",
        "pcc_target_spectrum": "after noise of its spectrum",
        "pcc_target": "after",
        "pcc_random_target": "with a third map",
        "pcc_original": "honest map",
        "image_ssim": "picture (SSIM)",
    }
    tables = (recorded("gradcam-photos"), recorded("gradcam-crops"))
    return pd.DataFrame(
        {"network": f"`{model}`", "pairs": len(rows)}
        | {label: spread(rows[column]) for column, label in columns.items()}
        | {"class kept": f"{rows.class_kept.mean():.0%}"}
        for table in tables
        for model, rows in table.groupby("model", sort=False)
    )


def repeated() -> pd.DataFrame:
    """Tabulate what the same attack reached from ten starts that differ by next to nothing."""
    table = recorded("chaos")
    lines = []
    for (model, source, target, lr), rows in table.groupby(
        ["model", "source", "target", "lr"], sort=False
    ):
        low, middle, high = (
            rows[["pcc_target", "image_ssim"]].quantile(q).map("{:.3f}".format) for q in (0, 0.5, 1)
        )
        reached = middle + " (" + low + " to " + high + ")"
        lines.append(
            {
                "network": model,
                "attacked": f"`{source}`",
                "target": f"`{target}`",
                "step size": f"{lr:g}",
                "map and target (PCC)": reached.pcc_target,
                "picture (SSIM)": reached.image_ssim,
                "a pixel moved": f"{rows.from_first.max():.1g}",
            }
        )
    return pd.DataFrame(lines)
