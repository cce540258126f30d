"""Record the book's first result, the cat whose map is a cup of coffee, and draw its cover.

python benchmarks/cat_to_coffee.py
"""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch

import explman_lite as el

ROOT = Path(__file__).resolve().parents[1]
STEPS = (el.Settings().steps, 100)


def attack(steps: int) -> el.Manipulation:
    torch.manual_seed(0)
    model = el.load_model()
    cat, coffee = el.load_photo("chelsea"), el.load_photo("coffee")
    explainer = el.Gradient()
    target = el.relevance_map(explainer(model, coffee, model(coffee).argmax(dim=1)))
    return el.manipulate(model, cat, target, explainer, steps=steps)


def record(results: list[el.Manipulation]) -> pd.DataFrame:
    rows = [result.summary().assign(steps=len(result.history)) for result in results]
    table = pd.concat(rows).round(6)
    el.results.save_table(
        ROOT / "results" / "cat_to_coffee.csv",
        table,
        command="python benchmarks/cat_to_coffee.py",
        model="efficientnet_lite0",
        size=224,
        explainer=results[0].explainer.name,
        defaults=el.Settings().record(),
    )
    return table


def draw_cover(result: el.Manipulation) -> None:
    """Draw picture and map before and after the attack, four in a row."""
    maps = (result.original_maps[0], result.maps[0])
    top = el.figures.colour_limit(maps)
    figure, axes = plt.subplots(1, 4, figsize=(16, 4.6), dpi=100)
    for pair, picture, relevance in zip(
        (axes[:2], axes[2:]), (result.original_images[0], result.images[0]), maps, strict=True
    ):
        el.figures.show_image(pair[0], picture)
        el.figures.show_map(pair[1], relevance, top)
    titles = ("a photograph", "why it is a cat", "changed invisibly", "why it is still a cat")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=20)
    figure.savefig(
        ROOT / "book" / "_static" / "cover.jpg", bbox_inches="tight", pil_kwargs={"quality": 85}
    )


if __name__ == "__main__":
    el.figures.use_style()
    manipulations = [attack(steps) for steps in STEPS]
    print(record(manipulations).T.to_string(header=False))
    draw_cover(manipulations[-1])
