"""Checks for the exercises: each takes a reader's function and answers in a sentence.

A check passes on the reference solution, says what is wrong with a known wrong answer, and says
"not done yet" on the stub. It never raises.
"""

from explman_lite.checks.manipulation_loss import (
    beta_schedule,
    equal_norm_noise,
    loss_per_sample,
    project,
)
from explman_lite.checks.running_on_gpu import (
    attack_in_chunks,
    follow_gradient,
    largest_batch,
    stopwatch,
)
from explman_lite.checks.saliency_maps import (
    completeness_gap,
    depends_on_neighbours,
    from_baseline,
    positive_shares,
    relevance_map,
    signed_map,
)
from explman_lite.checks.verdict import Verdict

__all__ = [
    "Verdict",
    "attack_in_chunks",
    "beta_schedule",
    "completeness_gap",
    "depends_on_neighbours",
    "equal_norm_noise",
    "follow_gradient",
    "from_baseline",
    "largest_batch",
    "loss_per_sample",
    "positive_shares",
    "project",
    "relevance_map",
    "signed_map",
    "stopwatch",
]
