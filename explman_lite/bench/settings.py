"""With which hyperparameters a pair is attacked."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import signature
from statistics import mean
from typing import Any

from torch import Tensor

from explman_lite.attack import constant, manipulate, step_size
from explman_lite.explainers import Gradient
from explman_lite.lrp import LRP
from explman_lite.models import IMAGENET_STD
from explman_lite.patterns import PatternAttribution

_BY_METHOD = {
    "IntegratedGradients": (500, 5e-3),
    "LRP": (1500, 2e-4),
    "PatternAttribution": (1500, 2e-3),
}
_BY_MODEL = {"alexnet": (4000, 1e-3), "densenet121": (2000, 5e-4), "resnet18": (2000, 1e-3)}
_OTHERWISE = (1500, 1e-3)
_MAP_FACTOR, _OUTPUT_FACTOR = 1e11, 10.0
_CONSTANT_ADAM: dict[str, Any] = {"schedule": constant, "momentum": (0.9, 0.999)}


def our_settings() -> dict[str, Any]:
    """Return what `manipulate` does unless told otherwise, for the record."""
    defaults = signature(manipulate).parameters
    return {
        "steps": defaults["steps"].default,
        "lr": {
            explainer.name: step_size(explainer)
            for explainer in (Gradient(), LRP(), PatternAttribution({}))
        },
        "output_weight": defaults["output_weight"].default,
        "beta": list(defaults["beta"].default),
        "schedule": defaults["schedule"].default.__name__,
        "momentum": list(defaults["momentum"].default),
    }


def adaptive_settings(model: str) -> dict[str, Any]:
    """Return how the suite ``defense`` attacks: within an ε-box, so that defences can be compared.

    Every defence is attacked within the same distance. Left alone, an attacker of a smoother map
    takes larger steps away from the picture and gets further.

    Parameters
    ----------
    model : str
        A network of the suite.

    Returns
    -------
    dict
        Keyword arguments of ``attack_defense``.
    """
    steps, epsilon = (60, 0.1) if model == "digits_vgg" else (40, 0.03)
    return {"steps": steps, "lr": epsilon / 4, "epsilon": epsilon, "restarts": 2}


def paper_defense_settings(model: str) -> dict[str, Any]:
    """Return the paper's steps and step sizes against a β-smoothed gradient.

    Its appendix gives 500 steps of 2.5e-4 for them, where the plain gradient gets 1500 of 1e-3.
    The step size is converted as in `paper_settings`; digits are not normalised.

    References
    ----------
    Dombrowski et al. (2019), "Explanations can be manipulated and geometry is to blame", appendix.
    """
    unit = 1.0 if model == "digits_vgg" else mean(IMAGENET_STD)
    return {"steps": 500, "lr": 2.5e-4 * unit, "beta": (10.0, 100.0), **_CONSTANT_ADAM}


def defense_settings(models: Iterable[str]) -> dict[str, Any]:
    """Gather how the defences of some networks are attacked, for the record."""
    return {
        model: {
            "adaptive": adaptive_settings(model),
            "paper": paper_defense_settings(model) | {"schedule": constant.__name__},
        }
        for model in sorted(models)
    }


def paper_settings(model: str, method: str, original_logits: Tensor, pixels: int) -> dict[str, Any]:
    r"""Return the paper's hyperparameters for one picture, in the units of `manipulate`.

    Steps, step sizes and the growth of β are those of its appendix. Three things need converting:

    - **Step size.** The authors' published code moves normalised pixels, whose unit is the
      standard deviation of ImageNet's, on average 0.226 of the range [0, 1]. The step size is
      therefore multiplied by that. It is constant over the run.
    - **Weight of the output.** The paper minimises :math:`10^{11} E_h + 10\, E_g` for maps of
      sum 1 and logits (its comparison of architectures). With N pixels, maps of mean 1 have
      :math:`N^2` times the squared error, so that :math:`\gamma = 10\, N^2 / 10^{11}` for the
      plain mean squared change of the logits, 0.25 for 224 × 224 pixels. We divide the change by
      the variance v of the original logits, which makes it :math:`\gamma = 10\, N^2 v / 10^{11}`.
      It depends on the picture: such a job has one pair.
    - **LRP without growth of β.** There the authors' code keeps the ReLU: ``beta=None``.

    Parameters
    ----------
    model, method : str
        As in a `Case`. Of several methods, the paper attacks only VGG-16's.
    original_logits : Tensor
        (1, K) of the picture before the attack.
    pixels : int
        Height times width.

    Returns
    -------
    dict
        Keyword arguments of `manipulate`.

    References
    ----------
    Dombrowski et al. (2019), "Explanations can be manipulated and geometry is to blame",
    appendix; code at github.com/pankessel/adv_explanation_ref.

    Examples
    --------
    >>> import torch
    >>> from explman_lite.bench.settings import paper_settings
    >>> found = paper_settings("vgg16", "Gradient", torch.tensor([[-2.0, 2.0]]), 224**2)
    >>> found["steps"], found["beta"], round(found["output_weight"], 3)
    (1500, (10.0, 100.0), 1.007)
    """
    if len(original_logits) != 1:
        raise ValueError(
            f"the paper's settings depend on the picture: give one, got {len(original_logits)}"
        )
    steps, lr = _BY_METHOD.get(method) or _BY_MODEL.get(model, _OTHERWISE)
    beta: tuple[float, float] | None = (30.0, 300.0) if model == "densenet121" else (10.0, 100.0)
    variance = float(original_logits.var(dim=1, correction=0))
    return {
        "steps": steps,
        "lr": lr * mean(IMAGENET_STD),
        "output_weight": _OUTPUT_FACTOR * pixels**2 / _MAP_FACTOR * variance,
        "beta": None if method == "LRP" else beta,
        **_CONSTANT_ADAM,
    }
