"""What a table says of its pictures: effects, and intervals from a bootstrap over pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Statistic = Literal["median", "mean"]
_RESAMPLES, _AT_ONCE = 10_000, 500


class Interval(NamedTuple):
    """The ends of a confidence interval, in the units of the values."""

    low: float
    high: float


class Comparison(NamedTuple):
    """How two measurements of the same pairs differ."""

    difference: float
    """Median, or mean, over the pairs of first minus second."""
    interval: Interval
    """Bootstrap interval of that difference, see `bootstrap_interval`."""
    pairs: int
    """How many pairs have a number for both."""
    pictures: int
    """How many different pictures these pairs are made of."""


def bootstrap_interval(
    values: ArrayLike,
    sources: ArrayLike,
    targets: ArrayLike,
    *,
    statistic: Statistic = "median",
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    r"""Estimate a confidence interval by a bootstrap over pictures.

    Pairs of the same few pictures are not independent: one that is easy to attack is easy with
    every target. So pictures are drawn, and not pairs (after Owen, 2007). A resample draws as many
    as there are, with replacement, and picture p :math:`m_p` times. It holds the value of a pair

    .. math::

       m_{\mathrm{source}}\, m_{\mathrm{target}} \text{ times, or } m_{\mathrm{source}}
       \text{ times if both have the same label,}

    so a picture counts equally often as source and as target. The statistic of a resample is the
    median of the values that it holds (the mean of the two in the middle if their number is even),
    or their mean. The interval reaches from the :math:`(1 - \mathrm{level}) / 2` quantile of 10,000
    statistics to the :math:`(1 + \mathrm{level}) / 2` quantile. A resample that holds no value does
    not count.

    No bootstrap of such pairs is exact (McCullagh, 2000). This one errs towards wide intervals:
    what varies with pictures is counted once, what varies with pairs alone up to three times, as a
    variance. If no two pairs share a picture, the interval is about :math:`\sqrt 3` times as wide
    as the ordinary bootstrap's, which is right there and which you get by labelling source and
    target with the number of the pair. With fewer than ten pictures the interval is rough, and
    more often too narrow than too wide. If all values are the same, its ends coincide: resampling
    does not know what it has not seen.

    Parameters
    ----------
    values : array_like
        (N,) finite; True and False for a rate.
    sources, targets : array_like
        (N,) labels of each pair's two pictures. Pictures that belong together, such as pieces of
        one photograph, share a label.
    statistic : {"median", "mean"}
        What the interval is for; a rate is a mean.
    seed : int
        Seed of the resamples. The order of the pairs does not matter.
    level : float
        Share of the statistics that the interval holds, between 0 and 1.

    Returns
    -------
    Interval
        Its low and its high end.

    Raises
    ------
    ValueError
        If an argument is not of this form, or all pairs have the same two pictures, so that there
        is nothing to resample.

    References
    ----------
    Owen (2007), "The pigeonhole bootstrap", Annals of Applied Statistics 1(2); McCullagh (2000),
    "Resampling and exchangeable arrays", Bernoulli 6.

    Examples
    --------
    >>> from explman_lite.bench import bootstrap_interval
    >>> ease = {"cat": 0.9, "cup": 0.8, "rocket": 0.5, "flower": 0.4}
    >>> pairs = [(one, other) for one in ease for other in ease if one != other]
    >>> sources, targets = zip(*pairs)
    >>> low, high = bootstrap_interval([ease[name] for name in sources], sources, targets)
    >>> round(low, 2), round(high, 2)
    (0.45, 0.85)
    """
    numbers = np.asarray(values, dtype=float)
    if numbers.ndim != 1 or numbers.size == 0 or not np.isfinite(numbers).all():
        raise ValueError(f"expected finite numbers (N,), got an array of shape {numbers.shape}")
    clusters = _clusters(sources, targets, numbers.size)
    if statistic not in get_args(Statistic):
        raise ValueError(f"statistic must be 'median' or 'mean', got {statistic!r}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if len(np.unique(np.sort(clusters, axis=0), axis=1).T) < 2:
        raise ValueError("all pairs have the same two pictures, so there is nothing to resample")
    order = np.argsort(numbers, kind="stable")
    compute = _medians if statistic == "median" else _means
    found = [compute(numbers[order], counts) for counts in _resamples(clusters[:, order], seed)]
    low, high = np.quantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    sources: ArrayLike,
    targets: ArrayLike,
    *,
    statistic: Statistic = "median",
    seed: int = 0,
    level: float = 0.95,
) -> Comparison:
    """Compare two measurements of the same pairs.

    Parameters
    ----------
    first, second : array_like
        (N,), in the same order; pairs with a NaN in either are left out.
    sources, targets, statistic, seed, level
        See `bootstrap_interval`.

    Returns
    -------
    Comparison
        Of ``first`` minus ``second``.

    Raises
    ------
    ValueError
        If the shapes differ, no pair has both numbers, or `bootstrap_interval` refuses them.

    Examples
    --------
    >>> from explman_lite.bench import paired_difference
    >>> sources, targets = ["cat", "cup", "rocket"], ["cup", "rocket", "cat"]
    >>> found = paired_difference([0.9, 0.8, 0.4], [0.5, 0.6, 0.3], sources, targets)
    >>> round(found.difference, 2), found.pairs, found.pictures
    (0.2, 3, 3)
    """
    one, two = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if one.shape != two.shape or one.ndim != 1:
        raise ValueError(f"expected two arrays (N,), got the shapes {one.shape} and {two.shape}")
    both = ~np.isnan(one - two)
    clusters = _clusters(sources, targets, one.size)[:, both]
    difference = (one - two)[both]
    interval = bootstrap_interval(
        difference, *clusters, statistic=statistic, seed=seed, level=level
    )
    middle = np.median(difference) if statistic == "median" else np.mean(difference)
    return Comparison(float(middle), interval, difference.size, np.unique(clusters).size)


def compare_methods(
    table: pd.DataFrame,
    first: str,
    second: str,
    column: str,
    *,
    statistic: Statistic = "median",
    seed: int = 0,
) -> Comparison:
    """Compare two methods over the pairs of a benchmark's table.

    Parameters
    ----------
    table : DataFrame
        From `run`; pairs are matched by model, settings and number. Its columns ``source`` and
        ``target`` name their pictures.
    first, second : str
        Names in the column ``method``.
    column : str
        What to compare, such as ``pcc_target``.
    statistic, seed
        See `bootstrap_interval`.

    Returns
    -------
    Comparison
        Of ``first`` minus ``second``.

    Raises
    ------
    ValueError
        If a method is not in the table, the two share no pair, or `bootstrap_interval` refuses
        their pairs.

    Examples
    --------
    >>> import pandas as pd
    >>> from explman_lite.bench import compare_methods
    >>> table = pd.DataFrame({"model": "m", "settings": "ours", "method": ["A", "A", "B", "B"],
    ...                       "pair": [0, 1, 1, 0], "source": ["cat", "cup", "cup", "cat"],
    ...                       "target": ["cup", "rocket", "rocket", "cup"],
    ...                       "pcc_target": [0.9, 0.8, 0.5, 0.5]})
    >>> round(compare_methods(table, "A", "B", "pcc_target").difference, 2)
    0.35
    """
    known = set(table["method"])
    for method in (first, second):
        if method not in known:
            raise ValueError(f"no method {method!r} in the table; it has {sorted(known)}")
    pair = ["model", "settings", "pair", "source", "target"]
    by_method = table.pivot(index=pair, columns="method", values=column)
    sources, targets = (by_method.index.get_level_values(name) for name in pair[-2:])
    return paired_difference(
        by_method[first], by_method[second], sources, targets, statistic=statistic, seed=seed
    )


def _clusters(sources: ArrayLike, targets: ArrayLike, size: int) -> NDArray[np.intp]:
    """Return the labels of the pairs' sources and targets as numbers, (2, N), or refuse them."""
    labels = [np.asarray(each) for each in (sources, targets)]
    for name, given in zip(("sources", "targets"), labels, strict=True):
        if given.shape != (size,):
            raise ValueError(
                f"expected in {name} a label for each of {size} values, got an array of shape "
                f"{given.shape}"
            )
        if pd.isna(given).any():
            raise ValueError(f"a label in {name} is missing")
    _, clusters = np.unique(np.concatenate(labels), return_inverse=True)
    return clusters.reshape(2, size)


def _resamples(clusters: NDArray[np.intp], seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield how often resamples hold each pair, (B, N), without those that hold none."""
    generator = np.random.default_rng(seed)
    size = int(clusters.max()) + 1
    within = clusters[0] == clusters[1]
    for start in range(0, _RESAMPLES, _AT_ONCE):
        many = min(_AT_ONCE, _RESAMPLES - start)
        drawn = generator.multinomial(size, np.full(size, 1 / size), size=many)
        counts = drawn[:, clusters[0]] * np.where(within, 1, drawn[:, clusters[1]])
        yield counts[counts.any(axis=1)]


def _medians(values: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the median of each resample (B,) of sorted values (N,)."""
    twice = 2 * counts.cumsum(axis=1)
    whole = twice[:, -1:] // 2
    lower, upper = (twice >= whole).argmax(axis=1), (twice > whole).argmax(axis=1)
    middle: NDArray[np.float64] = (values[lower] + values[upper]) / 2
    return middle


def _means(values: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean of each resample (B,) of values (N,)."""
    mean: NDArray[np.float64] = (counts @ values) / counts.sum(axis=1)
    return mean
