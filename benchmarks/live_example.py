"""Record what the book's live attack reaches with the settings that its pages name; draw the first.

python benchmarks/live_example.py
"""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import Tensor

import explman_lite as el

ROOT = Path(__file__).resolve().parents[1]
EYE, TOWER, PETALS, CUP = 63, 66, 27, 56  # of the test crops, as they lie on the page
LEVEL = 1 / 255
AS_IT_STANDS = {"steps": 40, "lr": 4 * LEVEL, "epsilon": 8 * LEVEL}
PATIENT = {**AS_IT_STANDS, "steps": 200}
SMOOTHED = el.BetaSmoothing(el.Gradient(), 1.0, centred=True)
RUNS = {
    # whose map is seen by viewers, whose the attacker aims at, of which picture to which, and how
    "as it stands": (el.Gradient(), el.Gradient(), EYE, TOWER, AS_IT_STANDS),
    "second challenge": (SMOOTHED, SMOOTHED, PETALS, CUP, AS_IT_STANDS),
    "with patience": (SMOOTHED, SMOOTHED, PETALS, CUP, PATIENT),
    "pooling as it is": (SMOOTHED, SMOOTHED, PETALS, CUP, {**PATIENT, "pooling": None}),
    "not known": (SMOOTHED, el.Gradient(), PETALS, CUP, PATIENT),
}


def run(
    shown: el.Explainer, aimed: el.Explainer, victim: int, lender: int, settings: dict[str, float]
) -> tuple[el.Manipulation, dict[str, float]]:
    """Attack a crop as the page does; tell what viewers see of it."""
    torch.manual_seed(0)
    model, (images, _) = el.load_model("crops_vgg"), el.load_crops("test")

    def look(pictures: Tensor, classes: Tensor) -> Tensor:
        return el.relevance_map(shown(model, pictures, classes))

    picture, other = images[[victim]], images[[lender]]
    own = model(picture).argmax(dim=1)
    target = look(other, model(other).argmax(dim=1))
    result = el.manipulate(model, picture, target, aimed, **settings)
    before, after = look(picture, own), look(result.images, own)
    return result, {
        "pcc_target_before": el.metrics.pcc(before, target).item(),
        "pcc_target": el.metrics.pcc(after, target).item(),
        "pcc_original": el.metrics.pcc(after, before).item(),
        "image_linf": (result.images - picture).abs().max().item(),
        "class_kept": bool(model(result.images).argmax(dim=1) == own),
    }


def draw(result: el.Manipulation) -> None:
    """Draw the six pictures that the page shows live, a pixel for a pixel."""
    folder = ROOT / "book" / "_static" / "live_example"
    folder.mkdir(exist_ok=True)
    before, after = result.original_images[0], result.images[0]
    change = el.figures.magnified(after - before, 10)
    for name, picture in {"picture": before, "forged": after, "change": change}.items():
        plt.imsave(folder / f"{name}.png", picture.permute(1, 2, 0).numpy())
    maps = {
        "map": result.original_maps[0],
        "target": result.target_maps[0],
        "forged_map": result.maps[0],
    }
    top = el.figures.colour_limit([maps["map"], maps["target"]])
    for name, relevance in maps.items():
        colours = {"vmin": 0, "vmax": top, "cmap": el.figures.MAP_COLOURS}
        plt.imsave(folder / f"{name}.png", relevance.numpy(), **colours)


if __name__ == "__main__":
    runs = {name: run(*how) for name, how in RUNS.items()}
    draw(runs["as it stands"][0])
    table = pd.DataFrame({name: found for name, (_, found) in runs.items()}).T
    table = table.rename_axis("settings").reset_index().infer_objects()
    el.results.save_table(
        ROOT / "results" / "live_example.csv",
        table.round(6),
        command="python benchmarks/live_example.py",
        model="crops_vgg",
        size=64,
    )
    print(table.to_string(index=False))
