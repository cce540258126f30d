"""The attack in JavaScript does what the package does."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page
from torch import Tensor

import explman_lite as el
from bookkit.live import CHANNELS, script
from bookkit.places import ROOT
from explman_lite.networks.smoothing import round_activations, round_pooling

LOAD = """() => {
  globalThis.networks = {};
  globalThis.numbers = (list) => Float64Array.from(list);
  // JSON knows no infinity.
  globalThis.kinks = ({ beta, centred, pooling }) =>
    ({ beta: beta ?? Infinity, centred, pooling: pooling ?? Infinity });
  for (const [name, { plan, weights }] of Object.entries(explmanNetworks)) {
    const bytes = Uint8Array.from(atob(weights), (letter) => letter.charCodeAt(0));
    networks[name] = new explman.Network(plan, new Float32Array(bytes.buffer));
  }
}"""
LOGITS = """({ name, packed, count }) => {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const all = new Float32Array(bytes.buffer), size = all.length / count, logits = [];
  for (let at = 0; at < all.length; at += size)
    logits.push([...networks[name].forward(numbers(all.subarray(at, at + size))).logits]);
  return logits;
}"""
LOSS = """({ name, x, channels, shown, read, label, target, logits }) => {
  const asRead = kinks(read), asShown = shown ? kinks(shown) : asRead;
  const found = explman.finish(explman.loss(networks[name], numbers(x), channels, {
    shown: asShown, read: asRead, label,
    target: numbers(target), logits0: numbers(logits), gamma: 4,
  }));
  return {
    map: [...found.map], logits: [...found.logits], gradient: [...found.gradient],
    loss: found.mapTerm + 4 * found.outputTerm,
  };
}"""
TENTH = """({ name, x, channels, target, defence }) => {
  const settings = { lr: 2e-3, epsilon: 8 / 255, defence };
  const steps = explman.attack(networks[name], numbers(x), channels, numbers(target), settings);
  for (const found of steps) if (found?.step === 10) return [...found.x];
}"""


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Open a page, from a file, with the engine and all networks."""
    folder = tmp_path_factory.mktemp("live")
    scripts = {f"{name}.js": script(name) for name in CHANNELS}
    scripts["engine.js"] = (ROOT / "book/live/engine.js").read_text("utf-8")
    for name, text in scripts.items():
        (folder / name).write_text(text, "utf-8")
    tags = "".join(f'<script src="{name}"></script>' for name in scripts)
    (folder / "index.html").write_text(f"<!doctype html><meta charset=utf-8>{tags}", "utf-8")
    opened = browser.new_page()
    errors: list[Any] = []
    opened.on("pageerror", lambda error: errors.append(error))
    opened.goto((folder / "index.html").as_uri())
    opened.evaluate(LOAD)
    yield opened
    assert not errors


def pictures(name: str) -> Tensor:
    images, _ = (el.load_digits if name == "digits_vgg" else el.load_crops)("test")
    return images.double()


def flat(values: Tensor) -> list[float]:
    numbers: list[float] = values.detach().flatten().tolist()
    return numbers


def error(found: list[float], expected: Tensor) -> float:
    """Return the relative distance."""
    right = np.array(flat(expected))
    return float(np.linalg.norm(np.array(found) - right) / np.linalg.norm(right))


@pytest.mark.parametrize("name", CHANNELS)
def test_the_script_holds_the_checkpoint(name):
    found = json.loads(re.search(r"\] = (.*);$", script(name))[1])
    numbers = np.frombuffer(base64.b64decode(found["weights"]), dtype="<f4")
    expected = torch.cat([w.flatten() for w in el.load_model(name).parameters()])
    assert np.array_equal(numbers, expected.detach().numpy())


@pytest.mark.parametrize("name", CHANNELS)
def test_the_logits_of_300_pictures(page, name):
    images = pictures(name)[:300]
    packed = base64.b64encode(images.float().numpy().tobytes()).decode()  # they are float32
    found = page.evaluate(LOGITS, {"name": name, "packed": packed, "count": len(images)})
    expected = el.load_model(name).double()(images)
    assert error([z for logits in found for z in logits], expected) < 1e-9
    assert [int(np.argmax(logits)) for logits in found] == expected.argmax(dim=1).tolist()


STEPS = [
    (None, None, None),
    (5.0, 20.0, None),
    (30.0, None, None),
    (100.0, 200.0, None),
    (5.0, 20.0, (1.0, False)),
    (5.0, 20.0, (1.0, True)),
    (50.0, None, (30.0, True)),
]
"""β of the search, sharpness of its pooling, and β of the smoothed map with its form."""


def explainer_of(defence: tuple[float, bool] | None) -> el.Explainer:
    if defence is None:
        return el.Gradient()
    beta, centred = defence
    return el.BetaSmoothing(el.Gradient(), beta, centred=centred)


def kinks(beta: float | None, pooling: float | None, centred: bool = False) -> dict[str, Any]:
    return {"beta": beta, "centred": centred, "pooling": pooling}


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize(("beta", "pooling", "defence"), STEPS)
def test_the_gradient_of_a_step(page, name, beta, pooling, defence):
    images, network, explainer = pictures(name), el.load_model(name).double(), explainer_of(defence)
    original, other = images[:1], images[-1:]
    target = el.relevance_map(explainer(network, other, network(other).argmax(dim=1)))
    logits = network(original).detach()
    label = logits.argmax(dim=1)
    noise = torch.randn(original.shape, generator=torch.Generator().manual_seed(1)).double()
    pixels = (original + 0.03 * noise).clamp(0, 1).requires_grad_()

    searched, shown = network, None
    if defence is not None:
        shown = kinks(min(defence[0], beta), pooling, defence[1])
        explainer = explainer.softened(beta)
    elif beta is not None:
        searched = round_activations(searched, beta)
    if pooling is not None:
        searched = round_pooling(searched, pooling, in_spreads=True)
    explained = explainer.explain(searched, pixels, label)
    maps = el.relevance_map(explained.attribution)
    loss = el.manipulation_loss(maps, target, explained.logits, logits, output_weight=4.0)
    (gradient,) = torch.autograd.grad(loss.sum(), pixels)

    found = page.evaluate(
        LOSS,
        {
            "name": name, "x": flat(pixels), "channels": CHANNELS[name], "shown": shown,
            "read": kinks(None if defence else beta, pooling), "label": int(label),
            "target": flat(target), "logits": flat(logits),
        },
    )  # fmt: skip
    assert error(found["logits"], explained.logits) < 1e-9
    assert error(found["map"], maps) < 1e-9
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-9)
    assert error(found["gradient"], gradient) < 1e-7
    assert gradient.any()


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("defence", [None, (1.0, True)])
def test_ten_steps_of_an_attack(page, name, defence):
    images, network, explainer = pictures(name), el.load_model(name).double(), explainer_of(defence)
    original, other = images[1:2], images[-2:-1]
    target = el.relevance_map(explainer(network, other, network(other).argmax(dim=1)))
    seen: list[Tensor] = []
    el.manipulate(
        network, original, target, explainer, lr=2e-3, epsilon=8 / 255, progress=False,
        callback=lambda _, pixels: seen.append(pixels.clone()),
    )  # fmt: skip
    shown = defence and {"beta": defence[0], "centred": defence[1]}
    found = page.evaluate(
        TENTH,
        {
            "name": name, "x": flat(original), "channels": CHANNELS[name],
            "target": flat(target), "defence": shown,
        },
    )  # fmt: skip
    moved = (np.array(found) - np.array(flat(original))).tolist()
    assert error(moved, seen[10] - original) < 1e-6


def test_of_equal_numbers_the_first_wins(page):
    found = page.evaluate(
        """() => {
          const pool = new explman.Network([{ kind: "pool", channels: 1, side: 2 }], numbers([]));
          const trace = pool.forward(numbers([3, 3, 1, 3]));
          return [...pool.backward(trace, numbers([1])).gradient];
        }"""
    )
    assert found == [1, 0, 0, 0]


def test_the_engine_asks_for_nothing_and_is_short():
    engine = Path(ROOT / "book/live/engine.js").read_text("utf-8")
    assert not re.search(r"\b(fetch|import|require|XMLHttpRequest|document)\b", engine)
    assert len(engine.splitlines()) < 400
