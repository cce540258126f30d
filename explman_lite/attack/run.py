"""The attack: a picture with a given explanation."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from explman_lite.attack.result import Manipulation
from explman_lite.attack.search import Callback, Search
from explman_lite.attack.settings import Schedule, Settings
from explman_lite.explainers.base import (
    Explainer,
    check_explainer,
    ordinary,
    outside_inference_mode,
)
from explman_lite.maps import relevance_map, scale_to_mean_one
from explman_lite.networks.prepare import prepare
from explman_lite.validation import (
    as_classes,
    check_classes,
    check_fits,
    check_images,
    check_model,
    check_outputs,
    check_same_shape,
    check_several_logits,
    check_target_maps,
)


def manipulate(
    model: nn.Module,
    images: Tensor,
    target_maps: Tensor,
    explainer: Explainer,
    *,
    steps: int = Settings.steps,
    lr: float = Settings.lr,
    output_weight: float = Settings.output_weight,
    beta: tuple[float, float] | None = Settings.beta,
    pooling: tuple[float, float] | None = Settings.pooling,
    growth: float = Settings.growth,
    schedule: Schedule = Settings.schedule,
    momentum: tuple[float, float] = Settings.momentum,
    epsilon: float | None = Settings.epsilon,
    fresh_noise: int | None = Settings.fresh_noise,
    start: Tensor | None = None,
    classes: Tensor | int | None = None,
    progress: bool = True,
    callback: Callback | None = None,
) -> Manipulation:
    r"""Change images so that their explanation becomes the target map.

    Adam with a one-cycle step size minimises the distance of the relevance map from its target
    plus ``output_weight`` times the change of the logits; pixels stay in [0, 1] after every step.
    ReLU is replaced by softplus meanwhile, with β growing as
    :math:`\beta_t = \beta_0 (\beta_e / \beta_0)^{(t/T)^p}`, because a ReLU network's gradient does
    not tell how to change it; so is maximum pooling, the other kink, by log-sum-exp. A map that is
    smoothed by softplus itself is searched no sharper than :math:`\beta_t`. What is returned was
    computed with the network and the explainer as given.
    Samples do not influence one another. A network in half precision is searched in float32,
    because steps and gradients would vanish otherwise, and judged in its own type.

    Parameters
    ----------
    model : nn.Module
        From `load_model` or `prepare`; in evaluation mode.
    images : Tensor
        (N, C, H, W) in [0, 1], of the weights' type and on their device.
    target_maps : Tensor
        (N, H, W), or (1, H, W) for all samples; not negative, of any scale.
    explainer : Explainer
        The method to attack.
    steps : int
        Number of optimisation steps; each costs two to three explanations.
    lr : float
        Largest step size, in units of the pixel range [0, 1].
    output_weight : float
        γ, how much a change of the output weighs; not negative.
    beta : (float, float) or None
        Sharpness of the softplus at the first and at the last step; None keeps ReLU.
    pooling : (float, float) or None
        Sharpness of the log-sum-exp at the first and at the last step, growing as β does, per
        standard deviation of what is pooled; None keeps the maximum. A network that pools by none
        is searched as it is, and so are maxima that are not taken by PyTorch's ``max_pool2d``.
    growth : float
        p, see above: both grow with the fraction of the run to this power; 1 in the paper.
    schedule : callable
        From the fraction of the run, 0 to 1, to the share of ``lr`` to take: ``one_cycle``, or
        ``constant`` as in the paper.
    momentum : (float, float)
        Adam's decay rates. Its averages reach back 3 and 10 steps unless told otherwise: an
        attack is short, and β keeps changing its landscape.
    epsilon : float, optional
        Bound on the change of any pixel (L∞), in units of the pixel range; what is returned keeps
        it as computed, without any tolerance.
    fresh_noise : int, optional
        How many samples of an explainer's noise to draw anew at every step, and so to attack its
        expectation; the samples that ``explainer`` shows if not given.
    start : Tensor, optional
        (N, C, H, W) in [0, 1], where the search begins: the images themselves if not given. What
        it must stay close to remains the images, within ``epsilon`` from the first step on.
    classes : Tensor or int, optional
        (N,) the logits to explain, or that of all samples; the predicted classes if not given.
    progress : bool
        Show a progress bar.
    callback : callable, optional
        Called at every step with the `AttackStep` and the images (N, C, H, W) it describes.

    Returns
    -------
    Manipulation
        Also after Ctrl-C, with what was reached by then.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the form above, or the model returns a single logit, or logits
        that are not finite.

    Warns
    -----
    RuntimeWarning
        If a sample diverged; its best step is kept. If a map is zero everywhere, or the model's
        outputs look like probabilities, where logits are expected.

    References
    ----------
    Dombrowski et al. (2019), "Explanations can be manipulated and geometry is to blame".

    Examples
    --------
    >>> import explman_lite as el
    >>> model = el.load_model()
    >>> cat = el.load_photo("chelsea", size=64)
    >>> target = el.text_target("no", size=64)
    >>> result = el.manipulate(model, cat, target, el.Gradient(), steps=2, progress=False)
    >>> result.images.shape, len(result.history)
    (torch.Size([1, 3, 64, 64]), 2)
    """
    check_model(model)
    check_images(images)
    check_fits(model, images)
    check_target_maps(target_maps, images)
    if start is not None:
        check_images(start, "start")
        check_same_shape(start, images)
    check_explainer(explainer)
    settings = Settings(
        steps=steps,
        lr=lr,
        output_weight=output_weight,
        beta=beta,
        pooling=pooling,
        growth=growth,
        schedule=schedule,
        momentum=momentum,
        epsilon=epsilon,
        fresh_noise=fresh_noise,
    )
    with outside_inference_mode():
        network, images = prepare(model), ordinary(images.detach())
        with torch.no_grad():
            predicted = network(images)
        check_outputs(predicted)
        check_several_logits(predicted)
        if classes is None:
            classes = predicted.argmax(dim=1)
        classes = as_classes(classes, images)
        check_classes(classes, *predicted.shape)
        original = explainer.explain(network, images, classes)
        original_maps = relevance_map(original.attribution)
        _warn_of_zeros(original_maps, "original")
        targets = scale_to_mean_one(target_maps.detach().to(original_maps))
        targets = targets.expand(len(images), -1, -1)

        search = Search(network, images, targets, classes, original.logits, explainer, settings)
        if start is not None:
            search.begin_at(start.detach())
        with torch.enable_grad():
            search.run(progress, callback)
        found, diverged = search.result()
        if diverged.any():
            warnings.warn(
                f"the attack diverged for {int(diverged.sum())} of {len(images)} samples and keeps "
                "their best step; a smaller lr may help",
                RuntimeWarning,
                stacklevel=2,
            )
        final = explainer.explain(network, found, classes)
        final_maps = relevance_map(final.attribution)
        _warn_of_zeros(final_maps, "final")
    return Manipulation(
        images=found,
        maps=final_maps,
        logits=final.logits,
        classes=classes,
        original_images=images,
        original_maps=original_maps,
        original_logits=original.logits,
        target_maps=targets,
        history=search.history,
        diverged=diverged,
        explainer=explainer,
        settings=settings,
        interrupted=search.interrupted,
    )


def _warn_of_zeros(maps: Tensor, which: str) -> None:
    zero = ~maps.flatten(1).any(dim=1)
    if zero.any():
        warnings.warn(
            f"the {which} map is zero everywhere for the samples "
            f"{zero.nonzero().flatten().tolist()}: the logit does not depend on the pixels there",
            RuntimeWarning,
            stacklevel=3,
        )
