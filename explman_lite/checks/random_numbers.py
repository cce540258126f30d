"""Random numbers for the checks: the same at every call, where the reader's tensors are."""

from __future__ import annotations

import torch
from torch import Tensor


def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw numbers of mean 0 and standard deviation 1."""
    generator = torch.Generator().manual_seed(1906)
    drawn = torch.randn(shape, generator=generator, dtype=dtype, device="cpu")
    return drawn.to(torch.get_default_device())


def uniform(*shape: int, seed: int = 0) -> Tensor:
    """Draw float64 numbers between -1 and 1."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu")
    return (2 * drawn - 1).to(torch.get_default_device())
