from itertools import pairwise, permutations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from explman_lite import bench
from explman_lite.bench import compare
from explman_lite.bench.pairs import ordered_pairs


def width(interval):
    return interval.high - interval.low


def ordinary(values, **options):
    """Return the bootstrap of independent values, by SciPy."""
    found = stats.bootstrap((values,), method="percentile", random_state=0, **options)
    return bench.Interval(*found.confidence_interval)


def crossed(pictures, rounds):
    """Return sources and targets: pairs of a few pictures, each equally often in both roles."""
    pairs = ordered_pairs(seed=0, available=pictures, rounds=rounds)
    return np.array([pair[1:3] for pair in pairs]).T


@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_the_bootstrap_is_that_of_its_formula(statistic):
    generator = np.random.default_rng(0)
    values = generator.integers(8, size=25) / 4  # with ties
    sources, targets = generator.integers(7, size=(2, 25))
    assert (sources == targets).any()
    found = []
    for drawn in np.random.default_rng(7).multinomial(7, [1 / 7] * 7, size=10_000):
        often = [
            drawn[one] if one == other else drawn[one] * drawn[other]
            for one, other in zip(sources, targets, strict=True)
        ]
        held = np.repeat(values, often)
        if held.size:
            found.append(getattr(np, statistic)(held))
    assert len(found) > 9000
    low, high = bench.bootstrap_interval(
        values, sources, targets, statistic=statistic, seed=7, level=0.9
    )
    assert (low, high) == pytest.approx(np.quantile(found, [0.05, 0.95]), rel=1e-12)


@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_pairs_within_pictures_of_their_own_get_the_ordinary_bootstrap(statistic):
    values, pairs = np.random.default_rng(0).normal(size=200), np.arange(200)
    ours = bench.bootstrap_interval(values, pairs, pairs, statistic=statistic)
    theirs = ordinary(values, statistic=getattr(np, statistic))
    assert ours == pytest.approx(theirs, abs=0.03 * width(theirs))


def test_pairs_that_share_one_target_get_nearly_the_ordinary_bootstrap():
    values, sources = np.random.default_rng(0).normal(size=400), np.arange(400)
    ours = bench.bootstrap_interval(values, sources, np.full(400, -1), statistic="mean")
    assert width(ours) / width(ordinary(values, statistic=np.mean)) == pytest.approx(1, abs=0.05)


def test_pairs_that_share_no_picture_get_three_times_the_variance():
    values, pairs = np.random.default_rng(0).normal(size=1000), np.arange(1000)
    ours = bench.bootstrap_interval(values, pairs, pairs + 1000, statistic="mean")
    theirs = ordinary(values, statistic=np.mean)
    assert width(ours) / width(theirs) == pytest.approx(np.sqrt(3), rel=0.06)


@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_it_covers_the_truth_where_a_bootstrap_over_pairs_does_not(monkeypatch, statistic):
    monkeypatch.setattr(compare, "_RESAMPLES", 400)
    sources, targets = crossed(pictures=20, rounds=5)
    generator, pairs, trials = np.random.default_rng(0), np.arange(100), 300
    covered = {"pictures": 0, "pairs": 0}
    for _ in range(trials):
        of_source, of_target = generator.normal(size=(2, 20))
        values = of_source[sources] + of_target[targets] + generator.normal(0, 0.3, size=100)
        for name, labels in {"pictures": (sources, targets), "pairs": (pairs, pairs)}.items():
            low, high = bench.bootstrap_interval(values, *labels, statistic=statistic, level=0.9)
            covered[name] += low <= 0 <= high
    assert covered["pairs"] / trials < 0.75
    assert 0.85 < covered["pictures"] / trials < 0.97


def test_pieces_of_one_photograph_count_as_one():
    generator = np.random.default_rng(0)
    sources, targets = generator.integers(60, size=(2, 300))  # pieces, six of each photograph
    ease = generator.normal(size=10)
    values = ease[sources // 6] + generator.normal(0, 0.1, size=300)
    by_piece = bench.bootstrap_interval(values, sources, targets)
    by_photograph = bench.bootstrap_interval(
        values, [f"photograph {i // 6}" for i in sources], [f"photograph {i // 6}" for i in targets]
    )
    assert width(by_photograph) > 1.5 * width(by_piece)


def test_a_picture_counts_equally_often_as_source_and_as_target():
    """Else a value that cancels where both roles are played alike would not."""
    pairs = np.array(list(permutations(range(8), 2)))
    effects = np.random.default_rng(0).normal(size=8)
    values = effects[pairs[:, 0]] - effects[pairs[:, 1]]
    together = bench.bootstrap_interval(values, *pairs.T, statistic="mean")
    apart = bench.bootstrap_interval(values, pairs[:, 0], pairs[:, 1] + 8, statistic="mean")
    assert together == pytest.approx((0, 0), abs=1e-12)
    assert width(apart) > 0.5


def test_the_order_of_the_pairs_does_not_matter_and_the_seed_does():
    values, (sources, targets) = np.random.default_rng(0).normal(size=100), crossed(20, 5)
    shuffled = np.random.default_rng(1).permutation(100)
    rows = (values, sources, targets)
    found = bench.bootstrap_interval(*rows, statistic="mean", seed=3)
    again = bench.bootstrap_interval(*(row[shuffled] for row in rows), statistic="mean", seed=3)
    assert again == pytest.approx(found, rel=1e-12)
    assert found != bench.bootstrap_interval(*rows, statistic="mean", seed=4)


def test_values_that_are_all_the_same_have_no_spread():
    sources, targets = crossed(5, 2)
    assert bench.bootstrap_interval([2.0] * 10, sources, targets) == (2.0, 2.0)
    assert bench.bootstrap_interval([True] * 10, sources, targets, statistic="mean") == (1, 1)


def test_a_wider_level_gives_a_wider_interval():
    values = np.random.default_rng(0).normal(size=100)
    widths = [
        width(bench.bootstrap_interval(values, *crossed(20, 5), level=level))
        for level in (0.5, 0.9, 0.99)
    ]
    assert all(narrow < wide for narrow, wide in pairwise(widths))


@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_a_paired_difference_is_an_effect_with_the_interval_of_its_pairs(statistic):
    first, second = np.random.default_rng(0).normal(size=(2, 20))
    pairs = crossed(5, 4)
    found = bench.paired_difference(first, second, *pairs, statistic=statistic, seed=2, level=0.8)
    assert found.difference == pytest.approx(getattr(np, statistic)(first - second))
    assert found.interval == bench.bootstrap_interval(
        first - second, *pairs, statistic=statistic, seed=2, level=0.8
    )
    assert (found.pairs, found.pictures) == (20, 5)
    assert bench.paired_difference(first, first, *pairs) == (0.0, (0.0, 0.0), 20, 5)


def test_pairs_that_lack_a_number_are_left_out_with_their_pictures():
    found = bench.paired_difference(
        [1.0, 2.0, np.nan, 4.0], [0.0, 0.0, 0.0, np.nan], [0, 1, 2, 3], [1, 4, 5, 6]
    )
    assert found.difference == 1.5
    assert (found.pairs, found.pictures) == (2, 3)


def test_methods_are_compared_pair_by_pair():
    numbers = np.arange(6)
    rows = {"model": "m", "settings": "ours"}
    one = pd.DataFrame(
        rows
        | {
            "method": "A",
            "pair": numbers,
            "source": [f"picture {number}" for number in numbers],
            "target": [f"picture {number}" for number in (numbers + 1) % 6],
            "pcc_target": numbers / 10 + np.linspace(0.2, 0.4, 6),
        }
    )
    other = one.assign(method="B", pcc_target=numbers / 10)[::-1]
    found = bench.compare_methods(pd.concat([one, other]), "A", "B", "pcc_target")
    assert found.difference == pytest.approx(0.3)
    expected = bench.bootstrap_interval(np.linspace(0.2, 0.4, 6), one.source, one.target)
    assert found.interval == pytest.approx(expected)
    assert (found.pairs, found.pictures) == (6, 6)
    with pytest.raises(ValueError, match=r"no method 'C' in the table; it has \['A', 'B'\]"):
        bench.compare_methods(pd.concat([one, other]), "A", "C", "pcc_target")


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([], [], []), {}, r"expected finite numbers \(N,\), got an array of shape \(0,\)"),
        (([1.0, np.nan], [0, 1], [1, 2]), {}, "expected finite numbers"),
        (([1.0, 2.0], [0, 1], [1]), {}, r"in targets a label for each of 2 values.* shape \(1,\)"),
        (([1.0, 2.0], [[0, 1]], [1, 2]), {}, "in sources a label for each of 2 values"),
        (([1.0, 2.0], ["cat", None], ["cup", "cat"]), {}, "a label in sources is missing"),
        (([1.0, 2.0], [0, 1], [1.0, np.nan]), {}, "a label in targets is missing"),
        (([1.0], ["cat"], ["cup"]), {}, "the same two pictures"),
        (([1.0, 2.0], ["cat", "cup"], ["cup", "cat"]), {}, "the same two pictures"),
        (([1.0, 2.0], [0, 1], [1, 2]), {"level": 1.5}, "level must lie between 0 and 1"),
        (([1.0, 2.0], [0, 1], [1, 2]), {"statistic": "mode"}, "statistic must be 'median' or"),
    ],
)
def test_the_bootstrap_names_wrong_arguments(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        bench.bootstrap_interval(*arguments, **options)


def test_a_comparison_needs_two_measurements_of_the_same_pairs():
    with pytest.raises(ValueError, match=r"two arrays \(N,\), got the shapes \(2,\) and \(1,\)"):
        bench.paired_difference([1.0, 2.0], [1.0], [0, 1], [1, 2])
    with pytest.raises(ValueError, match="expected finite numbers"):
        bench.paired_difference([1.0, np.nan], [np.nan, 1.0], [0, 1], [1, 2])
