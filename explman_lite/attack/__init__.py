r"""The attack: change the picture invisibly until its explanation is the target map.

.. math::

   \mathcal L(x_{adv}) = \lVert h(x_{adv}) - h^t \rVert^2 + \gamma \lVert g(x_{adv}) - g(x) \rVert^2

Both terms are free of units, so that γ means the same for every network and resolution: the maps
have mean 1, and the change of the logits is measured against their own spread.
"""

from explman_lite.attack.loss import manipulation_loss
from explman_lite.attack.restarts import attack_defense
from explman_lite.attack.result import AttackStep, Manipulation
from explman_lite.attack.run import manipulate
from explman_lite.attack.settings import Schedule, Settings, constant, one_cycle
from explman_lite.attack.weights import (
    ModelManipulation,
    ModelSettings,
    ModelStep,
    manipulate_model,
)

__all__ = [
    "AttackStep",
    "Manipulation",
    "ModelManipulation",
    "ModelSettings",
    "ModelStep",
    "Schedule",
    "Settings",
    "attack_defense",
    "constant",
    "manipulate",
    "manipulate_model",
    "manipulation_loss",
    "one_cycle",
]
