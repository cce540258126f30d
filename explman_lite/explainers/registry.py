"""The one list of explainers, and the one list of defences: everything iterates over them.

To add an explainer, write its class and add its card and its name here; the command line, the
playground, the benchmark, the tests and the tables of the book follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch import Tensor, nn

from explman_lite.explainers.activations import GradCAM
from explman_lite.explainers.averaging import IntegratedGradients, SmoothGrad
from explman_lite.explainers.base import Explainer
from explman_lite.explainers.gradients import Gradient, GradientTimesInput
from explman_lite.explainers.lrp import LRP
from explman_lite.explainers.patterns import PatternAttribution, fit_patterns
from explman_lite.explainers.projected import Projected
from explman_lite.explainers.propagation import GuidedBackprop
from explman_lite.explainers.smoothed import BetaSmoothing

__all__ = [
    "DEFENSES",
    "EXPLAINERS",
    "LRP",
    "BetaSmoothing",
    "DefenseCard",
    "ExplainerCard",
    "GradCAM",
    "Gradient",
    "GradientTimesInput",
    "GuidedBackprop",
    "IntegratedGradients",
    "PatternAttribution",
    "Projected",
    "SmoothGrad",
    "fit_patterns",
]
"""What `explman_lite` hands on to its users."""


@dataclass(frozen=True)
class ExplainerCard:
    """What is known of an explainer, and how to make one.

    Attributes
    ----------
    name : str
        The name of its class, as in the recorded tables.
    title : str
        Its name in figures and menus.
    family : {"gradient", "guided", "propagation", "activation", "average"}
        How it reads the network: by its gradient, by the gradient with another rule at ReLUs, by
        relevance passed down from layer to layer, by its feature maps, or as an average of another
        explainer.
    build : callable
        Returns the explainer; takes what ``fit`` returned, if there is one, and the parameter that
        ``points`` names.
    in_paper : bool
        Whether Dombrowski et al. (2019) attack it.
    points : str or None
        The parameter for the number of points at which it evaluates the network; None where that
        is always one.
    fit : callable or None
        Fits what it needs to a network and pictures (N, C, H, W); None if it needs nothing.
    """

    name: str
    title: str
    family: Literal["gradient", "guided", "propagation", "activation", "average"]
    build: Callable[..., Explainer]
    in_paper: bool = True
    points: str | None = None
    fit: Callable[[nn.Module, Tensor], Any] | None = None

    @property
    def option(self) -> str:
        """The title as an option of the command line: lower-case letters and hyphens."""
        return self.title.replace("×", "times").lower().replace(" ", "-")

    def make(
        self,
        model: nn.Module | None = None,
        images: Tensor | None = None,
        *,
        points: int | None = None,
    ) -> Explainer:
        """Return an explainer of this kind.

        Parameters
        ----------
        model : nn.Module, optional
            The network to fit it to, if the method needs fitting.
        images : Tensor, optional
            (N, C, H, W) in [0, 1], the pictures to fit it to, if the method needs fitting.
        points : int, optional
            At how many points an averaging method evaluates the network; its default if not given,
            and ignored by all other methods.

        Returns
        -------
        Explainer
            Ready to be called.

        Raises
        ------
        ValueError
            If the method has to be fitted, and ``model`` or ``images`` is missing.

        Examples
        --------
        >>> import explman_lite as el
        >>> el.EXPLAINERS["IntegratedGradients"].make(points=10)
        IntegratedGradients(steps=10, baseline=0.0)
        """
        options = {} if self.points is None or points is None else {self.points: points}
        if self.fit is None:
            return self.build(**options)
        if model is None or images is None:
            raise ValueError(f"{self.name} has to be fitted: give a model and images")
        return self.build(self.fit(model, images), **options)


@dataclass(frozen=True)
class DefenseCard:
    """What is known of a defence, and which map it shows in place of an explainer's own.

    Attributes
    ----------
    name : str
        Its name in the recorded tables.
    title : str
        Its name in figures and menus.
    family : {"none", "softplus", "centred", "noise", "both", "tangent"}
        What smooths the map, or ``"tangent"`` where it is projected on the data's tangent space.
    strength : float
        β, or the number of samples where there is no softplus; NaN where nothing smooths.
    wrap : callable
        Turns an explainer into the defended one; takes the pictures too where they are needed.
    needs_pictures : bool
        Whether it has to know pictures of the data.
    """

    name: str
    title: str
    family: Literal["none", "softplus", "centred", "noise", "both", "tangent"]
    strength: float
    wrap: Callable[..., Explainer]
    needs_pictures: bool = False

    def make(self, explainer: Explainer | None = None, pictures: Tensor | None = None) -> Explainer:
        """Return a defended explainer.

        Parameters
        ----------
        explainer : Explainer, optional
            The one to defend, the gradient if not given.
        pictures : Tensor, optional
            (M, C, H, W) in [0, 1], pictures of the data, for a defence that has to know them;
            ignored by all others.

        Returns
        -------
        Explainer
            The one whose map is shown instead.

        Raises
        ------
        ValueError
            If the defence has to know pictures, and there are none.

        Examples
        --------
        >>> import explman_lite as el
        >>> el.DEFENSES["BetaSmoothing(5)"].make(el.LRP()).name
        'BetaSmoothing(LRP, β = 5)'
        """
        defended = Gradient() if explainer is None else explainer
        if not self.needs_pictures:
            return self.wrap(defended)
        if pictures is None:
            raise ValueError(f"{self.name} has to know the data: give pictures")
        return self.wrap(defended, pictures)


EXPLAINERS: dict[str, ExplainerCard] = {
    card.name: card
    for card in (
        ExplainerCard("Gradient", "Gradient", "gradient", Gradient),
        ExplainerCard("GradientTimesInput", "Gradient × Input", "gradient", GradientTimesInput),
        ExplainerCard(
            "IntegratedGradients",
            "Integrated Gradients",
            "gradient",
            IntegratedGradients,
            points="steps",
        ),
        ExplainerCard("GuidedBackprop", "Guided Backprop", "guided", GuidedBackprop),
        ExplainerCard("LRP", "LRP", "propagation", LRP),
        ExplainerCard(
            "PatternAttribution",
            "Pattern Attribution",
            "propagation",
            PatternAttribution,
            fit=fit_patterns,
        ),
        ExplainerCard("GradCAM", "Grad-CAM", "activation", GradCAM, in_paper=False),
        ExplainerCard(
            "SmoothGrad", "SmoothGrad", "average", SmoothGrad, in_paper=False, points="samples"
        ),
    )
}
"""The explainers by name."""


UNPROTECTED = "Gradient"
"""The name of the defence that does nothing, which all others are compared with."""


def _softplus(beta: float, *, centred: bool = False) -> DefenseCard:
    """Return the card of β-smoothing."""
    return DefenseCard(
        f"BetaSmoothing({beta:g}{', centred' * centred})",
        f"β = {beta:g}{', centred' * centred}",
        "centred" if centred else "softplus",
        beta,
        partial(BetaSmoothing, beta=beta, centred=centred),
    )


def _noise(samples: int) -> DefenseCard:
    """Return the card of SmoothGrad around any explainer."""
    return DefenseCard(
        f"SmoothGrad({samples})",
        f"SmoothGrad, {samples} samples",
        "noise",
        samples,
        lambda explainer: SmoothGrad(samples, explainer=explainer),
    )


_UNIFORM = DefenseCard(
    "SmoothGrad(10, uniform)",
    "uniform noise, 10 samples",
    "noise",
    10,
    lambda explainer: SmoothGrad(10, explainer=explainer, distribution="uniform"),
)
_BOTH = DefenseCard(
    "SmoothGrad(10) of BetaSmoothing(5)",
    "β = 5 and 10 samples",
    "both",
    5.0,
    lambda explainer: SmoothGrad(10, explainer=BetaSmoothing(explainer, beta=5.0)),
)

DEFENSES: dict[str, DefenseCard] = {
    card.name: card
    for card in (
        DefenseCard(UNPROTECTED, "ReLU", "none", float("nan"), lambda explainer: explainer),
        *(_softplus(beta) for beta in (0.5, 0.8, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0)),
        *(_softplus(beta, centred=True) for beta in (0.5, 1.0, 2.0, 5.0, 10.0)),
        *(_noise(samples) for samples in (10, 50)),
        _UNIFORM,
        _BOTH,
        DefenseCard(
            "Projected",
            "projected on the data",
            "tangent",
            float("nan"),
            Projected,
            needs_pictures=True,
        ),
    )
}
"""The defences by name: none, smoothing, averaging over noise, both together, projecting."""
