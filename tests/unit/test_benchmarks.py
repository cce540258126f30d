import importlib.util
from pathlib import Path

import pytest
import torch

import explman_lite as el
from explman_lite.bench.suites import within

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(BENCHMARKS.glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_benchmark_finds_all_that_it_imports(script, monkeypatch):
    """They run for minutes, and only when a table is recorded anew."""
    monkeypatch.syspath_prepend(script.parent)  # as Python does for a script
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.__doc__.splitlines()[2].startswith(f"python benchmarks/{script.name}")


def test_the_attack_on_several_methods_is_that_of_the_package_where_there_is_one(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from detectors import explained, forged

    network, (digits, labels) = el.load_model("digits_vgg"), el.load_digits("test")
    images, others = digits[:2].double(), digits[2:4].double()
    network = network.double()
    gradient, settings = el.Gradient(), within(0.1, steps=4)
    wanted = explained(gradient, network, others, labels[2:4])
    expected = el.manipulate(
        network, images, wanted, gradient, classes=labels[:2], progress=False, **settings.keywords()
    )
    found = forged(network, images, labels[:2], {gradient: wanted}, settings)
    torch.testing.assert_close(found, expected.images)
    with_lrp = {gradient: wanted, el.LRP(): explained(el.LRP(), network, others, labels[2:4])}
    both = forged(network, images, labels[:2], with_lrp, settings)
    assert (both - found).abs().max() > 0.01


def test_a_clocks_hand_has_a_place_for_each_class(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from lying_weights import clock, square

    hands = clock(torch.arange(10))
    assert (hands.sum(dim=(1, 2)) == 24 * 24).all(), "all of them lie within the picture"
    rows, columns = (hands.amax(dim=dim).argmax(dim=1) for dim in (2, 1))
    assert rows.argmin() == 0 and rows.argmax() == 5, "noon and six o'clock, of ten hours"
    assert columns[1:5].min() > columns[0] > columns[6:].max()
    assert square(torch.arange(3)).sum() == 3 * 24 * 24
