"""The same network with its kinks rounded off: softplus in place of ReLU."""

from __future__ import annotations

from torch import nn

from explman_lite.networks.memory import keep_freed_memory
from explman_lite.networks.passes import called
from explman_lite.networks.pooling import SmoothMaxPool2d
from explman_lite.networks.prepare import Network, as_network
from explman_lite.networks.refusals import (
    RECTIFIERS,
    hidden_rectifiers,
    refuse_hidden_rectifiers,
)
from explman_lite.networks.softplus import SmoothReLU
from explman_lite.validation import check_positive


def smoothed(
    model: nn.Module, beta: float | None, *, centred: bool = False, pooling: float | None = None
) -> Network:
    """Replace every ReLU (and ReLU6) of a network by softplus with sharpness β.

    The weights are shared, trainable ones as well; ``model`` stays as it was. The smaller β, the
    smoother the function and the smaller the curvature of its level sets; as β grows it becomes
    the ReLU network.

    Parameters
    ----------
    model : nn.Module
        From `load_model` or `prepare`; other networks are prepared first.
    beta : float or None
        Sharpness, positive; None gives ReLU back.
    centred : bool
        Subtract each softplus's value at 0, log(2)/β for a plain ReLU, so that 0 stays 0. Slope and
        curvature of the unit stay as they are; what adds up from layer to layer does not.
    pooling : float or None
        Replace each maximum over a window (`torch.nn.MaxPool2d`) by log-sum-exp of this sharpness,
        positive: softplus leaves the kinks of max pooling as they are. None gives the maximum back.

    Returns
    -------
    Network
        Input and output as those of ``model``.

    Raises
    ------
    ValueError
        If ``beta`` or ``pooling`` is not positive; the network holds no ReLU, or one inside of a
        layer that cannot be looked into, or one with a hook; or ``pooling`` is given and it pools
        by no maximum.

    References
    ----------
    Dombrowski et al. (2019), "Explanations can be manipulated and geometry is to blame"; Srinivas
    et al. (2022), "Efficient training of low-curvature neural networks", for the centred form.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> relu = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 8), torch.nn.ReLU())
    >>> images = torch.rand(1, 1, 2, 2)
    >>> bool((el.smoothed(relu.eval(), beta=1.0)(images) > relu(images)).all())
    True
    """
    network = round_activations(as_network(model), beta, centred=centred)
    if pooling is not None and not _pools(network):
        raise ValueError("the network pools by no maximum, got a sharpness for its pooling")
    return round_pooling(network, pooling)


def round_activations(network: Network, beta: float | None, *, centred: bool = False) -> Network:
    """Replace the activations alone, and leave pooling as it is."""
    if beta is not None:
        check_positive(beta=beta)
    refuse_hidden_rectifiers(network, "be smoothed")
    keep_freed_memory()
    activations = {
        name: SmoothReLU(beta, _ceiling(layer), centred=centred)
        for name, layer in _rectifiers(network)
    }
    if not activations:
        raise ValueError(
            "the network holds no ReLU to smooth; to attack it as it is, pass beta=None"
        )
    return network.with_layers(activations)


def has_activations_to_round(network: Network) -> bool:
    """Whether a network holds any ReLU."""
    return bool(_rectifiers(network))


def round_pooling(
    network: Network, sharpness: float | None, *, in_spreads: bool = False
) -> Network:
    """Replace the maxima over windows alone, if there are any; None gives them back."""
    layers: dict[str, nn.MaxPool2d]
    if sharpness is None:
        rounded = {n: m for n, m in _pools(network).items() if isinstance(m, SmoothMaxPool2d)}
        layers = {name: layer.hard() for name, layer in rounded.items()}
    else:
        check_positive(pooling=sharpness)
        layers = {
            name: SmoothMaxPool2d.of(layer, sharpness, in_spreads=in_spreads)
            for name, layer in _pools(network).items()
        }
    return network.with_layers(layers) if layers else network


def can_round_pooling(network: Network) -> bool:
    """Whether a network pools by maxima, and none of them has to say where it lies."""
    pools = _pools(network).values()
    return bool(pools) and not any(layer.return_indices for layer in pools)


def _rectifiers(network: Network) -> list[tuple[str, nn.Module]]:
    """Return the ReLUs, rounded off or not, with their names."""
    return [(name, layer) for name, layer in _called(network) if isinstance(layer, RECTIFIERS)]


def layers_with_kinks(network: Network) -> list[str]:
    """Return the names of the layers that still hold a ReLU or a maximum over windows."""
    sharp = [name for name, layer in _called(network) if _has_kinks(layer)]
    return sharp + hidden_rectifiers(network)


def _has_kinks(layer: nn.Module) -> bool:
    if isinstance(layer, SmoothReLU):
        return layer.beta is None
    return isinstance(layer, (*RECTIFIERS, nn.MaxPool2d)) and not isinstance(layer, SmoothMaxPool2d)


def _pools(network: Network) -> dict[str, nn.MaxPool2d]:
    """Return the layers that pool by maximum, with their names."""
    return {name: m for name, m in _called(network) if isinstance(m, nn.MaxPool2d)}


def _called(network: Network) -> list[tuple[str, nn.Module]]:
    """Return the layers that a network calls, with their names."""
    return [(name, network.get_submodule(name)) for name in called(network.graph)]


def set_beta(network: nn.Module, beta: float | None) -> None:
    """Change the sharpness of a network made by `smoothed`, in place."""
    for layer in network.modules():
        if isinstance(layer, SmoothReLU):
            layer.beta = beta


def set_pooling(network: nn.Module, sharpness: float) -> None:
    """Change the sharpness of the pooling of a network made by `smoothed`, in place."""
    for layer in network.modules():
        if isinstance(layer, SmoothMaxPool2d):
            layer.sharpness = sharpness


def _ceiling(layer: nn.Module) -> float | None:
    if isinstance(layer, SmoothReLU):
        return layer.ceiling
    return 6.0 if isinstance(layer, nn.ReLU6) else None
