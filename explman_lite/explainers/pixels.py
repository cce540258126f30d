"""Pictures as parameters of an explainer, which is a value: they compare by what they show."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Pixels:
    """A picture (C, H, W) or several (M, C, H, W), equal to others with the same pixels."""

    pixels: Tensor

    def __repr__(self) -> str:
        """Show number and size, the pixels being too many to print."""
        *several, channels, height, width = self.pixels.shape
        kind = f"{several[0]} pictures" if several else "picture"
        return f"<{kind} of {channels} × {height} × {width}>"

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same pixels."""
        return isinstance(other, Pixels) and torch.equal(self.pixels, other.pixels)

    def __hash__(self) -> int:
        """Hash by number and size."""
        return hash(self.pixels.shape)
