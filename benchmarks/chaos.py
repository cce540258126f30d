"""Record how far attacks part ways whose starts differ by next to nothing.

python benchmarks/chaos.py

Each case is one attack with Gradient, in float64, run ten times: every time each pixel starts
somewhere within 1e-12 of its value. A minute with one thread.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch

import explman_lite as el
from explman_lite.bench import SUITES

RESULT = Path(__file__).parents[1] / "results" / "chaos.csv"
NOISE, RUNS = 1e-12, 10
DIGITS = SUITES["digits"].attacks["ours"].settings
LARGE = 2e-2


@dataclass(frozen=True)
class Case:
    """What is attacked, whose map it should get, and how."""

    model: str
    source: str | int
    target: str | int
    settings: el.Settings
    size: int

    def load(self, name: str | int) -> torch.Tensor:
        """Return a photograph by its name, or a test digit by its number."""
        if isinstance(name, int):
            return el.load_digits("test")[0][name : name + 1].double()
        return el.load_photo(name, self.size).double()


def cases() -> list[Case]:
    """List the first two pairs of the suite of digits, and a pair of small photographs."""
    digits = [
        Case("digits_vgg", pair.source, pair.target, replace(DIGITS, lr=lr), 32)
        for pair in SUITES["digits"].draw(0)[:2]
        for lr in (DIGITS.lr, LARGE)
    ]
    return [*digits, Case("efficientnet_lite0", "chelsea", "coffee", el.Settings(), 64)]


def attack(case: Case) -> pd.DataFrame:
    """Run an attack again and again, and measure each run."""
    model, explainer = el.load_model(case.model).double(), el.Gradient()
    source, other = case.load(case.source), case.load(case.target)
    target = el.relevance_map(explainer(model, other, model(other).argmax(dim=1)))
    images = source.repeat(RUNS, 1, 1, 1)
    noise = torch.rand(images.shape, dtype=images.dtype, generator=torch.Generator().manual_seed(0))
    start = (images + NOISE * (2 * noise - 1)).clamp(0, 1)
    result = el.manipulate(
        model, images, target, explainer, start=start, **case.settings.keywords()
    )
    measured = result.summary()[["pcc_target", "image_ssim", "class_kept"]]
    apart = (result.images - result.images[0]).abs().flatten(1).amax(dim=1)
    return measured.assign(
        model=case.model,
        source=case.source,
        target=case.target,
        size=case.size,
        lr=case.settings.lr,
        steps=case.settings.steps,
        run=range(RUNS),
        from_first=apart.numpy(),
    )


def main() -> None:
    table = pd.concat([attack(case) for case in cases()])
    labels = ["model", "source", "target", "size", "lr", "steps", "run"]
    table = table[labels + [name for name in table if name not in labels]]
    el.results.save_table(
        RESULT,
        table.map(lambda value: float(f"{value:.6g}") if isinstance(value, float) else value),
        command="python benchmarks/chaos.py",
        noise=NOISE,
        runs=RUNS,
        explainer="Gradient",
        precision="float64",
        digits=DIGITS.record(),
        photographs=el.Settings().record(),
    )
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
