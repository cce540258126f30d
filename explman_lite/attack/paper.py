"""The numbers of the paper's appendix, and how they read in our units."""

from __future__ import annotations

from statistics import mean
from typing import Any

from torch import Tensor

from explman_lite.networks.zoo import IMAGENET_STD, card_of

_BY_METHOD = {
    "IntegratedGradients": (500, 5e-3),
    "LRP": (1500, 2e-4),
    "PatternAttribution": (1500, 2e-3),
}
_BY_NETWORK = {"alexnet": (4000, 1e-3), "densenet121": (2000, 5e-4), "resnet18": (2000, 1e-3)}
_OTHERWISE = (1500, 1e-3)
_AGAINST_SMOOTHING = {
    "Gradient": (500, 2.5e-4),
    "GradientTimesInput": (500, 2.5e-4),
    "IntegratedGradients": (200, 2.5e-3),
    "LRP": (1500, 2e-4),
    "GuidedBackprop": (500, 5e-4),
    "PatternAttribution": (500, 5e-4),
}
_MAP_FACTOR, _OUTPUT_FACTOR = 1e11, 10.0


def pace(method: str, network: str, against_smoothing: bool) -> dict[str, Any]:
    """Return the number of steps, the step size in units of the pixel range, and the growth of β.

    The authors' published code moves normalised pixels, whose unit is the standard deviation of
    ImageNet's, on average 0.226 of the range [0, 1]. Digits are not normalised.
    """
    unit = 1.0 if card_of(network).std is None else mean(IMAGENET_STD)
    if against_smoothing:
        if method not in _AGAINST_SMOOTHING:
            known = ", ".join(_AGAINST_SMOOTHING)
            raise ValueError(f"the paper does not smooth {method!r}; it smooths: {known}")
        steps, lr = _AGAINST_SMOOTHING[method]
    else:
        steps, lr = _BY_METHOD.get(method) or _BY_NETWORK.get(network, _OTHERWISE)
    grows: tuple[float, float] = (30.0, 300.0) if network == "densenet121" else (10.0, 100.0)
    keeps_relu = method == "LRP" and not against_smoothing
    return {"steps": steps, "lr": lr * unit, "beta": None if keeps_relu else grows}


def output_weight(network: str, logits: Tensor | None, pixels: int | None) -> float:
    """Return γ of `manipulation_loss` for maps of ``pixels`` and logits of some variance."""
    if logits is not None and (logits.ndim != 2 or len(logits) != 1):
        raise ValueError(
            "the paper's settings depend on the picture: give the logits (1, K) of one, got "
            f"{tuple(logits.shape)}"
        )
    variance = 1.0 if logits is None else float(logits.var(dim=1, correction=0))
    pixels = card_of(network).size ** 2 if pixels is None else pixels
    return _OUTPUT_FACTOR * pixels**2 / _MAP_FACTOR * variance
