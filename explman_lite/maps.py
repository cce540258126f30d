"""From an attribution to the relevance map that people look at."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from explman_lite.validation import check_floats


def in_single(values: Tensor) -> Tensor:
    """Return half precision as float32, in which sums over pixels neither overflow nor vanish."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def relevance_map(attribution: Tensor) -> Tensor:
    r"""Sum absolute attributions over the channels and scale the map to mean 1.

    .. math::

       h_{ij} = \frac{\sum_c |R_{cij}|}{\frac{1}{HW} \sum_{c,k,l} |R_{ckl}|}

    where R is the attribution. The paper scales maps to sum 1, which makes the size of the loss
    depend on the resolution; mean 1 does not. A map that is zero everywhere stays zero.

    Parameters
    ----------
    attribution : Tensor
        (N, C, H, W), of any sign and scale; gradients flow through.

    Returns
    -------
    Tensor
        (N, H, W), not negative, mean 1 per sample; float32 where the attribution is shorter.

    Raises
    ------
    ValueError
        If the attribution is not four-dimensional.

    References
    ----------
    Dombrowski et al. (2019), section 2.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> el.relevance_map(torch.tensor([[[[1.0, -3.0]]]]))
    tensor([[[0.5000, 1.5000]]])
    """
    check_floats(attribution=attribution)
    if attribution.ndim != 4 or attribution.numel() == 0:
        raise ValueError(f"expected an attribution (N, C, H, W), got {tuple(attribution.shape)}")
    return scale_to_mean_one(in_single(attribution).abs().sum(dim=1))


def to_numpy(values: Tensor) -> NDArray[Any]:
    """Turn a tensor into an array; bfloat16, which NumPy lacks, becomes float32."""
    values = values.detach().cpu()
    array: NDArray[Any] = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return array


def scale_to_mean_one(maps: Tensor) -> Tensor:
    """Divide each map (N, H, W) by its mean; a map of zeros stays zero."""
    mean = maps.mean(dim=(1, 2), keepdim=True)
    return maps / mean.clamp_min(torch.finfo(maps.dtype).tiny)
