import os
from itertools import pairwise

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from torch import nn

import explman_lite as el
from explman_lite import figures

EXPECTED = os.environ.get("EXPECTED_IPYWIDGETS", ipywidgets.__version__)
EXPLAINERS = {
    card.title: card.make(points=10) for card in el.EXPLAINERS.values() if card.fit is None
}


@pytest.fixture(scope="module")
def model():
    return el.load_model("digits_vgg")


@pytest.fixture(scope="module")
def image():
    return el.load_digits()[0][3:4]


@pytest.fixture(scope="module")
def target():
    return el.text_target("no", size=32)


@pytest.fixture
def drawn(monkeypatch):
    """Collect what is drawn: title to picture, for each panel; see that all of it is closed."""
    panels, panel = [], figures.panel

    def collecting(pictures, **style):
        panels.append(pictures)
        return panel(pictures, **style)

    monkeypatch.setattr(figures, "panel", collecting)
    plt.close("all")  # what other tests have left
    yield panels
    assert plt.get_fignums() == []


def parts(box):
    """Return the controls by description, the sentence and the picture."""
    *controls, sentence, picture = box.children
    return {control.description: control for control in controls}, sentence, picture


def flat(*layers):
    """Build a network of a dense layer and what follows it; by chance all its ReLUs may be dead."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(1024, 4), *layers).eval()


def relevance(explainer, model, image, label):
    return el.relevance_map(explainer(model, image, torch.tensor([label])))[0]


def answer(model, image):
    probabilities = model(image)[0].softmax(dim=0)
    return probabilities.argmax().item(), probabilities.max().item()


def test_the_ipywidgets_under_test_is_the_expected_one():
    assert ipywidgets.__version__ == EXPECTED


@pytest.mark.parametrize("name", EXPLAINERS)
@pytest.mark.parametrize("beta", [5, 100])
def test_the_map_shown_is_that_of_the_chosen_method_and_sharpness(model, image, drawn, name, beta):
    controls, sentence, _ = parts(el.playground.softplus(model, image))
    controls["method"].value = name
    controls["sharpness"].value = f"β = {beta}"
    (said, picture), (why, shown) = drawn[-1].items()
    smooth, (label, _) = el.smoothed(model, beta), answer(model, image)
    expected = relevance(EXPLAINERS[name], smooth, image, label)
    original = relevance(EXPLAINERS[name], model, image, label)
    pcc = np.corrcoef(expected.flatten(), original.flatten())[0, 1]
    torch.testing.assert_close(shown, expected)
    assert torch.equal(picture, image[0])
    assert said == "predicted: class {}\nprobability {:.2f}".format(*answer(smooth, image))
    assert why.startswith(f"{name}, class {label}\n{controls['sharpness'].value}, ")
    assert why.endswith(f"PCC with ReLU {pcc:.2f}")
    assert sentence.value == ""


def test_sharpness_is_logarithmic_and_ends_with_relu(model, image, drawn):
    controls, _, _ = parts(el.playground.softplus(el.smoothed(model, 5), image))
    *stops, last = controls["sharpness"].options
    betas = [float(stop.removeprefix("β = ")) for stop in stops]
    assert (betas[0], betas[-1], last) == (0.5, 300, "ReLU")
    assert all(1.3 < high / low < 1.7 for low, high in pairwise(betas))
    label, probability = answer(model, image)
    controls["sharpness"].value = "β = 1"
    controls["sharpness"].value = "ReLU"
    (said, _), (why, shown) = drawn[-1].items()
    torch.testing.assert_close(shown, relevance(el.Gradient(), model, image, label))
    assert said == f"predicted: class {label}\nprobability {probability:.2f}"
    assert why == f"Gradient, class {label}\nReLU, PCC with ReLU 1.00"


def test_controls_are_named_and_wait_for_the_release(model, image, target):
    for box in (
        el.playground.softplus(model, image),
        el.playground.attack(model, image, target),
    ):
        assert type(box) is ipywidgets.VBox
        controls, _, _ = parts(box)
        assert len(controls) == len(box.children) - 2
        assert all(controls)
        sliders = [c for c in controls.values() if isinstance(c, ipywidgets.SelectionSlider)]
        assert sliders
        assert not any(slider.continuous_update for slider in sliders)


def test_each_change_draws_once_and_is_described(model, image, drawn):
    controls, _, picture = parts(el.playground.softplus(model, image))
    before = picture.value
    controls["sharpness"].value = "β = 1"
    assert len(drawn) == 2
    assert picture.value != before
    page = BeautifulSoup(picture.value, "html.parser")
    assert [caption.get_text() for caption in page.select("figcaption")] == list(drawn[-1])
    assert all(image["alt"] for image in page.select("img"))


def test_a_class_and_a_method_can_be_given(model, image, drawn):
    gamma, classes = el.LRP("gamma"), 4
    controls, _, _ = parts(el.playground.softplus(model, image, classes, gamma))
    assert controls["method"].value == "LRP"
    assert list(controls["method"].options) == list(EXPLAINERS)
    torch.testing.assert_close(list(drawn[-1].values())[1], relevance(gamma, model, image, 4))


def test_a_method_that_is_not_registered_joins(model, image, drawn):
    class Plain(el.Gradient):
        pass

    controls, _, _ = parts(el.playground.softplus(model, image, explainer=Plain()))
    assert list(controls["method"].options) == [*EXPLAINERS, "Plain"]
    assert controls["method"].value == "Plain"


def test_a_method_that_the_network_cannot_carry_says_so_and_the_next_one_shows(image, drawn):
    box = el.playground.softplus(flat(nn.ReLU(), nn.Softmax(1)), image)
    controls, sentence, picture = parts(box)
    controls["method"].value = "LRP"
    assert "LRP has no rule for the layer" in sentence.value
    assert picture.value == ""
    controls["method"].value = "Gradient"
    assert sentence.value == ""
    assert "<img" in picture.value


@pytest.mark.parametrize(
    ("bound", "epsilon", "smoothing", "beta"),
    [("none", None, "none", None), ("4/255", 4 / 255, "β = 3", 3)],
)
@pytest.mark.parametrize("explainer", [None, el.LRP()])
def test_the_attack_shown_is_the_one_chosen(
    model, image, target, drawn, bound, epsilon, smoothing, beta, explainer
):
    controls, sentence, _ = parts(el.playground.attack(model, image, target, explainer))
    controls["steps"].value = 10
    controls["bound ε"].value = bound
    controls["smoothing"].value = smoothing
    controls["Run the attack"].click()
    attacked = explainer or el.Gradient()
    if beta is not None:
        attacked = el.BetaSmoothing(attacked, beta)
    expected = el.manipulate(
        model, image, target, attacked, steps=10, epsilon=epsilon, progress=False
    )
    shown = drawn[-1]
    torch.testing.assert_close(shown["picture after"], expected.images[0])
    torch.testing.assert_close(shown["map before"], expected.original_maps[0])
    torch.testing.assert_close(shown["map after"], expected.maps[0])
    torch.testing.assert_close(shown["target map"], expected.target_maps[0])
    row = expected.summary().iloc[0]
    for words in (
        f"10 steps, bound {bound}, β-smoothing {smoothing}",
        f"{row['pcc_target']:.2f} after",
        f"SSIM {row['image_ssim']:.3f}, class kept.",
    ):
        assert words in sentence.value


def test_what_will_be_attacked_shows_before(model, image, target, drawn):
    _, sentence, picture = parts(el.playground.attack(model, image, target))
    label, _ = answer(model, image)
    torch.testing.assert_close(drawn[-1]["map"], relevance(el.Gradient(), model, image, label))
    assert drawn[-1]["target"].mean().item() == pytest.approx(1)
    assert sentence.value == "Choose, then run the attack."
    captions = BeautifulSoup(picture.value, "html.parser").select("figcaption")
    assert [caption.get_text() for caption in captions] == ["picture", "map", "target"]


def test_the_button_rests_while_the_attack_runs_and_progress_shows(model, image, target):
    controls, _, _ = parts(el.playground.attack(model, image, target))
    button, progress, seen = controls["Run the attack"], controls["progress"], []
    controls["steps"].value = 10
    for _ in range(2):
        seen.clear()
        progress.value = 0
        progress.observe(lambda change: seen.append((change["new"], button.disabled)), "value")
        button.click()
        progress.unobserve_all()
        assert seen == [(step, True) for step in range(1, 11)]
        assert not button.disabled
        assert progress.max == 10


class Trouble(el.Gradient):
    """A gradient that makes trouble at some call."""

    def __init__(self, call, trouble):
        self.left, self.trouble = call, trouble

    def explain(self, model, images, classes):
        self.left -= 1
        if self.left == 0:
            raise self.trouble
        return super().explain(model, images, classes)


class Lost(el.Gradient):
    """A gradient that leaves the finite numbers as soon as it is attacked."""

    def explain(self, model, images, classes):
        attribution, logits = super().explain(model, images, classes)
        return el.Explanation(attribution * (torch.nan if images.requires_grad else 1), logits)


@pytest.mark.parametrize(
    ("explainer", "said", "shows"),
    [
        (Trouble(5, ValueError("a < b")), "That failed: a &lt; b", False),
        (Trouble(5, RuntimeError()), "That failed: RuntimeError", False),
        (Trouble(5, KeyboardInterrupt()), "class kept. interrupted after 2 of 10 steps.", True),
        (Trouble(13, KeyboardInterrupt()), "That failed: KeyboardInterrupt", False),
        (Lost(), "the attack diverged for 1 of 1 samples", True),
    ],
)
def test_an_attack_in_trouble_says_so_in_a_sentence(
    model, image, target, capfd, explainer, said, shows
):
    controls, sentence, picture = parts(el.playground.attack(model, image, target, explainer))
    controls["steps"].value = 10
    controls["Run the attack"].click()
    assert said in sentence.value
    assert ("<img" in picture.value) == shows
    assert not controls["Run the attack"].disabled
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"model": "digits_vgg"}, TypeError, "model must be a torch.nn.Module, got str"),
        ({"model": flat(nn.ReLU()).train()}, ValueError, "evaluation mode"),
        ({"model": flat()}, ValueError, "holds no ReLU"),
        ({"image": torch.rand(2, 1, 32, 32)}, ValueError, r"one picture .* got \(2, 1, 32, 32\)"),
        ({"image": torch.rand(1, 2, 32, 32)}, ValueError, r"one picture .* got \(1, 2, 32, 32\)"),
        ({"image": 2 * torch.ones(1, 1, 32, 32)}, ValueError, r"image must lie in \[0, 1\]"),
        ({"image": np.zeros((1, 1, 32, 32))}, TypeError, "image must be a torch.Tensor"),
        ({"explainer": "LRP"}, TypeError, "expected an unsmoothed Explainer, got str"),
        ({"explainer": el.BetaSmoothing(el.LRP(), 3)}, TypeError, "unsmoothed .* BetaSmoothing"),
        ({"model": flat(nn.ReLU(), nn.Softmax(1)), "explainer": el.LRP()}, ValueError, "no rule"),
        ({"classes": torch.tensor([10])}, ValueError, "classes must lie between 0 and 9"),
        ({"classes": "3"}, TypeError, "classes must be one integer for all images, or a tensor"),
        ({"target_map": -torch.ones(1, 32, 32)}, ValueError, "target_maps must not be negative"),
        ({"target_map": torch.ones(1, 8, 8)}, ValueError, "target_maps must have the shape"),
    ],
)
def test_wrong_arguments_are_refused_before_any_widget_is_built(
    model, image, target, wrong, error, message
):
    built = []
    ipywidgets.Widget.on_widget_constructed(built.append)
    good = {"model": model, "image": image}
    try:
        if "target_map" not in wrong:
            with pytest.raises(error, match=message):
                el.playground.softplus(**good | wrong)
        if "classes" not in wrong:
            with pytest.raises(error, match=message):
                el.playground.attack(**good | {"target_map": target} | wrong)
    finally:
        ipywidgets.Widget.on_widget_constructed(None)
    assert built == []
