"""Profile an attack step: to which kinds of work its time goes.

python benchmarks/step_profile.py
"""

from pathlib import Path

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile

import explman_lite as el

RESULT = Path(__file__).parents[1] / "results" / "step_profile.csv"
BETA, STEPS = 30.0, 10
KINDS = {
    "convolution": ("conv",),
    "softplus and its slopes": ("oftplus", "sigmoid", "log_", "Slope", "copysign"),
    "dense layers": ("mm", "linear"),
    "pooling": ("pool",),
    "sums, products and copies": ("add", "mul", "sub", "div", "copy", "sum", "zero", "fill", "neg"),
}


def kind(operation: str) -> str:
    """Sort an operation into one of the kinds of work."""
    for name, parts in KINDS.items():
        if any(part in operation for part in parts):
            return name
    return "the rest"


def profile_steps(name: str, explainer: el.Explainer) -> pd.DataFrame:
    """Run a few steps of the attack on one network and share out their time."""
    network, cat, label = el.load_model(name), el.load_photo("chelsea"), torch.tensor([285])
    network = el.smoothed(network, BETA)
    target = torch.rand(1, 224, 224, generator=torch.Generator().manual_seed(0))
    before = network(cat) + 0.1

    def step() -> None:
        pixels = cat.clone().requires_grad_()
        attribution, logits = explainer.explain(network, pixels, label)
        loss = el.manipulation_loss(el.relevance_map(attribution), target, logits, before)
        torch.autograd.grad(loss.sum(), pixels)

    step()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(STEPS):
            step()
    table = pd.DataFrame(
        [(kind(e.key), e.self_cpu_time_total) for e in profiler.key_averages()],
        columns=["work", "share"],
    )
    shares = table.groupby("work").share.sum().sort_values(ascending=False)
    print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=25))
    shares = (shares / shares.sum()).round(3).reset_index()
    return shares.assign(model=name, method=explainer.name)[["model", "method", "work", "share"]]


def main() -> None:
    torch.manual_seed(0)
    tables = [profile_steps("efficientnet_lite0", e) for e in (el.Gradient(), el.LRP())]
    el.results.save_table(
        RESULT, pd.concat(tables), command="python benchmarks/step_profile.py", beta=BETA
    )


if __name__ == "__main__":
    main()
