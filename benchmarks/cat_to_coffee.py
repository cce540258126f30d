"""Record the book's first result: the cat whose map is a cup of coffee.

python benchmarks/cat_to_coffee.py
"""

from pathlib import Path

import torch

import explman_lite as el

RESULT = Path(__file__).parents[1] / "results" / "cat_to_coffee.csv"
SETTINGS = {"steps": 150, "lr": 4e-3, "output_weight": 10.0, "beta": (10.0, 100.0)}


def main() -> None:
    torch.manual_seed(0)
    model = el.load_model()
    cat, coffee = el.load_photo("chelsea"), el.load_photo("coffee")
    explainer = el.Gradient()
    target = el.relevance_map(explainer(model, coffee, model(coffee).argmax(dim=1)))
    result = el.manipulate(model, cat, target, explainer, **SETTINGS)
    el.results.save_table(
        RESULT,
        result.summary().round(6),
        command="python benchmarks/cat_to_coffee.py",
        model="efficientnet_lite0",
        size=224,
        explainer=explainer.name,
        seed=0,
        **SETTINGS,
    )
    print(result.summary().T.to_string(header=False))


if __name__ == "__main__":
    main()
