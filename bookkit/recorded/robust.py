"""What training takes away from the attack, and what it costs, for the page on results."""

import pandas as pd

from bookkit.recorded.defense import gained, median_within
from bookkit.recorded.suites import decimals, spread
from bookkit.recorded.tables import recorded
from explman_lite.bench import ERASED

LADDER = {
    "crops_vgg": "ReLU, maximum",
    "crops_vgg_decay": "ReLU, maximum, ten times the weight decay",
    "crops_vgg_softplus": "softplus, maximum",
    "crops_vgg_means": "ReLU, mean",
    "crops_vgg_smooth": "softplus, mean",
    "crops_vgg_hessian": "softplus, mean, Hessian penalty",
    "crops_vgg_robust": "softplus, mean, attribution penalty",
}
"""What each network is made of, in the order of the ladder."""


def by_network(settings: str = "100 steps") -> dict[str, pd.DataFrame]:
    """Group the rows of an attack by the network that was attacked."""
    table = gained("robust").set_index("pair", drop=False)
    return dict(list(table[table.settings == settings].groupby("model")))


def networks() -> pd.DataFrame:
    """Return how well each network reads, and how its level sets bend."""
    return recorded("robust-networks").set_index("model")


def ladder() -> pd.DataFrame:
    """Tabulate what each network reads, how it bends and what the attack makes of its map."""
    known, groups = networks(), by_network()
    return pd.DataFrame(
        {
            "network": label,
            "reads": f"{known.accuracy[name]:.1%}",
            "bend": f"{known.lambda_max[name]:.2g}",
            "before": decimals(groups[name].pcc_target_unattacked.median()),
            "gain": median_within(groups[name], "gain"),
            "honest map": median_within(groups[name], "pcc_original"),
            "after noise": decimals(groups[name].pcc_original_noise.median()),
            "class kept": f"{groups[name].class_kept.mean():.0%}",
        }
        for name, label in LADDER.items()
    )


def effort() -> pd.DataFrame:
    """Tabulate what more steps and more searches make of the maps of smooth networks."""
    attacks = {name: by_network(name) for name in ("100 steps", "400 steps", "four searches")}
    return pd.DataFrame(
        {
            "network": LADDER[name],
            "attack": settings,
            "gain": median_within(groups[name], "gain"),
            "honest map": spread(groups[name].pcc_original),
            "class kept": f"{groups[name].class_kept.mean():.0%}",
        }
        for name in ("crops_vgg_smooth", "crops_vgg_robust")
        for settings, groups in attacks.items()
    )


def faithful() -> pd.DataFrame:
    """Tabulate pixel flipping: what the order of each map gains over a random one."""
    groups = by_network()
    return pd.DataFrame(
        {
            "network": label,
            **{
                f"to {kind}": median_within(rows.assign(area=areas), "area")
                for kind in ERASED
                for areas in [rows[f"flipping_{kind}"] - rows[f"flipping_random_{kind}"]]
            },
        }
        for name, label in LADDER.items()
        for rows in [groups[name]]
    )
