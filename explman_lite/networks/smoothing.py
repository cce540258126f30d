"""The same network with its kinks rounded off: ReLU replaced by softplus."""

from __future__ import annotations

from torch import nn

from explman_lite.networks.layers import SmoothReLU
from explman_lite.networks.passes import called
from explman_lite.networks.prepare import Network, as_network
from explman_lite.networks.refusals import RECTIFIERS, refuse_hidden_rectifiers
from explman_lite.validation import check_positive


def smoothed(model: nn.Module, beta: float | None) -> Network:
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

    Returns
    -------
    Network
        Input and output as those of ``model``.

    Raises
    ------
    ValueError
        If ``beta`` is not positive, or the network holds no ReLU, or one inside of a layer that
        cannot be looked into, or one with a hook.

    References
    ----------
    Dombrowski et al. (2019), "Explanations can be manipulated and geometry is to blame".

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> relu = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 8), torch.nn.ReLU())
    >>> images = torch.rand(1, 1, 2, 2)
    >>> bool((el.smoothed(relu.eval(), beta=1.0)(images) > relu(images)).all())
    True
    """
    if beta is not None:
        check_positive(beta=beta)
    network = as_network(model)
    refuse_hidden_rectifiers(network, "be smoothed")
    layers = {name: network.get_submodule(name) for name in called(network.graph)}
    activations = {
        name: SmoothReLU(beta, _ceiling(layer))
        for name, layer in layers.items()
        if isinstance(layer, RECTIFIERS)
    }
    if not activations:
        raise ValueError(
            "the network holds no ReLU to smooth; to attack it as it is, pass beta=None"
        )
    return network.with_layers(activations)


def set_beta(network: nn.Module, beta: float | None) -> None:
    """Change the sharpness of a network made by `smoothed`, in place."""
    for layer in network.modules():
        if isinstance(layer, SmoothReLU):
            layer.beta = beta


def _ceiling(layer: nn.Module) -> float | None:
    if isinstance(layer, SmoothReLU):
        return layer.ceiling
    return 6.0 if isinstance(layer, nn.ReLU6) else None
