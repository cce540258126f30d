"""Grad-CAM: a coarse map from the last feature maps of a convolutional network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from explman_lite.explainers.base import Explainer, Explanation, class_logits
from explman_lite.explainers.kinds import (
    AVERAGES,
    BATCH_NORMS,
    CLAMPS,
    ELEMENTWISE,
    MAXIMA,
    RECTIFIERS,
    RESHAPES,
    SUMS,
    Kind,
)
from explman_lite.explainers.propagation import Walk
from explman_lite.networks.layers import Conv2d
from explman_lite.networks.prepare import as_network


@dataclass(frozen=True)
class GradCAM(Explainer):
    r"""Grad-CAM: the feature maps, weighted by how much the logit depends on each, scaled up.

    .. math::

       h(x) = \mathrm{up}\Bigl(\max\bigl(0, \textstyle\sum_k \alpha_k A^k\bigr)\Bigr), \qquad
       \alpha_k = \frac{1}{hw} \sum_{ij} \frac{\partial g_c}{\partial A^k_{ij}}

    The feature maps :math:`A^k`, of h × w places, are those of ``layer``. What is up-scaled, by
    straight lines as `torch.nn.functional.interpolate` does, has no channels of colour: the
    attribution is the same in each of them, and their sum is the map.

    Parameters
    ----------
    layer : str or None
        The module whose output is read, as ``named_modules`` of the network calls it. By default
        the last feature maps of the network before anything pools them, if all that stands behind
        them pools, flattens, activates or is dense.

    Raises
    ------
    TypeError
        If ``layer`` is no string.
    ValueError
        On a call, if there is no such layer, or it is called more than once, or returns no feature
        maps of more than one place; if none is named, and the network does not end like that.

    References
    ----------
    Selvaraju et al. (2017), "Grad-CAM: Visual explanations from deep networks via gradient-based
    localization", equations 1 and 2.

    Examples
    --------
    >>> import explman_lite as el, torch
    >>> model = el.load_model()
    >>> el.GradCAM()(model, el.load_photo("chelsea", 64), torch.tensor([285])).shape
    torch.Size([1, 3, 64, 64])
    """

    layer: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be the name of a layer."""
        if self.layer is not None and not isinstance(self.layer, str):
            raise TypeError(f"layer must be the name of a layer, got {self.layer!r}")

    def explain(self, model: nn.Module, images: Tensor, classes: Tensor) -> Explanation:
        """Weight the feature maps by the mean of the logit's derivative."""
        walk = Walk.through(as_network(model), images)
        features = walk.env[self._place(walk)]
        with torch.enable_grad():
            score = class_logits(walk.logits, classes).sum()
        (slopes,) = torch.autograd.grad(
            score, features, create_graph=walk.differentiable, materialize_grads=True
        )
        with torch.set_grad_enabled(walk.differentiable):
            weights = slopes.mean(dim=(2, 3), keepdim=True)
            coarse = F.relu((weights * features).sum(dim=1, keepdim=True))
            fine = F.interpolate(coarse, size=images.shape[2:], mode="bilinear")
            attribution = fine.expand_as(images) / images.shape[1]
        logits = walk.logits if walk.differentiable else walk.logits.detach()
        return Explanation(attribution, logits)

    def _place(self, walk: Walk) -> fx.Node:
        """Find what returns the feature maps."""
        return _last_features(walk) if self.layer is None else _named(walk, self.layer)


_POOLINGS = AVERAGES | MAXIMA
_ADAPTIVE = Kind(
    (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
    frozenset({F.adaptive_avg_pool2d, F.adaptive_max_pool2d}),
)
_ACTIVATIONS = RECTIFIERS | ELEMENTWISE | CLAMPS
_CONVOLUTIONS = Kind((Conv2d, nn.ConvTranspose2d))
_JOINTS = Kind(calls=frozenset({torch.cat, torch.concat, torch.concatenate}))
_FEATURES = _CONVOLUTIONS | _ACTIVATIONS | BATCH_NORMS | SUMS | _JOINTS
"""What may return the last feature maps."""
_BEHIND = _POOLINGS | _ACTIVATIONS | RESHAPES | Kind((nn.Linear,))
"""What may stand behind them."""
_TURNS = Kind(
    calls=frozenset({
        torch.permute, torch.transpose, torch.swapaxes, torch.swapdims, torch.movedim,
        "permute", "transpose", "swapaxes", "swapdims", "movedim",
    }),
)  # fmt: skip


def _is_features(value: object) -> bool:
    """Whether a value are maps of more than one place."""
    return torch.is_tensor(value) and value.ndim == 4 and value.shape[2:].numel() > 1


def _named(walk: Walk, name: str) -> fx.Node:
    """Find the layer that the user means."""
    found = [node for node in walk.reached if str(node.target) == name]
    if not found:
        calls = [str(node.target) for node in walk.reached if node.op == "call_module"]
        raise ValueError(f"GradCAM finds no layer {name!r}; the layers are {', '.join(calls)}")
    if len(found) > 1:
        raise ValueError(f"GradCAM cannot tell which call of {name!r} is meant: there are several")
    if not _is_features(walk.env[found[0]]):
        raise ValueError(
            f"GradCAM needs feature maps (N, K, h, w) of more than one place, and {name!r} "
            "returns none: give larger images or another layer"
        )
    return found[0]


def _last_features(walk: Walk) -> fx.Node:
    """Walk up from the logits, past the dense layers and what pools."""
    nodes = [node for node in walk.reached if node.op not in {"placeholder", "output"}]
    for place, node in reversed(list(enumerate(nodes))):
        maps = _is_features(walk.env[node])
        if _pools(walk, node) or (not maps and _BEHIND.holds(node, walk.layers)):
            continue
        above = nodes[: place + 1]
        convolved = any(_CONVOLUTIONS.holds(one, walk.layers) for one in above)
        turned = any(_turns(walk, one) for one in above)
        behind = nodes[place + 1 :]
        read = {one for later in behind for one in later.all_input_nodes}
        around = any(one in read and torch.is_tensor(walk.env[one]) for one in above[:-1])
        if maps and _FEATURES.holds(node, walk.layers) and convolved and not (turned or around):
            return node
        break
    raise ValueError(
        f"GradCAM cannot tell where the features end, whether with {node.name!r}. Name the layer "
        "whose feature maps are meant, GradCAM(layer=…), or give larger images if its maps have "
        "one place only"
    )


def _pools(walk: Walk, node: fx.Node) -> bool:
    """Whether a node pools maps: to a fixed number of places, or to fewer than it is given."""
    if _ADAPTIVE.holds(node, walk.layers):
        return True
    before, after = walk.env[node.all_input_nodes[0]], walk.env[node]
    return (
        _POOLINGS.holds(node, walk.layers)
        and _is_features(before)
        and (after.ndim < 4 or after.shape[2:].numel() < before.shape[2:].numel())
    )


def _turns(walk: Walk, node: fx.Node) -> bool:
    """Whether a node moves the channels of maps to another dimension."""
    value = walk.env[node]
    return _TURNS.holds(node, walk.layers) and torch.is_tensor(value) and value.ndim == 4
