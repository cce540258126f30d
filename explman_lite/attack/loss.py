"""What an attack minimises."""

from __future__ import annotations

from torch import Tensor

from explman_lite import metrics
from explman_lite.validation import check_floats


def manipulation_loss(
    maps: Tensor,
    targets: Tensor,
    logits: Tensor,
    original_logits: Tensor,
    output_weight: float = 4.0,
) -> Tensor:
    r"""Return how far a map is from its target, plus how far the output has moved.

    .. math::

       \mathcal L = \frac{1}{HW} \sum_{i} (h_i - h^t_i)^2
       + \gamma\, \frac{\sum_k (g_k - g^0_k)^2}{\sum_k (g^0_k - \bar g^0)^2}

    This is the paper's loss with both terms made free of units, so that γ means the same for every
    network and resolution: its maps have sum 1 where ours have mean 1, and its output term is
    not divided by the spread of the logits.

    Parameters
    ----------
    maps, targets : Tensor
        Relevance maps h and :math:`h^t` (N, H, W) of mean 1, as from `relevance_map`.
    logits, original_logits : Tensor
        Outputs g after and :math:`g^0` before the change (N, K).
    output_weight : float
        γ, not negative.

    Returns
    -------
    Tensor
        (N,), not negative: samples do not influence one another. Differentiable in the maps and
        in the logits.

    Raises
    ------
    ValueError
        If two shapes differ that should not.

    References
    ----------
    Dombrowski et al. (2019), equation 3.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> maps, targets = torch.tensor([[[0.0, 2.0]]]), torch.tensor([[[1.0, 1.0]]])
    >>> before, after = torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, 3.0]])
    >>> el.manipulation_loss(maps, targets, after, before, output_weight=2.0)
    tensor([2.])
    """
    check_floats(maps=maps, targets=targets, logits=logits, original_logits=original_logits)
    return metrics.mse(maps, targets) + output_weight * metrics.logit_change(
        logits, original_logits
    )
