"""Pictures of any depth in 8 bits, where it is known which of their numbers stands for white."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

_BITS, _FORMAT, _LARGEST = 258, 339, (341, 281)
"""Tags of a TIFF file: BitsPerSample, SampleFormat, and SMaxSampleValue or MaxSampleValue."""
_SIGNED = 2
_DARK = 1 / 16


def in_eight_bits(picture: Image.Image, tags: Mapping[int, Any], name: str) -> Image.Image:
    """Scale what has more than 8 bits a number, which Pillow would clip or leave almost black.

    White is the largest number that the bits can hold, and 1 among floating-point numbers. A
    picture that stays below a sixteenth of that probably means another white, as where 12 bits are
    stored in 16. It is that of the file if its tags name one; otherwise the picture is refused.
    """
    bits = int(np.max(tags.get(_BITS, 16 if picture.mode.startswith("I") else 8)))
    is_float, is_integer = picture.mode == "F", picture.mode.startswith("I")
    if bits <= 8 and not is_float:
        return picture
    numbers = np.asarray(picture)
    darkest, brightest = float(numbers.min()), float(numbers.max())
    if is_float:
        white = 1.0
    elif is_integer:
        white = 2.0 ** (bits - (np.max(tags.get(_FORMAT, 1)) == _SIGNED)) - 1
    else:
        white = 255.0  # Pillow kept the upper 8 bits of each colour.
    fits = brightest == 0 or _DARK * white < brightest <= white
    named = [float(np.max(tags[tag])) for tag in _LARGEST if tag in tags]
    if not fits and named and (is_float or is_integer):
        white = named[0]
        fits = brightest <= white
    if not fits or not darkest >= 0:
        raise ValueError(
            f"{name} holds numbers from {darkest:g} to {brightest:g}, and nothing says which one "
            "is white: save it with 8 bits for each colour"
        )
    if not is_float and not is_integer:
        return picture
    return Image.fromarray((numbers / (white / 255)).round().clip(0, 255).astype(np.uint8))
