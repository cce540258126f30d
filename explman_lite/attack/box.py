"""The ε-box: how far an attack may take the pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def into_box(pixels: Tensor, images: Tensor, epsilon: float | None) -> Tensor:
    """Return the nearest valid pixels, at most ε from the images if there is one."""
    if epsilon is not None:
        pixels = pixels.clamp(images - epsilon, images + epsilon)
    return pixels.clamp(0, 1)


def into_exact_box(pixels: Tensor, images: Tensor, epsilon: float | None) -> Tensor:
    """Return a copy in the images' type, within ε of them as that type computes differences."""
    valid = pixels.to(images.dtype, copy=True)
    if epsilon is None:
        return valid
    rounding = torch.finfo(valid.dtype).eps
    # A number on its own, which tensors on any device can be compared with.
    bound = torch.tensor(epsilon, dtype=valid.dtype, device="cpu")
    if bound.item() > epsilon:
        bound = bound * (1 - rounding)
    exact = images.double()
    low, high = (images - bound).clamp_min(0), (images + bound).clamp_max(1)
    # Where rounding moved a side of the box outwards, the next number inwards replaces it.
    low = torch.where(exact - low > bound, low * (1 + rounding), low)
    high = torch.where(high - exact > bound, high * (1 - rounding), high)
    return valid.clamp(low, high)
