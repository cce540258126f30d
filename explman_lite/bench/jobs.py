"""What the benchmark computes, as plain values: cases, attacks, jobs, and suites of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Literal, NamedTuple

from explman_lite.attack import Settings
from explman_lite.bench.pairs import Pair
from explman_lite.pictures.collections import GENERATED, IMAGENET, IMAGENETTE

Measurement = Literal["defense"]
"""What a suite may measure beside the attack and its controls."""


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
