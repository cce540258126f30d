"""The gradient, and the gradient times the pixels."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from explman_lite.explainers.base import Explainer, Explanation, input_gradient
from explman_lite.explainers.baseline import Baseline, baseline_of, settled


@dataclass(frozen=True)
class Gradient(Explainer):
    r"""The gradient of the logit with respect to the pixels, the plainest saliency map.

    .. math:: h(x) = \nabla_x\, g_c(x)

    References
    ----------
    Simonyan et al. (2014), "Deep inside convolutional networks".

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)).eval()
    >>> el.Gradient()(model, torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).shape
    torch.Size([2, 1, 2, 2])
    """

    def explain(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Differentiate the logit."""
        return input_gradient(model, images, classes)


@dataclass(frozen=True)
class GradientTimesInput(Explainer):
    r"""The gradient times the pixel: how much each pixel contributes to a linear network.

    .. math:: h(x) = (x - x') \odot \nabla_x\, g_c(x)

    The baseline x' is black unless another one is asked for. That of the paper's code is the mean
    colour of ImageNet, ``baseline=(0.485, 0.456, 0.406)``, the zero of normalised pixels.

    Parameters
    ----------
    baseline : float, sequence of float, or Tensor
        x', in [0, 1]: a value for all pixels, a colour with a value for each channel, or a picture
        (C, H, W) or (1, C, H, W).

    Raises
    ------
    TypeError, ValueError
        If ``baseline`` is not of this form; on a call, if it does not fit the images.

    References
    ----------
    Shrikumar et al. (2016), "Not just a black box".

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3, bias=False)).eval()
    >>> images, classes = torch.rand(1, 1, 2, 2), torch.tensor([1])
    >>> attribution = el.GradientTimesInput()(model, images, classes)
    >>> torch.allclose(attribution.sum(), model(images)[0, 1])
    True
    """

    baseline: Baseline = 0.0

    def __post_init__(self) -> None:
        """Refuse a baseline that is none."""
        object.__setattr__(self, "baseline", settled(self.baseline))

    def explain(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Weight the gradient by the pixels' distance from the baseline."""
        gradient, logits = input_gradient(model, images, classes)
        return Explanation((images - baseline_of(self.baseline, images)) * gradient, logits)
