"""Record the book's first result, the cat whose map is a cup of coffee, and draw its cover.

python benchmarks/cat_to_coffee.py
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

import explman_lite as el

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {"steps": 150, "lr": 4e-3, "output_weight": 10.0, "beta": (10.0, 100.0)}


def attack() -> el.Manipulation:
    torch.manual_seed(0)
    model = el.load_model()
    cat, coffee = el.load_photo("chelsea"), el.load_photo("coffee")
    explainer = el.Gradient()
    target = el.relevance_map(explainer(model, coffee, model(coffee).argmax(dim=1)))
    return el.manipulate(model, cat, target, explainer, **SETTINGS)


def record(result: el.Manipulation) -> None:
    el.results.save_table(
        ROOT / "results" / "cat_to_coffee.csv",
        result.summary().round(6),
        command="python benchmarks/cat_to_coffee.py",
        model="efficientnet_lite0",
        size=224,
        explainer=result.explainer.name,
        seed=0,
        **SETTINGS,
    )


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
    manipulation = attack()
    record(manipulation)
    draw_cover(manipulation)
    print(manipulation.summary().T.to_string(header=False))
