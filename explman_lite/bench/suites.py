"""The suites of the benchmark: which networks and methods are attacked, how, and on which pairs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import product

from explman_lite.attack import Settings
from explman_lite.bench.jobs import Attack, Case, Suite
from explman_lite.bench.pairs import balanced_pairs, crossed_pairs, ordered_pairs, random_pairs
from explman_lite.explainers.registry import DEFENSES, EXPLAINERS, UNPROTECTED
from explman_lite.pictures.collections import (
    CROPS,
    DIGITS,
    IMAGENET,
    IMAGENET_SIZE,
    IMAGENETTE,
    PHOTOGRAPHS,
)
from explman_lite.pictures.crops import CROPPED
from explman_lite.pictures.photos import photo_names

METHODS = tuple(card.name for card in EXPLAINERS.values() if card.in_paper)
"""The paper's six methods."""

ARCHITECTURES = ("vgg16", "resnet18", "alexnet", "densenet121")
"""The paper's four ImageNet networks, by torchvision's names."""

SMALL_ARCHITECTURES = ("crops_vgg", "crops_alexnet", "crops_resnet", "crops_densenet")
"""Small networks of the same families, for crops."""

PAPER_DEFENSE = "BetaSmoothing(0.8)"
"""What the paper attacks in its appendix."""

_IMAGENETTE_SIZE = 3925
_GROUPS = len(CROPPED)

EPSILON = 8 / 255
"""The ε-box of the audit, which is customary for adversarial examples."""

_TEN_SAMPLES = Case("crops_vgg", "SmoothGrad(10)")
_WITHOUT_NOISE = (
    *(
        Case("crops_vgg", card.name)
        for card in DEFENSES.values()
        if card.family in {"none", "softplus", "centred", "tangent"}
    ),
    *(Case(name, UNPROTECTED) for name in ("crops_vgg_softplus", "crops_vgg_robust")),
)
_WITH_NOISE = tuple(
    Case("crops_vgg", card.name) for card in DEFENSES.values() if card.family in {"noise", "both"}
)


def within(epsilon: float, steps: int, share: float = 1 / 2) -> Settings:
    """Attack within a box, in steps of a share of it.

    Without the box, the attacker of a smoother map takes larger steps away from the picture, and
    gets further.
    """
    return Settings(steps=steps, lr=share * epsilon, epsilon=epsilon)


def _expected(settings: Settings) -> Settings:
    """Attack the expectation over noise, in place of samples that are known."""
    return replace(settings, fresh_noise=5)


_SMALL_STEPS = Attack(Settings(steps=100, lr=1e-3))
"""For crops, in place of a box: as far as the attack gets in so many small steps."""

_STEP_SIZES = {
    f"ε over {part}": Attack(_expected(within(EPSILON, steps=50, share=1 / part)))
    for part in (1, 2, 4, 8)
}
_BUDGETS = {
    **{
        f"{levels} levels": Attack(within(levels / 255, steps=100))
        for levels in (1, 2, 4, 8, 16, 32)
    },
    **{f"{steps} steps": Attack(within(EPSILON, steps)) for steps in (10, 25, 50, 200, 400)},
    "four searches": Attack(within(EPSILON, steps=100), searches=4),
    "no box": Attack(Settings(steps=400, lr=0.02)),
    # A step too short to matter: the best of so many random pictures of the box.
    "random search": Attack(replace(within(EPSILON, steps=1), lr=1e-9), searches=100),
}
"""More and more grey levels, then steps, then any picture; at last nothing but luck."""


def _each(cases: Iterable[Case], settings: Iterable[str]) -> tuple[Case, ...]:
    """Return each case with each of the settings."""
    return tuple(case._replace(settings=name) for case, name in product(cases, settings))


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(
            "digits",
            "six methods, digits_vgg, 100 pairs of test digits",
            DIGITS,
            tuple(Case("digits_vgg", method) for method in METHODS),
            partial(random_pairs, available=360, count=100),
            attacks={"ours": Attack(Settings(steps=100, lr=2e-3))},
            batch=25,
            path_points=4,
        ),
        Suite(
            "photos",
            "six methods, efficientnet_lite0, ordered pairs of photographs, 160 × 160 pixels",
            PHOTOGRAPHS,
            tuple(Case("efficientnet_lite0", method) for method in METHODS),
            partial(ordered_pairs, available=len(photo_names())),
            attacks={"ours": Attack(Settings(steps=100))},
            batch=30,
            precision="float32",
            path_points=4,
        ),
        Suite(
            "imagenet",
            "six methods, efficientnet_lite0, 100 pairs of the extra's pictures, 224 × 224 pixels",
            IMAGENET,
            tuple(Case("efficientnet_lite0", method) for method in METHODS),
            partial(balanced_pairs, available=IMAGENET_SIZE, rounds=5),
            batch=20,
            precision="float32",
            path_points=4,
        ),
        Suite(
            "paper",
            "the paper's networks and methods, 100 pairs of Imagenette, its settings and ours",
            IMAGENETTE,
            tuple(
                Case(model, method, settings)
                for model in ARCHITECTURES
                for method in (METHODS if model == "vgg16" else METHODS[:1])
                for settings in ("paper", "ours")
            ),
            partial(random_pairs, available=_IMAGENETTE_SIZE, count=100),
            attacks={"paper": Attack(None), "ours": Attack()},
            precision="float32",
        ),
        Suite(
            "architectures",
            "the gradient of four small networks, of the paper's families, 100 pairs of crops",
            CROPS,
            tuple(Case(model, UNPROTECTED) for model in SMALL_ARCHITECTURES),
            partial(crossed_pairs, groups=_GROUPS, count=100),
            attacks={"ours": _SMALL_STEPS},
            batch=20,
            precision="float32",
        ),
        Suite(
            "gradcam-photos",
            "Grad-CAM, efficientnet_lite0, ordered pairs of photographs, 160 × 160 pixels",
            PHOTOGRAPHS,
            (Case("efficientnet_lite0", "GradCAM"),),
            partial(ordered_pairs, available=len(photo_names())),
            attacks={"ours": Attack(Settings(steps=100))},
            batch=30,
            precision="float32",
        ),
        Suite(
            "gradcam-crops",
            "Grad-CAM of four small networks, of the paper's families, 100 pairs of crops",
            CROPS,
            tuple(Case(model, "GradCAM") for model in SMALL_ARCHITECTURES),
            partial(crossed_pairs, groups=_GROUPS, count=100),
            attacks={"ours": _SMALL_STEPS},
            batch=20,
            precision="float32",
        ),
        Suite(
            "step-sizes",
            "step sizes for the audit, chosen on 20 pairs of crops that it does not use",
            CROPS,
            _each((*_WITHOUT_NOISE, _TEN_SAMPLES), _STEP_SIZES),
            partial(crossed_pairs, groups=_GROUPS, count=20, first=300),
            attacks=_STEP_SIZES,
            batch=20,
            precision="float32",
        ),
        Suite(
            "defense",
            "the audit: every defence attacked adaptively, two of them as in the paper, on crops",
            CROPS,
            _each(_WITHOUT_NOISE, ["adaptive"])
            + _each(_WITH_NOISE, ["unseen"])
            + _each([_TEN_SAMPLES], ["adaptive"])
            + tuple(Case("crops_vgg", name, "paper") for name in (UNPROTECTED, PAPER_DEFENSE)),
            partial(crossed_pairs, groups=_GROUPS, count=100),
            attacks={
                "adaptive": Attack(within(EPSILON, steps=50)),
                "unseen": Attack(_expected(within(EPSILON, steps=50))),
                "paper": Attack(Settings.paper("Gradient", "crops_vgg", against_smoothing=True)),
            },
            measures=("defense",),
            batch=20,
            precision="float32",
        ),
        Suite(
            "budgets",
            "how far an attack gets with more grey levels and more steps, 20 pairs of crops",
            CROPS,
            _each(
                (
                    Case("crops_vgg", UNPROTECTED),
                    Case("crops_vgg", "BetaSmoothing(1)"),
                    Case("crops_vgg_softplus", UNPROTECTED),
                ),
                _BUDGETS,
            ),
            partial(crossed_pairs, groups=_GROUPS, count=20),
            attacks=_BUDGETS,
            batch=20,
            precision="float32",
        ),
    )
}
"""The suites by name.

On a CPU, Integrated Gradients takes 4 points instead of the paper's 30; on digits, the correlation
of its maps with those of 300 points is still 0.97 or more.
"""
