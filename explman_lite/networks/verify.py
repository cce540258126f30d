"""Whether a prepared network computes what it was given, found out at its first call."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from explman_lite.networks.layers import Normalize
from explman_lite.networks.tracing import untouched


class Original:
    """What a network was prepared from, kept until the two have been compared.

    Copies of the network share it: what was found out for one is known for all.

    Parameters
    ----------
    model : nn.Module
        The network as it was given.
    first : Normalize or None
        What was put in front of it.
    """

    def __init__(self, model: nn.Module, first: Normalize | None) -> None:
        self.model: nn.Module | None = model
        self.first = first

    def __deepcopy__(self, memo: dict[int, Any]) -> Original:
        """Return itself: what a copy was prepared from is the same."""
        return self

    def compare(self, network: nn.Module, images: Tensor) -> None:
        """Compare a network with the original on two images at most, and then forget the original.

        Both run in evaluation mode, without gradient and without autocast, on copies of the images;
        both stay as they are, and so do the random number generators.

        Raises
        ------
        ValueError
            If they differ by more than rounding, if the original draws random numbers, or if its
            output for one image depends on the others.
        """
        model = self.model
        if model is None or not _has_values(images):
            return
        samples = images[:2].detach().clone()
        no_autocast = torch.autocast(samples.device.type, enabled=False)
        with untouched(model), untouched(network), torch.no_grad(), no_autocast:
            # What the network refuses is between it and its user.
            found = _tensors(network.forward(samples.clone()))
            try:
                expected, again = self._run(model, samples), self._run(model, samples)
                alone = self._run(model, samples[:1])
            except Exception as error:
                raise ValueError(
                    f"{type(model).__name__} cannot be run on images that the network prepared "
                    f"from it takes, so that the two cannot be compared: {error}"
                ) from error
        rounding = max(map(_rounding, (samples, *model.parameters())))
        name = type(model).__name__
        if difference := _difference(again, expected, rounding):
            raise ValueError(
                f"two calls of {name} differ by {difference}: it draws random numbers, or changes "
                "itself whenever it is called. Expected one fixed function"
            )
        if difference := _difference(alone, [value[:1] for value in expected], rounding):
            raise ValueError(
                f"the output of {name} for an image depends on the others in its batch, by "
                f"{difference}. Expected a network that takes each image by itself"
            )
        if difference := _difference(found, expected, rounding):
            raise ValueError(
                f"the prepared network differs from {name} by {difference}. Either torch.fx did "
                "not see all of its forward pass, as where that asks for the type of its input, "
                "reads a global variable or counts its calls: write it without. Or weights were "
                "changed since the network was prepared: prepare it again"
            )
        self.model = self.first = None

    def _run(self, model: nn.Module, samples: Tensor) -> list[Tensor]:
        """Run the original where it is and in its own type, on a copy of the samples."""
        like = next((p for p in model.parameters() if p.is_floating_point()), samples)
        inputs = samples.to(like.device, like.dtype, copy=True)
        return _tensors(model(inputs if self.first is None else self.first.to(inputs)(inputs)))


def _tensors(output: Any) -> list[Tensor]:
    """Return the tensors in a network's output, which may be nested, with a batch dimension."""
    if isinstance(output, Tensor):
        return [output.detach().double().cpu().reshape(output.shape or (1,))]
    if isinstance(output, dict):
        output = list(output.values())
    parts = output if isinstance(output, (list, tuple)) else []
    return [tensor for part in parts for tensor in _tensors(part)]


def _has_values(images: Any) -> bool:
    """Whether images are an ordinary batch of numbers, and not what stands for one in a trace."""
    return (
        isinstance(images, Tensor)
        and not isinstance(images, FakeTensor)
        and not images.is_meta
        and images.is_floating_point()
        and not torch._C._functorch.is_functorch_wrapped_tensor(images)
        and not torch.compiler.is_compiling()
        and torch._C._get_tracing_state() is None
    )


def _rounding(values: Tensor) -> float:
    """Return the relative distance of neighbouring numbers; GPUs may convolve with 10 bits."""
    if not values.is_floating_point():
        return 0.0
    step = torch.finfo(values.dtype).eps
    return max(step, 2.0**-10) if values.is_cuda and values.dtype == torch.float32 else step


def _difference(found: list[Tensor], expected: list[Tensor], rounding: float) -> str:
    """Return by how much outputs differ, as a text that is empty where it is mere rounding.

    Rounding may reach the root of the relative distance of two numbers, for float32 3e-4, of the
    spread of the outputs, and a small multiple of it, 3e-5, of their size where all are alike.
    """
    if [value.shape for value in found] != [value.shape for value in expected]:
        shapes = [[tuple(value.shape) for value in values] for values in (found, expected)]
        return f"their shapes, {shapes[0]} and {shapes[1]}"
    for one, other in zip(found, expected, strict=True):
        finite = one.isfinite() & other.isfinite()
        if not torch.equal(one[~finite].nan_to_num(), other[~finite].nan_to_num()):
            return "NaN or infinity"
        if not finite.any():
            continue
        other = other[finite]
        error = (one[finite] - other).abs().max().item()
        spread, size = (other.max() - other.min()).item(), other.abs().max().item()
        allowed = math.sqrt(rounding) * spread + 4 * rounding**0.75 * size
        if error > allowed:
            return f"{error:.2g}, where rounding explains {allowed:.1g}"
    return ""
