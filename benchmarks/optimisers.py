"""Compare optimisers, step sizes, β schedules, γ, precisions and methods: cat to coffee at 224 px.

python benchmarks/optimisers.py

Every row is one attack of its own, judged by the ReLU network at its end. The loop is written out
here, apart from the package's own, so that the two check each other and any optimiser fits in.
"""

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

import explman_lite as el
from explman_lite.attack import constant, one_cycle
from explman_lite.networks.smoothing import set_beta

RESULT = Path(__file__).parents[1] / "results" / "optimisers.csv"
BUDGETS = (30, 60)


@dataclass(frozen=True)
class Trial:
    """One attack: what is varied, and what it starts from."""

    study: str
    case: str = "cat to coffee"
    method: str = "Gradient"
    optimiser: str = "Adam one-cycle"
    lr: float = 4e-3
    output_weight: float = 13.0
    beta_start: float = 5.0
    beta_end: float = 100.0
    precision: str = "float32"
    steps: int = 60


def trials() -> Iterator[Trial]:
    """List what is compared, study by study."""
    step_sizes = {
        "Adam one-cycle": (4e-3, 8e-3),
        "Adam one-cycle, averages of 10 and 1000 steps": (4e-3,),
        "Adam constant": (1e-3, 2e-3),
        "sign": (6e-4, 1.2e-3),
        "L-BFGS": (1.0,),
    }
    for optimiser, sizes in step_sizes.items():
        for lr in sizes:
            for steps in BUDGETS:
                yield Trial("optimiser", optimiser=optimiser, lr=lr, steps=steps)
    for schedule in ((10, 10), (30, 30), (100, 100), (10, 100), (5, 100), (5, 50)):
        for steps in BUDGETS:
            yield Trial("beta", beta_start=schedule[0], beta_end=schedule[1], steps=steps)
    for precision in ("float32", "bfloat16"):
        yield Trial("precision", precision=precision)
    for weight in (0.0, 0.4, 1.3, 4.0, 13.0, 40.0):
        yield Trial("output weight", output_weight=weight)
    for steps in (60, 150):
        for lr in (2e-3, 4e-3, 6e-3):
            yield Trial("trade-off", lr=lr, steps=steps)
    for name, method in itertools.product(CASES, METHODS):
        for lr in (2e-3, 4e-3):
            yield Trial("method", name, method, lr=lr)


def cat_to_coffee() -> tuple[el.Network, Tensor, Tensor, Tensor]:
    """Return the network, the cat, the cup, and pictures to fit patterns to."""
    photos = torch.cat([el.load_photo(name) for name in el.photo_names()])
    return el.load_model(), el.load_photo("chelsea"), el.load_photo("coffee"), photos


def digits() -> tuple[el.Network, Tensor, Tensor, Tensor]:
    """Return the network, sixteen digits, sixteen others, and the training split."""
    images, _ = el.load_digits("test")
    return el.load_model("digits_vgg"), images[:16], images[16:32], el.load_digits("train")[0]


CASES = {"cat to coffee": cat_to_coffee, "digits": digits}
METHODS = {
    f"{card.name}(5)" if card.points else card.name: card
    for card in el.EXPLAINERS.values()
    if card.in_paper
}


class Case:
    """A network, a method, pictures and the maps they shall get."""

    def __init__(self, name: str, method: str) -> None:
        self.model, self.images, others, fitting = CASES[name]()
        self.explainer = METHODS[method].make(self.model, fitting, points=5)
        with torch.no_grad():
            self.logits, other_logits = self.model(self.images), self.model(others)
        self.classes = self.logits.argmax(dim=1)
        attribution = self.explainer(self.model, others, other_logits.argmax(dim=1))
        self.target = el.relevance_map(attribution)

    def loss(self, network: el.Network, pixels: Tensor, trial: Trial) -> Tensor:
        """Compute the loss; the network and the explanation may be in half precision."""
        explanation = self.explainer.explain(
            network, pixels.to(getattr(torch, trial.precision)), self.classes
        )
        relevance = el.relevance_map(explanation.attribution.float())
        logits = explanation.logits.float()
        return el.manipulation_loss(
            relevance, self.target, logits, self.logits, trial.output_weight
        ).sum()

    def judge(self, pixels: Tensor) -> dict[str, float]:
        """Measure what was reached, under the ReLU network in single precision."""
        attribution, logits = self.explainer.explain(self.model, pixels, self.classes)
        relevance = el.relevance_map(attribution)
        measured = {
            "pcc": el.metrics.pcc(relevance, self.target),
            "ssim": el.metrics.ssim(relevance, self.target),
            "image_ssim": el.metrics.ssim(pixels, self.images, data_range=1.0),
            "output_change": el.metrics.output_change(logits, self.logits),
        }
        return {name: values.mean().item() for name, values in measured.items()}


class Sign(torch.optim.Optimizer):
    """Steps of one size for every pixel, in the direction of the gradient's sign."""

    def __init__(self, parameters: list[Tensor], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        with torch.enable_grad():
            loss = closure()
        for group in self.param_groups:
            for pixels in group["params"]:
                pixels -= group["lr"] * pixels.grad.sign()
        return loss


def build(trial: Trial, pixels: Tensor) -> tuple[torch.optim.Optimizer, Callable[[float], float]]:
    """Return the optimiser and the schedule of its step size."""
    short = {"betas": (0.8, 0.99)}
    match trial.optimiser:
        case "Adam one-cycle":
            return torch.optim.Adam([pixels], trial.lr, **short), one_cycle
        case "Adam one-cycle, averages of 10 and 1000 steps":
            return torch.optim.Adam([pixels], trial.lr), one_cycle
        case "Adam constant":
            return torch.optim.Adam([pixels], trial.lr, **short), constant
        case "sign":
            return Sign([pixels], trial.lr), constant
        case "L-BFGS":
            search = torch.optim.LBFGS(
                [pixels], trial.lr, max_iter=4, max_eval=5, line_search_fn="strong_wolfe"
            )
            return search, constant
    raise ValueError(f"no such optimiser: {trial.optimiser}")


@cache
def case(name: str, method: str) -> Case:
    """Prepare a case once."""
    return Case(name, method)


def attack(trial: Trial) -> dict[str, object]:
    """Run one attack until its budget of gradients is spent."""
    at = case(trial.case, trial.method)
    network = el.smoothed(at.model, trial.beta_start)
    if trial.precision != "float32":
        network = copy.deepcopy(network).to(getattr(torch, trial.precision))
    pixels = at.images.clone().requires_grad_()
    optimiser, schedule = build(trial, pixels)
    spent = 0

    def closure() -> Tensor:
        nonlocal spent
        spent += 1
        loss = at.loss(network, pixels, trial)
        (pixels.grad,) = torch.autograd.grad(loss, pixels)
        return loss.detach()

    while spent < trial.steps:
        fraction = spent / max(trial.steps - 1, 1)
        set_beta(network, trial.beta_start * (trial.beta_end / trial.beta_start) ** fraction)
        optimiser.param_groups[0]["lr"] = trial.lr * schedule(fraction)
        optimiser.step(closure)
        with torch.no_grad():
            pixels.clamp_(0, 1)
    return asdict(replace(trial, steps=spent)) | at.judge(pixels.detach())


def main() -> None:
    torch.manual_seed(0)
    table = pd.DataFrame([attack(trial) for trial in tqdm(list(trials()))])
    el.results.save_table(
        RESULT,
        table.round(5),
        command="python benchmarks/optimisers.py",
        model="efficientnet_lite0",
        size=224,
        digits="16 pairs, means",
    )
    print(table.to_string())


if __name__ == "__main__":
    main()
