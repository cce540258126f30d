"""The check for the hardest exercise of the chapter on manipulating the model."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explman_lite import metrics
from explman_lite.checks.random_numbers import normal
from explman_lite.checks.verdict import Verdict, helped, judge, passed, wrong
from explman_lite.maps import relevance_map, scale_to_mean_one
from explman_lite.networks.prepare import Network, prepare
from explman_lite.pictures.digits import load_digits

Lie = Callable[[Network, Tensor, Tensor, int, torch.Generator], Any]
Pick = Callable[[Tensor, Tensor], Tensor]
"""From logits (N, K) and classes (N,) to the quantity to differentiate, of any shape."""

_STEPS, _UNITS, _GIVEN, _OTHERS = 160, 32, 96, 128
_NEAR = 0.2
"""The correlation with the target from which a map counts as obeying. It is about zero before the
attack, and the printed solution reaches 0.6."""
_DRIFT = 0.15
"""The change of the logits, over their variance, from which the answers count as lost. The printed
solution changes them by 0.02, one without the output term by more than 1."""

_RIVALS: dict[str, tuple[Pick, float]] = {
    "It is the map of the sum of all logits that comes closer; take the logit of each picture's "
    "class.": (lambda logits, _: logits, 0.3),
    "It is the map of the first logit that comes closer; take that of each picture's class.": (
        lambda logits, _: logits[:, 0],
        0.3,
    ),
    "It is the map of a probability or its logarithm that comes closer; take the logit.": (
        lambda logits, own: _own(logits.log_softmax(dim=1), own),
        0.0,
    ),
}
"""What may have been explained by mistake, and how much closer its map must be to say so. That of
the sum of logits is a little closer for the printed solution as well."""

_HELP = {
    "does not require grad": "Nothing is left that could be differentiated: the pictures need "
    ".requires_grad_(), the weights el.prepare(network, frozen=False), and torch.autograd.grad "
    "create_graph=True.",
    "backward through the graph a second time": "The gradient must be differentiated once more: "
    "say create_graph=True in torch.autograd.grad. What the steps share, such as the logits of "
    "the original network, is computed under torch.no_grad().",
    "same shape": "A single target is for all pictures: target.expand_as(maps).",
    "implicitly created only for scalar": "A loss is one number: take the mean over the pictures.",
    "not have been used in the graph": "Differentiate by the very tensor that the network was "
    "given.",
    "a leaf Variable that requires grad": "Nothing may change in place what can learn: work on a "
    "copy, and let the optimiser take the step.",
}


@dataclass(frozen=True)
class _Look:
    """How a network answers and explains pictures, for the classes that another predicts."""

    network: nn.Module
    images: Tensor
    classes: Tensor
    target: Tensor

    @cached_property
    def logits(self) -> Tensor:
        with torch.no_grad():
            logits: Tensor = self.network(self.images)
        return logits.to(self.images)

    def maps(self, pick: Pick) -> Tensor:
        """Return the relevance maps of the quantity picked from the logits."""
        points = self.images.clone().requires_grad_()
        (slopes,) = torch.autograd.grad(pick(self.network(points), self.classes).sum(), points)
        return relevance_map(slopes.to(self.images))

    def likeness(self, pick: Pick) -> float:
        """Return the mean correlation of the maps with the target; a constant map has none."""
        maps = self.maps(pick)
        varied = maps.flatten(1).std(dim=1) > 0
        found = metrics.pcc(maps[varied], self.target.expand_as(maps)[varied])
        return found.sum().item() / len(maps)

    @cached_property
    def near(self) -> float:
        """Return how close the map of each picture's class is to the target."""
        return self.likeness(_own)

    def same_as(self, other: _Look) -> bool:
        """Return whether both answer and explain alike, up to rounding."""
        return torch.allclose(self.logits, other.logits, rtol=1e-5, atol=1e-5) and torch.allclose(
            self.maps(_own), other.maps(_own), rtol=1e-3, atol=1e-3
        )

    @cached_property
    def contrast(self) -> float:
        """Return how far the maps are from being constant."""
        maps = self.maps(_own)
        return metrics.mse(maps, torch.ones_like(maps)).mean().item()


@dataclass(frozen=True)
class _Call:
    """What a call returned, and what it did to its arguments."""

    value: Any
    given: Network
    kept_network: bool
    kept_tensors: bool
    drew: bool


def lie(answer: Lie) -> Verdict:
    """Check a reader's attack on the weights of a network.

    Parameters
    ----------
    answer : callable
        From a prepared network, images (N, C, H, W), a target map (1, H, W) of any scale, a number
        of steps and a generator for the minibatches to a changed copy of the network. Its logits
        stay, and its gradient's relevance maps, for the classes that the original network
        predicts, come closer to the target, on other images too.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.checks.lie(lambda network, images, target, steps, generator: images)
    ✗ Return the changed network; yours is of type Tensor.
    """
    place = torch.get_default_device()
    with torch.device("cpu"):
        (train, labels), (test, _) = load_digits("train"), load_digits("test")
    images, others = train[:_GIVEN].to(place), test[:_OTHERS].to(place)
    network = _trained(train[:256].to(place), labels[:256].to(place))
    target = torch.zeros(1, *images.shape[2:])
    target[:, 3:12, 3:12] = 0.1

    def call() -> _Call | None:
        given, tensors = deepcopy(network), (images.clone(), target.clone())
        generator = torch.Generator(place).manual_seed(1906)
        before = generator.get_state()
        with torch.random.fork_rng(devices=[]):  # leave the reader's random numbers alone
            value = answer(given, *tensors, _STEPS, generator)
        if value is None:
            return None
        return _Call(
            value=value,
            given=given,
            kept_network=_same_weights(given, network),
            kept_tensors=torch.equal(tensors[0], images) and torch.equal(tensors[1], target),
            drew=not torch.equal(before, generator.get_state()),
        )

    def look(by: nn.Module, at: Tensor) -> _Look:
        with torch.no_grad():
            classes = network(at).argmax(dim=1)
        return _Look(by, at, classes, scale_to_mean_one(target))

    def examine(called: _Call) -> Verdict:
        if (fault := _not_a_copy(called)) is not None:
            return fault
        try:
            before, after, before_known, known = (
                look(by, at) for at in (others, images) for by in (network, called.value.eval())
            )
            if after.logits.shape != before.logits.shape:
                return wrong(
                    f"The network that you return answers {len(others)} pictures with logits of "
                    f"shape {tuple(after.logits.shape)} instead of {tuple(before.logits.shape)}."
                )
            if not all(weight.isfinite().all() for weight in called.value.parameters()):
                return wrong("Some weights are NaN or infinite: take a smaller step size.")
            if before.same_as(after) and before_known.same_as(known):
                return wrong(
                    "Nothing has changed. Does the optimiser hold the weights of the copy, and do "
                    "you take its steps? Does the map reach them, with create_graph=True?"
                )
            if not called.drew:
                return wrong(
                    "You leave the generator untouched: draw a minibatch in each step, by "
                    "torch.randint(len(images), (16,), generator=generator)."
                )
            return _judge(before, after, known)
        except Exception as error:
            return wrong(
                "The network that you return cannot be explained: it stops with "
                f"{type(error).__name__}: {error}"
            )

    return helped(judge(call, examine), _HELP)


def _own(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the logit of each image's class."""
    return logits.gather(1, classes.unsqueeze(1))


def _trained(images: Tensor, labels: Tensor) -> Network:
    """Train a small network that reads about nine digits in ten."""
    with torch.random.fork_rng(devices=[]):  # which new layers draw from
        network = nn.Sequential(
            nn.Flatten(), nn.Linear(images[0].numel(), _UNITS), nn.ReLU(), nn.Linear(_UNITS, 10)
        )
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(0.1 * normal(*weight.shape) / weight.shape[-1] ** 0.5)
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    with torch.enable_grad():
        for _ in range(40):
            optimiser.zero_grad()
            loss = F.cross_entropy(network(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return prepare(network.eval())


def _same_weights(one: nn.Module, other: nn.Module) -> bool:
    mine, its = list(one.parameters()), list(other.parameters())
    return len(mine) == len(its) and all(map(torch.equal, mine, its))


def _not_a_copy(called: _Call) -> Verdict | None:
    """Return what is wrong with the value or with changes to the arguments, or None."""
    if isinstance(called.value, tuple) and any(isinstance(e, nn.Module) for e in called.value):
        return wrong("Return the changed network alone, without what you have recorded of it.")
    if not isinstance(called.value, nn.Module):
        return wrong(f"Return the changed network; yours is of type {type(called.value).__name__}.")
    if not called.kept_network:
        return wrong(
            "You changed the network that you were given: change a copy, "
            "el.prepare(network, frozen=False)."
        )
    if called.value is called.given:
        return wrong(
            "Nothing has changed: you return the network that you were given. Change a copy whose "
            "weights may learn: el.prepare(network, frozen=False)."
        )
    if not called.kept_tensors:
        return wrong("You changed the images or the target that you were given; work on copies.")
    return None


def _judge(before: _Look, after: _Look, known: _Look) -> Verdict:
    """Judge the changed network, mostly on pictures that the attack was not given."""
    drift = metrics.logit_change(after.logits, before.logits).mean().item()
    if not drift < _DRIFT:
        return wrong(_drifted(before, after, drift))
    for sentence, (pick, margin) in _RIVALS.items():
        closer = after.likeness(pick)
        if closer > after.near + margin and closer > before.likeness(pick) + 0.1:
            return wrong(sentence)
    if after.near < _NEAR:
        return wrong(_not_near(before, after, known))
    return passed(
        f"Right: on pictures that you were not given the map correlates with the target by "
        f"{after.near:.2f} (before: {before.near:.2f}), and the logits changed by {drift:.1%} of "
        "their variance."
    )


def _drifted(before: _Look, after: _Look, drift: float) -> str:
    """Return what is wrong with a network whose answers have changed."""
    how = f"The logits changed by {drift:.2g} times their variance"
    spread = (look.logits.var(dim=0).sum() for look in (after, before))
    if next(spread) < 0.2 * next(spread):
        return (
            f"{how}, and are nearly the same for all pictures: keep for each those of its own, "
            "logits[samples] for the samples of the minibatch."
        )
    now = after.logits.argmax(dim=1)
    chosen = after.likeness(lambda logits, _: logits.amax(dim=1))
    if (now == after.classes).float().mean() < 0.9 and chosen > after.near + 0.02:
        return (
            f"{how}, and the map obeys for the class that the changed network predicts, which is "
            "another one now. Explain the class that the original network predicts, and keep "
            "its logits."
        )
    obeys = " The map obeys, but the answers do not stay." if after.near > _NEAR else ""
    return (
        f"{how}.{obeys} Add 50 times the logit change to the loss, against the logits that the "
        "original network had before the first step."
    )


def _not_near(before: _Look, after: _Look, known: _Look) -> str:
    """Return what is wrong with a network whose maps do not obey."""
    how = (
        "On pictures that you were not given the map correlates with the target by "
        f"{after.near:.2f}, and by {before.near:.2f} before"
    )
    if after.near < before.near - 0.1:
        return f"{how}: it moves away. The distance to the target is to become smaller."
    if after.contrast < 0.7 * before.contrast:
        return (
            f"{how}; it has become flat instead. Maps have a mean of 1: give it to the target, "
            "too, by target / target.mean()."
        )
    if known.near > _NEAR and known.near > after.near + 0.1:
        return (
            f"{how}; on yours by {known.near:.2f}. It has learned some pictures by heart: look at "
            "others in each step."
        )
    return (
        f"{how}; it should reach {_NEAR:g} at least, and with Adam and a step size of 0.001 does. "
        "Does the map's gradient reach the weights, by create_graph=True? Do you take all steps?"
    )
