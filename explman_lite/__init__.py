"""Manipulate the explanations of neural networks, and see why it works.

Data flows one way: `pictures` and `networks` feed `explainers`, whose attributions become `maps`;
the `attack` changes pictures until their map is the target; `metrics` and `figures` judge and show.

A module imports only from those above it in this list.

============ ========================================================================
validation   what is refused, with what was given and what is expected
progress     a bar with the time that is left, where somebody looks
results      recorded tables, each with its provenance
maps         from an attribution to a relevance map
metrics      how alike two maps, pictures or outputs are
embedding    pictures as HTML, on a wide page and on a phone
figures      one style for all figures
slider       figures behind a slider that needs no kernel
pictures     photographs, crops of them, digits, and target maps drawn from a sentence
networks     the networks that are explained: trained, prepared, smoothed
explainers   which pixels an answer depends on, and the registry of the methods
faithfulness whether a map shows what the network looks at
curvature    how the level sets of a network bend
attack       a picture, or a network, changed until the map is the target
controls     the same picture changed as far, at random
training     a network trained so that its explanations turn slowly
bench        many pairs of pictures, attacked with every method
checks       checks of readers' exercises
items        questions about the chapters
quiz         the quiz of a chapter
playground   figures with controls
============ ========================================================================
"""

from explman_lite import (
    checks,
    controls,
    curvature,
    faithfulness,
    figures,
    metrics,
    playground,
    results,
    training,
)
from explman_lite.attack import (
    AttackStep,
    Manipulation,
    ModelManipulation,
    ModelSettings,
    ModelStep,
    Settings,
    manipulate,
    manipulate_model,
    manipulation_loss,
)
from explman_lite.explainers import registry
from explman_lite.explainers.base import Explainer, Explanation
from explman_lite.explainers.registry import *  # noqa: F403  (what is registered is public)
from explman_lite.maps import relevance_map
from explman_lite.networks.prepare import Network, prepare
from explman_lite.networks.smoothing import smoothed
from explman_lite.networks.zoo import class_names, load_model, model_names
from explman_lite.pictures.crops import load_crops
from explman_lite.pictures.digits import load_digits
from explman_lite.pictures.photos import load_photo, photo_names, text_target
from explman_lite.quiz import Quiz
from explman_lite.slider import FrameSlider

__all__ = [
    "AttackStep",
    "Explainer",
    "Explanation",
    "FrameSlider",
    "Manipulation",
    "ModelManipulation",
    "ModelSettings",
    "ModelStep",
    "Network",
    "Quiz",
    "Settings",
    "checks",
    "class_names",
    "controls",
    "curvature",
    "faithfulness",
    "figures",
    "load_crops",
    "load_digits",
    "load_model",
    "load_photo",
    "manipulate",
    "manipulate_model",
    "manipulation_loss",
    "metrics",
    "model_names",
    "photo_names",
    "playground",
    "prepare",
    "relevance_map",
    "results",
    "smoothed",
    "text_target",
    "training",
    *registry.__all__,
]
