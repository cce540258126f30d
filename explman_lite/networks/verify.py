"""Whether a prepared network computes what it was given, found out at its first call."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from explman_lite.networks.layers import Normalize
from explman_lite.networks.tracing import fixed, has_numbers, untouched

_SHAKEN = 10
"""How often the effect of rounding the images may be found in that of rounding everything."""


class Original:
    """What a network was prepared from, kept until the two have been compared.

    Copies of the network share it: what was found out for one is known for all.

    Parameters
    ----------
    model : nn.Module
        The network as it was given.
    first : Normalize or None
        What was put in front of it.
    prepare : callable
        Prepares ``model`` anew.
    """

    def __init__(
        self, model: nn.Module, first: Normalize | None, prepare: Callable[[], nn.Module]
    ) -> None:
        self.model: nn.Module | None = model
        self.first = first
        self.prepare: Callable[[], nn.Module] | None = prepare
        self.versions = _versions(model)

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

        Warns
        -----
        RuntimeWarning
            If they differ because the weights of the original were changed in between.
        """
        if self.model is None or not _has_values(images):
            return
        samples = images[:2].detach().clone()
        no_autocast = torch.autocast(samples.device.type, enabled=False)
        with untouched(self.model), untouched(network), torch.no_grad(), no_autocast:
            self._compare(self.model, network, samples)
        self.model = self.first = self.prepare = None

    def _compare(self, model: nn.Module, network: nn.Module, samples: Tensor) -> None:
        name = type(model).__name__
        # What the network refuses is between it and its user.
        found = _tensors(network.forward(samples.clone()))
        with fixed(model):
            try:
                expected = self._run(model, samples)
                alone = self._run(model, samples[:1])
            except Exception as error:
                raise ValueError(
                    f"{name} cannot be run on images that the network prepared from it takes, so "
                    f"that the two cannot be compared: {error}"
                ) from error
        rounding = max(map(_rounding, (samples, *model.parameters())))
        shaken = samples + rounding * _noise(samples)

        def shake() -> list[Tensor]:
            return self._run(model, shaken)

        first = [value[:1] for value in expected]
        if _difference(alone, first, rounding):
            if difference := _difference(self._run(model, samples), expected, rounding):
                raise ValueError(
                    f"two calls of {name} differ by {difference}: it changes itself whenever it is "
                    "called, or draws random numbers. Expected one fixed function"
                )
            if difference := _difference(alone, first, rounding, shake):
                raise ValueError(
                    f"the output of {name} for an image depends on the others in its batch, by "
                    f"{difference}. Expected a network that takes each image by itself"
                )
        if difference := _difference(found, expected, rounding, shake):
            if not self._was_changed(model, samples, expected, rounding):
                raise ValueError(
                    f"the prepared network differs from {name} by {difference}. Either torch.fx "
                    "did not see all of the forward pass, as where it asks for the type of its "
                    "input, reads a global variable or counts its calls: write it without. Or the "
                    "network was changed before its first call: call it once before"
                )
            warnings.warn(
                f"the weights of {name} were changed after the network was prepared from it, which "
                f"differs by {difference}: prepare it again",
                RuntimeWarning,
                stacklevel=7,
            )
            return

        def original(sample: Tensor) -> list[Tensor]:
            return self._run(model, sample)

        share = _gradients_differ(
            _gradient(lambda sample: _tensors(network.forward(sample)), samples[:1]),
            _gradient(original, samples[:1]),
            rounding,
            lambda: _gradient(original, shaken[:1]),
        )
        if share:
            raise ValueError(
                f"the gradient of the prepared network differs from that of {name} by "
                f"{share:.2g} of its size. What changes gradients alone is not seen by "
                "torch.fx, as torch.no_grad, an autograd.Function with a backward pass of its own, "
                "or register_hook: write detach in place of the first, and leave out the others"
            )

    def _run(self, model: nn.Module, samples: Tensor) -> list[Tensor]:
        """Run the original where it is and in its own type, on a copy of the samples."""
        inputs = _as_for(model, samples)
        return _tensors(model(inputs if self.first is None else self.first.to(inputs)(inputs)))

    def _was_changed(
        self, model: nn.Module, samples: Tensor, expected: list[Tensor], rounding: float
    ) -> bool:
        """Whether the original's weights were changed, and it would be prepared right by now."""
        assert self.prepare is not None
        if _versions(model) == self.versions:
            return False
        found = _tensors(self.prepare().forward(_as_for(model, samples)))
        return not _difference(found, expected, rounding)


def _versions(model: nn.Module) -> list[int]:
    """Return how often each weight and buffer was written to."""
    values = (*model.parameters(), *model.buffers())
    return [0 if value.is_inference() else value._version for value in values]


def _as_for(model: nn.Module, samples: Tensor) -> Tensor:
    """Return a copy of samples in the type, and on the device, of a network's weights."""
    like = next((p for p in model.parameters() if p.is_floating_point()), samples)
    return samples.to(like.device, like.dtype, copy=True)


def _tensors(output: Any) -> list[Tensor]:
    """Return the tensors in a network's output, which may be nested, with a batch dimension."""
    if isinstance(output, Tensor):
        return [output.double().cpu().reshape(output.shape or (1,))]
    if isinstance(output, dict):
        output = list(output.values())
    parts = output if isinstance(output, (list, tuple)) else []
    return [tensor for part in parts for tensor in _tensors(part)]


def _noise(samples: Tensor) -> Tensor:
    """Return the same numbers between 0 and 1 at every call."""
    generator = torch.Generator("cpu").manual_seed(0)
    return torch.rand(samples.shape, generator=generator, device="cpu").to(samples)


def _gradient(run: Callable[[Tensor], list[Tensor]], sample: Tensor) -> Tensor | None:
    """Return the gradient of a mixture of all outputs; None if PyTorch does not differentiate them.

    The sample is mixed with noise, so that no two numbers are equal, of which a maximum might pick
    either.
    """
    with torch.inference_mode(False), torch.enable_grad():
        points = sample.lerp(_noise(sample), 0.25).clone().requires_grad_()
        try:
            outputs = torch.cat([value.flatten() for value in run(points.clone())])
            weights = torch.linspace(-1, 2, len(outputs), device="cpu").to(outputs)
            mixture = (outputs * weights).sum()
            if not mixture.requires_grad:
                return torch.zeros_like(points)
            return torch.autograd.grad(mixture, points, materialize_grads=True)[0]
        except RuntimeError:  # as where the original works in place
            return None


def _gradients_differ(
    ours: Tensor | None,
    theirs: Tensor | None,
    rounding: float,
    shake: Callable[[], Tensor | None],
) -> float:
    """Return by how much two gradients differ, as a share of their size; 0 if that is rounding.

    In half precision, where rounding puts many kinks on their other side, nothing can be said.
    """
    if ours is None or theirs is None or rounding > 1e-6:
        return 0.0
    error, size = (ours - theirs).norm().item(), max(ours.norm().item(), theirs.norm().item())
    if error <= 30 * math.sqrt(rounding) * size:
        return 0.0
    shaken = shake()
    explained = 0.0 if shaken is None else _SHAKEN * (shaken - theirs).norm().item()
    return error / size if error > explained else 0.0


def _has_values(images: Any) -> bool:
    """Whether images are a batch of numbers, and the network is called to compute something."""
    is_traced = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    is_batch = isinstance(images, Tensor) and images.is_floating_point()
    return is_batch and has_numbers(images) and not is_traced


def _rounding(values: Tensor) -> float:
    """Return the relative distance of neighbouring numbers; GPUs may convolve with 10 bits."""
    if not values.is_floating_point():
        return 0.0
    step = torch.finfo(values.dtype).eps
    return max(step, 2.0**-10) if values.is_cuda and values.dtype == torch.float32 else step


def _difference(
    found: list[Tensor],
    expected: list[Tensor],
    rounding: float,
    shake: Callable[[], list[Tensor]] | None = None,
) -> str:
    """Return by how much outputs differ, as a text that is empty where it is mere rounding.

    Rounding may reach the root of the relative distance of two numbers, for float32 3e-4, of the
    spread of the outputs, and a small multiple of it, 3e-5, of their size where all are alike. In
    a network that enlarges rounding, it may be a few times what ``shake`` returns: the outputs for
    images that were shaken by as much as they are rounded.
    """
    if [value.shape for value in found] != [value.shape for value in expected]:
        shapes = [[tuple(value.shape) for value in values] for values in (found, expected)]
        return f"their shapes, {shapes[0]} and {shapes[1]}"
    for place, (one, other) in enumerate(zip(found, expected, strict=True)):
        finite = one.isfinite() & other.isfinite()
        if not torch.equal(one[~finite].nan_to_num(), other[~finite].nan_to_num()):
            return "NaN or infinity"
        if not finite.any():
            continue
        values = other[finite]
        error = (one[finite] - values).abs().max().item()
        spread, size = (values.max() - values.min()).item(), values.abs().max().item()
        allowed = math.sqrt(rounding) * spread + 4 * rounding**0.75 * size
        if error > allowed and shake is not None:
            shaken = shake()[place][: len(other)][finite]
            allowed = max(allowed, _SHAKEN * (shaken - values).abs().max().item())
        if error > allowed:
            return f"{error:.2g}, where rounding explains {allowed:.1g}"
    return ""
