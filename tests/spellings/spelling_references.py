"""What is done with every spelling, and an independent reference for each result."""

import copy
from collections.abc import Callable
from functools import cache

import spelling_activations  # noqa: F401  # Each of these fills the table.
import spelling_branches  # noqa: F401
import spelling_calls  # noqa: F401
import spelling_forwards  # noqa: F401
import spelling_gates  # noqa: F401
import spelling_hidden  # noqa: F401
import spelling_hooked  # noqa: F401
import spelling_identities  # noqa: F401
import spelling_layers  # noqa: F401
import spelling_states  # noqa: F401
import spelling_wrapped  # noqa: F401
import torch
from spelling_table import SIZE, TABLE, Net, Spelling
from torch import Tensor, nn

import explman_lite as el

BETA, POINTS = 3.0, 4
_DRAW = torch.Generator().manual_seed(7)
IMAGES = 0.05 + 0.9 * torch.rand(3, 3, SIZE, SIZE, dtype=torch.float64, generator=_DRAW)
MORE_IMAGES = torch.rand(6, 3, SIZE, SIZE, dtype=torch.float64, generator=_DRAW)
TARGET = torch.rand(1, SIZE, SIZE, dtype=torch.float64, generator=_DRAW)
CLASSES = torch.tensor([0, 3, 1])

Action = Callable[[nn.Module, Tensor, Tensor], Tensor]


def fitted(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Return all patterns in the order of the layers; within one, in the order of the values.

    The twin may hold the same weights in another order, as a transposed convolution does.
    """
    patterns = el.fit_patterns(model, MORE_IMAGES.to(images, copy=True)).values()
    parts = [pattern.flatten().sort().values for pattern in patterns]
    return torch.cat(parts) if parts else images.new_zeros(0)


def attacked(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Return the pictures after two steps."""
    result = el.manipulate(
        model,
        images,
        TARGET.to(images),
        el.Gradient(),
        steps=2,
        pooling=None,
        classes=classes,
        progress=False,
    )
    return result.images


def _explaining(card: el.ExplainerCard) -> Action:
    def explain(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
        if card.fit is not None:  # Both ask for a prepared network: once is enough.
            model = el.prepare(model)
        data = MORE_IMAGES.to(images, copy=True)
        return card.make(model, data, points=POINTS)(model, images, classes)

    return explain


ACTIONS: dict[str, Action] = {
    "prepare": lambda model, images, _: el.prepare(model)(images),
    "smoothed": lambda model, images, _: el.smoothed(model, BETA)(images),
    "fit_patterns": fitted,
    "manipulate": attacked,
    **{name: _explaining(card) for name, card in el.EXPLAINERS.items()},
    "prepared Gradient": lambda model, *rest: el.Gradient()(el.prepare(model), *rest),
    "trainable LRP": lambda model, *rest: el.LRP()(el.prepare(model, frozen=False), *rest).detach(),
    "BetaSmoothing": lambda *given: el.BetaSmoothing(el.Gradient(), BETA)(*given),
}
"""From a network, pictures and classes to numbers: all that a user can ask for."""

ASK_THE_NETWORK = {"Gradient", "GradientTimesInput", "IntegratedGradients", "SmoothGrad"}
"""What calls the network as it is, and needs to know nothing of it."""

NEED_NO_RULE = {*ASK_THE_NETWORK, "prepare", "prepared Gradient"}


class Guided(torch.autograd.Function):
    """ReLU with the way back of Guided Backprop."""

    @staticmethod
    def forward(ctx, x, ceiling):
        ctx.save_for_backward((x > 0) & (x < ceiling))
        return x.clamp(0, ceiling)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.clamp(min=0) * ctx.saved_tensors[0], None


class Replaced(nn.Module):
    """Another function where the network has a ReLU that saturates at ``ceiling``."""

    def __init__(self, function, ceiling):
        super().__init__()
        self.function, self.ceiling = function, ceiling

    def forward(self, x):
        return self.function(x, self.ceiling)


def soft(x: Tensor, ceiling: float) -> Tensor:
    """Return softplus, or the difference of two where the function saturates."""
    smooth = nn.functional.softplus(x, BETA, threshold=1e9)
    if ceiling == float("inf"):
        return smooth
    return smooth - nn.functional.softplus(x - ceiling, BETA, threshold=1e9)


def with_rectifiers(model: nn.Module, function) -> nn.Module:
    """Return a copy in which every module that is a ReLU computes another function."""
    ours = copy.deepcopy(model)
    found = [m for m in ours.modules() if isinstance(m, (nn.ReLU, nn.ReLU6))]
    if not found:
        raise ValueError("there is no ReLU")
    for layer in found:
        ceiling = 6.0 if isinstance(layer, nn.ReLU6) else float("inf")
        layer.forward = Replaced(function, ceiling).forward
    return ours


def gradient(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Differentiate each sample's logit by PyTorch alone, of a copy of the images."""
    pixels = images.clone().requires_grad_()
    score = model(pixels.clone()).gather(1, classes.unsqueeze(1)).sum()
    return torch.autograd.grad(score, pixels)[0]


def integrated(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Average the gradient over the middles of equal parts of the way from black."""
    places = [(k + 0.5) / POINTS for k in range(POINTS)]
    return images * sum(gradient(model, a * images, classes) for a in places) / POINTS


def averaged(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Average the gradient over the noisy pictures that SmoothGrad draws."""
    points = el.SmoothGrad(POINTS).points(images, 0, POINTS).chunk(POINTS)
    return sum(gradient(model, point, classes) for point in points) / POINTS


BY_PYTORCH: dict[str, Action] = {
    "prepare": lambda model, images, _: model(images.clone()).detach(),
    "Gradient": gradient,
    "prepared Gradient": gradient,
    "GradientTimesInput": lambda model, images, classes: images * gradient(model, images, classes),
    "IntegratedGradients": integrated,
    "SmoothGrad": averaged,
}
"""What PyTorch alone says of a network as the user wrote it."""

OF_TWINS: dict[str, Action] = {
    **ACTIONS,
    **BY_PYTORCH,
    "smoothed": lambda twin, images, _: with_rectifiers(twin, soft)(images).detach(),
    "BetaSmoothing": lambda twin, *rest: gradient(with_rectifiers(twin, soft), *rest),
    "GuidedBackprop": lambda twin, *rest: gradient(with_rectifiers(twin, Guided.apply), *rest),
    "trainable LRP": el.LRP(),
}
"""What an action has to give, computed from the plainest form; by PyTorch alone where it can."""

_OF_TWINS: dict[tuple[object, ...], Tensor | None] = {}


def reference(spelling: Spelling, images: Tensor, action: str) -> Tensor | None:
    """Return what an action has to give; None if it has to be refused.

    Logits and gradients are those of the network as the user wrote it. All else, what PyTorch
    cannot differentiate, and what is computed in another precision, are those of its twin.
    """
    if action in spelling.hides or (spelling.twin_of is None and action not in ASK_THE_NETWORK):
        return None
    if action in BY_PYTORCH and spelling.tolerance == Spelling.tolerance:
        found = _by_pytorch(spelling.name, BY_PYTORCH[action])
        if found is not None:
            return found
    return None if spelling.twin_of is None else _of_twin(spelling, images.double(), action)


@cache
def _by_pytorch(name: str, action: Action) -> Tensor | None:
    spelling = TABLE[name]
    model, images = spelling.build().eval(), IMAGES.to(spelling.dtype)
    try:
        return action(model, images, classes_for(spelling))
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError):
        return None


def _of_twin(spelling: Spelling, images: Tensor, action: str) -> Tensor | None:
    twin = spelling.twin()
    weights = [value.detach().numpy().tobytes() for value in twin.state_dict().values()]
    # What a `Net` computes does not show in its printout.
    kind = spelling.name if isinstance(twin, Net) else repr(twin)
    shared = tuple(name for name, _ in twin.named_modules())
    key = (action, kind, shared, str(images.sum()), *weights)
    if key not in _OF_TWINS:
        try:
            _OF_TWINS[key] = OF_TWINS[action](twin, images, classes_for(spelling)).detach()
        except (RuntimeError, ValueError, TypeError):
            _OF_TWINS[key] = None
    return _OF_TWINS[key]


def is_differentiable(spelling: Spelling) -> bool:
    """Whether PyTorch itself can differentiate the network as the user wrote it."""
    return _by_pytorch(spelling.name, gradient) is not None


def classes_for(spelling: Spelling) -> Tensor:
    """Return a class for each image, the only one if there is but one."""
    return torch.zeros(3, dtype=torch.long) if "one logit" in spelling.name else CLASSES
