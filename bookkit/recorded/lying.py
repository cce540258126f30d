"""Networks and pictures that lie, and who notices, for the page on results."""

from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bookkit.recorded.defense import NAMES as MAPS
from bookkit.recorded.defense import gained, median_within, within
from bookkit.recorded.suites import decimals, spread
from bookkit.recorded.tables import recorded
from explman_lite.explainers.registry import EXPLAINERS, UNPROTECTED

_RESAMPLES = 10_000
_NOISE = "Projected on noise"
METHODS = (
    {name: card.title for name, card in EXPLAINERS.items()}
    | {name: MAPS[name] for name in ("BetaSmoothing(1)", "Projected")}
    | {_NOISE: "projected on noise"}
)
"""By whom the networks were judged."""

TOLD = ("Gradient", "LRP", "GuidedBackprop", "Projected")
LIES = {"square": "square", "clock": "by class", "random": "random"}
NETWORKS = {
    "crops_vgg": "`crops_vgg`",
    "crops_vgg-1": "`crops_vgg`, seed 1",
    "crops_vgg-2": "`crops_vgg`, seed 2",
    "crops_vgg_softplus": "`crops_vgg_softplus`",
    "crops_vgg_robust": "`crops_vgg_robust`",
    "crops_alexnet": "`crops_alexnet`",
    "crops_resnet": "`crops_resnet`",
    "crops_densenet": "`crops_densenet`",
}
TESTED = ("crops_vgg", "crops_vgg-1", "crops_vgg-2", "crops_vgg_softplus")
"""The networks that the tests were tried on."""
DETECTORS = ("randomised", "disagreement", "roughness", "instability", "likeness")
ATTACKERS = ("knows none", "knows disagreement", "knows roughness")

Areas = tuple[float, float, float]
"""An area under an ROC curve, and the ends of its interval."""


def maps_of(model: str, lie: str, told: str) -> dict[str, pd.DataFrame]:
    """Group the maps of a network that lies by the method that shows them."""
    table = recorded("lying-maps")
    some = table[(table.model == model) & (table.lie == lie) & (table.told == told)]
    return dict(list(some.groupby("method", sort=False)))


def answers() -> pd.DataFrame:
    """Return what became of each network's answers, by network, lie and method lied to."""
    return recorded("lying-networks").set_index(["model", "lie", "told"])


def matrix() -> pd.DataFrame:
    """Tabulate to which methods a lie passes that was told to one: correlations with the square."""
    columns = {told: maps_of("crops_vgg", "square", told) for told in TOLD}
    honest = columns[UNPROTECTED]
    return pd.DataFrame(
        {"shown by": title, "before": decimals(honest[method].pcc_target_before.median())}
        | {
            f"told to {METHODS[told]}": median_within(rows[method], "pcc_target")
            for told, rows in columns.items()
        }
        for method, title in METHODS.items()
    )


def networks() -> pd.DataFrame:
    """Tabulate what a lie that is told to the gradient costs, and what it brings."""
    found = answers()
    return pd.DataFrame(
        {
            "network": NETWORKS[model],
            "lie": LIES[lie],
            "reads": f"{row.accuracy_before:.1%} → {row.accuracy:.1%}",
            "same class": f"{row.agreement:.0%}",
            "weights moved": f"{row.weights_changed:.0%}",
            "before": decimals(rows.pcc_target_before.median()),
            "after": median_within(rows, "pcc_target"),
        }
        for model, lie in product(NETWORKS, LIES)
        if (model, lie, UNPROTECTED) in found.index
        for row in [found.loc[model, lie, UNPROTECTED]]
        for rows in [maps_of(model, lie, UNPROTECTED)[UNPROTECTED]]
    )


def area(rows: pd.DataFrame, honest: str = "honest") -> Areas:
    """Return the area under the ROC curve of a detector's scores, and its interval by photograph.

    Photographs are drawn with replacement, and their honest and their lying scores with them.
    """
    known, labels = np.unique(rows.photograph, return_inverse=True)
    blocks = np.zeros((len(known), len(known)))
    np.add.at(blocks, np.ix_(labels, labels), _higher(rows[honest], rows.lying))
    sizes = np.bincount(labels)
    drawn = np.random.default_rng(0).multinomial(
        len(known), np.full(len(known), 1 / len(known)), size=_RESAMPLES
    )
    counts = (drawn @ sizes) ** 2
    resampled = np.einsum("rp,pq,rq->r", drawn, blocks, drawn) / counts
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(blocks.sum() / len(rows) ** 2), float(low), float(high)


def _higher(honest: pd.Series, lying: pd.Series) -> NDArray[np.float64]:
    """Return for each honest score and each lying one whether that is higher; half for a tie."""
    first, second = honest.to_numpy()[:, None], lying.to_numpy()[None]
    higher: NDArray[np.float64] = (second > first) + 0.5 * (second == first)
    return higher


def scores(lie: str, detector: str, model: str = "crops_vgg") -> pd.DataFrame:
    """Return what a detector says of a lie, beside honest maps and a random change."""
    table = recorded("detectors")
    return table[(table.lie == lie) & (table.detector == detector) & (table.model == model)]


def noticed_pictures() -> pd.DataFrame:
    """Tabulate how well forged pictures are told from noised ones, and noised from untouched."""
    return pd.DataFrame(
        {"test": detector}
        | {attacker: within(*area(scores(attacker, detector), "random")) for attacker in ATTACKERS}
        | {"beside untouched pictures": within(*area(scores("knows none", detector)))}
        for detector in DETECTORS
    )


def attackers() -> pd.DataFrame:
    """Tabulate how far each attacker of pictures got."""
    table = recorded("detectors-attacks")
    return pd.DataFrame(
        {
            "attacker": row.lie,
            "steps": row.steps,
            "map and target (PCC): before": decimals(row.before),
            "after": decimals(row.after),
            "class kept": f"{row.class_kept:.0%}",
        }
        for row in table.itertuples()
    )


def noticed_weights() -> pd.DataFrame:
    """Tabulate how well lying networks are told from honest ones: each network, each test."""
    return pd.DataFrame(
        {"network": NETWORKS[model], "lie": LIES[lie]}
        | {detector: within(*area(scores(lie, detector, model))) for detector in DETECTORS}
        for lie in ("square", "clock")
        for model in TESTED
    )


def noticed_chance() -> pd.DataFrame:
    """Tabulate how a random change of the weights looks to the tests."""
    return pd.DataFrame(
        {"network": NETWORKS[model]}
        | {
            detector: decimals(area(rows.assign(lying=rows.random))[0])
            for detector in DETECTORS
            for rows in [scores("square", detector, model)]
        }
        for model in TESTED
    )


_PROJECTIONS = {
    UNPROTECTED: "the gradient",
    "Projected(10)": "10 directions of 15 neighbours",
    "Projected(30)": "30 directions of 50 neighbours",
    "Projected(100)": "100 directions of 150 neighbours",
    _NOISE: "30 directions of noise",
}


def projections() -> dict[str, pd.DataFrame]:
    """Group the attacks on projected maps by what they are projected on."""
    return dict(list(gained("projected").groupby("method")))


def projected() -> pd.DataFrame:
    """Tabulate what an attacker who knows the projection makes of the map."""
    groups = projections()
    return pd.DataFrame(
        {
            "map": label,
            "gain": median_within(rows, "gain"),
            "honest map": median_within(rows, "pcc_original"),
            "after noise": decimals(rows.pcc_original_spectrum.median()),
            "like the gradient's": spread(rows.pcc_gradient),
        }
        for name, label in _PROJECTIONS.items()
        for rows in [groups[name]]
    )
