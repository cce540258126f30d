"""Photographs that come with Python packages, and target maps drawn from a sentence."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import bidirectional

import matplotlib
import numpy as np
import torch
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont, ImageOps, features
from torch import Tensor

from explman_lite.pictures.brightness import in_eight_bits
from explman_lite.validation import is_integer


class Photo(NamedTuple):
    """Where a photograph comes from and what one may do with it."""

    package: str
    file: str
    author: str
    licence: str


PHOTOS: dict[str, Photo] = {
    "astronaut": Photo("skimage", "data/astronaut.png", "NASA", "public domain"),
    "chelsea": Photo("skimage", "data/chelsea.png", "Stéfan van der Walt", "CC0"),
    "china": Photo("sklearn.datasets", "images/china.jpg", "danielbuechele (Flickr)", "CC BY 2.0"),
    "coffee": Photo("skimage", "data/coffee.png", "Rachel Michetti", "CC0"),
    "flower": Photo("sklearn.datasets", "images/flower.jpg", "vultilion (Flickr)", "CC BY 2.0"),
    "rocket": Photo("skimage", "data/rocket.jpg", "SpaceX", "CC0"),
}


def photo_names() -> list[str]:
    """List the photographs that need no download.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.photo_names()
    ['astronaut', 'chelsea', 'china', 'coffee', 'flower', 'rocket']
    """
    return sorted(PHOTOS)


def load_photo(name: str | Path, size: int = 224) -> Tensor:
    """Load a photograph: the largest square in its middle, scaled.

    A picture is turned upright as its camera noted, and what is transparent lies on white. Numbers
    of more than 8 bits are scaled by the largest that their bits can hold, floating-point numbers
    lie in [0, 1]. Of pictures that move, the first one counts.

    ============ ===================================== ============= ===============
    name         what it shows, author                 licence       carried by
    ============ ===================================== ============= ===============
    astronaut    Eileen Collins, NASA                  public domain scikit-image
    chelsea      a cat, Stéfan van der Walt            CC0           scikit-image
    china        a temple, danielbuechele (Flickr)     CC BY 2.0     scikit-learn
    coffee       a cup of coffee, Rachel Michetti      CC0           scikit-image
    flower       a flower, vultilion (Flickr)          CC BY 2.0     scikit-learn
    rocket       a rocket launch, SpaceX               CC0           scikit-image
    ============ ===================================== ============= ===============

    Parameters
    ----------
    name : str or Path
        One of `photo_names`, or the path of an image file of your own.
    size : int
        Height and width of the result in pixels.

    Returns
    -------
    Tensor
        (1, 3, size, size), float32 in [0, 1].

    Raises
    ------
    ValueError
        If the name is neither known nor a readable image of at most ``PIL.Image.MAX_IMAGE_PIXELS``,
        89 million, if nothing says which number in the file is white, or if ``size`` is no positive
        integer.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.load_photo("chelsea", size=64).shape
    torch.Size([1, 3, 64, 64])
    """
    _check_size(size)
    if not isinstance(name, (str, Path)):
        raise TypeError(f"name must be a string or a Path, got {name!r}")
    path = photo_path(PHOTOS[str(name)]) if str(name) in PHOTOS else Path(name)
    if not path.is_file():
        raise ValueError(
            f"{str(name)!r} is neither a file nor a known photograph; "
            f"known photographs: {', '.join(photo_names())}"
        )
    upright, tags = _decoded(path)
    picture = _on_white(in_eight_bits(upright, tags, repr(path.name))).convert("RGB")
    edge = min(picture.size)
    left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
    square = picture.crop((left, top, left + edge, top + edge))
    pixels = np.asarray(square.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)
    return torch.from_numpy(pixels / 255).permute(2, 0, 1).unsqueeze(0).contiguous()


def _decoded(path: Path) -> tuple[Image.Image, Mapping[int, Any]]:
    """Read a picture, turned upright, and the tags of a TIFF file."""
    too_many = Image.DecompressionBombWarning, Image.DecompressionBombError
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", too_many[0])
            with Image.open(path) as opened:
                return ImageOps.exif_transpose(opened), getattr(opened, "tag_v2", {})
    except too_many as error:
        raise ValueError(
            f"{path.name!r} has more than the {Image.MAX_IMAGE_PIXELS:,} pixels that are read: "
            "scale it down first"
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # on a damaged file, decoders raise whatever they come upon
        raise ValueError(f"{path.name!r} is not an image that can be read: {error}") from error


def _on_white(picture: Image.Image) -> Image.Image:
    """Put what is transparent on white."""
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture


def text_target(text: str, size: int = 224) -> Tensor:
    """Draw a sentence as a target map: what an explanation should never say.

    The words are set as large as they fit, one line below the other, on a background of zero: in
    Pillow's own font if they are plain ASCII, otherwise in DejaVu Sans, which knows most alphabets.

    Parameters
    ----------
    text : str
        The sentence; line breaks are kept, otherwise it is broken between words.
    size : int
        Height and width of the map in pixels.

    Returns
    -------
    Tensor
        (1, size, size), float32, not negative, mean 1.

    Raises
    ------
    ValueError
        If the text is empty, holds characters that the font does not know, or is so long that it
        cannot be drawn legibly; if ``size`` is no positive integer.

    References
    ----------
    Dombrowski et al. (2019), Figure 1.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.text_target("this explanation was manipulated").shape
    torch.Size([1, 224, 224])
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {type(text).__name__}")
    if not text.strip():
        raise ValueError("text must not be empty")
    _check_size(size)
    _check_drawable(text)
    lines, font = _largest_setting(text, size)
    canvas = Image.new("L", (size, size))
    ImageDraw.Draw(canvas).multiline_text(
        (size / 2, size / 2), lines, fill=255, font=font, anchor="mm", align="center"
    )
    pixels = torch.from_numpy(np.asarray(canvas, dtype=np.float32))
    return (pixels / pixels.mean()).unsqueeze(0)


_LARGEST_SIZE = 10_000
"""Beyond, a picture of floats has more than a gigabyte."""
_SMALLEST_FONT = 8
_RULER_FONT = 100
_DEJAVU = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")


def _largest_setting(
    text: str, size: int
) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """Break the text at the number of lines that lets its letters be largest."""
    text = "".join(" " if sign.isspace() and sign != "\n" else sign for sign in text)
    words = text.split()
    most_lines = min(len(words), max(size // _SMALLEST_FONT, 1))
    settings = [text] if "\n" in text else [_broken(words, n + 1) for n in range(most_lines)]
    ruler = ImageDraw.Draw(Image.new("L", (1, 1)))
    font = _font(text, _RULER_FONT)
    extents = []
    for lines in settings:
        left, top, right, bottom = ruler.multiline_textbbox((0, 0), lines, font=font)
        extents.append(max(right - left, bottom - top))
    smallest = min(extents)
    font_size = int(0.95 * size / smallest * _RULER_FONT)
    if font_size < _SMALLEST_FONT:
        raise ValueError(f"the text is too long to be drawn legibly on {size} × {size} pixels")
    return settings[extents.index(smallest)], _font(text, font_size)


def _font(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size) if text.isascii() else ImageFont.truetype(_DEJAVU, size)


def _check_drawable(text: str) -> None:
    """Refuse what the larger font would draw as boxes, all alike, or in the wrong direction."""
    known = FT2Font(_DEJAVU).get_charmap()
    unknown = {sign for sign in text if not sign.isspace() and ord(sign) not in known}
    if unknown:
        raise ValueError(
            "text holds characters that the font DejaVu Sans cannot draw: "
            f"{', '.join(map(repr, sorted(unknown)))}"
        )
    if any(bidirectional(sign) in {"R", "AL"} for sign in text) and not features.check("raqm"):
        raise ValueError("text runs from right to left, which needs Pillow with the library Raqm")


def _broken(words: list[str], lines: int) -> str:
    """Distribute the words over lines of similar length."""
    length = sum(map(len, words)) / lines
    rows: list[list[str]] = [[]]
    for word in words:
        filled = sum(map(len, rows[-1]))
        if rows[-1] and filled + len(word) / 2 > length and len(rows) < lines:
            rows.append([])
        rows[-1].append(word)
    return "\n".join(" ".join(row) for row in rows)


def _check_size(size: int) -> None:
    if not is_integer(size) or size < 1:
        raise ValueError(f"size must be an integer of at least 1 pixel, got {size}")
    if size > _LARGEST_SIZE:
        raise ValueError(f"size must be at most {_LARGEST_SIZE} pixels, got {size}")


def photo_path(photo: Photo) -> Path:
    """Return the file of a photograph that a package carries."""
    from importlib.resources import files

    return Path(str(files(photo.package))) / photo.file
