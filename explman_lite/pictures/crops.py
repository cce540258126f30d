"""Pieces of ten photographs: real pixels in colour, as many as one likes, without a download."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from explman_lite.pictures.photos import PHOTOS, Photo, photo_path
from explman_lite.validation import check_choice, check_count

CROP_SIZE = 64
"""Height and width of a crop in pixels."""

CROPPED: dict[str, Photo] = dict(
    sorted(
        {
            **PHOTOS,
            "galaxies": Photo("skimage", "data/hubble_deep_field.jpg", "NASA", "public domain"),
            "motorcycle": Photo(
                "skimage", "data/motorcycle_left.png", "Scharstein et al.", "Middlebury stereo 2014"
            ),
            "retina": Photo("skimage", "data/retina.jpg", "Mikael Häggström", "CC0"),
            "tissue": Photo("skimage", "data/ihc.png", "CMMI", "no known restrictions"),
        }.items()
    )
)
"""The photographs, each a class, in the order of their labels."""

Split = Literal["train", "test"]

_SHORTER_SIDE, _TILE = 400, 80
_STEP = {"train": 2, "test": 4}
_PER_PHOTOGRAPH = {"train": 100, "test": 60}


class _Photograph(NamedTuple):
    """A photograph, and where crops of it may begin."""

    pixels: Tensor
    """(3, H, W), uint8."""
    corners: dict[str, NDArray[np.intp]]
    """For each split (N, 2): row and column of the upper left pixels."""


def load_crops(split: Split = "test") -> tuple[Tensor, Tensor]:
    """Load 64 × 64 pieces of ten photographs; the photograph is the class.

    Each photograph is scaled to 400 pixels on its shorter side and cut into tiles of about 80
    pixels. Every other tile of every other row is held out: the crops of the test split lie inside
    these, those of the training split do not touch them.

    Parameters
    ----------
    split : {"train", "test"}
        1,000 crops for training, or 600 for testing, the same number of each photograph; their
        order was drawn once and for all.

    Returns
    -------
    images : Tensor
        (N, 3, 64, 64), float32 in [0, 1].
    labels : Tensor
        (N,), int64 from 0 to 9, see ``class_names("crops_vgg")``.

    Raises
    ------
    ValueError
        If the split is unknown.

    Notes
    -----
    Besides the photographs of `load_photo`, scikit-image carries the Hubble eXtreme Deep Field
    (NASA, public domain), a stained tissue (CMMI, no known copyright restrictions), a retina
    (Mikael Häggström, CC0) and a motorcycle (Scharstein et al., Middlebury stereo benchmark 2014).

    Examples
    --------
    >>> import explman_lite as el
    >>> images, labels = el.load_crops("test")
    >>> images.shape, labels.bincount().tolist()
    (torch.Size([600, 3, 64, 64]), [60, 60, 60, 60, 60, 60, 60, 60, 60, 60])
    """
    check_choice("split", split, set(_PER_PHOTOGRAPH))
    return draw_crops(split, _PER_PHOTOGRAPH[split])


def draw_crops(split: Split, per_photograph: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw other crops than `load_crops` does, or more of them.

    Parameters
    ----------
    split : {"train", "test"}
        See `load_crops`.
    per_photograph : int
        How many of each photograph, at different places.
    seed : int
        Of their places and their order.

    Returns
    -------
    images, labels : Tensor
        See `load_crops`.

    Raises
    ------
    ValueError
        If the split is unknown, or a photograph has not so many places.
    """
    check_choice("split", split, set(_STEP))
    check_count(per_photograph=per_photograph)
    generator = np.random.default_rng(seed)
    crops = []
    for name in CROPPED:
        photograph = _photograph(name)
        corners = photograph.corners[split]
        if per_photograph > len(corners):
            raise ValueError(
                f"{name} has {len(corners)} places for crops in the {split} split, "
                f"got per_photograph={per_photograph}"
            )
        chosen = corners[generator.choice(len(corners), per_photograph, replace=False)]
        crops += [
            photograph.pixels[:, top : top + CROP_SIZE, left : left + CROP_SIZE]
            for top, left in chosen.tolist()
        ]
    order = torch.from_numpy(generator.permutation(len(crops)))
    labels = torch.arange(len(CROPPED)).repeat_interleave(per_photograph)
    return torch.stack(crops)[order].float() / 255, labels[order]


@lru_cache(maxsize=len(CROPPED))
def _photograph(name: str) -> _Photograph:
    """Read a photograph, scale it and list the corners of its crops."""
    with Image.open(photo_path(CROPPED[name])) as opened:
        scale = _SHORTER_SIDE / min(opened.size)
        size = (round(opened.width * scale), round(opened.height * scale))
        scaled = opened.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(scaled)).permute(2, 0, 1).contiguous()
    held_out = _held_out(*pixels.shape[1:])
    # How many pixels of each possible crop are held out: all, some or none.
    sums = np.pad(held_out.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    inside = (
        sums[CROP_SIZE:, CROP_SIZE:]
        - sums[:-CROP_SIZE, CROP_SIZE:]
        - sums[CROP_SIZE:, :-CROP_SIZE]
        + sums[:-CROP_SIZE, :-CROP_SIZE]
    )
    corners = {}
    for split, wanted in (("train", 0), ("test", CROP_SIZE**2)):
        step = _STEP[split]
        corners[split] = np.argwhere(inside[::step, ::step] == wanted) * step
    return _Photograph(pixels, corners)


def _held_out(height: int, width: int) -> NDArray[np.int64]:
    """Mark the pixels of every other tile in every other row, by turns."""
    rows, columns = round(height / _TILE), round(width / _TILE)
    marked = np.zeros((height, width), dtype=np.int64)
    for row in range(1, rows, 2):
        top, bottom = row * height // rows, (row + 1) * height // rows
        for column in range(row // 2 % 2, columns, 2):
            left, right = column * width // columns, (column + 1) * width // columns
            marked[top:bottom, left:right] = 1
    return marked
