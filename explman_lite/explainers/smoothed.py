"""By Theorem 2 of the paper the softplus network averages over noise, in a single pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from explman_lite.explainers.base import Explainer, Explanation, Wrapper, check_explainer
from explman_lite.networks.prepare import Network, as_network
from explman_lite.networks.smoothing import round_activations
from explman_lite.validation import check_positive, plain_numbers

_SMOOTHED: WeakKeyDictionary[Network, dict[tuple[float, bool], Network]] = WeakKeyDictionary()
"""The smoothed twins of prepared networks, by β and centring: gone with the network."""

_KEPT = 16
"""How many twins of a network are kept; an attack that sharpens needs each for one step."""


@dataclass(frozen=True)
class BetaSmoothing(Wrapper):
    r"""Any explanation, of the network with every ReLU replaced by softplus.

    The attribution is that of the smoothed network, the output stays that of the network itself.

    Parameters
    ----------
    explainer : Explainer
        What explains the smoothed network.
    beta : float
        Sharpness of the softplus; the smaller, the smoother the map.
    centred : bool
        Subtract each softplus's value at 0, as `smoothed` does.

    Raises
    ------
    TypeError, ValueError
        If ``explainer`` is none, or ``beta`` is not positive.

    References
    ----------
    Dombrowski et al. (2019), section 4.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> model, photo = el.load_model(), el.load_photo("chelsea", 64)
    >>> smooth = el.BetaSmoothing(el.Gradient(), beta=5.0)
    >>> smooth(model, photo, torch.tensor([285])).shape
    torch.Size([1, 3, 64, 64])
    """

    explainer: Explainer
    beta: float
    centred: bool = False

    def __post_init__(self) -> None:
        """Refuse parameters that are not of the form above."""
        plain_numbers(self)
        check_explainer(self.explainer)
        check_positive(beta=self.beta)

    @property
    def name(self) -> str:
        """The method's name, with what is smoothed and β."""
        kind = ", centred" * self.centred
        return f"BetaSmoothing({self.explainer.name}, β = {self.beta:g}{kind})"

    @property
    def is_smooth(self) -> bool:
        """Yes: that is what it is for."""
        return True

    def with_seed(self, seed: int, samples: int | None = None) -> BetaSmoothing:
        """Return the same smoothing of the inner explainer with other noise."""
        return replace(self, explainer=self.explainer.with_seed(seed, samples))

    def softened(self, beta: float) -> BetaSmoothing:
        """Return the same smoothing with ``beta`` where that is smaller than its own."""
        return replace(self, explainer=self.explainer.softened(beta), beta=min(self.beta, beta))

    def explain(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Explain the smoothed network in place of ``model``, whose logits stay its own."""
        network = as_network(model)
        return Explanation(self.attribute(network, images, classes).attribution, network(images))

    def attribute(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Explain the smoothed network alone: the logits are of that one."""
        twin = _twin(as_network(model), self.beta, self.centred)
        return self.explainer.attribute(twin, images, classes)


def _twin(network: Network, beta: float, centred: bool) -> Network:
    """Return the smoothed network; pooling stays as it is: it may be rounded already.

    No twin is ever changed: threads that explain with different β may share the network.
    """
    twins = _SMOOTHED.setdefault(network, {})
    twin = twins.get((beta, centred))
    if twin is None:
        twin = twins[beta, centred] = round_activations(network, beta, centred=centred)
        for oldest in list(twins)[:-_KEPT]:
            twins.pop(oldest, None)
    return twin
