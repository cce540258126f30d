"""The public functions on tensors that lie on another device: none is made anywhere else.

`FakeTensorMode` computes nothing, and raises where tensors of two devices meet. So a constant that
somebody makes without saying where is found on a machine without a GPU. The other device is
"meta": fake tensors on "cuda" go forward without a GPU, but autograd asks the driver for a stream.
"""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

import explman_lite as el
import explman_lite.validation as validation

BATCH, SIZE, CLASSES = 2, 16, 5
DEVICE = "meta"


class Small(nn.Module):
    """Every kind of layer, on photographs of 16 × 16 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.second, self.alone = nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.BatchNorm2d(4)
        self.relu, self.relu6, self.pool = nn.ReLU(), nn.ReLU6(), nn.MaxPool2d(2)
        self.average, self.dense = nn.AdaptiveAvgPool2d(2), nn.Linear(32, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool(self.relu(self.norm(self.first(images))))
        x = torch.cat([x, x + self.relu6(self.alone(x + self.second(x)))], 1)
        return self.dense(torch.flatten(self.average(x), 1))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTensorMode]:
    """Return the mode in which tensors are fake, with the checks that read values left out."""
    for name in ("_check_finite", "check_classes"):
        monkeypatch.setattr(validation, name, lambda *args, **kwargs: None)
    monkeypatch.setattr(el.PatternAttribution, "__post_init__", lambda self: None)
    # A fake tensor holds no number. Where one is asked for, this one lies within every bound.
    monkeypatch.setattr(Tensor, "item", lambda self: 0.05)
    monkeypatch.setattr(FakeTensor, "__bool__", lambda self: False, raising=False)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield mode


def there(value: Tensor) -> Tensor:
    return torch.empty(value.shape, dtype=value.dtype, device=DEVICE)


def given() -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    model = Small().eval()
    for layer in model.modules():
        for name, value in layer.named_parameters(recurse=False):
            layer._parameters[name] = nn.Parameter(there(value))
        for name, value in layer.named_buffers(recurse=False):
            layer._buffers[name] = there(value)
    images = torch.rand(BATCH, 3, SIZE, SIZE, device=DEVICE)
    classes = torch.zeros(BATCH, dtype=torch.long, device=DEVICE)
    return model, images, classes, torch.rand(BATCH, SIZE, SIZE, device=DEVICE)


def attacked(**options: object) -> Callable[..., Tensor]:
    def attack(model: nn.Module, images: Tensor, classes: Tensor, maps: Tensor) -> Tensor:
        explainer = options.pop("explainer", el.Gradient())
        return el.manipulate(
            model, images, maps, explainer, steps=2, classes=classes, progress=False, **options
        ).images

    return attack


def explaining(card: el.ExplainerCard) -> Callable[..., Tensor]:
    def explain(model: nn.Module, images: Tensor, classes: Tensor, _: Tensor) -> Tensor:
        return card.make(model, images, points=3)(model, images, classes)

    return explain


ACTIONS: dict[str, Callable[..., Tensor]] = {
    "prepare": lambda model, images, *_: el.prepare(model)(images),
    "prepare, normalised": lambda model, images, *_: el.prepare(
        model, mean=[0.5] * 3, std=[0.2] * 3
    )(images),
    "prepare, trainable": lambda model, images, *_: el.prepare(model, frozen=False)(images),
    "smoothed": lambda model, images, *_: el.smoothed(model, 2.0)(images),
    **{name: explaining(card) for name, card in el.EXPLAINERS.items()},
    **{
        f"{name}, defended": lambda model, images, classes, _, card=card: card.make(
            pictures=torch.rand(60, 3, SIZE, SIZE)
        )(model, images, classes)
        for name, card in el.DEFENSES.items()
    },
    "LRP γ": lambda model, images, classes, _: el.LRP("gamma")(model, images, classes),
    "LRP ε": lambda model, images, classes, _: el.LRP("epsilon")(model, images, classes),
    "manipulate": attacked(),
    "manipulate LRP": attacked(explainer=el.LRP(), epsilon=0.1),
    "relevance_map": lambda model, images, *_: el.relevance_map(images),
    "manipulation_loss": lambda model, images, _, maps: el.manipulation_loss(
        maps, maps, model(images), model(images)
    ),
    "hessian_vector_product": lambda model, images, classes, _: el.curvature.hessian_vector_product(
        el.smoothed(model, 1.0), images, images, classes
    ),
    **{
        name: lambda model, images, _, maps, name=name: getattr(el.metrics, name)(maps, maps)
        for name in ("mse", "pcc", "top_k_overlap")
    },
    "output_change": lambda model, images, *_: el.metrics.output_change(
        model(images), model(images)
    ),
    "logit_change": lambda model, images, *_: el.metrics.logit_change(model(images), model(images)),
    "pixel_flipping": lambda model, images, classes, maps: el.faithfulness.pixel_flipping(
        model, images, maps, classes, steps=2
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_is_made_on_another_device(action: str, elsewhere: FakeTensorMode):
    found = ACTIONS[action](*given())
    assert isinstance(found, FakeTensor)
    assert found.device.type == DEVICE


def test_the_mode_finds_a_tensor_on_another_device(elsewhere: FakeTensorMode):
    with pytest.raises(RuntimeError, match="device"):
        torch.zeros(2, device=DEVICE) + torch.zeros(2)
