"""The collections of pictures that the benchmark draws its pairs from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from explman_lite.pictures.crops import CROPPED, load_crops
from explman_lite.pictures.digits import load_digits
from explman_lite.pictures.photos import load_photo, photo_names

DIGITS, PHOTOGRAPHS, IMAGENETTE, GENERATED = "digits", "photographs", "imagenette", "generated"
CROPS, IMAGENET = "crops", "imagenet"

IMAGENET_SIZE = 20
"""How many pictures of ImageNet the extra ``explman-lite[imagenet]`` brings."""

_IMAGENETTE_FOLDER = "imagenette2-320"
_SPLIT_SIZES = {"train": 9469, "val": 3925}
_FOR_PATTERNS = 64


class Pictures(ABC):
    """A collection of pictures with names, and some to fit patterns to."""

    @abstractmethod
    def picture(self, index: int) -> Tensor:
        """Return one picture, (C, H, W), float32 in [0, 1]."""

    @abstractmethod
    def name(self, index: int) -> str:
        """Return the name of a picture for the table."""

    @abstractmethod
    def others(self) -> Tensor:
        """Return pictures, (N, C, H, W), to fit patterns to and to estimate tangent spaces from."""


class Digits(Pictures):
    """The test digits; patterns are fitted to the training digits."""

    def __init__(self) -> None:
        self._images, _ = load_digits("test")

    def picture(self, index: int) -> Tensor:
        """Return a test digit."""
        return self._images[index]

    def name(self, index: int) -> str:
        """Return the digit's number in the test split."""
        return str(index)

    def others(self) -> Tensor:
        """Return the training digits."""
        return load_digits("train")[0]


class Crops(Pictures):
    """The test crops, a photograph's turn after the other; patterns are fitted to training crops.

    The crop ``index`` is of the photograph ``index % 10``.
    """

    def __init__(self) -> None:
        images, labels = load_crops("test")
        self._images = [images[labels == label] for label in range(len(CROPPED))]

    def picture(self, index: int) -> Tensor:
        """Return a test crop."""
        number, photograph = divmod(index, len(CROPPED))
        return self._images[photograph][number]

    def name(self, index: int) -> str:
        """Return the name of the photograph, and the number of the crop among its own."""
        number, photograph = divmod(index, len(CROPPED))
        return f"{[*CROPPED][photograph]} {number}"

    def others(self) -> Tensor:
        """Return the training crops."""
        return load_crops("train")[0]


class Photographs(Pictures):
    """The photographs that come with packages; patterns are fitted to all of them.

    Parameters
    ----------
    size : int
        Height and width in pixels; at 160 an attack takes half the time that it takes at 224.
    """

    def __init__(self, size: int = 160) -> None:
        self._size = size

    def picture(self, index: int) -> Tensor:
        """Return a photograph."""
        return load_photo(photo_names()[index], self._size)[0]

    def name(self, index: int) -> str:
        """Return the photograph's name."""
        return photo_names()[index]

    def others(self) -> Tensor:
        """Return all photographs."""
        return torch.cat([load_photo(name, self._size) for name in photo_names()])


class ImageNet(Pictures):
    """The pictures of ImageNet that the package ``foolbox`` carries, for tables of numbers only.

    Patterns are fitted to photographs that are not among them. Their licence is ImageNet's, so
    show none of them.

    Parameters
    ----------
    size : int
        Height and width in pixels.

    Raises
    ------
    ValueError
        If the package is not installed, or carries other pictures.

    References
    ----------
    Rauber et al. (2020), "Foolbox Native", Journal of Open Source Software.
    """

    def __init__(self, size: int = 224) -> None:
        self._size, self._paths = size, _imagenet_paths()

    def picture(self, index: int) -> Tensor:
        """Return a picture."""
        return load_photo(self._paths[index], self._size)[0]

    def name(self, index: int) -> str:
        """Return the name of the picture's file: its number, and that of its class."""
        return self._paths[index].stem

    def others(self) -> Tensor:
        """Return the photographs that come with packages."""
        return Photographs(self._size).others()


class Imagenette(Pictures):
    """The validation pictures of Imagenette, ten classes of ImageNet.

    Patterns are fitted to training pictures.

    Parameters
    ----------
    folder : Path
        Where the archive (about 340 MB) is, or else is downloaded to.

    Raises
    ------
    ValueError
        If pictures are missing from the folder.
    OSError
        If the archive cannot be downloaded.

    References
    ----------
    Howard (2019), Imagenette, github.com/fastai/imagenette.
    """

    def __init__(self, folder: Path) -> None:
        self._paths = {split: _imagenette_paths(folder, split) for split in _SPLIT_SIZES}

    def picture(self, index: int) -> Tensor:
        """Return the middle 224 × 224 pixels of a validation picture, scaled to 256."""
        return _cropped(self._paths["val"][index])

    def name(self, index: int) -> str:
        """Return the name of the picture's file."""
        return self._paths["val"][index].stem

    def others(self) -> Tensor:
        """Return 64 training pictures, drawn once and for all."""
        drawn = np.random.default_rng(0).choice(_SPLIT_SIZES["train"], _FOR_PATTERNS, replace=False)
        return torch.stack([_cropped(self._paths["train"][index]) for index in drawn])


class Generated(Pictures):
    """Coloured clouds of 64 × 64 pixels, for testing the code."""

    def picture(self, index: int) -> Tensor:
        """Return the cloud that is drawn with the index as seed."""
        coarse = np.random.default_rng(index).random((1, 3, 8, 8), dtype=np.float32)
        clouds = F.interpolate(torch.from_numpy(coarse), size=(64, 64), mode="bicubic")
        return clouds[0].clamp(0, 1)

    def name(self, index: int) -> str:
        """Return a name that shows that the picture is made up."""
        return f"generated-{index}"

    def others(self) -> Tensor:
        """Return four clouds."""
        return torch.stack([self.picture(index) for index in range(4)])


@lru_cache(maxsize=1)
def open_pictures(collection: str, data: str | None = None) -> Pictures:
    """Open a collection of pictures, and keep the one that was opened last.

    Parameters
    ----------
    collection : str
        `DIGITS`, `CROPS`, `PHOTOGRAPHS`, `IMAGENET`, `IMAGENETTE` or `GENERATED`.
    data : str, optional
        Folder for downloaded pictures; `default_folder` if not given.

    Returns
    -------
    Pictures
        The collection.

    Raises
    ------
    ValueError
        If the collection is unknown, its files are damaged, or a package that carries them is
        not installed.
    OSError
        If it cannot be downloaded.
    """
    if collection == IMAGENETTE:
        return Imagenette(default_folder() if data is None else Path(data))
    plain: dict[str, Callable[[], Pictures]] = {
        DIGITS: Digits,
        CROPS: Crops,
        PHOTOGRAPHS: Photographs,
        IMAGENET: ImageNet,
        GENERATED: Generated,
    }
    if collection not in plain:
        raise ValueError(f"unknown collection of pictures {collection!r}")
    return plain[collection]()


def default_folder() -> Path:
    """Return the folder for downloaded pictures, next to the weights that torchvision downloads."""
    return Path(torch.hub.get_dir()) / "pictures"


def _imagenet_paths() -> list[Path]:
    """List the pictures in order, without importing the package that carries them."""
    found = find_spec("foolbox")
    if found is None or found.origin is None:
        raise ValueError("these pictures come with an extra: pip install 'explman-lite[imagenet]'")
    paths = sorted((Path(found.origin).parent / "data").glob("imagenet_*.jpg"))
    if len(paths) != IMAGENET_SIZE:
        raise ValueError(f"foolbox should carry {IMAGENET_SIZE} pictures, found {len(paths)}")
    return paths


def _imagenette_paths(folder: Path, split: str) -> list[Path]:
    """List the files of a split in order, after a download if necessary."""
    from torchvision.datasets import Imagenette as Archive

    missing = not (folder / _IMAGENETTE_FOLDER).exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        Archive(folder, split="val", size="320px", download=missing)
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"Imagenette is not in {folder} and cannot be downloaded ({error}); "
            "with --smoke the suite runs on made-up pictures"
        ) from error
    paths = sorted((folder / _IMAGENETTE_FOLDER / split).glob("*/*.JPEG"))
    if len(paths) != _SPLIT_SIZES[split]:
        raise ValueError(
            f"{folder / _IMAGENETTE_FOLDER / split} holds {len(paths)} of "
            f"{_SPLIT_SIZES[split]} pictures; remove {folder / _IMAGENETTE_FOLDER} to download anew"
        )
    return paths


def _cropped(path: Path) -> Tensor:
    """Read a picture as the networks were evaluated: (3, 224, 224) in [0, 1]."""
    from PIL import Image
    from torchvision.transforms import v2

    steps = [
        v2.Resize(256, antialias=True),
        v2.CenterCrop(224),
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
    ]
    with Image.open(path) as opened:
        cropped: Tensor = v2.Compose(steps)(opened.convert("RGB"))
    return cropped
