"""Is one method easier to manipulate than another? Medians with intervals, and paired tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

_RESAMPLES, _AT_ONCE = 10_000, 100


class Interval(NamedTuple):
    """The ends of a confidence interval, in the units of the values."""

    low: float
    high: float


class Comparison(NamedTuple):
    """How two measurements of the same pairs differ."""

    median_difference: float
    """Median over the pairs of first minus second."""
    interval: Interval
    """Bootstrap interval of that median, see `bootstrap_interval`."""
    p_value: float
    """From Wilcoxon's signed-rank test, two-sided, in [0, 1]."""
    pairs: int
    """How many pairs have a number for both."""


def bootstrap_interval(values: ArrayLike, seed: int = 0, level: float = 0.95) -> Interval:
    r"""Estimate a confidence interval for the median, by the percentile bootstrap.

    .. math::

       \bigl[Q_{(1 - \mathrm{level}) / 2},\; Q_{(1 + \mathrm{level}) / 2}\bigr]
       \quad\text{of}\quad m_1, \dots, m_{10\,000},

    where :math:`m_b` is the median of N numbers drawn from the values with replacement, and
    :math:`Q_q` the quantile that a share q of the medians lies below.

    Parameters
    ----------
    values : array_like
        (N,) finite, at least one; a single value is both ends of its interval.
    seed : int
        Seed of the 10,000 resamples.
    level : float
        Share of the medians that the interval holds, between 0 and 1.

    Returns
    -------
    Interval
        Its low and its high end.

    Raises
    ------
    ValueError
        If an argument is not of this form.

    References
    ----------
    Efron (1979), "Bootstrap methods: another look at the jackknife"; computed by
    `scipy.stats.bootstrap`.

    Examples
    --------
    >>> from explman_lite.bench import bootstrap_interval
    >>> low, high = bootstrap_interval(range(101))
    >>> bool(low < 50 < high)
    True
    """
    from scipy.stats import bootstrap

    numbers = np.asarray(values, dtype=float)
    if numbers.ndim != 1 or numbers.size == 0 or not np.isfinite(numbers).all():
        raise ValueError(f"expected finite numbers (N,), got an array of shape {numbers.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if numbers.size == 1:  # which SciPy refuses
        return Interval(float(numbers[0]), float(numbers[0]))
    found = bootstrap(
        (numbers,),
        np.median,
        n_resamples=_RESAMPLES,
        batch=_AT_ONCE,  # all at once they would fill the memory where N is large
        vectorized=True,
        confidence_level=level,
        method="percentile",
        random_state=np.random.default_rng(seed),  # `rng` since SciPy 1.15, which knows both
    ).confidence_interval
    return Interval(float(found.low), float(found.high))


def paired_difference(
    first: ArrayLike, second: ArrayLike, seed: int = 0, level: float = 0.95
) -> Comparison:
    r"""Compare two measurements of the same pairs, by Wilcoxon's signed-rank test.

    .. math::

       W = \min\Bigl(\sum_{d_i > 0} r_i,\; \sum_{d_i < 0} r_i\Bigr), \qquad
       d_i = \mathrm{first}_i - \mathrm{second}_i,

    where :math:`r_i` is the rank of :math:`|d_i|` among the differences that are not zero. The p
    value is the probability of a W no larger than this if the signs were tosses of a fair coin:
    exact for up to 50 differences without ties and zeros, else as SciPy approximates it.

    Parameters
    ----------
    first, second : array_like
        (N,), in the same order; pairs with a NaN in either are left out.
    seed, level
        See `bootstrap_interval`.

    Returns
    -------
    Comparison
        Of ``first`` minus ``second``; where all differences are zero, the p value is 1.

    Raises
    ------
    ValueError
        If the shapes differ, or no pair has both numbers.

    References
    ----------
    Wilcoxon (1945), "Individual comparisons by ranking methods"; computed by
    `scipy.stats.wilcoxon`.

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
        Seed of `bootstrap_interval`.

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
