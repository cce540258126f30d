"""What a picture is compared with by Gradient × Input and Integrated Gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from explman_lite.explainers.pixels import Pixels
from explman_lite.validation import check_images, check_number

Baseline = float | Sequence[float] | Tensor | Pixels
"""A value for all pixels, a colour, or a picture (C, H, W) or (1, C, H, W); in [0, 1]."""


def settled(baseline: Baseline) -> float | tuple[float, ...] | Pixels:
    """Check a baseline, and return it as a value that can be compared and does not change."""
    if isinstance(baseline, Pixels):
        return baseline
    if isinstance(baseline, Tensor):
        pixels = baseline.detach().clone()
        pixels = pixels.unsqueeze(0) if pixels.ndim == 3 else pixels
        check_images(pixels, "baseline")
        if len(pixels) > 1:
            raise ValueError(
                "baseline must be a single picture (C, H, W) or (1, C, H, W), "
                f"got {tuple(pixels.shape)}"
            )
        return Pixels(pixels[0])
    if isinstance(baseline, np.ndarray | list | tuple):
        colour = tuple(_in_range(value) for value in baseline)
        if not colour:
            raise ValueError("baseline must have a value for each channel, got none")
        return colour
    return _in_range(baseline)


def baseline_of(baseline: Baseline, images: Tensor) -> Tensor | float:
    """Return a settled baseline in a form that is added to images (N, C, H, W), or refuse it."""
    channels = images.shape[1]
    if isinstance(baseline, Pixels):
        if baseline.pixels.shape != images.shape[1:]:
            raise ValueError(
                f"baseline must be a picture of the images' size {tuple(images.shape[1:])}, "
                f"got {tuple(baseline.pixels.shape)}"
            )
        return baseline.pixels.to(images)
    if isinstance(baseline, tuple):
        if len(baseline) != channels:
            raise ValueError(
                f"baseline must have a value for each of the {channels} channels, got {baseline}"
            )
        return images.new_tensor(baseline).view(-1, 1, 1)
    assert isinstance(baseline, float | int)
    return baseline


def _in_range(value: object) -> float:
    if isinstance(value, np.number):
        value = value.item()
    check_number(baseline=value)
    assert isinstance(value, float | int)
    if not 0 <= value <= 1:
        raise ValueError(f"baseline must lie in [0, 1], got {value}")
    return value
