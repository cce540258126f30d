"""What training takes away from the attack, and what it costs, for the page on results."""

from collections.abc import Mapping

import pandas as pd

from bookkit.recorded.defense import gained, median_within
from bookkit.recorded.suites import decimals, spread
from bookkit.recorded.tables import recorded
from explman_lite.bench import ERASED

LADDER = {
    "": "ReLU, maximum",
    "_decay": "ReLU, maximum, strong weight decay",
    "_softplus": "softplus, maximum",
    "_means": "ReLU, mean",
    "_smooth": "softplus, mean",
    "_hessian": "softplus, mean, Hessian penalty",
    "_robust": "softplus, mean, attribution penalty",
    "_maxima": "softplus, maximum, attribution penalty",
}
"""What each network is made of, by the end of its name, in the order of the ladder."""

SUITES = ("robust", "robust-digits")
"""Where the attacks are recorded."""

WEIGHTS = {"_smooth": "none", "_robust_0.2": "0.2", "_robust": "0.6", "_robust_2.0": "2.0"}
"""The weight of the attribution penalty, by the end of a network's name."""


def by_network(settings: str = "100 steps") -> dict[str, pd.DataFrame]:
    """Group the rows of an attack by the network that was attacked."""
    table = pd.concat(map(gained, SUITES)).set_index("pair", drop=False)
    return dict(list(table[table.settings == settings].groupby("model")))


def networks() -> pd.DataFrame:
    """Return how well each network reads, and how its level sets bend."""
    return recorded("robust-networks").set_index("model")


def ladder(kind: str = "crops_vgg") -> pd.DataFrame:
    """Tabulate what each network reads, how it bends and what the attack makes of its map."""
    known = networks().index
    return table_of({kind + end: label for end, label in LADDER.items() if kind + end in known})


def digits() -> pd.DataFrame:
    """Tabulate the same for the networks that read digits."""
    return ladder("digits_vgg")


def weights() -> pd.DataFrame:
    """Tabulate what the weight of the attribution penalty does."""
    named = {f"crops_vgg{end}": weight for end, weight in WEIGHTS.items()}
    return table_of(named, called="weight")


def table_of(named: Mapping[str, str], called: str = "network") -> pd.DataFrame:
    """Tabulate some networks, by what each is called in the table."""
    known, groups = networks(), by_network()
    return pd.DataFrame(
        {
            called: label,
            "reads": f"{known.accuracy[name]:.1%}",
            "bend": f"{known.lambda_max[name]:.2g}",
            "before": decimals(rows.pcc_target_unattacked.median()),
            "gain": median_within(rows, "gain"),
            "honest map": median_within(rows, "pcc_original"),
            "after noise": decimals(rows.pcc_original_noise.median()),
            "class kept": f"{rows.class_kept.mean():.0%}",
        }
        for name, label in named.items()
        for rows in [groups[name]]
    )


def effort() -> pd.DataFrame:
    """Tabulate what more steps and more searches make of the maps of smooth networks."""
    attacks = {name: by_network(name) for name in ("100 steps", "400 steps", "four searches")}
    return pd.DataFrame(
        {
            "network": LADDER[end],
            "attack": settings,
            "gain": median_within(rows, "gain"),
            "honest map": spread(rows.pcc_original),
            "class kept": f"{rows.class_kept.mean():.0%}",
        }
        for end in ("_smooth", "_robust")
        for settings, groups in attacks.items()
        for rows in [groups[f"crops_vgg{end}"]]
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
        for end, label in LADDER.items()
        for rows in [groups[f"crops_vgg{end}"]]
    )
