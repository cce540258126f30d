"""Is one method easier to manipulate than another? Medians with intervals, and paired tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

_RESAMPLES = 10_000


class Interval(NamedTuple):
    """The ends of a confidence interval."""

    low: float
    high: float


class Comparison(NamedTuple):
    """How two methods differ over the same pairs."""

    median_difference: float
    """Median over the pairs of first minus second."""
    interval: Interval
    """Bootstrap interval of that median."""
    p_value: float
    """Of Wilcoxon's signed-rank test, two-sided."""
    pairs: int
    """How many pairs have a number for both."""


def bootstrap_interval(values: ArrayLike, seed: int = 0, level: float = 0.95) -> Interval:
    """Estimate a confidence interval for the median, by the percentile bootstrap.

    Parameters
    ----------
    values : array_like
        (N,) without NaN, at least one.
    seed : int
        Of the 10,000 resamples.
    level : float
        How much of the bootstrap distribution the interval holds, between 0 and 1.

    Returns
    -------
    Interval
        Its low and high end.

    Raises
    ------
    ValueError
        If an argument is not of this form.

    References
    ----------
    Efron (1979), "Bootstrap methods: another look at the jackknife".

    Examples
    --------
    >>> from explman_lite.bench import bootstrap_interval
    >>> low, high = bootstrap_interval(range(101))
    >>> bool(low < 50 < high)
    True
    """
    numbers = np.asarray(values, dtype=float)
    if numbers.ndim != 1 or numbers.size == 0 or not np.isfinite(numbers).all():
        raise ValueError(f"expected finite numbers (N,), got an array of shape {numbers.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    generator = np.random.default_rng(seed)
    chosen = generator.integers(numbers.size, size=(_RESAMPLES, numbers.size))
    medians = np.median(numbers[chosen], axis=1)
    low, high = np.quantile(medians, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def paired_difference(
    first: ArrayLike, second: ArrayLike, seed: int = 0, level: float = 0.95
) -> Comparison:
    """Compare two measurements of the same pairs.

    Parameters
    ----------
    first, second : array_like
        (N,), in the same order; pairs with a NaN in either are left out.
    seed, level
        See `bootstrap_interval`.

    Returns
    -------
    Comparison
        Of ``first`` minus ``second``.

    Raises
    ------
    ValueError
        If the shapes differ, or no pair has both numbers.

    References
    ----------
    Wilcoxon (1945), "Individual comparisons by ranking methods".

    Examples
    --------
    >>> from explman_lite.bench import paired_difference
    >>> found = paired_difference([3.0, 5.0, 7.0, 9.0, 11.0], [1.0, 2.0, 3.0, 4.0, 5.0])
    >>> found.median_difference, found.p_value
    (4.0, 0.0625)
    """
    from scipy.stats import wilcoxon

    one, two = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if one.shape != two.shape or one.ndim != 1:
        raise ValueError(f"expected two arrays (N,), got the shapes {one.shape} and {two.shape}")
    difference: NDArray[np.float64] = (one - two)[~np.isnan(one - two)]
    interval = bootstrap_interval(difference, seed, level)
    p_value = float(wilcoxon(difference).pvalue) if difference.any() else 1.0
    return Comparison(float(np.median(difference)), interval, p_value, difference.size)


def compare_methods(
    table: pd.DataFrame, first: str, second: str, column: str, seed: int = 0
) -> Comparison:
    """Compare two methods over the pairs of a benchmark's table.

    Parameters
    ----------
    table : DataFrame
        From `run`; pairs are matched by model, settings and number.
    first, second : str
        Names in the column ``method``.
    column : str
        What to compare, such as ``pcc_target``.
    seed : int
        See `bootstrap_interval`.

    Returns
    -------
    Comparison
        Of ``first`` minus ``second``.

    Raises
    ------
    ValueError
        If a method is not in the table, or the two share no pair.

    Examples
    --------
    >>> import pandas as pd
    >>> from explman_lite.bench import compare_methods
    >>> table = pd.DataFrame({"model": "m", "settings": "ours", "method": ["A", "A", "B", "B"],
    ...                       "pair": [0, 1, 1, 0], "pcc_target": [0.9, 0.8, 0.5, 0.5]})
    >>> round(compare_methods(table, "A", "B", "pcc_target").median_difference, 2)
    0.35
    """
    known = set(table["method"])
    for method in (first, second):
        if method not in known:
            raise ValueError(f"no method {method!r} in the table; it has {sorted(known)}")
    by_method = table.pivot(index=["model", "settings", "pair"], columns="method", values=column)
    return paired_difference(by_method[first], by_method[second], seed)
