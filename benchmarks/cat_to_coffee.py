"""Record the book's first result, the cat whose map is a cup of coffee, and draw its cover.

python benchmarks/cat_to_coffee.py
"""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch

import explman_lite as el

ROOT = Path(__file__).resolve().parents[1]
STATIC = ROOT / "book" / "_static"
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
    """Show picture and map before and after the attack: for pages as a gallery, and as one image.

    For the image all four stand in a row.
    """
    shown = {
        "a photograph": result.original_images[0],
        "why it is a cat": result.original_maps[0],
        "changed invisibly": result.images[0],
        "why it is still a cat": result.maps[0],
    }
    alts = [
        "A photograph of a cat's face.",
        "Its saliency map: bright dots on the cat's face, most of them under the nose.",
        "The photograph after manipulation, which looks the same.",
        "The saliency map of the manipulated photograph: a cup of coffee on its saucer.",
    ]
    gallery = el.figures.panel(shown, alts=alts)
    (STATIC / "cover.html").write_text(f"{gallery._repr_html_()}\n", "utf-8")
    figure, axes = plt.subplots(1, 4, figsize=(16, 4.6), dpi=100)
    for ax, (title, picture) in zip(axes, shown.items(), strict=True):
        if picture.ndim == 2:
            el.figures.show_map(ax, picture, gallery.top)
        else:
            el.figures.show_image(ax, picture)
        ax.set_title(title, fontsize=20)
    figure.savefig(STATIC / "cover.jpg", bbox_inches="tight", pil_kwargs={"quality": 85})


if __name__ == "__main__":
    el.figures.use_style()
    manipulations = [attack(steps) for steps in STEPS]
    print(record(manipulations).T.to_string(header=False))
    draw_cover(manipulations[-1])
