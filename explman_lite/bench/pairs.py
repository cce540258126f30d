"""Which pictures are attacked, and which maps they are to have: pairs, drawn from a collection."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np


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


def random_pairs(seed: int, available: int, count: int) -> list[Pair]:
    """Draw ``count`` different sources of ``available``, and for each a target and a third picture.

    Examples
    --------
    >>> from explman_lite.bench.pairs import random_pairs
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
    >>> from explman_lite.bench.pairs import ordered_pairs
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
    >>> from explman_lite.bench.pairs import balanced_pairs
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


def crossed_pairs(seed: int, groups: int, count: int, first: int = 0) -> list[Pair]:
    """Draw pairs of pictures of different groups, every group source and target about as often.

    The picture ``index`` is of the group ``index % groups``, as in `Crops`. Sources, targets and
    third pictures are three different lots of ``count`` pictures, from the picture ``first`` on,
    which is of the first group.

    Examples
    --------
    >>> from explman_lite.bench.pairs import crossed_pairs
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
                first + number,
                first + (rounds + turn) * groups + (group + target) % groups,
                first + (2 * rounds + turn) * groups + (group + other) % groups,
            )
        )
    return pairs


def _checked(seed: int) -> int:
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    return seed
