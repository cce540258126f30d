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
    "optimiser_path": costs.optimiser_path,
    "optimiser_changes": costs.optimiser_changes,
    "optimiser_methods": costs.optimiser_methods,
    "optimiser_pooling": costs.optimiser_pooling,
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
    "optimiser_steps": costs.steps,
    "digits_boxes": partial(suites.boxes, "digits"),
    "photos_boxes": partial(suites.boxes, "photos"),
    "defense": defense.over_beta,
}
