"""How an attack is run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from torch import Tensor

from explman_lite.attack import paper
from explman_lite.validation import (
    check_count,
    check_number,
    check_positive,
    is_integer,
    plain_numbers,
)

Schedule = Callable[[float], float]
"""From the fraction of the run, 0 to 1, to the share of the largest step size."""

_WARM_UP = 0.1


def one_cycle(fraction: float) -> float:
    """Share of the largest step size after ``fraction`` of the run: up for 10 %, then down.

    A straight line each way, from 1/25 to 1 and on to 0.

    References
    ----------
    Smith and Topin (2019), "Super-convergence".
    """
    if fraction < _WARM_UP:
        return 0.04 + 0.96 * fraction / _WARM_UP
    return (1 - fraction) / (1 - _WARM_UP)


def constant(fraction: float) -> float:
    """Share of the largest step size after ``fraction`` of the run: all of it, all the time."""
    return 1.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How an attack is run: all that `manipulate` can be told but what is attacked and to what end.

    The defaults are those of `manipulate`, and stand on ``results/optimisers.csv``.

    Attributes
    ----------
    steps : int
        Number of optimisation steps, at least 1.
    lr : float
        Largest step size, in units of the pixel range [0, 1].
    output_weight : float
        γ, how much a change of the output weighs; not negative.
    beta : (float, float) or None
        Sharpness of the softplus at the first and at the last step; None keeps ReLU.
    pooling : (float, float) or None
        Sharpness of log-sum-exp in place of maximum pooling, at the first and at the last step,
        where the network has any; None keeps the maximum.
    growth : float
        Both grow with the fraction of the run to this power: at 1 evenly on a logarithmic scale,
        above 1 late.
    schedule : callable
        From the fraction of the run, 0 to 1, to the share of ``lr`` to take.
    momentum : (float, float)
        Adam's decay rates, each from 0 to below 1.
    epsilon : float or None
        Bound on the change of any pixel (L∞), in units of the pixel range; None for no bound.
    fresh_noise : int or None
        How many samples of an explainer's noise to draw anew at every step; None for those that it
        shows.

    Raises
    ------
    TypeError, ValueError
        If a value is not of this form.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.Settings(steps=20, epsilon=8 / 255).steps
    20
    >>> el.Settings.paper("LRP", "vgg16").beta is None
    True
    >>> model, (images, _) = el.load_model("digits_vgg"), el.load_digits()
    >>> settings = el.Settings(steps=2, lr=1e-3)
    >>> target = el.text_target("no", size=32)
    >>> result = el.manipulate(
    ...     model, images[:1], target, el.Gradient(), progress=False, **settings.keywords()
    ... )
    >>> len(result.history)
    2
    """

    steps: int = 40
    lr: float = 5e-3
    output_weight: float = 4.0
    beta: tuple[float, float] | None = (5.0, 100.0)
    pooling: tuple[float, float] | None = (20.0, 200.0)
    growth: float = 2.0
    schedule: Schedule = one_cycle
    momentum: tuple[float, float] = (0.7, 0.9)
    epsilon: float | None = None
    fresh_noise: int | None = None

    def __post_init__(self) -> None:
        """Refuse values that are not of the form above."""
        plain_numbers(self)
        check_pace(self.steps, self.lr, self.output_weight, self.schedule)
        check_positive(growth=self.growth)
        for name, growth in (("beta", self.beta), ("pooling", self.pooling)):
            if growth is not None:
                start, end = _pair(name, growth, "(start, end) or None")
                check_positive(**{f"{name}_start": start, f"{name}_end": end})
        first, second = _pair("momentum", self.momentum, "of decay rates")
        check_number(momentum_first=first, momentum_second=second)
        if not (0 <= first < 1 and 0 <= second < 1):
            raise ValueError(f"momentum must lie in [0, 1), got {self.momentum}")
        if self.epsilon is not None:
            check_positive(epsilon=self.epsilon)
        if self.fresh_noise is not None:
            check_count(fresh_noise=self.fresh_noise)

    @classmethod
    def paper(
        cls,
        method: str,
        network: str,
        *,
        logits: Tensor | None = None,
        pixels: int | None = None,
        against_smoothing: bool = False,
    ) -> Settings:
        r"""Return the paper's settings, in our units.

        Steps, step sizes and the growth of β are those of its appendix, the optimiser is that of
        the authors' published code. Three things need converting:

        - **Step size.** The code moves normalised pixels, whose unit is the standard deviation of
          ImageNet's, on average 0.226 of the range [0, 1]. The step size is multiplied by that
          where the network normalises its pixels. It is constant over the run.
        - **Weight of the output.** The paper minimises :math:`10^{11} E_h + 10\, E_g` for maps of
          sum 1 and logits (its comparison of architectures). With N pixels, maps of mean 1 have
          :math:`N^2` times the squared error, so that :math:`\gamma = 10\, N^2 / 10^{11}` for the
          plain mean squared change of the logits, 0.25 for 224 × 224 pixels. We divide the change
          by the variance v of the original logits, which makes it
          :math:`\gamma = 10\, N^2 v / 10^{11}` and a matter of the picture.
        - **LRP without growth of β.** There the code keeps the ReLU: ``beta`` is None.

        Parameters
        ----------
        method : str
            A key of `EXPLAINERS`. Of several methods, the paper attacks only VGG-16's.
        network : str
            One of `model_names`.
        logits : Tensor, optional
            (1, K) of the picture before the attack, whose variance is v; 1 if not given.
        pixels : int, optional
            N, height times width; that of the network's training pictures if not given.
        against_smoothing : bool
            The paper's steps against a β-smoothed map, with our ``output_weight``.

        Raises
        ------
        ValueError
            If the network or, against smoothing, the method is unknown, or ``logits`` are not of
            one picture.

        References
        ----------
        Dombrowski et al. (2019), appendix; code at github.com/pankessel/adv_explanation_ref.

        Examples
        --------
        >>> import torch, explman_lite as el
        >>> found = el.Settings.paper("Gradient", "vgg16", logits=torch.tensor([[-2.0, 2.0]]))
        >>> found.steps, found.beta, round(found.output_weight, 3)
        (1500, (10.0, 100.0), 1.007)
        """
        found = cls(
            pooling=None,
            growth=1.0,
            schedule=constant,
            momentum=(0.9, 0.999),
            **paper.pace(method, network, against_smoothing),
        )
        if against_smoothing:
            return found
        return replace(found, output_weight=paper.output_weight(network, logits, pixels))

    def keywords(self) -> dict[str, Any]:
        """Return the settings as keyword arguments of `manipulate`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def sharpness(self, fraction: float) -> tuple[float | None, float | None]:
        r"""Return the sharpness of softplus and of pooling after ``fraction`` of the run.

        Both grow as :math:`\beta_t = \beta_0 (\beta_e / \beta_0)^{(t/T)^p}`, where p is
        ``growth``; None where a kink is kept.
        """
        beta, pooling = (
            None if growth is None else growth[0] * (growth[1] / growth[0]) ** fraction**self.growth
            for growth in (self.beta, self.pooling)
        )
        return beta, pooling

    def record(self) -> dict[str, Any]:
        """Return the settings as plain values, fit for JSON."""
        return self.keywords() | {"schedule": getattr(self.schedule, "__name__", "unnamed")}


def check_pace(steps: int, lr: float, output_weight: float, schedule: Schedule) -> None:
    """Refuse what any search needs to know, whatever it changes, if it is not of its form."""
    if not is_integer(steps):
        raise TypeError(f"steps must be an integer, got {type(steps).__name__}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    check_positive(lr=lr)
    check_number(output_weight=output_weight)
    if not 0 <= output_weight < math.inf:
        raise ValueError(f"output_weight must be finite and not negative, got {output_weight}")
    if not callable(schedule):
        raise TypeError(f"schedule must be a function of a fraction, got {schedule!r}")


def _pair(name: str, value: Any, meaning: str) -> tuple[float, float]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{name} must be a pair {meaning}, got {value!r}")
    return value[0], value[1]
