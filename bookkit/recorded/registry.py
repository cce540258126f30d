"""The tables and figures that pages show, by name."""

from collections.abc import Callable, Iterable
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from bookkit.recorded import costs, defense, lying, robust, status, suites

SIX_METHODS = ("digits", "photos", "imagenet")
"""The suites of the paper's six methods that were run."""


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
    "repeated": suites.repeated,
    **per_suite(
        SIX_METHODS,
        success=suites.success,
        targets=suites.targets,
        originals=suites.originals,
        families=suites.families,
    ),
    "photos_gradient_sources": partial(suites.by_source, "photos", "Gradient"),
    "architectures": defense.architectures,
    "gradcam": suites.gradcam,
    "defense_protection": defense.protection,
    "defense_honest": defense.honest,
    "defense_transfer": defense.transfer,
    "defense_price": defense.price,
    "defense_faithful": defense.faithful,
    "defense_settings": defense.settings,
    "masked_crops": partial(defense.masked, "masked-crops"),
    "masked_digits": partial(defense.masked, "masked-digits"),
    "budgets_ends": defense.ends,
    "step_sizes": defense.step_sizes,
    "robust_ladder": robust.ladder,
    "robust_weights": robust.weights,
    "robust_digits": robust.digits,
    "robust_effort": robust.effort,
    "robust_faithful": robust.faithful,
    "lying_matrix": lying.matrix,
    "lying_networks": lying.networks,
    "lying_pictures_noticed": lying.noticed_pictures,
    "lying_attackers": lying.attackers,
    "lying_weights_noticed": lying.noticed_weights,
    "lying_chance_noticed": lying.noticed_chance,
    "projected": lying.projected,
    "status_chapters": status.chapters,
    "status_versions": status.versions,
}
FIGURES: dict[str, Callable[[], Figure]] = {
    "growth": costs.growth,
    "optimiser_steps": costs.steps,
    **{f"{suite}_boxes": partial(suites.boxes, suite) for suite in SIX_METHODS},
    "defense": defense.over_beta,
    "budgets": defense.budgets,
}
