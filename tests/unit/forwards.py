"""A small network whose forward pass a test writes itself."""

import pytest
import torch
from torch import fx, nn


def _follows_lists() -> bool:
    try:
        fx.symbolic_trace(lambda images: torch.cat(images.chunk(2, 1), 1))
    except TypeError:
        return False
    return True


needs_newer_torch = pytest.mark.skipif(
    not _follows_lists(),
    reason="here torch.fx cannot follow lists and numbers into functions, and that is refused",
)


class Forward(nn.Module):
    """A network with the given layers; ``forward`` is called with it and the images."""

    def __init__(self, forward, **layers):
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.dense = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.compute = forward
        self.double().eval()

    def forward(self, images):
        return self.dense(self.compute(self, self.convolution(images)).mean((2, 3)))
