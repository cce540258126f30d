"""The table of spellings: how users write small networks, each beside its plainest form.

A spelling and its *twin* are the same function with the same weights. The twin is written in plain
modules, whose maps are checked elsewhere against zennit and captum: one function, one map.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

SIZE = 8
"""Height and width of the pictures in pixels; they have 3 channels and 5 classes."""

ANY_RELU = "ReLU"
"""What is said of a network that has no rectifier at all."""


@dataclass(frozen=True)
class Spelling:
    """One way to write a network, and what may be said if it is refused.

    Attributes
    ----------
    name : str
        The kind, a colon, and the spelling.
    make : callable
        Returns the network as a user writes it. Called with a fixed seed, so that each call gives
        the same weights.
    twin_of : callable or None
        From the user's network to the plainest form of the same function; None if there is none,
        so that the network has to be refused.
    refusal : str or None
        A regular expression for the culprit, where the network may be refused; None where it must
        be computed.
    no_rule : str or None
        The same for what needs a rule of its own for each layer, where gradients do not.
    dtype : torch.dtype
        Of weights and images.
    tolerance : float
        Largest error, as a share of the largest value.
    random : bool
        Whether the network itself returns other numbers at each call.
    stateful : bool
        Whether the network itself changes when it is called.
    warning : str or None
        A regular expression for what has to be said, though all is computed.
    hides : frozenset of str
        Actions that have to be refused, because the layer hides what they look for.
    skips : frozenset of str
        Actions in which the twin is no reference.
    """

    name: str
    make: Callable[[], nn.Module]
    twin_of: Callable[[nn.Module], nn.Module] | None
    refusal: str | None = None
    no_rule: str | None = None
    dtype: torch.dtype = torch.float64
    tolerance: float = 1e-8
    random: bool = False
    stateful: bool = False
    warning: str | None = None
    hides: frozenset[str] = frozenset()
    skips: frozenset[str] = frozenset()

    def build(self) -> nn.Module:
        """Return the network, the same each time, in evaluation mode but for what says not."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.make()

    def twin(self) -> nn.Module | None:
        """Return the plainest form of the same function, in float64."""
        return None if self.twin_of is None else self.twin_of(self.build()).double().eval()


TABLE: dict[str, Spelling] = {}

PATTERNS = frozenset({"fit_patterns", "PatternAttribution"})
"""What looks at the weights of each layer: a factor that the twin holds in a weight is another."""

AS_PYTORCH_RUNS_IT = frozenset({"Gradient", "IntegratedGradients", "SmoothGrad"})
"""What explains a network that is not prepared as it is, though its pictures influence another."""

SIGNS = PATTERNS | {"LRP", "trainable LRP"}
"""What the sign of a hidden value changes, as z⁺ explains what makes it large."""


def spell(kind: str, name: str, make, twin_of, **facts) -> None:
    """Add a spelling to the table."""
    name = f"{kind}: {name}"
    assert name not in TABLE, name
    TABLE[name] = Spelling(name, make, twin_of, **facts)


def ready(model: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Return a network in evaluation mode, with batch norm that does something."""
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None:
            nn.init.uniform_(layer.running_mean, -0.3, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
            if layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 2.0)
                nn.init.uniform_(layer.bias, -0.3, 0.3)
    return model.to(dtype).eval()


class Net(nn.Module):
    """Named parts and a function of them and the images.

    Parts that are modules are registered under their names; the others are kept as they are.
    """

    def __init__(self, compute: Callable[..., object], **parts: object) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.compute = compute

    def forward(self, images):
        return self.compute(self, images)


def net(compute: Callable[..., object], parts: Callable[[], dict[str, object]], **more: object):
    """Return what builds a `Net`: its parts are drawn anew at each call, in the same order."""

    def make() -> nn.Module:
        drawn = parts()
        return ready(Net(compute, **drawn, **{n: p() for n, p in more.items()}))

    return make


def sequence(*layers: nn.Module) -> nn.Sequential:
    """Return layers in a row: the plainest form there is."""
    return nn.Sequential(*layers)


def untold(*factors: float) -> frozenset[str]:
    """Return the actions in which a twin with such factors in its weights is no reference."""
    return frozenset() if all(factor == 1 for factor in factors) else PATTERNS


def vgg_parts() -> dict[str, object]:
    """Draw the layers of a small VGG."""
    return {
        "first": nn.Conv2d(3, 4, 3, padding=1),
        "second": nn.Conv2d(4, 6, 3, padding=1),
        "dense": nn.Linear(24, 5),
    }


def norm_parts() -> dict[str, object]:
    """Draw the layers of a small VGG with batch norm."""
    return {**vgg_parts(), "norm": nn.BatchNorm2d(4)}


def plain(net) -> nn.Module:
    """Return the plainest form of the small VGG, with its batch norm if it has one."""
    norm = [net.norm] if hasattr(net, "norm") else []
    return sequence(
        net.first,
        *norm,
        nn.ReLU(),
        nn.MaxPool2d(2),
        net.second,
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        net.dense,
    )


def scaled(layer: nn.Module, factor: float) -> nn.Module:
    """Multiply weight and bias of a layer."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(factor)
    return layer


def mean_parts() -> dict[str, object]:
    """Draw the layers of a network that takes the mean over all places."""
    return {"first": nn.Conv2d(3, 6, 3, padding=1), "dense": nn.Linear(6, 5)}


def mean_twin(net) -> nn.Module:
    """Return the plainest form of that."""
    return sequence(net.first, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), net.dense)
