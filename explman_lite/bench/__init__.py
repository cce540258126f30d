"""The benchmark: many pairs of pictures, six methods, and what chance would have reached.

``SUITES`` holds what can be computed, `measure` computes one job of a suite, `run` computes all of
them, here or on a cluster, and `compare_methods` evaluates the table.
"""

from explman_lite.attack import attack_defense
from explman_lite.bench.compare import (
    Comparison,
    Interval,
    bootstrap_interval,
    compare_methods,
    paired_difference,
)
from explman_lite.bench.defense import ERASED, defense_columns
from explman_lite.bench.jobs import Attack, Case, Job, Suite
from explman_lite.bench.measurement import measure
from explman_lite.bench.pairs import Pair
from explman_lite.bench.runner import run
from explman_lite.bench.suites import SUITES

__all__ = [
    "ERASED",
    "SUITES",
    "Attack",
    "Case",
    "Comparison",
    "Interval",
    "Job",
    "Pair",
    "Suite",
    "attack_defense",
    "bootstrap_interval",
    "compare_methods",
    "defense_columns",
    "measure",
    "paired_difference",
    "run",
]
