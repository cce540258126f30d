"""Is it the data's tangent space that protects a projected map, or that there is little left of it?

python benchmarks/projected.py

The audit's attack on the gradient of crops_vgg projected on more and fewer directions of its
neighbours, and, for control, on directions in which pictures of noise vary. It takes ten minutes on
one core.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import explman_lite as el
from explman_lite.bench import SUITES, Case, run

RESULTS = Path(__file__).parents[1] / "results"
COMMAND = "python benchmarks/projected.py"
OF_NOISE = 200
"""How many pictures of noise, of which the fifty nearest span the directions."""


def on_noise(explainer: el.Explainer, pictures: Tensor) -> el.Projected:
    """Project on directions that have nothing to do with the data: a random subspace."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(OF_NOISE, *pictures.shape[1:], generator=generator)
    return el.Projected(explainer, noise.to(pictures))


def of_size(neighbours: int, dimensions: int) -> el.DefenseCard:
    """Return a card that projects on another number of directions."""
    return replace(
        el.DEFENSES["Projected"],
        name=f"Projected({dimensions})",
        title=f"{dimensions} directions of {neighbours} neighbours",
        wrap=partial(el.Projected, neighbours=neighbours, dimensions=dimensions),
    )


CARDS = {
    card.name: card
    for card in (
        of_size(15, 10),
        of_size(50, 30),
        of_size(150, 100),
        replace(
            el.DEFENSES["Projected"], name="Projected on noise", title="30 directions of noise",
            wrap=on_noise,
        ),
    )
}  # fmt: skip

SUITE = replace(
    SUITES["defense"],
    name="projected",
    description="the gradient projected on more and fewer directions, of the data and of noise",
    cases=tuple(Case("crops_vgg", name, "adaptive") for name in ("Gradient", *CARDS)),
)

if __name__ == "__main__":
    el.DEFENSES.update(CARDS)
    run(SUITE, RESULTS, command=COMMAND)
