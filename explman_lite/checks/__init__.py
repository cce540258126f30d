"""Checks for the exercises: each takes a reader's function and answers in a sentence.

A check passes on the reference solution, says what is wrong with a known wrong answer, and says
"not done yet" on the stub. It never raises.
"""

from explman_lite.checks.curvature_theory import (
    back_to_level,
    plane_curvature,
    product_by_differences,
    to_tangent,
)
from explman_lite.checks.fresh_noise import fresh_smoothgrad
from explman_lite.checks.hessian_in_disc import local_bound
from explman_lite.checks.lying_network import lie
from explman_lite.checks.manipulating_model import (
    free_direction,
    roc_area,
    share_of_true_alarms,
    tangent_part,
)
from explman_lite.checks.manipulation_loss import (
    beta_schedule,
    equal_norm_noise,
    loss_per_sample,
    project,
)
from explman_lite.checks.robust_training import (
    certified_radius,
    common_likeness,
    frobenius,
    not_dominated,
)
from explman_lite.checks.running_on_gpu import (
    attack_in_chunks,
    follow_gradient,
    largest_batch,
    stopwatch,
)
from explman_lite.checks.saliency_maps import depends_on_neighbours, relevance_map, signed_map
from explman_lite.checks.six_methods import completeness_gap, from_baseline, positive_shares
from explman_lite.checks.softplus_defense import best_of, erase, mean_gradient, noise_of_beta
from explman_lite.checks.turning_gradient import turning
from explman_lite.checks.verdict import Verdict

__all__ = [
    "Verdict",
    "attack_in_chunks",
    "back_to_level",
    "best_of",
    "beta_schedule",
    "certified_radius",
    "common_likeness",
    "completeness_gap",
    "depends_on_neighbours",
    "equal_norm_noise",
    "erase",
    "follow_gradient",
    "free_direction",
    "fresh_smoothgrad",
    "frobenius",
    "from_baseline",
    "largest_batch",
    "lie",
    "local_bound",
    "loss_per_sample",
    "mean_gradient",
    "noise_of_beta",
    "not_dominated",
    "plane_curvature",
    "positive_shares",
    "product_by_differences",
    "project",
    "relevance_map",
    "roc_area",
    "share_of_true_alarms",
    "signed_map",
    "stopwatch",
    "tangent_part",
    "to_tangent",
    "turning",
]
