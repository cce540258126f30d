"""Manipulate the explanations of neural networks, and see why it works.

The data flows one way: `images` and `models` feed `explainers`, whose attributions become `maps`;
the `attack` changes images until their map is the target; `metrics` and `figures` judge and show.
"""

from explman_lite import checks, curvature, figures, metrics, playground, results
from explman_lite.attack import manipulate
from explman_lite.averaging import BetaSmoothing, IntegratedGradients, SmoothGrad
from explman_lite.digits import load_digits
from explman_lite.explainers import Explainer, Explanation, Gradient, GradientTimesInput
from explman_lite.images import load_photo, photo_names, text_target
from explman_lite.lrp import LRP
from explman_lite.manipulation import AttackStep, Manipulation
from explman_lite.maps import relevance_map
from explman_lite.models import Network, class_names, load_model, model_names, prepare
from explman_lite.patterns import PatternAttribution, fit_patterns
from explman_lite.propagation import GuidedBackprop
from explman_lite.quiz import Quiz
from explman_lite.slider import FrameSlider
from explman_lite.smoothing import smoothed

__all__ = [
    "LRP",
    "AttackStep",
    "BetaSmoothing",
    "Explainer",
    "Explanation",
    "FrameSlider",
    "Gradient",
    "GradientTimesInput",
    "GuidedBackprop",
    "IntegratedGradients",
    "Manipulation",
    "Network",
    "PatternAttribution",
    "Quiz",
    "SmoothGrad",
    "checks",
    "class_names",
    "curvature",
    "figures",
    "fit_patterns",
    "load_digits",
    "load_model",
    "load_photo",
    "manipulate",
    "metrics",
    "model_names",
    "photo_names",
    "playground",
    "prepare",
    "relevance_map",
    "results",
    "smoothed",
    "text_target",
]
