"""The tables and figures that pages show, by name."""

from collections.abc import Callable, Iterable
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from bookkit.recorded import costs, defense, status, suites


def per_suite(
    names: Iterable[str], **tables: Callable[[str], pd.DataFrame]
) -> dict[str, Callable[[], pd.DataFrame]]:
    """Make each kind of table for each suite."""
    return {
        f"{suite.replace('-', '_')}_{name}": partial(tabulate, suite)
        for suite in names
        for name, tabulate in tables.items()
    }


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "step_cost": costs.step_cost,
    "step_cost_compared": costs.step_cost_compared,
    "step_profile": costs.step_profile,
    "optimisers": costs.optimisers,
    "beta_schedules": costs.beta_schedules,
    "precisions": partial(costs.varied, "precision", "precision", "network in"),
    "output_weights": partial(costs.varied, "output weight", "output_weight", "γ"),
    "methods": costs.methods,
    "claims": suites.claims,
    **per_suite(
        ("digits", "photos"),
        targets=suites.targets,
        originals=suites.originals,
        families=suites.families,
    ),
    **per_suite(
        ("defense", "defense-photos"),
        protection=defense.protection,
        price=defense.price,
        transfer=defense.transfer,
    ),
    "defense_settings": defense.settings,
    "status_chapters": status.chapters,
    "status_versions": status.versions,
}
FIGURES: dict[str, Callable[[], Figure]] = {
    "growth": costs.growth,
    "trade_off": costs.trade_off,
    "digits_boxes": partial(suites.boxes, "digits"),
    "photos_boxes": partial(suites.boxes, "photos"),
    "defense": defense.over_beta,
}
