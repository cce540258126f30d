import warnings
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from explman_lite import bench


@pytest.mark.parametrize("size", [2, 25, 60])
def test_the_bootstrap_is_that_of_its_formula(size):
    values = np.random.default_rng(0).exponential(size=size)
    drawn = np.random.default_rng(7).integers(size, size=(10_000, size))
    medians = [np.median(values[indices]) for indices in drawn]
    expected = np.quantile(medians, [0.05, 0.95])
    with warnings.catch_warnings(action="error"):  # such as of an argument's old name
        found = bench.bootstrap_interval(values, seed=7, level=0.9)
    assert found == pytest.approx(tuple(expected), rel=1e-14)


def test_values_that_are_all_the_same_have_no_spread():
    assert bench.bootstrap_interval([2.0] * 5) == (2.0, 2.0)
    assert bench.bootstrap_interval([3.0]) == (3.0, 3.0)


def test_a_wider_level_gives_a_wider_interval():
    values = np.random.default_rng(0).normal(size=80)
    widths = [
        np.subtract(*reversed(bench.bootstrap_interval(values, level=level)))
        for level in (0.5, 0.9, 0.99)
    ]
    assert all(narrow < wide for narrow, wide in pairwise(widths))


def test_the_bootstrap_interval_covers_the_median_as_often_as_it_says():
    generator = np.random.default_rng(3)
    covered = [
        low <= 0 <= high
        for low, high in (
            bench.bootstrap_interval(generator.normal(size=40), level=0.8) for _ in range(150)
        )
    ]
    assert 0.7 <= np.mean(covered) <= 0.92


def test_paired_differences_agree_with_wilcoxon():
    first, second = np.random.default_rng(0).normal(size=(2, 30))
    found = bench.paired_difference(first, second)
    assert found.p_value == pytest.approx(stats.wilcoxon(first, second).pvalue)
    assert found.median_difference == pytest.approx(np.median(first - second))
    assert found.interval.low <= found.median_difference <= found.interval.high
    assert bench.paired_difference(first, first) == (0.0, (0.0, 0.0), 1.0, 30)
    assert bench.paired_difference([1.0, np.nan, 3.0], [0.0, 0.0, np.nan]).pairs == 1


def test_the_p_value_counts_all_signs_that_the_differences_could_have():
    ranks = np.arange(1, 9)  # no two of the same size, so that these are their own ranks
    signs = np.array([1, 1, -1, 1, -1, 1, 1, 1])

    def smaller_sum(signs):
        return min(ranks[signs > 0].sum(), ranks[signs < 0].sum())

    flipped = [smaller_sum(np.array(some)) for some in product([-1, 1], repeat=8)]
    expected = np.mean(np.array(flipped) <= smaller_sum(signs))
    found = bench.paired_difference(signs * ranks**2.0, np.zeros(8))
    assert found.p_value == pytest.approx(expected)


def test_methods_are_compared_pair_by_pair():
    table = pd.DataFrame(
        {
            "model": "m",
            "settings": "ours",
            "method": ["A"] * 6 + ["B"] * 6,
            "pair": [*range(6), *reversed(range(6))],
            "pcc_target": [*np.arange(6) / 10 + 0.3, *reversed(np.arange(6) / 10)],
        }
    )
    found = bench.compare_methods(table, "A", "B", "pcc_target")
    assert found.median_difference == pytest.approx(0.3)
    assert found.p_value == pytest.approx(2 / 2**6)
    with pytest.raises(ValueError, match=r"no method 'C' in the table; it has \['A', 'B'\]"):
        bench.compare_methods(table, "A", "C", "pcc_target")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "expected finite numbers"),
        (([1.0, np.nan],), "expected finite numbers"),
        (([1.0], 0, 1.5), "level must lie between 0 and 1"),
    ],
)
def test_the_bootstrap_names_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        bench.bootstrap_interval(*arguments)
