"""What the benchmark computes: suites of jobs, each of a few pairs of pictures and one method."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np

from explman_lite.attack import Settings
from explman_lite.explainers.registry import DEFENSES, EXPLAINERS, UNPROTECTED
from explman_lite.pictures.collections import (
    CROPS,
    DIGITS,
    GENERATED,
    IMAGENET,
    IMAGENET_SIZE,
    IMAGENETTE,
    PHOTOGRAPHS,
    SMALL_PHOTOGRAPHS,
)
from explman_lite.pictures.crops import CROPPED
from explman_lite.pictures.photos import photo_names

METHODS = tuple(card.name for card in EXPLAINERS.values() if card.in_paper)
"""The paper's six methods."""

ARCHITECTURES = ("vgg16", "resnet18", "alexnet", "densenet121")
"""The paper's four ImageNet networks, by torchvision's names."""

SMALL_ARCHITECTURES = ("crops_vgg", "crops_alexnet", "crops_resnet", "crops_densenet")
"""Small networks of the same families, for crops."""

PAPER_DEFENSE = "BetaSmoothing(0.8)"
"""What the paper attacks in its appendix."""

Measurement = Literal["defense"]
"""What a suite may measure beside the attack and its controls."""


class Pair(NamedTuple):
    """Three pictures, by their numbers in the collection.

    ``source`` is changed until its map is that of ``target``. ``other`` is a third picture, whose
    map nobody aims at: how far an attack comes towards it shows what is reached by chance.
    ``number`` is that of the pair in the suite.
    """

    number: int
    source: int
    target: int
    other: int


class Case(NamedTuple):
    """What is done to every pair.

    ``model`` is a name of `load_model`, ``method`` a key of `EXPLAINERS` or of `DEFENSES`, and
    ``settings`` one of the suite's attacks.
    """

    model: str
    method: str
    settings: str = "ours"


@dataclass(frozen=True)
class Attack:
    """How the pairs of a case are attacked.

    Attributes
    ----------
    settings : Settings or None
        The settings of every search; None for the paper's, which depend on network, method and
        picture.
    searches : int
        Number of searches, of which the best counts; all but the first begin at a random point of
        the ε-box.
    """

    settings: Settings | None = Settings()
    searches: int = 1

    def record(self) -> dict[str, Any]:
        """Return the attack as plain values, fit for JSON."""
        how = "the paper's, by picture" if self.settings is None else self.settings.record()
        return {"settings": how, "searches": self.searches}


@dataclass(frozen=True)
class Job:
    """One unit of work, made of plain values: it can be hashed, pickled and sent to any machine.

    Attributes
    ----------
    suite : str
        The suite's name, for the table.
    pictures : str
        The name of the collection that the pairs refer to.
    case : Case
        Network, method and the name of the attack.
    attack : Attack
        What that name stands for.
    measures : tuple of str
        See `Suite`.
    pairs : tuple of Pair
        Attacked together, as a batch.
    seed : int
        Seed of the control's noise, together with the number of each pair.
    precision : {"float32", "float64"}
        Of network, pictures and all that is computed.
    path_points : int
        Number of points of Integrated Gradients.
    steps : int, optional
        Number of steps of each search, in place of that of the settings.
    """

    suite: str
    pictures: str
    case: Case
    attack: Attack
    measures: tuple[Measurement, ...]
    pairs: tuple[Pair, ...]
    seed: int
    precision: Literal["float32", "float64"]
    path_points: int
    steps: int | None

    @property
    def key(self) -> str:
        """A name for this job and no other, the same in every process."""
        values = vars(self) | {"attack": self.attack.record()}
        digest = hashlib.sha256(repr(values).encode()).hexdigest()[:8]
        first, last = self.pairs[0].number, self.pairs[-1].number
        return f"{'-'.join(self.case)}-{first:04d}-{last:04d}-{digest}"


@dataclass(frozen=True)
class Suite:
    """A list of cases, and the pairs that all of them are tried on.

    Attributes
    ----------
    name, description : str
        For people; the table and its file carry the name.
    pictures : str
        The name of a collection of pictures, as in ``SUITES``.
    cases : tuple of Case
        In an order where those that share a network, and then a method, follow one another.
    draw : callable
        Returns the list of pairs, given a seed.
    attacks : mapping of str to Attack
        The attacks by the names that the cases give them.
    measures : tuple of str
        What is measured beside the attack and its controls: ``"defense"`` for `defense_columns`.
    batch : int
        Number of pairs in a job.
    precision : {"float32", "float64"}
        An attack magnifies rounding errors, which differ between batches, thread counts and
        machines. In float64 they stay below 1e-6 in every column.
    path_points : int
        Number of points of Integrated Gradients; the paper uses 30.
    steps : int, optional
        Number of steps of each search, in place of that of the settings: for trying things out.

    Examples
    --------
    >>> from explman_lite.bench import SUITES
    >>> jobs = SUITES["digits"].jobs(seed=0, limit=30)
    >>> len(jobs), [len(job.pairs) for job in jobs[:2]], jobs[0].case.method
    (12, [25, 5], 'Gradient')
    """

    name: str
    description: str
    pictures: str
    cases: tuple[Case, ...]
    draw: Callable[[int], list[Pair]]
    attacks: Mapping[str, Attack] = field(default_factory=lambda: {"ours": Attack()})
    measures: tuple[Measurement, ...] = ()
    batch: int = 1
    precision: Literal["float32", "float64"] = "float64"
    path_points: int = 30
    steps: int | None = None

    def jobs(self, seed: int = 0, limit: int | None = None) -> list[Job]:
        """Return the jobs for the first ``limit`` pairs, in the order of the table's rows."""
        if limit is not None and limit < 1:
            raise ValueError(f"limit must be at least 1 pair, got {limit}")
        pairs = self.draw(seed)[:limit]
        batches = [
            tuple(pairs[start : start + self.batch]) for start in range(0, len(pairs), self.batch)
        ]
        return [
            Job(
                suite=self.name,
                pictures=self.pictures,
                case=case,
                attack=self.attacks[case.settings],
                measures=self.measures,
                pairs=batch,
                seed=seed,
                precision=self.precision,
                path_points=self.path_points,
                steps=self.steps,
            )
            for case, batch in product(self.cases, batches)
        ]

    def smoke(self) -> Suite:
        """Return the suite as a test of the code: two pairs, two steps, and nothing to download.

        Pictures and weights that would be downloaded are made up, so the numbers mean nothing. The
        name ends in ``-smoke``.
        """
        return replace(
            self,
            name=f"{self.name}-smoke",
            pictures=GENERATED if self.pictures in (IMAGENET, IMAGENETTE) else self.pictures,
            draw=lambda seed: self.draw(seed)[:2],
            path_points=2,
            steps=2,
        )


def random_pairs(seed: int, available: int, count: int) -> list[Pair]:
    """Draw ``count`` different sources of ``available``, and for each a target and a third picture.

    Examples
    --------
    >>> from explman_lite.bench.suites import random_pairs
    >>> pairs = random_pairs(seed=0, available=360, count=100)
    >>> len({pair.source for pair in pairs}), len(set(pairs[0][1:]))
    (100, 3)
    """
    generator = np.random.default_rng(_checked(seed))
    pairs = []
    for number, source in enumerate(generator.permutation(available)[:count].tolist()):
        rest = np.delete(np.arange(available), source)
        target, other = generator.choice(rest, 2, replace=False).tolist()
        pairs.append(Pair(number, source, target, other))
    return pairs


def ordered_pairs(seed: int, available: int, rounds: int | None = None) -> list[Pair]:
    """List every source with every target; the seed draws only the third pictures.

    Each round uses all ``available`` pictures, once as source and once as target; all rounds are
    listed if ``rounds`` is not given.

    Examples
    --------
    >>> from explman_lite.bench.suites import ordered_pairs
    >>> [pair[1:3] for pair in ordered_pairs(seed=0, available=3)]
    [(0, 1), (1, 2), (2, 0), (0, 2), (1, 0), (2, 1)]
    """
    generator = np.random.default_rng(_checked(seed))
    pairs: list[Pair] = []
    for distance, source in product(range(1, available)[:rounds], range(available)):
        target = (source + distance) % available
        rest = [index for index in range(available) if index not in (source, target)]
        pairs.append(Pair(len(pairs), source, target, int(generator.choice(rest))))
    return pairs


def balanced_pairs(seed: int, available: int, rounds: int) -> list[Pair]:
    """Draw pairs such that every picture is source, target and third picture equally often.

    Examples
    --------
    >>> from explman_lite.bench.suites import balanced_pairs
    >>> pairs = balanced_pairs(seed=0, available=20, rounds=5)
    >>> len(set(pairs)), sum(pair.source == 7 for pair in pairs)
    (100, 5)
    """
    generator = np.random.default_rng(_checked(seed))
    order = generator.permutation(available)
    ahead = generator.choice(np.arange(1, available), 2 * rounds, replace=False)
    return [
        Pair(number, *(int(order[(place + step) % available]) for step in (0, target, other)))
        for number, ((target, other), place) in enumerate(
            product(ahead.reshape(rounds, 2).tolist(), range(available))
        )
    ]


def crossed_pairs(seed: int, groups: int, count: int) -> list[Pair]:
    """Draw pairs of pictures of different groups, every group source and target about as often.

    The picture ``index`` is of the group ``index % groups``, as in `Crops`. Sources, targets and
    third pictures are three different lots of ``count`` pictures.

    Examples
    --------
    >>> from explman_lite.bench.suites import crossed_pairs
    >>> pairs = crossed_pairs(seed=0, groups=10, count=100)
    >>> any(pair.source % 10 == pair.target % 10 for pair in pairs)
    False
    >>> len({pair.target for pair in pairs}), max(pair.other for pair in pairs)
    (100, 299)
    """
    generator = np.random.default_rng(_checked(seed))
    rounds = -(-count // groups)
    pairs = []
    for number in range(count):
        turn, group = divmod(number, groups)
        if group == 0:
            target, other = generator.permutation(np.arange(1, groups))[:2].tolist()
        pairs.append(
            Pair(
                number,
                number,
                (rounds + turn) * groups + (group + target) % groups,
                (2 * rounds + turn) * groups + (group + other) % groups,
            )
        )
    return pairs


def _checked(seed: int) -> int:
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    return seed


_IMAGENETTE_SIZE = 3925


def _adaptive_cases(model: str) -> tuple[Case, ...]:
    """Return a case for each defence, whose attacker knows it."""
    return tuple(Case(model, defense, "adaptive") for defense in DEFENSES)


def _within(epsilon: float, steps: int) -> Attack:
    """Attack within an ε-box, so that defences can be compared.

    Without it, the attacker of a smoother map takes larger steps away from the picture, and gets
    further.
    """
    return Attack(Settings(steps=steps, lr=epsilon / 4, epsilon=epsilon), searches=2)


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(
            "digits",
            "six methods, digits_vgg, 100 pairs of test digits",
            DIGITS,
            tuple(Case("digits_vgg", method) for method in METHODS),
            partial(random_pairs, available=360, count=100),
            attacks={"ours": Attack(Settings(steps=100, lr=2e-3))},
            batch=25,
            path_points=4,
        ),
        Suite(
            "photos",
            "six methods, efficientnet_lite0, ordered pairs of photographs, 160 × 160 pixels",
            PHOTOGRAPHS,
            tuple(Case("efficientnet_lite0", method) for method in METHODS),
            partial(ordered_pairs, available=len(photo_names())),
            attacks={"ours": Attack(Settings(steps=100))},
            batch=30,
            path_points=4,
        ),
        Suite(
            "imagenet",
            "six methods, efficientnet_lite0, 100 pairs of the extra's pictures, 224 × 224 pixels",
            IMAGENET,
            tuple(Case("efficientnet_lite0", method) for method in METHODS),
            partial(balanced_pairs, available=IMAGENET_SIZE, rounds=5),
            batch=20,
            path_points=4,
        ),
        Suite(
            "paper",
            "the paper's networks and methods, 100 pairs of Imagenette, its settings and ours",
            IMAGENETTE,
            tuple(
                Case(model, method, settings)
                for model in ARCHITECTURES
                for method in (METHODS if model == "vgg16" else METHODS[:1])
                for settings in ("paper", "ours")
            ),
            partial(random_pairs, available=_IMAGENETTE_SIZE, count=100),
            attacks={"paper": Attack(None), "ours": Attack()},
            precision="float32",
        ),
        Suite(
            "architectures",
            "the gradient of four small networks, of the paper's families, 100 pairs of crops",
            CROPS,
            tuple(Case(model, "Gradient") for model in SMALL_ARCHITECTURES),
            partial(crossed_pairs, groups=len(CROPPED), count=100),
            attacks={"ours": Attack(Settings(steps=100, lr=2e-3))},
            batch=20,
        ),
        Suite(
            "defense",
            "β-smoothing and SmoothGrad, attacked adaptively and as in the paper, on digits",
            DIGITS,
            _adaptive_cases("digits_vgg")
            + tuple(Case("digits_vgg", name, "paper") for name in (UNPROTECTED, PAPER_DEFENSE)),
            partial(random_pairs, available=360, count=100),
            attacks={
                "adaptive": _within(epsilon=0.1, steps=60),
                "paper": Attack(Settings.paper("Gradient", "digits_vgg", against_smoothing=True)),
            },
            measures=("defense",),
            batch=25,
        ),
        Suite(
            "defense-photos",
            "the same, adaptively, on six pairs of photographs, 96 × 96 pixels",
            SMALL_PHOTOGRAPHS,
            _adaptive_cases("efficientnet_lite0"),
            partial(ordered_pairs, available=len(photo_names()), rounds=1),
            attacks={"adaptive": _within(epsilon=0.03, steps=40)},
            measures=("defense",),
            precision="float32",
        ),
    )
}
"""The suites by name.

On a CPU, Integrated Gradients takes 4 points instead of the paper's 30; on digits, the correlation
of its maps with those of 300 points is still 0.97 or more.
"""
