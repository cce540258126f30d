"""How alike two maps, images or outputs are, one number per sample."""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor

from explman_lite.maps import in_single
from explman_lite.validation import check_same_shape, check_several_logits

_WINDOW = 7


def pcc(first: Tensor, second: Tensor) -> Tensor:
    """Pearson correlation coefficient over all pixels.

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
    """Mean squared error over all pixels.

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
    """Structural similarity, as scikit-image computes it by default (uniform 7 × 7 window).

    Parameters
    ----------
    first, second : Tensor
        Maps (N, H, W) or images (N, C, H, W), of the same shape, at least 7 pixels each way.
    data_range : float, optional
        Span of possible values: 1 for images in [0, 1]. If not given, the span that the two
        of a sample cover together, which is what we use for relevance maps.

    Returns
    -------
    Tensor
        (N,) in [-1, 1]; the mean over pixels and channels.

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
    """Share of the most relevant pixels that two maps have in common.

    Parameters
    ----------
    first, second : Tensor
        Maps (N, H, W), of the same shape.
    fraction : float
        Which part of the pixels counts as most relevant, above 0 and at most 1.

    Returns
    -------
    Tensor
        (N,) in [0, 1]; about ``fraction`` for two maps that have nothing to do with each other.

    Raises
    ------
    ValueError
        If the shapes differ, or the fraction is not of this form.

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
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must lie above 0 and be at most 1, got {fraction}")
    a, b = first.flatten(1), second.flatten(1)
    count = max(round(fraction * a.shape[1]), 1)
    chosen = torch.zeros_like(a, dtype=torch.bool).scatter(1, a.topk(count).indices, True)
    return chosen.gather(1, b.topk(count).indices).to(first).mean(dim=1)


def output_change(first: Tensor, second: Tensor) -> Tensor:
    """Euclidean distance between the class probabilities of two outputs.

    Parameters
    ----------
    first, second : Tensor
        Logits (N, K).

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

    A network that multiplies its logits by ten, and so is ten times as sure, has the same change.

    Parameters
    ----------
    logits, original : Tensor
        (N, K), after and before.

    Returns
    -------
    Tensor
        (N,), not negative; 1 is a change as large as the logits' spread. Where all original logits
        are equal, as for a single one, the plain mean squared change.

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
    variance = in_single(original.detach()).var(dim=1, correction=0)
    return mse(logits, original) / torch.where(variance > 0, variance, 1.0)
