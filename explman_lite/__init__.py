"""Manipulate the explanations of neural networks, and see why it works.

The data flows one way: `pictures` and `networks` feed `explainers`, whose attributions become
`maps`; the `attack` changes pictures until their map is the target; `metrics` and `figures` judge
and show.
"""

from explman_lite import checks, curvature, faithfulness, figures, metrics, playground, results
from explman_lite.attack import AttackStep, Manipulation, Settings, manipulate, manipulation_loss
from explman_lite.explainers import registry
from explman_lite.explainers.base import Explainer, Explanation
from explman_lite.explainers.registry import *  # noqa: F403  (what is registered is public)
from explman_lite.maps import relevance_map
from explman_lite.networks.prepare import Network, prepare
from explman_lite.networks.smoothing import smoothed
from explman_lite.networks.zoo import class_names, load_model, model_names
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
    "Network",
    "Quiz",
    "Settings",
    "checks",
    "class_names",
    "curvature",
    "faithfulness",
    "figures",
    "load_digits",
    "load_model",
    "load_photo",
    "manipulate",
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
    *registry.__all__,
]
