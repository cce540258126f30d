"""Checks of what a reader passes in: each says what was given and what is expected."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn


def check_images(images: Tensor, name: str = "images") -> None:
    """Refuse anything but a finite float batch (N, C, H, W) with values in [0, 1]."""
    _check_float_tensor(images, name)
    if images.ndim != 4 or images.numel() == 0:
        raise ValueError(
            f"{name} must have the shape (N, C, H, W) with N >= 1, got {tuple(images.shape)}"
        )
    _check_finite(images, name)
    low, high = images.detach().min().item(), images.detach().max().item()
    if low < 0 or high > 1:
        raise ValueError(
            f"{name} must lie in [0, 1], got values from {_digits(low)} to {_digits(high)}; "
            "do not normalise them, the model's first layer does"
        )


def check_points(points: Tensor, name: str) -> None:
    """Refuse anything but a finite batch (N, ...) of at least single precision, of any range."""
    _check_float_tensor(points, name)
    if torch.finfo(points.dtype).bits < 32:
        raise ValueError(
            f"{name} must be float32 or float64, got {points.dtype}, in which curvature drowns in "
            f"rounding: use model.float() and {name}.float()"
        )
    if points.ndim < 2 or points.numel() == 0:
        raise ValueError(
            f"{name} must have the shape (N, ...) with N >= 1, got {tuple(points.shape)}"
        )
    _check_finite(points, name)


def check_integers(values: Tensor, name: str) -> None:
    """Refuse anything but a tensor of integers, of any shape and range."""
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} must be a tensor of integers, got {type(values).__name__}")
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise TypeError(f"{name} must be a tensor of integers, got {values.dtype}")


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value is a single integer, one of NumPy's too, but neither True nor False."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def as_classes(classes: Tensor | int, batch: Tensor) -> Tensor:
    """Return classes as a tensor (N,): an integer stands for all samples of the batch."""
    if is_integer(classes):
        return torch.full((len(batch),), int(classes), device=batch.device)
    if not isinstance(classes, Tensor):
        raise TypeError(
            "classes must be one integer for all images, or a tensor (N,) of integers, "
            f"got {type(classes).__name__}"
        )
    check_integers(classes, "classes")
    return classes.long()


def check_classes(classes: Tensor, batch: int, outputs: int) -> None:
    """Refuse anything but one class index in [0, outputs) for each of the ``batch`` images."""
    check_integers(classes, "classes")
    if tuple(classes.shape) != (batch,):
        raise ValueError(
            f"classes must have the shape (N,) = ({batch},), got {tuple(classes.shape)}"
        )
    if classes.min().item() < 0 or classes.max().item() >= outputs:
        raise ValueError(
            f"classes must lie between 0 and {outputs - 1}, got {classes.detach().cpu().tolist()}"
        )


def check_target_maps(target_maps: Tensor, images: Tensor, name: str = "target_maps") -> None:
    """Refuse target maps that are no relevance maps (N or 1, H, W) of ``images``."""
    _check_float_tensor(target_maps, name)
    batch, _, height, width = images.shape
    expected = [(1, height, width)] if batch == 1 else [(batch, height, width), (1, height, width)]
    if tuple(target_maps.shape) not in expected:
        raise ValueError(
            f"{name} must have the shape {' or '.join(map(str, expected))} for these images, "
            f"got {tuple(target_maps.shape)}"
        )
    _check_finite(target_maps, name)
    if target_maps.min().item() < 0:
        raise ValueError(
            f"{name} must not be negative, got a smallest value of {target_maps.min().item():.4g}"
        )
    if (target_maps.sum(dim=(1, 2)) == 0).any():
        raise ValueError(f"{name} must not be zero everywhere")


def check_model(model: nn.Module) -> None:
    """Refuse anything but a module in evaluation mode."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if model.training:
        raise ValueError("model must be in evaluation mode: call model.eval() first")


def check_fits(model: nn.Module, images: Tensor, name: str = "images") -> None:
    """Refuse images of another type, or on another device, than the weights, if there are any.

    Weights that nothing can be differentiated through are refused as well.
    """
    weight = next(model.parameters(), images)
    if (images.dtype, images.device) != (weight.dtype, weight.device):
        raise ValueError(
            f"{name} must be {weight.dtype} on {weight.device} as the model's weights are, "
            f"got {images.dtype} on {images.device}"
        )
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise ValueError(
            "the model's weights were made under torch.inference_mode, so that nothing can be "
            "differentiated through them: make the model outside of it"
        )


def check_logits(logits: Tensor) -> None:
    """Refuse a model's output that is no tensor (N, K)."""
    if not isinstance(logits, Tensor):
        raise TypeError(f"model must return a tensor of logits, got {type(logits).__name__}")
    if logits.ndim != 2:
        raise ValueError(f"model must return logits (N, K), got {tuple(logits.shape)}")
    if not logits.is_floating_point():
        raise TypeError(f"model must return floating-point logits, got {logits.dtype}")


def check_outputs(logits: Tensor) -> None:
    """Refuse logits that are not finite, and warn where they look like probabilities."""
    check_logits(logits)
    spoiled = ~logits.detach().isfinite().all(dim=1)
    if spoiled.any():
        raise ValueError(
            "model must return finite logits, got NaN or infinity for the samples "
            f"{spoiled.nonzero().flatten().tolist()}"
        )
    if _are_probabilities(logits.detach()):
        warnings.warn(
            "the model returns probabilities, which are not negative and sum to 1 for every "
            "sample, where logits are expected: leave out its softmax",
            RuntimeWarning,
            stacklevel=3,
        )


def check_several_logits(logits: Tensor) -> None:
    """Refuse a single logit (N, 1), which has neither a predicted class nor a softmax."""
    if logits.shape[1] < 2:
        raise ValueError(
            f"model must return at least two logits, got {tuple(logits.shape)}: of a single logit "
            "z, whose sigmoid is a probability, make two, torch.cat([-z / 2, z / 2], dim=1)"
        )


def _are_probabilities(logits: Tensor) -> bool:
    values = logits.double()
    rounding = 1e-3 if torch.finfo(logits.dtype).bits >= 32 else 3e-2
    sums_to_one = (values.sum(dim=1) - 1).abs() < rounding
    return logits.shape[1] > 1 and bool((sums_to_one & (values >= 0).all(dim=1)).all())


def plain_numbers(settings: Any) -> None:
    """Turn NumPy's numbers in the fields of a frozen dataclass into Python's, which JSON knows."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, tuple):
            value = tuple(_plain(number) for number in value)
        object.__setattr__(settings, field.name, _plain(value))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.number) else value


def check_number(**values: object) -> None:
    """Refuse what is no single real number; the keyword is its name."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name} must be a number, got {value!r}")


def check_positive(**values: float) -> None:
    """Refuse a value that is not a finite number above zero; the keyword is its name."""
    check_number(**values)
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {value}")


def check_count(least: int = 1, /, **values: int) -> None:
    """Refuse what is no integer of at least ``least``; the keyword is its name."""
    for name, value in values.items():
        if not is_integer(value) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value}")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Refuse what is none of several words."""
    *others, last = map(repr, sorted(choices))
    listed = f"{', '.join(others)} or {last}"
    if not isinstance(value, str):
        raise TypeError(f"{name} must be {listed}, got {value!r}")
    if value not in choices:
        raise ValueError(f"{name} must be {listed}, got {value!r}")


def check_floats(**values: object) -> None:
    """Refuse what is no floating-point tensor; the keyword is its name."""
    for name, value in values.items():
        _check_float_tensor(value, name)


def check_same_shape(first: Tensor, second: Tensor) -> None:
    """Refuse two batches whose shapes differ."""
    check_floats(first=first, second=second)
    if first.shape != second.shape or first.ndim < 2:
        raise ValueError(
            "expected two batches (N, ...) of the same shape, "
            f"got {tuple(first.shape)} and {tuple(second.shape)}"
        )


def _check_float_tensor(value: object, name: str) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if not value.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {value.dtype}")


def _digits(value: float) -> str:
    """Print a number with so many digits that it looks outside of [0, 1] if it is."""
    short = f"{value:.4g}"
    return repr(value) if not 0 <= value <= 1 and 0 <= float(short) <= 1 else short


def _check_finite(value: Tensor, name: str) -> None:
    if not torch.isfinite(value.detach()).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
