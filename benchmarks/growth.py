"""Measure how time and memory of an attack step grow with batch, resolution and points averaged.

python benchmarks/growth.py

Each configuration runs in a process of its own, so that its peak of memory is its own. Time is
told in gradient explanations of one picture of 224 × 224 pixels by the ReLU network, timed in the
same process.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import torch

import explman_lite as el

RESULT = Path(__file__).parents[1] / "results" / "growth.csv"
BETA, STEPS = 30.0, 3


def configurations() -> Iterator[dict[str, object]]:
    """List what is measured: one thing grows, the others stay."""
    for batch in (1, 2, 4, 8):
        yield {"grows": "batch", "batch": batch, "size": 224, "points": 1}
    for size in (96, 160, 224, 320, 448):
        yield {"grows": "resolution", "batch": 1, "size": size, "points": 1}
    for points in (1, 4, 8, 16, 32, 64):
        yield {"grows": "points", "batch": 1, "size": 224, "points": points}


def peak() -> float:
    """Return the largest memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def best(action: Callable[[], object]) -> float:
    """Return the seconds of the least disturbed of a few runs."""
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(batch: int, size: int, points: int) -> dict[str, float]:
    """Time attack steps, and see how much memory they need beyond an explanation's."""
    model = el.load_model()
    network = el.smoothed(model, BETA)
    cat, label = el.load_photo("chelsea"), torch.tensor([285])
    unit = best(lambda: el.Gradient()(model, cat, label))
    before = peak()

    explainer = el.Gradient() if points == 1 else el.IntegratedGradients(points)
    images, classes = el.load_photo("chelsea", size).repeat(batch, 1, 1, 1), label.repeat(batch)
    target = torch.rand(1, size, size, generator=torch.Generator().manual_seed(0))
    original = network(images) + 0.1

    def step() -> None:
        pixels = images.clone().requires_grad_()
        attribution, logits = explainer.explain(network, pixels, classes)
        maps = el.relevance_map(attribution)
        loss = el.manipulation_loss(maps, target.expand(batch, -1, -1), logits, original)
        torch.autograd.grad(loss.sum(), pixels)

    seconds = best(step)
    return {"explanations": seconds / unit, "memory_mb": peak() - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", type=json.loads, help="measure one configuration (JSON)")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(**options.one)))
        return
    rows = []
    for configuration in configurations():
        one = {name: configuration[name] for name in ("batch", "size", "points")}
        command = [sys.executable, __file__, "--one", json.dumps(one)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rows.append(configuration | json.loads(printed))
        print(rows[-1], flush=True)
    el.results.save_table(
        RESULT,
        pd.DataFrame(rows).round(2),
        command="python benchmarks/growth.py",
        model="efficientnet_lite0",
        beta=BETA,
    )


if __name__ == "__main__":
    main()
