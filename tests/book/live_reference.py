"""What the page of the live attack has to find."""

from typing import Any

import numpy as np

import explman_lite as el
from bookkit.live import CROPS


def check_attack(found: dict[str, Any], steps: int) -> el.Manipulation:
    """Compare so many steps of the attack that the page begins with; return the package's."""
    images, _ = el.load_crops("test")
    # Whole grey levels, which float32 rounds when it divides them by 255.
    levels = (255 * images[list(CROPS)]).round().double()
    victim, lender = levels[[1]] / 255, levels[[8]] / 255
    network, explainer = el.load_model("crops_vgg").double(), el.Gradient()
    target = el.relevance_map(explainer(network, lender, network(lender).argmax(dim=1)))
    settings = {"steps": steps, "lr": 4 / 255, "epsilon": 8 / 255}
    result = el.manipulate(network, victim, target, explainer, progress=False, **settings)
    moved = np.array(found["x"]) - np.array(found["before"])
    expected = (result.images - victim).flatten().numpy()
    assert np.linalg.norm(moved - expected) < 1e-6 * np.linalg.norm(expected)
    assert np.allclose(found["map"], result.maps.flatten().numpy(), atol=1e-5)
    return result
