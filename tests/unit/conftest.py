from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import explman_lite as el
from explman_lite.attack.search import Search


class Residual(nn.Module):
    """A residual block with a depthwise convolution, and a ReLU that is no module."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.norm(self.depthwise(x)) + x)


def small_model(seed: int = 0, channels: int = 3, classes: int = 4) -> nn.Module:
    """Build a network for 16 × 16 images with every kind of layer that the package treats."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(channels, 6, 3, stride=2, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU6(),
        Residual(6),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 2, dilation=2),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(8, classes),
    )
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
            nn.init.uniform_(layer.weight, 0.5, 2.0)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
    return model.double().eval()


@pytest.fixture
def raw() -> nn.Module:
    return small_model()


@pytest.fixture
def network(raw: nn.Module) -> el.Network:
    return el.prepare(raw)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def classes() -> Tensor:
    return torch.tensor([0, 3, 1])


@pytest.fixture(scope="session")
def imagenet() -> el.Network:
    return el.load_model()


def _data() -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.rand(40, 3, 16, 16, dtype=torch.float64, generator=generator)


@pytest.fixture
def interrupted_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt every attack at its third step."""
    differentiate = Search._differentiate

    def interrupt(self, step, *rest):
        if step == 2:
            raise KeyboardInterrupt
        return differentiate(self, step, *rest)

    monkeypatch.setattr(Search, "_differentiate", interrupt)


def _registered(card: el.ExplainerCard) -> Callable[[el.Network], el.Explainer]:
    return lambda network: card.make(network, _data(), points=5)


EXPLAINERS: dict[str, Callable[[el.Network], el.Explainer]] = {
    **{name: _registered(card) for name, card in el.EXPLAINERS.items()},
    "LRP γ": lambda network: el.LRP("gamma"),
    "LRP ε": lambda network: el.LRP("epsilon", epsilon=1e-2),
    "SmoothGrad, LRP, logistic": lambda network: el.SmoothGrad(
        3, 0.1, explainer=el.LRP(), distribution="logistic"
    ),
    "BetaSmoothing": lambda network: el.BetaSmoothing(el.Gradient(), beta=2.0),
    "Projected": lambda network: el.Projected(el.Gradient(), _data(), neighbours=12, dimensions=6),
}


@pytest.fixture(params=EXPLAINERS.values(), ids=EXPLAINERS.keys())
def explainer(request: pytest.FixtureRequest, network: el.Network) -> el.Explainer:
    return request.param(network)
