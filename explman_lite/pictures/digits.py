"""Handwritten digits: the paper's CIFAR-10 case at laptop scale."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from explman_lite.validation import check_choice

_SIZE = 32
_HELD_OUT = 360


def load_digits(split: Literal["train", "test"] = "test") -> tuple[Tensor, Tensor]:
    """Load scikit-learn's handwritten digits, scaled up from 8 × 8 to 32 × 32.

    Parameters
    ----------
    split : {"train", "test"}
        The 1,437 digits that ``digits_vgg`` was trained on, or the 360 that it never saw. In both
        the ten classes are about equally frequent; their order was drawn once and for all.

    Returns
    -------
    images : Tensor
        (N, 1, 32, 32), float32 in [0, 1].
    labels : Tensor
        (N,), int64 from 0 to 9.

    Raises
    ------
    ValueError
        If the split is unknown.

    References
    ----------
    Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository (CC BY 4.0), as carried by scikit-learn.

    Examples
    --------
    >>> import explman_lite as el
    >>> images, labels = el.load_digits("test")
    >>> images.shape, labels.shape
    (torch.Size([360, 1, 32, 32]), torch.Size([360]))
    """
    check_choice("split", split, {"train", "test"})
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    pixels, labels = datasets.load_digits(return_X_y=True)
    parts = train_test_split(pixels, labels, test_size=_HELD_OUT, stratify=labels, random_state=0)
    pixels, labels = (parts[0], parts[2]) if split == "train" else (parts[1], parts[3])
    small = torch.from_numpy(np.asarray(pixels, dtype=np.float32) / 16).view(-1, 1, 8, 8)
    images = F.interpolate(small, size=(_SIZE, _SIZE), mode="bilinear").clamp(0, 1)
    return images, torch.from_numpy(np.asarray(labels, dtype=np.int64))
