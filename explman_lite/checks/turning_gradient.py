"""The check for the hardest exercise of the chapter on training for explanations that hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from explman_lite.checks.exercise import Exercise
from explman_lite.checks.random_numbers import normal
from explman_lite.checks.verdict import Verdict, helped, judge, wrong

Turning = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Any]
Pick = Callable[[Tensor, Tensor], Tensor]
"""From logits (N, K) and classes (N,) to what is differentiated, in any shape."""

_HELP = {
    "differentiated Tensors does not require grad": "The images come without a gradient: start "
    "with images.detach().requires_grad_().",
    "element 0 of tensors does not require grad": "What you differentiate has left the graph: the "
    "first torch.autograd.grad needs create_graph=True.",
    "not have been used in the graph": "Differentiate with respect to the very tensor that the "
    "model was given.",
    "implicitly created only for scalar": "torch.autograd.grad wants one number: the sum over the "
    "batch, in which each image has its own part.",
}


class _Bent(nn.Module):
    """A small network that bends everywhere."""

    UNITS, CLASSES = 7, 4

    def __init__(self, pixels: int) -> None:
        super().__init__()
        drawn = normal(self.UNITS, pixels + self.CLASSES)
        self.inner = nn.Parameter(0.5 * drawn[:, :pixels])
        self.outer = nn.Parameter(drawn[:, pixels:].clone())

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K)."""
        return torch.tanh((images.flatten(1) - 0.5) @ self.inner.T) @ self.outer


@dataclass(frozen=True)
class _Call:
    """What a call returned, and what it did to what it was given."""

    value: Any
    network: _Bent
    kept_images: bool
    kept_mode: bool
    drew: bool


def turning(answer: Turning) -> Verdict:
    """Check a reader's measure of how fast the gradients of a network turn.

    Parameters
    ----------
    answer : callable
        From a network, images (N, C, H, W), classes (N,) and a generator to the ratio (N,) of
        ‖H v‖ to ‖∇g‖, with g the logit of each image's class, H its Hessian and v standard
        normal, drawn by ``torch.randn(images.shape, generator=generator)``; differentiable in
        the weights.

    Examples
    --------
    >>> import explman_lite as el
    >>> def slopes(model, images, classes, generator):
    ...     points = images.detach().requires_grad_()
    ...     logits = model(points).gather(1, classes.unsqueeze(1))
    ...     (gradients,) = torch.autograd.grad(logits.sum(), points, create_graph=True)
    ...     return gradients.flatten(1).norm(dim=1)
    >>> el.checks.turning(slopes)
    ✗ That is the length of the gradient, not how fast it turns.
    """
    place = torch.get_default_device()
    images = normal(5, 2, 4, 4).sigmoid()
    network = _Bent(images[0].numel())
    order = network(images).argsort(dim=1, descending=True)
    classes = order[torch.arange(5), torch.arange(5) % 4]

    def fresh() -> torch.Generator:
        generator = torch.Generator(place).manual_seed(1906)
        torch.randn(48, generator=generator)  # so that no seed leads back to this state
        return generator

    def call(generator: torch.Generator) -> _Call:
        model, given, before = _Bent(images[0].numel()), images.clone(), generator.get_state()
        value = answer(model, given, classes.clone(), generator)
        drew = not torch.equal(before, generator.get_state())
        return _Call(value, model, torch.equal(given, images), model.training, drew)

    def every() -> list[_Call] | None:
        with torch.random.fork_rng(devices=[]):  # leave the reader's random numbers alone
            generator = fresh()
            first = call(generator)
            return None if first.value is None else [first, call(generator), call(fresh())]

    def examine(calls: list[_Call]) -> Verdict:
        if (fault := _misshapen(calls[0].value, images)) is not None:
            return fault
        exercise = _exercise(network, images, classes, fresh, calls)
        if not (verdict := exercise.examine(calls[0].value)):
            return verdict
        if (fault := _left_behind(calls[0])) is not None:
            return fault
        directions = torch.randn(images.shape, generator=fresh())
        fault = _cut(calls[0], network, images, classes, directions)
        return verdict if fault is None else fault

    return helped(judge(every, examine), _HELP)


def _own(logits: Tensor, classes: Tensor) -> Tensor:
    """Pick the logit of each image's class."""
    return logits.gather(1, classes.unsqueeze(1))


def _turned(
    network: nn.Module, images: Tensor, classes: Tensor, directions: Tensor, pick: Pick = _own
) -> tuple[Tensor, Tensor]:
    """Return H v and the gradient, both (N, d) and differentiable in the weights."""
    points = images.detach().requires_grad_()
    values = pick(network(points), classes)
    (slopes,) = torch.autograd.grad(values.sum(), points, create_graph=True)
    (turned,) = torch.autograd.grad((slopes * directions).sum(), points, create_graph=True)
    return turned.flatten(1), slopes.flatten(1)


def _exercise(
    network: nn.Module,
    images: Tensor,
    classes: Tensor,
    fresh: Callable[[], torch.Generator],
    calls: list[_Call],
) -> Exercise:
    """Return the right ratios and the known mistakes."""
    shape = images.shape
    directions = torch.randn(shape, generator=fresh())
    count, size = len(images), images[0].numel()

    def ratio(along: Tensor, pick: Pick = _own) -> Tensor:
        turned, slopes = _turned(network, images, classes, along, pick)
        lengths: Tensor = turned.norm(dim=1) / slopes.norm(dim=1)
        return lengths.detach()

    products, slopes = (each.detach() for each in _turned(network, images, classes, directions))
    length, slope = products.norm(dim=1), slopes.norm(dim=1)
    right, drawn = length / slope, directions.flatten(1)
    along = (products * drawn).sum(dim=1)
    uniform = torch.rand(shape, generator=fresh())
    unit_slopes = (slopes / slope.unsqueeze(1)).view(shape)
    mistakes = {
        "Your directions have length 1, and the ratio is about √d times too small: leave the "
        "normal numbers as they come.": right / drawn.norm(dim=1),
        "You divide the directions by the length of all of them together; leave the normal "
        "numbers as they come.": right / drawn.norm(),
        "You divide by √d; leave the normal numbers as they come.": right / math.sqrt(size),
        "You divide by d; leave the normal numbers as they come.": right / size,
        "All images have the same direction; draw one for each.": (
            ratio(torch.randn(shape[1:], generator=fresh()).expand(shape))
        ),
        "The direction is the same in all channels; draw each pixel of each channel.": (
            ratio(torch.randn(shape[0], 1, *shape[2:], generator=fresh()).expand(shape))
        ),
        "torch.rand is uniform from 0 to 1; take torch.randn.": ratio(uniform),
        "Your directions are uniform numbers; take normal ones, torch.randn.": (
            ratio(2 * uniform - 1)
        ),
        "You keep only the signs of the normal numbers; leave them as they come.": (
            ratio(directions.sign())
        ),
        "Your direction is that of the gradient; draw it at random.": ratio(unit_slopes),
        "You take the gradient itself for the direction; draw it at random.": (
            ratio(slopes.view(shape))
        ),
        "Your direction is the same for every pixel, which only makes images brighter; draw it at "
        "random.": ratio(torch.ones(shape)),
        "You take the logit of the predicted class; take that of `classes`.": (
            ratio(directions, lambda logits, _: logits.amax(dim=1))
        ),
        "You take the sum of all logits; take that of each image's class.": (
            ratio(directions, lambda logits, _: logits)
        ),
        "model(x)[:, classes] takes every class of the batch for every image; take each image's "
        "own, by .gather.": ratio(directions, lambda logits, own: logits[:, own]),
        "You take the first logit; take that of each image's class.": (
            ratio(directions, lambda logits, _: logits[:, 0])
        ),
        "You take a probability, which bends by itself wherever the network is sure; take the "
        "logit.": ratio(directions, lambda logits, own: _own(logits.softmax(dim=1), own)),
        "You take the log of a probability, or the cross-entropy; take the logit.": (
            ratio(directions, lambda logits, own: _own(logits.log_softmax(dim=1), own))
        ),
        "You do not divide by the length of the gradient, so that a network with small logits "
        "looks straight.": length,
        "That is the square of the length, and not divided by that of the gradient.": length**2,
        "You square the ratio; the lengths themselves are wanted.": right**2,
        "You square the length of H v and not that of the gradient; square neither.": (
            length**2 / slope
        ),
        "You divide by the squared length of the gradient; once is enough.": length / slope**2,
        "That is the length of the gradient, not how fast it turns.": slope,
        "You divide the gradient by H v; it is the other way round.": slope / length,
        "You multiply by the length of the gradient; divide by it.": length * slope,
        "You divide by the length of the gradients of the whole batch; each image has its own.": (
            length / slopes.norm()
        ),
        "You divide by the mean length of the gradients; each image has its own.": (
            length / slope.mean()
        ),
        "You divide by the length of the gradients added up; each image has its own.": (
            length / slope.sum()
        ),
        "You take the length of H v over the whole batch; each image has its own.": (
            products.norm() / slope
        ),
        "You divide by the length of the direction instead of that of the gradient.": (
            length / drawn.norm(dim=1)
        ),
        "You differentiate a mean over the batch the second time, and divide by N: take the sum.": (
            right / count
        ),
        "You differentiate a mean over the batch and the pixels the second time, and divide by all "
        "of them: take the sum.": right / (count * size),
        "That is v · H v, the second derivative along v alone; take the length of H v.": (
            along / slope
        ),
        "That is the size of v · H v, the second derivative along v alone; take the length of "
        "H v.": along.abs() / slope,
        "You differentiate a mean over the batch for the length of the gradient, and a sum for "
        "H v, which makes the ratio N times too large: take the sum in both.": count * right,
        "You add up absolute values; take Euclidean lengths.": (
            products.abs().sum(dim=1) / slopes.abs().sum(dim=1)
        ),
        "You take the largest entries; take Euclidean lengths.": (
            products.abs().amax(dim=1) / slopes.abs().amax(dim=1)
        ),
    }
    return Exercise(
        right=right,
        praise="Right: one product with the Hessian for each image, and the weights can learn.",
        mistakes=mistakes,
        otherwise=partial(_otherwise, right=right, calls=calls),
        same=partial(torch.allclose, rtol=1e-4, atol=1e-6),
    )


def _otherwise(found: Tensor, *, right: Tensor, calls: list[_Call]) -> str:
    """Return what is wrong with ratios that fit no known mistake."""
    first, second, again = calls
    same, repeats = (
        torch.equal(found, other.value.detach().to(found))
        if isinstance(other.value, Tensor) and other.value.shape == found.shape
        else False
        for other in (second, again)
    )
    if not first.drew:
        return (
            "You leave the generator untouched: draw the directions by torch.randn(images.shape, "
            "generator=generator)."
        )
    if same:
        return "Two calls take the same directions: set no seed inside."
    if not repeats:
        return "The same seed gives other numbers each time: draw nothing elsewhere."
    if torch.allclose(found, right, rtol=0.05):
        return (
            "Close, but not exact. If you take differences of gradients: differentiate once more."
        )
    return (
        f"For the first image it is {right[0]:.4g}, yours is {found[0]:.4g}. Draw all directions "
        "at once, by torch.randn(images.shape, generator=generator), and differentiate the sum "
        "of slopes * directions."
    )


def _misshapen(value: Any, images: Tensor) -> Verdict | None:
    """Return what is wrong with the shape of the ratios, where more than the shape can be said."""
    if isinstance(value, Tensor) and value.ndim == 0:
        return wrong("You return one number for the whole batch; return one for each image.")
    if isinstance(value, Tensor) and value.shape == images.shape:
        return wrong("You return a vector for each image; return the ratio of two lengths.")
    if isinstance(value, Tensor) and value.shape == (len(images), 1):
        return wrong("Return shape (N,); yours is (N, 1), which broadcasts into a table.")
    if isinstance(value, tuple):
        return wrong("torch.autograd.grad returns a tuple; take its first entry, and its length.")
    return None


def _left_behind(call: _Call) -> Verdict | None:
    """Return what a call has done to what it was given, if anything."""
    if any(weight.grad is not None for weight in call.network.parameters()):
        return wrong(
            "The right numbers, but your .backward() leaves a gradient at the weights, which the "
            "training would add to its own: use torch.autograd.grad."
        )
    if not call.kept_images:
        return wrong("The right numbers, but you changed the images you were given.")
    if not call.kept_mode:
        return wrong("The right numbers, but you left the network in evaluation mode.")
    if not all(weight.requires_grad for weight in call.network.parameters()):
        return wrong("The right numbers, but you froze the weights, which should learn from them.")
    return None


def _cut(
    call: _Call, network: nn.Module, images: Tensor, classes: Tensor, directions: Tensor
) -> Verdict | None:
    """Return what keeps the weights from learning from the ratios, if anything."""
    if not call.value.requires_grad:
        return wrong(
            "The right numbers, but the weights cannot learn from them: say create_graph=True in "
            "both calls of torch.autograd.grad, and no .detach(), .item() or torch.no_grad()."
        )
    try:
        found = _in_weights(call.value, call.network)
    except RuntimeError as error:
        return wrong(
            "The right numbers, but the weights cannot learn from them: say create_graph=True in "
            f"both calls of torch.autograd.grad. ({str(error).split('. ')[0]}.)"
        )
    turned, slopes = (each.norm(dim=1) for each in _turned(network, images, classes, directions))
    gradient = {
        "right": turned / slopes,
        "above": turned / slopes.detach(),
        "below": turned.detach() / slopes,
    }
    wanted = {name: _in_weights(value, network) for name, value in gradient.items()}
    near = {
        name: torch.allclose(found, each, rtol=1e-3, atol=1e-4) for name, each in wanted.items()
    }
    if near["right"]:
        return None
    if near["above"]:
        return wrong(
            "The right numbers, but you detach the length of the gradient, and the network could "
            "learn to make its logits small instead of straight."
        )
    if near["below"]:
        return wrong(
            "The right numbers, but H v has left the graph, and the network could only learn a "
            "steeper gradient: say create_graph=True in the second torch.autograd.grad, too."
        )
    if not found.any():
        return wrong("The right numbers, but no gradient reaches the weights from them.")
    return wrong("The right numbers, but only a part of their gradient reaches the weights.")


def _in_weights(value: Tensor, network: nn.Module) -> Tensor:
    """Differentiate the sum of the values with respect to all weights."""
    found = torch.autograd.grad(
        value.sum(), list(network.parameters()), retain_graph=True, materialize_grads=True
    )
    return torch.cat([each.flatten() for each in found])
