"""Figures with controls that need a running kernel, as `explman_lite.FrameSlider` does not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial
from html import escape

from ipywidgets import HTML, Button, Dropdown, IntProgress, SelectionSlider, VBox, Widget
from torch import Tensor, nn

from explman_lite import figures, metrics
from explman_lite.attack import manipulate
from explman_lite.explainers.base import Explainer
from explman_lite.explainers.gradients import Gradient
from explman_lite.explainers.registry import EXPLAINERS
from explman_lite.explainers.smoothed import BetaSmoothing
from explman_lite.maps import relevance_map, scale_to_mean_one
from explman_lite.networks.prepare import Network
from explman_lite.networks.smoothing import smoothed
from explman_lite.validation import as_classes, check_images, check_model, check_target_maps

METHODS: dict[str, Explainer] = {
    card.title: card.make(points=10) for card in EXPLAINERS.values() if card.fit is None
}
_BETAS = (0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300)
_SHARPNESS = {f"β = {beta:g}": beta for beta in _BETAS}
_BOUNDS = {f"{levels}/255": levels / 255 for levels in (1, 2, 4, 8, 16, 32)}
_Draw = Callable[[], tuple[figures.Gallery, str]]
_slider = partial(SelectionSlider, continuous_update=False)


def softplus(
    model: nn.Module,
    image: Tensor,
    classes: Tensor | int | None = None,
    explainer: Explainer | None = None,
) -> VBox:
    """Play with the sharpness of the softplus, and see how the relevance map follows.

    The slider is logarithmic, in round numbers, and ends with ReLU. The title of the picture names
    the prediction of the network, that of the map its PCC with the map of the ReLU network.

    Parameters
    ----------
    model : nn.Module
        In evaluation mode, with ReLU or softplus in it.
    image : Tensor
        One picture (1, C, H, W) in [0, 1], grey or in colour.
    classes : Tensor or int, optional
        (1,) integer: the class whose logit is explained; what the ReLU network predicts if not
        given.
    explainer : Explainer, optional
        The first one shown, the gradient if not given; it joins the methods, or replaces the one of
        its class.

    Returns
    -------
    VBox
        Method and sharpness, with the figure below; shown where it is the last value of a cell.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form.

    Examples
    --------
    >>> import explman_lite as el
    >>> model, (images, _) = el.load_model("digits_vgg"), el.load_digits()
    >>> method, sharpness, *_ = el.playground.softplus(model, images[:1]).children
    >>> method.value, sharpness.value
    ('Gradient', 'ReLU')
    """
    explainer = explainer or Gradient()
    relu, predicted = _checked(model, image, explainer)
    classes = predicted if classes is None else as_classes(classes, image)
    label = next((k for k, v in METHODS.items() if type(v) is type(explainer)), explainer.name)
    methods = METHODS | {label: explainer}
    relu_map = cache(lambda label: relevance_map(methods[label](relu, image, classes)))
    relu_map(label)  # refuses here what this explainer cannot explain
    method = Dropdown(description="method", options=[*methods], value=label)
    sharpness = _slider(description="sharpness", options=[*_SHARPNESS, "ReLU"], value="ReLU")

    def draw() -> tuple[figures.Gallery, str]:
        network = smoothed(relu, _SHARPNESS.get(sharpness.value))
        attribution, logits = methods[method.value].explain(network, image, classes)
        probability, answer = logits.softmax(dim=1).max(dim=1)
        relevance, original = relevance_map(attribution), relu_map(method.value)
        pcc = metrics.pcc(relevance, original).item()
        said = f"predicted: class {answer.item()}\nprobability {probability.item():.2f}"
        why = f"{method.value}, class {classes.item()}\n{sharpness.value}, PCC with ReLU {pcc:.2f}"
        pictures, top = {said: image[0], why: relevance[0]}, figures.colour_limit([original])
        return figures.panel(pictures, height=3, top=top), ""

    box, show = _stage(method, sharpness)
    for control in (method, sharpness):
        control.observe(lambda _: show(draw), "value")
    show(draw)
    return box


def attack(
    model: nn.Module, image: Tensor, target_map: Tensor, explainer: Explainer | None = None
) -> VBox:
    """Play with the attack: its length, its bound, and a defence by β-smoothing.

    Parameters
    ----------
    model, image
        See `softplus`.
    target_map : Tensor
        (1, H, W), not negative, of any scale.
    explainer : Explainer, optional
        The method that is attacked, the gradient if not given.

    Returns
    -------
    VBox
        Steps, bound, smoothing, a button and a progress bar, with a sentence and the figure below.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form, as `explman_lite.manipulate` wants it.

    Examples
    --------
    >>> import explman_lite as el
    >>> model, (images, _) = el.load_model("digits_vgg"), el.load_digits()
    >>> box = el.playground.attack(model, images[:1], el.text_target("no", size=32))
    >>> [control.description for control in box.children[:4]]
    ['steps', 'bound ε', 'smoothing', 'Run the attack']
    """
    explainer = explainer or Gradient()
    relu, predicted = _checked(model, image, explainer)
    check_target_maps(target_map, image)
    first = relevance_map(explainer(relu, image, predicted))
    steps = _slider(description="steps", options=[10, 20, 50, 100, 200, 500], value=100)
    bound = _slider(description="bound ε", options=[*_BOUNDS, "none"], value="none")
    defence = _slider(description="smoothing", options=[*_SHARPNESS, "none"], value="none")
    run, progress = Button(description="Run the attack"), IntProgress(description="progress")

    def draw() -> tuple[figures.Gallery, str]:
        progress.value, progress.max = 0, steps.value
        beta = _SHARPNESS.get(defence.value)
        result = manipulate(
            relu,
            image,
            target_map,
            explainer if beta is None else BetaSmoothing(explainer, beta),
            steps=steps.value,
            epsilon=_BOUNDS.get(bound.value),
            progress=False,
            callback=lambda record, _: progress.set_trait("value", record.step + 1),
        )
        before = metrics.pcc(result.original_maps, result.target_maps).item()
        after = result.summary().iloc[0]
        return result.plot(), (
            f"{steps.value} steps, bound {bound.value}, β-smoothing {defence.value}: PCC with the "
            f"target {before:.2f} before and {after['pcc_target']:.2f} after, image SSIM "
            f"{after['image_ssim']:.3f}, class {'kept' if after['class_kept'] else 'LOST'}."
        )

    def clicked(button: Button) -> None:
        button.disabled = True
        show(draw)
        button.disabled = False

    box, show = _stage(steps, bound, defence, run, progress)
    run.on_click(clicked)
    pictures = {"picture": image[0], "map": first[0], "target": scale_to_mean_one(target_map)[0]}
    show(lambda: (figures.panel(pictures), "Choose, then run the attack."))
    return box


def _checked(model: nn.Module, image: Tensor, explainer: Explainer) -> tuple[Network, Tensor]:
    """Refuse what cannot be shown; return the ReLU network and the class that it predicts."""
    check_model(model)
    check_images(image, "image")
    if len(image) != 1 or image.shape[1] not in {1, 3}:
        raise ValueError(f"image must be one picture (1, 1 or 3, H, W), got {tuple(image.shape)}")
    if not isinstance(explainer, Explainer) or explainer.is_smooth:
        raise TypeError(f"expected an unsmoothed Explainer, got {type(explainer).__name__}")
    relu = smoothed(model, None)
    return relu, relu(image).argmax(dim=1)


def _stage(*controls: Widget) -> tuple[VBox, Callable[[_Draw], None]]:
    """Put a sentence and a figure below the controls; return the box, and what draws into it."""
    sentence, picture = HTML(), HTML()

    def show(draw: _Draw) -> None:
        try:
            with warnings.catch_warnings(record=True) as caught:
                gallery, words = draw()
            shown = gallery._repr_html_()
            words = " ".join([words, *(f"{warning.message}." for warning in caught)])
        except (Exception, KeyboardInterrupt) as error:  # a widget would swallow the traceback
            shown, words = "", f"That failed: {str(error) or type(error).__name__}"
        picture.value, sentence.value = shown, escape(words)

    return VBox([*controls, sentence, picture]), show
