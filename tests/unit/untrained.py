"""Torchvision's networks without their weights, no larger than it takes to test with them."""

from itertools import pairwise

import torch
from torch import nn
from torchvision.models import get_model

TORCHVISION = ("vgg16", "resnet18", "alexnet", "densenet121")


def untrained(name: str) -> nn.Module:
    """Build one of torchvision's networks with ten classes, and narrow dense layers before them.

    VGG-16 and AlexNet have 4096 units in each, which take most of the time.
    """
    torch.manual_seed(0)
    model = get_model(name, weights=None, num_classes=10)
    if isinstance(layers := getattr(model, "classifier", None), nn.Sequential):
        places = [at for at, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
        widths = pairwise((layers[places[0]].in_features, 32, 32, 10))
        for place, (inputs, outputs) in zip(places, widths, strict=True):
            layers[place] = nn.Linear(inputs, outputs)
    return model
