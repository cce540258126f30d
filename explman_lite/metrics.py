r"""How alike two maps, pictures or outputs are, one number per sample.

In the formulas h and h' are the two maps or pictures of a sample, with n values each, and
:math:`\bar h` is the mean of h; g and g' are its two outputs.
"""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor

from explman_lite.maps import in_single
from explman_lite.validation import check_number, check_same_shape, check_several_logits

_WINDOW = 7
"""Height and width in pixels of the window in which SSIM compares, scikit-image's default."""


def pcc(first: Tensor, second: Tensor) -> Tensor:
    r"""Pearson correlation coefficient over all values.

    .. math::

       \frac{\sum_i (h_i - \bar h)(h'_i - \bar h')}
       {\sqrt{\sum_i (h_i - \bar h)^2 \; \sum_i (h'_i - \bar h')^2}}

    Parameters
    ----------
    first, second : Tensor
        (N, ...), of the same shape.

    Returns
    -------
    Tensor
        (N,) in [-1, 1]; NaN where one of the two is constant.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> el.metrics.pcc(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[2.0, 4.0, 6.0]]))
    tensor([1.])
    """
    check_same_shape(first, second)
    a, b = _centred(first), _centred(second)
    correlation = (a * b).sum(dim=1) / (a.square().sum(dim=1) * b.square().sum(dim=1)).sqrt()
    if correlation.isnan().any():
        warnings.warn(
            "no correlation exists where a map is constant or not finite: NaN for the samples "
            f"{correlation.isnan().nonzero().flatten().tolist()}",
            RuntimeWarning,
            stacklevel=2,
        )
    return correlation.clamp(-1, 1)


def _centred(values: Tensor) -> Tensor:
    """Centre each sample, and scale it to at most 1, whose squares neither vanish nor overflow."""
    flat = in_single(values).flatten(1)
    centred = flat - flat.mean(dim=1, keepdim=True)
    return centred / centred.abs().amax(dim=1, keepdim=True)


def mse(first: Tensor, second: Tensor) -> Tensor:
    r"""Mean squared error over all values.

    .. math:: \frac 1n \sum_i (h_i - h'_i)^2

    Parameters
    ----------
    first, second : Tensor
        (N, ...), of the same shape.

    Returns
    -------
    Tensor
        (N,), not negative, in squared units of the input.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> el.metrics.mse(torch.zeros(1, 4), torch.full((1, 4), 2.0))
    tensor([4.])
    """
    check_same_shape(first, second)
    return (in_single(first) - in_single(second)).square().flatten(1).mean(dim=1)


def ssim(first: Tensor, second: Tensor, data_range: float | None = None) -> Tensor:
    r"""Structural similarity, as scikit-image computes it by default.

    .. math::

       \frac{(2\, \bar h\, \bar h' + c_1)(2\, \mathrm{cov} + c_2)}
       {(\bar h^2 + \bar h'^2 + c_1)(\mathrm{var} + \mathrm{var}' + c_2)}

    averaged over all windows of 7 × 7 pixels that fit into a channel, and over the channels. Means,
    variances and covariance are those of a window's 49 pairs of values, all of equal weight; the
    latter two are unbiased, sums of squares and products over 48. The constants are
    :math:`c_1 = (0.01\, r)^2` and :math:`c_2 = (0.03\, r)^2`, r the ``data_range``.

    Parameters
    ----------
    first, second : Tensor
        Maps (N, H, W) or images (N, C, H, W), of the same shape, at least 7 pixels each way.
    data_range : float, optional
        From the smallest to the largest possible value: 1 for images in [0, 1]. If not given,
        the range that the two of a sample cover together, which suits relevance maps.

    Returns
    -------
    Tensor
        (N,) in [-1, 1]; 1 where the two are the same.

    Raises
    ------
    ValueError
        If the shapes differ or are too small.

    References
    ----------
    Wang et al. (2004), "Image quality assessment: from error visibility to structural
    similarity".

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> image = torch.rand(1, 3, 16, 16)
    >>> el.metrics.ssim(image, image, data_range=1.0)
    tensor([1.])
    """
    check_same_shape(first, second)
    if first.ndim not in {3, 4} or min(first.shape[-2:]) < _WINDOW:
        raise ValueError(
            f"expected maps (N, H, W) or images (N, C, H, W) of at least {_WINDOW} pixels "
            f"each way, got {tuple(first.shape)}"
        )
    first, second = in_single(first), in_single(second)
    if first.ndim == 3:
        first, second = first.unsqueeze(1), second.unsqueeze(1)
    if data_range is None:
        both = torch.cat([first, second], dim=1).flatten(1)
        span = (both.amax(dim=1) - both.amin(dim=1)).view(-1, 1, 1, 1)
    else:
        span = torch.full((1, 1, 1, 1), data_range, dtype=first.dtype, device=first.device)
    return _ssim_map(first.double(), second.double(), span.double()).mean(dim=(1, 2, 3)).to(first)


def _ssim_map(x: Tensor, y: Tensor, span: Tensor) -> Tensor:
    """Return the SSIM of each window: (N, C, H - 6, W - 6)."""

    def local_mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, _WINDOW, stride=1)

    unbiased = _WINDOW**2 / (_WINDOW**2 - 1)
    mean_x, mean_y = local_mean(x), local_mean(y)
    var_x = unbiased * (local_mean(x * x) - mean_x**2)
    var_y = unbiased * (local_mean(y * y) - mean_y**2)
    covariance = unbiased * (local_mean(x * y) - mean_x * mean_y)
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return luminance * structure


def top_k_overlap(first: Tensor, second: Tensor, fraction: float = 0.1) -> Tensor:
    r"""Share of the most relevant pixels that two maps have in common.

    .. math::

       \frac{|\mathcal T_k(h) \cap \mathcal T_k(h')|}{k}, \qquad
       k = \max(\mathrm{round}(\mathrm{fraction} \cdot n),\, 1),

    where :math:`\mathcal T_k(h)` holds the k pixels with the largest values; which of several equal
    ones are among them is not defined.

    Parameters
    ----------
    first, second : Tensor
        Maps (N, H, W), of the same shape.
    fraction : float
        Share of the pixels that count as most relevant, above 0 and at most 1.

    Returns
    -------
    Tensor
        (N,) in [0, 1]; about ``fraction`` for two unrelated maps.

    Raises
    ------
    ValueError
        If the shapes differ, or the fraction is out of range.

    References
    ----------
    Ghorbani et al. (2019), "Interpretation of neural networks is fragile".

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> first = torch.tensor([[[4.0, 3.0, 2.0, 1.0]]])
    >>> second = torch.tensor([[[4.0, 1.0, 2.0, 3.0]]])
    >>> el.metrics.top_k_overlap(first, second, fraction=0.5)
    tensor([0.5000])
    """
    check_same_shape(first, second)
    check_number(fraction=fraction)
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must lie above 0 and be at most 1, got {fraction}")
    a, b = first.flatten(1), second.flatten(1)
    count = max(round(fraction * a.shape[1]), 1)
    chosen = torch.zeros_like(a, dtype=torch.bool).scatter(1, a.topk(count).indices, True)
    return chosen.gather(1, b.topk(count).indices).to(first).mean(dim=1)


def output_change(first: Tensor, second: Tensor) -> Tensor:
    r"""Euclidean distance between the class probabilities of two outputs.

    .. math::

       \sqrt{\sum_k (p_k - p'_k)^2}, \qquad p_k = \frac{e^{g_k}}{\sum_j e^{g_j}}

    Parameters
    ----------
    first, second : Tensor
        Logits (N, K), of the same shape.

    Returns
    -------
    Tensor
        (N,) in [0, √2].

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> el.metrics.output_change(torch.tensor([[0.0, 50.0]]), torch.tensor([[50.0, 0.0]]))
    tensor([1.4142])
    """
    check_same_shape(first, second)
    check_several_logits(first)
    before, after = in_single(first).softmax(dim=1), in_single(second).softmax(dim=1)
    return (before - after).square().sum(dim=1).sqrt()


def logit_change(logits: Tensor, original: Tensor) -> Tensor:
    r"""Mean squared change of the logits, in units of their variance before the change.

    .. math:: \frac{\sum_k (g_k(x_{adv}) - g_k(x))^2}{\sum_k (g_k(x) - \bar g(x))^2}

    It stays the same when all logits are multiplied by one number, or shifted by one.

    Parameters
    ----------
    logits, original : Tensor
        (N, K), after and before; no gradient flows through the variance.

    Returns
    -------
    Tensor
        (N,), not negative; 1 is a change as large as the logits' spread. Where the variance is
        zero, as it is for a single logit, the plain mean squared change.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> el.metrics.logit_change(torch.tensor([[0.0, 3.0]]), torch.tensor([[0.0, 2.0]]))
    tensor([0.5000])
    """
    change = mse(logits, original)
    variance = in_single(original.detach()).var(dim=1, correction=0)
    return change / torch.where(variance > 0, variance, 1.0)
