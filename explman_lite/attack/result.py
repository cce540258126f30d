"""What an attack leaves behind: its steps, and pictures and maps before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from torch import Tensor

from explman_lite import metrics
from explman_lite.attack.settings import Settings
from explman_lite.explainers.base import Explainer
from explman_lite.maps import to_numpy

if TYPE_CHECKING:
    from explman_lite.figures import Gallery


@dataclass(frozen=True)
class AttackStep:
    """One step of the optimisation, as it looked before the pixels moved.

    Attributes
    ----------
    step : int
        From 0.
    beta : float or None
        Sharpness of the softplus at this step; None for ReLU.
    pooling : float or None
        Sharpness of the log-sum-exp at this step; None for the maximum, or where there is none.
    map_loss : Tensor
        (N,) mean squared distance between the map and the target, both of mean 1.
    output_loss : Tensor
        (N,) mean squared change of the logits, over their variance before the attack.
    """

    step: int
    beta: float | None
    pooling: float | None
    map_loss: Tensor
    output_loss: Tensor


@dataclass(frozen=True)
class Manipulation:
    """What `manipulate` returns: pictures and maps before and after, judged by the ReLU network.

    Attributes
    ----------
    images, original_images : Tensor
        (N, C, H, W) in [0, 1], after and before the attack.
    maps, original_maps, target_maps : Tensor
        (N, H, W), not negative, mean 1 per sample.
    logits, original_logits : Tensor
        (N, K).
    classes : Tensor
        (N,) the class whose logit is explained.
    history : list of AttackStep
        A record per step.
    diverged : Tensor
        (N,) bool: the loss or a pixel of this sample left the finite numbers, or the loss ended
        above twice its start, so its best step was kept instead of the last.
    explainer : Explainer
        The method that was attacked.
    settings : Settings
        How, with the step size that was taken.
    interrupted : bool
        Whether Ctrl-C ended the search before its last step was done.
    """

    images: Tensor
    maps: Tensor
    logits: Tensor
    classes: Tensor
    original_images: Tensor
    original_maps: Tensor
    original_logits: Tensor
    target_maps: Tensor
    history: list[AttackStep]
    diverged: Tensor
    explainer: Explainer
    settings: Settings
    interrupted: bool

    @property
    def class_kept(self) -> Tensor:
        """(N,) bool: whether the largest logit is still that of the same class."""
        return self.logits.argmax(dim=1) == self.original_logits.argmax(dim=1)

    def summary(self) -> pd.DataFrame:
        """Measure each sample.

        Returns
        -------
        pandas.DataFrame
            One row per sample. ``pcc``, ``ssim`` and ``mse`` compare the new map with the target
            map (``…_target``) and with the map before the attack (``…_original``);
            ``image_ssim``, ``image_mse`` and ``image_linf`` compare the pictures,
            ``output_change`` the class probabilities (Euclidean distance), and ``logit_change``
            the logits (mean squared change over their variance).
        """
        comparisons = {"target": self.target_maps, "original": self.original_maps}
        columns = {
            f"{name}_{reference}": measure(self.maps, maps)
            for reference, maps in comparisons.items()
            for name, measure in (
                ("pcc", metrics.pcc),
                ("ssim", metrics.ssim),
                ("mse", metrics.mse),
            )
        }
        columns |= {
            "image_ssim": metrics.ssim(self.images, self.original_images, data_range=1.0),
            "image_mse": metrics.mse(self.images, self.original_images),
            "image_linf": (self.images - self.original_images).abs().flatten(1).amax(dim=1),
            "output_change": metrics.output_change(self.logits, self.original_logits),
            "logit_change": metrics.logit_change(self.logits, self.original_logits),
            "class_kept": self.class_kept,
        }
        table = pd.DataFrame({name: to_numpy(column) for name, column in columns.items()})
        return table.rename_axis("sample")

    def plot(self, sample: int = 0) -> Gallery:
        """Show one sample: pictures above, maps below, before, after and target."""
        from explman_lite import figures

        return figures.manipulation(self, sample)
