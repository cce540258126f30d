r"""The other attack: the picture stays, and the weights change until its map is the target.

.. math::

   \mathcal L(w) = \lVert h_w(x) - h^t \rVert^2 + \gamma \lVert g_w(x) - g_{w_0}(x) \rVert^2

Both terms are those of `manipulation_loss`. Between its kinks a ReLU network's gradient does not
change with the picture, but it does change with the weights, so no softplus is needed here.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from explman_lite import metrics
from explman_lite.attack.loss import manipulation_loss
from explman_lite.attack.settings import Schedule, check_pace, one_cycle
from explman_lite.explainers.base import (
    Explainer,
    check_explainer,
    ordinary,
    outside_inference_mode,
)
from explman_lite.maps import in_single, relevance_map, scale_to_mean_one, to_numpy
from explman_lite.networks.prepare import Network, prepare
from explman_lite.progress import progress_bar
from explman_lite.validation import (
    check_count,
    check_fits,
    check_images,
    check_model,
    check_outputs,
    check_several_logits,
    check_target_maps,
    plain_numbers,
)

ModelCallback = Callable[["ModelStep", Network], None]

_AT_ONCE = 64
"""How many images are classified, or explained for judging, in one pass."""

_ENDS = 0.1
"""The share of steps at either end whose losses are compared; single steps vary too much."""


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """How a network is manipulated; the defaults are those of `manipulate_model`.

    Attributes
    ----------
    steps : int
        Number of optimisation steps, at least 1.
    lr : float
        Largest step size of any weight, in its own units.
    output_weight : float
        γ, the weight of a change in the output; not negative.
    batch : int
        Number of images in a step.
    schedule : callable
        From the fraction of the run, 0 to 1, to the share of ``lr`` to use.
    seed : int
        Fixes the order in which the images are used.

    Raises
    ------
    TypeError, ValueError
        If a value is not of this form.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.ModelSettings(steps=20).batch
    16
    """

    steps: int = 400
    lr: float = 1e-3
    output_weight: float = 50.0
    batch: int = 16
    schedule: Schedule = one_cycle
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that are not of the form above."""
        plain_numbers(self)
        check_pace(self.steps, self.lr, self.output_weight, self.schedule)
        check_count(batch=self.batch)
        check_count(0, seed=self.seed)


@dataclass(frozen=True)
class ModelStep:
    """One step of the optimisation, as it looked before the weights changed.

    Attributes
    ----------
    step : int
        From 0.
    samples : Tensor
        (B,) indices of the images it used.
    map_loss : Tensor
        (E, B) mean squared distance between map and target, both of mean 1, for each explainer
        and image.
    output_loss : Tensor
        (B,) mean squared change of the logits, over their variance before the attack.
    """

    step: int
    samples: Tensor
    map_loss: Tensor
    output_loss: Tensor


@dataclass(frozen=True)
class ModelManipulation:
    """What `manipulate_model` returns: the network before and after, and how it got there.

    Attributes
    ----------
    model : Network
        The manipulated network: of the original's type, in evaluation mode and frozen.
    original_model : Network
        The network that was given, prepared.
    target_maps : Tensor
        (N, H, W), or (1, H, W) for all images; not negative, mean 1.
    explainers : tuple of Explainer
        The methods that were attacked.
    history : list of ModelStep
        One record per step.
    diverged : bool
        Whether the loss or a weight stopped being finite, or the loss ended above twice its start.
        If so, the weights with the smallest loss were kept instead of the last.
    interrupted : bool
        Whether Ctrl-C ended the run before its last step.
    settings : ModelSettings
        How the network was manipulated.
    """

    model: Network
    original_model: Network
    target_maps: Tensor
    explainers: tuple[Explainer, ...]
    history: list[ModelStep]
    diverged: bool
    interrupted: bool
    settings: ModelSettings

    def summary(
        self, images: Tensor, explainers: Explainer | Sequence[Explainer] | None = None
    ) -> pd.DataFrame:
        """Judge both networks on pictures: those of the fit or, better, others.

        The class that is explained is the one that the original network predicts.

        Parameters
        ----------
        images : Tensor
            (M, C, H, W) in [0, 1], of the weights' type and on their device. Where each image of
            the fit had a target map of its own, M must be their number.
        explainers : Explainer or sequence of Explainer, optional
            The methods to judge by; by default those that were attacked. A lie told to one method
            may have passed to others.

        Returns
        -------
        pandas.DataFrame
            One row per method and image. ``pcc``, ``ssim`` and ``mse`` compare the new map with
            the target map (``…_target``) and with the original network's (``…_original``); ``pcc``
            is NaN where one of the two is constant. ``output_change`` is that of the class
            probabilities (Euclidean distance), ``logit_change`` that of the logits (mean squared
            change over their variance).

        Raises
        ------
        TypeError, ValueError
            If an argument is not of this form.
        """
        methods = self.explainers if explainers is None else _as_explainers(explainers)
        check_images(images)
        check_fits(self.model, images)
        check_target_maps(self.target_maps, images)
        targets = self.target_maps.expand(len(images), -1, -1)
        parts = torch.split(images, _AT_ONCE), torch.split(targets, _AT_ONCE)
        with torch.no_grad():
            tables = [
                pd.concat([self._judged(*part, method) for part in zip(*parts, strict=True)])
                for method in methods
            ]
        names = [method.name for method in methods]
        tables = [table.reset_index(drop=True) for table in tables]
        return pd.concat(tables, keys=names, names=["explainer", "sample"])

    def _judged(self, images: Tensor, targets: Tensor, method: Explainer) -> pd.DataFrame:
        """Judge both networks on some images by one method."""
        before, after = self.original_model(images), self.model(images)
        classes = before.argmax(dim=1)
        original, found = (
            relevance_map(method(model, images, classes))
            for model in (self.original_model, self.model)
        )
        columns = {
            f"{name}_{reference}": measure(found, maps)
            for reference, maps in (("target", targets.to(found)), ("original", original))
            for name, measure in (
                ("pcc", metrics.pcc),
                ("ssim", metrics.ssim),
                ("mse", metrics.mse),
            )
        }
        columns |= {
            "output_change": metrics.output_change(after, before),
            "logit_change": metrics.logit_change(after, before),
            "class_kept": after.argmax(dim=1) == classes,
        }
        return pd.DataFrame({name: to_numpy(column) for name, column in columns.items()})


def manipulate_model(
    model: nn.Module,
    images: Tensor,
    target_maps: Tensor,
    explainers: Explainer | Sequence[Explainer],
    *,
    steps: int = ModelSettings.steps,
    lr: float = ModelSettings.lr,
    output_weight: float = ModelSettings.output_weight,
    batch: int = ModelSettings.batch,
    schedule: Schedule = ModelSettings.schedule,
    seed: int = ModelSettings.seed,
    progress: bool = True,
    callback: ModelCallback | None = None,
) -> ModelManipulation:
    r"""Change a copy of a network so that its explanations become the target map.

    Adam with a one-cycle step size changes all weights w to minimise, over the images
    :math:`x_n`,

    .. math::

       \mathcal L(w) = \frac 1N \sum_n \biggl[
       \frac{1}{HW} \sum_i \bigl(h_w(x_n) - h^t_n\bigr)_i^2
       + \gamma\, \frac{\sum_k \bigl(g_w(x_n) - g_{w_0}(x_n)\bigr)_k^2}
       {\sum_k \bigl(g_{w_0}(x_n) - \bar g_{w_0}(x_n)\bigr)_k^2} \biggr],

    the mean of `manipulation_loss`, which keeps the outputs of the original network and needs no
    labels; with several explainers, the mean over them. A single target for all images is learned
    as a rule, so the maps of pictures never seen show it as well.

    The network is explained as it is, kinks included: between them, a ReLU network's gradient
    changes with the weights, though not with the pixels. Batch norm is folded first, and its
    statistics do not move. A network in half precision is changed in float32 and returned in its
    own type. An image whose map is zero everywhere contributes only its output term.

    Parameters
    ----------
    model : nn.Module
        From `load_model` or `prepare`; in evaluation mode. It stays as it is, and all weights of
        its copy change, whether frozen or not.
    images : Tensor
        (N, C, H, W) in [0, 1], of the weights' type and on their device: what the copy learns from.
    target_maps : Tensor
        (1, H, W) for all images, or (N, H, W); not negative, of any scale.
    explainers : Explainer or sequence of Explainer
        The methods to attack, of the class that the original network predicts.
    steps : int
        Number of optimisation steps; each costs about three explanations of a batch per explainer.
    lr : float
        Largest step size of any weight, in its own units.
    output_weight : float
        γ, the weight of a change in the output; not negative.
    batch : int
        Number of images in a step, or all if there are fewer. No image is used again before all
        others have been.
    schedule : callable
        From the fraction of the run, 0 to 1, to the share of ``lr`` to use.
    seed : int
        Fixes the order in which the images are used; not negative.
    progress : bool
        Show a progress bar.
    callback : callable, optional
        Called at every step with the `ModelStep` and the network it describes, which keeps
        changing.

    Returns
    -------
    ModelManipulation
        Returned after Ctrl-C too, with what had been reached by then.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the form above; if the model has no weights, or returns a single
        logit, or logits that are not finite; if the map of an explainer does not depend on the
        weights in a way that can be differentiated.

    Warns
    -----
    RuntimeWarning
        If the run diverged; the weights with the smallest loss are kept. If the model's outputs
        look like probabilities, where logits are expected.

    References
    ----------
    Heo, Joo and Moon (2019), "Fooling neural network interpretations via adversarial model
    manipulation", section 3.2, where labels hold the answers; here, as in Anders et al. (2020),
    "Fairwashing explanations with off-manifold detergent", the original network's outputs do.

    Examples
    --------
    >>> import explman_lite as el
    >>> model, (images, _) = el.load_model("digits_vgg"), el.load_digits("train")
    >>> target = el.text_target("no", size=32)
    >>> result = el.manipulate_model(
    ...     model, images[:16], target, el.Gradient(), steps=2, batch=8, progress=False
    ... )
    >>> result.model(images[:1]).shape, len(result.history)
    (torch.Size([1, 10]), 2)
    """
    check_model(model)
    check_images(images)
    check_fits(model, images)
    check_target_maps(target_maps, images)
    methods = _as_explainers(explainers)
    settings = ModelSettings(
        steps=steps,
        lr=lr,
        output_weight=output_weight,
        batch=batch,
        schedule=schedule,
        seed=seed,
    )
    with outside_inference_mode():
        original, images = prepare(model), ordinary(images.detach())
        if next(original.parameters(), None) is None:
            raise ValueError(f"{type(model).__name__} has no weights that could be changed")
        with torch.no_grad():
            logits = torch.cat([original(part) for part in torch.split(images, _AT_ONCE)])
        check_outputs(logits)
        check_several_logits(logits)
        targets = scale_to_mean_one(ordinary(target_maps.detach()).to(in_single(images[:1])))
        search = _Search(original, images, targets, logits, methods, settings)
        with torch.enable_grad():
            search.check_that_weights_matter()
            search.run(progress, callback)
        network, diverged = search.result()
    if diverged:
        warnings.warn(
            f"the attack diverged after {len(search.history)} of {steps} steps and keeps the "
            "weights with the smallest loss; a smaller lr may help",
            RuntimeWarning,
            stacklevel=2,
        )
    return ModelManipulation(
        model=network,
        original_model=original,
        target_maps=targets,
        explainers=methods,
        history=search.history,
        diverged=diverged,
        interrupted=search.interrupted,
        settings=settings,
    )


def sample_losses(
    explainer: Explainer,
    network: Network,
    images: Tensor,
    classes: Tensor,
    targets: Tensor,
    original_logits: Tensor,
    output_weight: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss of each image, and its two terms without γ: (N,) each.

    Only the first is differentiable.
    """
    attribution, logits = explainer.explain(network, images, classes)
    maps = relevance_map(attribution)
    loss = manipulation_loss(maps, targets, logits, original_logits, output_weight)
    map_loss = metrics.mse(maps.detach(), targets)
    return loss, map_loss, metrics.logit_change(logits.detach(), original_logits)


class _Search:
    """The optimisation of the weights: a copy of the network, its best state, and the history."""

    def __init__(
        self,
        original: Network,
        images: Tensor,
        targets: Tensor,
        original_logits: Tensor,
        explainers: tuple[Explainer, ...],
        settings: ModelSettings,
    ) -> None:
        # In single precision at least: in half precision the steps would be lost.
        self.images, self.dtype = in_single(images), images.dtype
        self.network = prepare(original, frozen=False).to(self.images.dtype)
        self.weights = list(self.network.parameters())
        self.targets = targets.expand(len(images), -1, -1)
        self.original_logits = in_single(original_logits)
        self.classes = original_logits.argmax(dim=1)
        self.explainers, self.settings = explainers, settings
        self.history: list[ModelStep] = []
        self.losses: list[float] = []
        self.best = [weight.detach().clone() for weight in self.weights]
        self.interrupted = False

    def check_that_weights_matter(self) -> None:
        """Refuse an explainer whose map cannot be changed through the weights."""
        samples = torch.arange(min(self.settings.batch, len(self.images)))
        for explainer in self.explainers:
            try:
                loss = self._losses(explainer, samples, output_weight=0.0)[0].sum()
                if loss.requires_grad:
                    # Unlike torch.autograd.grad, it fails on what can be differentiated only once.
                    loss.backward()  # type: ignore[no-untyped-call]
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                raise ValueError(
                    f"the map of {explainer.name} cannot be differentiated with respect to the "
                    f"weights: {error}"
                ) from error
            gradients = [weight.grad for weight in self.weights if weight.grad is not None]
            if not any(gradient.any() for gradient in gradients):
                raise ValueError(
                    f"the map of {explainer.name} has no gradient with respect to any weight, for "
                    f"the first {len(samples)} images: it is zero everywhere, or does not depend "
                    "on the weights, or not in a way that can be differentiated"
                )
            self._forget_gradients()

    def _forget_gradients(self) -> None:
        for weight in self.weights:
            weight.grad = None

    def run(self, progress: bool, callback: ModelCallback | None) -> None:
        """Take all steps, or those before Ctrl-C or a loss that is not finite."""
        settings = self.settings
        optimiser = torch.optim.Adam(self.weights, lr=settings.lr)
        (group,) = optimiser.param_groups
        name = ", ".join(explainer.name for explainer in self.explainers)
        try:
            with progress_bar(name, settings.steps, progress) as bar:
                for step, samples in enumerate(self._minibatches()):
                    group["lr"] = settings.lr * settings.schedule(step / max(settings.steps - 1, 1))
                    self._forget_gradients()
                    record = self._differentiate(step, samples)
                    self.history.append(record)
                    if callback is not None:
                        callback(record, self.network)
                    if not math.isfinite(self.losses[-1]):
                        break
                    optimiser.step()
                    bar.update()
        except KeyboardInterrupt:
            self.interrupted = True
            warnings.warn(
                f"interrupted after {len(self.history)} of {settings.steps} steps",
                RuntimeWarning,
                stacklevel=3,
            )

    def _minibatches(self) -> Iterator[Tensor]:
        """Yield for each step the indices (B,) of the images it uses."""
        total = len(self.images)
        size = min(self.settings.batch, total)
        generator = torch.Generator().manual_seed(self.settings.seed)
        waiting = torch.empty(0, dtype=torch.long)
        for _ in range(self.settings.steps):
            if len(waiting) < size:
                order = torch.randperm(total, generator=generator)
                # What is left of the last round comes first, and only once in this batch.
                waiting = torch.cat([waiting, order[~torch.isin(order, waiting)], waiting])
            yield waiting[:size]
            waiting = waiting[size:]

    def _losses(
        self, explainer: Explainer, samples: Tensor, output_weight: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        samples = samples.to(self.images.device)
        return sample_losses(
            explainer,
            self.network,
            self.images[samples],
            self.classes[samples],
            self.targets[samples],
            self.original_logits[samples],
            output_weight,
        )

    def _differentiate(self, step: int, samples: Tensor) -> ModelStep:
        """Compute the loss and leave its gradient in the weights."""
        total, map_losses = 0.0, []
        for explainer in self.explainers:
            losses, map_loss, output_loss = self._losses(
                explainer, samples, self.settings.output_weight
            )
            loss = losses.mean() / len(self.explainers)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
            map_losses.append(map_loss)
        if not all(w.grad is None or w.grad.isfinite().all() for w in self.weights):
            total = math.nan
        if total < min(self.losses, default=math.inf):
            self.best = [weight.detach().clone() for weight in self.weights]
        self.losses.append(total)
        return ModelStep(step, samples, torch.stack(map_losses), output_loss)

    def result(self) -> tuple[Network, bool]:
        """Return the network to keep, in the type of the original, and whether it diverged."""
        few = max(1, round(_ENDS * len(self.losses)))
        first, last = (sum(part) / few for part in (self.losses[:few], self.losses[-few:]))
        finite = all(weight.isfinite().all() for weight in self.weights)
        diverged = not finite or not last <= 2 * first
        if diverged:
            with torch.no_grad():
                for weight, best in zip(self.weights, self.best, strict=True):
                    weight.copy_(best)
        self._forget_gradients()
        return self.network.requires_grad_(False).to(self.dtype), diverged


def _as_explainers(explainers: Explainer | Sequence[Explainer]) -> tuple[Explainer, ...]:
    """Return one explainer or several as a tuple; refuse anything else."""
    found = tuple(explainers) if isinstance(explainers, list | tuple) else (explainers,)
    if not found:
        raise ValueError("give at least one explainer, got none")
    for explainer in found:
        check_explainer(explainer)
    return found
