"""Judge a submission as the public judge does, and pack it into the file to hand in.

    python challenge.py score forged.npy
    python challenge.py pack forged.npy --team "Team 7"

``score`` and ``pack`` take a defender's file, such as defender.py, as well. This needs explman_lite
and nothing else of the book it belongs to.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import io
import json
import math
import os
import random
import re
import stat
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import explman_lite as el

Pixels = NDArray[np.uint8]
"""Pictures (N, H, W, 3)."""

SHARES = {"map": 0.4, "noise": 0.2, "jpeg": 0.2, "method": 0.2}
"""How much each test counts for the score of a forgery."""
DRAWS, NOISE = 4, 2 / 255
"""How often noise is added to a forged picture, and its standard deviation."""
QUALITIES = range(85, 96)
METHODS = ("GradientTimesInput", "IntegratedGradients", "SmoothGrad")
"""What a judge draws from: how well JPEG keeps the pictures, and a second method."""
POINTS = 10
"""At how many points a judge's second method evaluates the network."""
ALIKE, STEADY = 0.8, 0.2
"""How like one another a defender's maps may be for other weights or a moved picture, and how like
they must be with noise: what fails here explains nothing, and is not ranked."""
_QUARTERS = (2, 1, 3, 0)
"""By how much of its size a picture is moved, the farthest first."""
DIRECT = 20
"""Steps of the attacker who knows the defender."""
LONGEST_CODE = 20_000
RESERVED = ("no attack", "noise of the same size", "our starter", "ReLU gradient")
"""What no team may be called: the judge's own lines among the results."""
_HEADER = 1024
_TEAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _-]{0,29}")
_CODE = "defender.py"
"""What the code of a defender is called where it runs."""


class Refused(ValueError):
    """A submission is not of its form; the message is a sentence about it."""


@dataclass(frozen=True)
class Judge:
    """What a judge may choose: the public one's is known, the lecturer's is not.

    Attributes
    ----------
    seed : int
        Of all noise.
    quality : int
        Of the JPEG that forged pictures have to survive.
    method : str
        One of `METHODS`, whose map should be forged as well.
    """

    seed: int
    quality: int
    method: str

    def __post_init__(self) -> None:
        """Refuse a method that nobody knows."""
        if self.method not in METHODS:
            raise ValueError(f"a judge's method is {', '.join(METHODS)}; got {self.method!r}")


@dataclass(frozen=True)
class Challenge:
    """The public half of a challenge.

    Attributes
    ----------
    network : str
        What `explman_lite.load_model` calls it.
    epsilon : int
        By how many grey levels of 0 to 255 a value may change.
    judge : Judge
        The public one.
    pixels : array
        (N, H, W, 3), uint8: the pictures to forge.
    targets : Tensor
        (N, H, W): the maps that they shall have, of mean 1.
    """

    network: str
    epsilon: int
    judge: Judge
    pixels: Pixels
    targets: Tensor

    @property
    def images(self) -> Tensor:
        """The pictures to forge, (N, 3, H, W) in [0, 1]."""
        return as_images(self.pixels)


def load(folder: Path = Path(__file__).parent) -> Challenge:
    """Read the challenge that lies beside this file, or in another folder."""
    try:
        rules = json.loads((folder / "challenge.json").read_text("utf-8"))
        pixels, targets = arrays_of(folder / "pairs.npz", "pictures", "targets")
        judge = Judge(**rules["judge"])
        return Challenge(
            rules["network"], rules["epsilon"], judge, pixels, torch.from_numpy(targets)
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder} holds no challenge that can be read: {error}") from error


def arrays_of(path: Path, *names: str) -> list[NDArray[Any]]:
    """Read arrays of a .npz file, which may have suffered on its way."""
    try:
        with np.load(path, allow_pickle=False) as found:
            return [found[name] for name in names]
    except OSError:
        raise
    except Exception:  # zipfile, zlib and NumPy's parser each have errors of their own
        raise ValueError(f"{path.name} is damaged, or no .npz file with {names}") from None


def as_images(pixels: Pixels) -> Tensor:
    """Turn pixels (N, H, W, 3) into images (N, 3, H, W) in [0, 1]."""
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(0, 3, 1, 2).contiguous()


def as_pixels(images: Tensor) -> Pixels:
    """Round images (N, 3, H, W) in [0, 1] to pixels (N, H, W, 3)."""
    levels = (images.detach().double().clamp(0, 1) * 255).round()
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).numpy().astype(np.uint8))


def save(path: str | Path, images: Tensor) -> None:
    """Save forged images (N, 3, H, W) in [0, 1], rounded to 8 bits."""
    np.save(path, as_pixels(images), allow_pickle=False)


# What was handed in, and may be anything


def read_forgery(path: Path, challenge: Challenge) -> Pixels:
    """Read forged pictures: an array file of exactly the right form, or a folder of PNGs.

    A .npy file holds one array: its size follows from its shape, and there are no names in it and
    nothing to unpack. So it is read only if its size, header, type and shape are the expected ones,
    and nothing in it is ever run.

    Raises
    ------
    Refused
        If it is not of this form, or a value changed by more than the rules allow.
    """
    pixels = (
        _pictures_of(path, challenge)
        if path.is_dir() and not path.is_symlink()
        else _array_of(_content(path, challenge.pixels.size + _HEADER), challenge.pixels.shape)
    )
    change = np.abs(pixels.astype(int) - challenge.pixels).max(axis=(1, 2, 3))
    if change.max() > challenge.epsilon:
        raise Refused(
            f"picture {change.argmax() + 1} was changed by {change.max()} grey levels, "
            f"and {challenge.epsilon} are allowed"
        )
    return pixels


def _content(path: Path, most: int) -> bytes:
    """Read a file that is no link and no device, and of a longer one only one byte more."""
    if path.is_symlink():
        raise Refused("it is a link, which may lead anywhere: hand in the file itself")
    # Where the system knows them: do not follow a link, and do not wait for somebody to write.
    flags = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    descriptor = os.open(path, os.O_RDONLY | sum(flags))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refused("it is no ordinary file")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(most + 1)
    finally:
        os.close(descriptor)


def _array_of(content: bytes, shape: tuple[int, ...]) -> Pixels:
    """Take a .npy file apart."""
    if content.startswith(b"PK"):
        raise Refused("it is a zip archive, as .npz files are: hand in one array as .npy")
    if content.startswith(b"\x80"):
        raise Refused("it is a pickle, which runs code when it is read: hand in an array as .npy")
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise Refused(f"its header is of version {version[0]}, where pictures need version 1")
        found, by_columns, dtype = np.lib.format.read_array_header_1_0(
            file, max_header_size=_HEADER
        )
    except Refused:
        raise
    except Exception as error:  # NumPy's parser meets whatever somebody wrote there
        reason = str(error).partition("\n")[0]
        raise Refused(f"it is no .npy file that can be read: {reason}") from None
    if dtype.hasobject:
        raise Refused("its array holds Python objects, which run code when they are read")
    if dtype != np.uint8:
        raise Refused(
            f"its numbers are {dtype}, and pictures are uint8, whole numbers from 0 to 255: "
            "challenge.save rounds them"
        )
    if found != shape:
        raise Refused(f"its shape is {found}, and that of the pictures {shape}")
    data, wanted = content[file.tell() :], math.prod(shape)
    if len(data) != wanted:
        amount = "more" if len(data) > wanted else "fewer"
        raise Refused(f"it holds {amount} than the {wanted:,} bytes that its pictures have")
    return np.frombuffer(data, np.uint8).reshape(shape, order="F" if by_columns else "C")


def _pictures_of(folder: Path, challenge: Challenge) -> Pixels:
    """Read 1.png, 2.png and so on; only students do that, with pictures of their own."""
    pictures = []
    for number, original in enumerate(challenge.pixels, 1):
        try:
            with Image.open(folder / f"{number}.png") as opened:
                if opened.size != original.shape[1::-1]:
                    width, height = opened.size
                    raise Refused(f"{number}.png has {width} × {height} pixels, unlike its picture")
                pictures.append(np.asarray(opened.convert("RGB")))
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise Refused(f"{number}.png cannot be read: {error}") from error
    return np.stack(pictures)


def read_defender(path: Path) -> str:
    """Read the code of a defender, without running it.

    Raises
    ------
    Refused
        If it is no Python of bearable length that defines ``explain``.
    """
    try:
        content = _content(path, LONGEST_CODE)
        if len(content) > LONGEST_CODE:
            raise Refused(f"it has more than {LONGEST_CODE:,} bytes")
        source = content.decode("utf-8-sig")
        with warnings.catch_warnings(action="ignore"):
            # Compiling could take any amount of memory: a few levels of try and finally suffice.
            body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, Refused):
            raise
        reason = str(error) or "it is nested too deeply"
        raise Refused(f"it is no Python that can be read: {reason}") from None
    if not any("explain" in _names_set_by(statement) for statement in body):
        raise Refused("it defines no function explain(model, image, label)")
    return source


def _names_set_by(statement: ast.stmt) -> set[str]:
    """Return the names that a definition or an assignment gives a value."""
    if isinstance(statement, ast.FunctionDef):
        return {statement.name}
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return set()
    names = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, ast.Store)}


# Judging forged pictures


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread: how many there are must not change a sum's last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class ForgeryJudge:
    """Measures forged pictures in float64, whatever computed them.

    Each test compares a map with the target, by Pearson's correlation, for the forged picture and
    for the original, treated in the same way; what counts is the difference.
    """

    def __init__(self, challenge: Challenge, judge: Judge) -> None:
        self.challenge, self.judge = challenge, judge
        self.model = el.load_model(challenge.network).double()
        images = challenge.images.double()
        with one_thread(), torch.no_grad():
            self.classes = self.model(images).argmax(dim=1)
        with one_thread():
            self.before = self._likeness(images)

    def __call__(self, pixels: Pixels) -> pd.DataFrame:
        """Return a row for each picture: what each test gained, and what else is shown.

        A picture whose class is lost gains nothing anywhere.
        """
        images = as_images(pixels).double()
        change = np.abs(pixels.astype(int) - self.challenge.pixels).reshape(len(pixels), -1)
        with one_thread(), torch.no_grad():
            kept = (self.model(images).argmax(dim=1) == self.classes).numpy()
        with one_thread():
            after = self._likeness(images)
        gains = {name: (after[name] - self.before[name]) * kept for name in SHARES}
        return pd.DataFrame(
            {**gains, "pcc": after["map"], "kept": kept, "levels": change.max(axis=1)}
        )

    def maps(self, images: Tensor, explainer: el.Explainer) -> Tensor:
        """Explain images (N, 3, H, W), each by the class of the original."""
        return el.relevance_map(explainer(self.model, images, self.classes))

    def _likeness(self, images: Tensor) -> dict[str, NDArray[Any]]:
        """Compare maps with the targets: (N,) for each test."""

        def pcc(images: Tensor, explainer: el.Explainer | None = None) -> Tensor:
            return likeness(self.maps(images, explainer or el.Gradient()), self.challenge.targets)

        seeds = range(self.judge.seed, self.judge.seed + DRAWS)
        noisy = torch.stack([pcc(with_noise(images, seed)) for seed in seeds])
        method = el.EXPLAINERS[self.judge.method].make(points=POINTS).with_seed(self.judge.seed)
        found = {
            "map": pcc(images),
            "noise": noisy.mean(dim=0),
            "jpeg": pcc(_through_jpeg(images, self.judge.quality)),
            "method": pcc(images, method),
        }
        return {name: values.numpy() for name, values in found.items()}


def forgery_score(rows: pd.DataFrame) -> float:
    """Add up the mean gains by their shares: 100 would be a perfect forgery."""
    shares = sum(share * rows[name].mean() for name, share in SHARES.items())
    return round(float(100 * shares), 1)


def likeness(first: Tensor, second: Tensor) -> Tensor:
    """Return the correlation of maps (N, H, W); 0 where one is constant."""
    with warnings.catch_warnings(action="ignore"):
        return el.metrics.pcc(first.double(), second.double()).nan_to_num(0.0)


def with_noise(images: Tensor, seed: int, deviation: float = NOISE) -> Tensor:
    """Add Gaussian noise to images, other noise to each."""
    noise = np.random.default_rng(seed).normal(0, deviation, tuple(images.shape))
    return (images + torch.from_numpy(noise).to(images)).clamp(0, 1)


def _through_jpeg(images: Tensor, quality: int) -> Tensor:
    """Write images as JPEG and read them again."""
    read = []
    for picture in as_pixels(images):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=0)
        with Image.open(file) as opened:
            read.append(np.asarray(opened))
    return as_images(np.stack(read)).to(images)


# Judging explainers


class Defender(Protocol):
    """What a judge asks of a submitted explainer."""

    def explain(self, image: Tensor, label: int, shuffled: bool = False) -> NDArray[Any]:
        """Return the map (H, W) of a picture (1, 3, H, W), or that by a network without a plan."""

    def forge(self, image: Tensor, label: int, lender: Tensor, other: int) -> Pixels:
        """Return a picture (H, W, 3) whose map should be that of the lender, of another class."""


class DefenderJudge:
    """Measures how an explainer stands forged pictures.

    The picture after each one lends it the map that a forgery aims at. What a map is compared with
    is what the explainer itself shows for the lender, so that it needs no target, and sees none.

    Parameters
    ----------
    network : str
        What `explman_lite.load_model` calls it.
    pixels : array
        (N, H, W, 3), uint8: the pictures as they were.
    forgeries : mapping of str to array
        The same, forged by attackers who do not know the explainer.
    epsilon : int
        By how many grey levels the one who does may change a value.
    seed : int
        Of the noise, and of the order of the questions.
    """

    def __init__(
        self,
        network: str,
        pixels: Pixels,
        forgeries: Mapping[str, Pixels],
        epsilon: int,
        seed: int,
    ) -> None:
        self.model = el.load_model(network)
        self.pixels, self.epsilon, self.seed = pixels, epsilon, seed
        images = as_images(pixels)
        self.labels = self._classes(images)
        moved, self.same_class = self._moved(images)
        self.pictures = {"honest": images, "shuffled": images, "moved": moved}
        self.pictures |= {"noisy": with_noise(images, seed)}
        self.pictures |= {name: as_images(forged) for name, forged in forgeries.items()}
        self.attackers = [*forgeries, "direct"]

    def __call__(self, defender: Defender) -> pd.DataFrame:
        """Attack an explainer, ask it for each map on its own in random order, and compare.

        Of each picture it is said how much nearer its map comes to that of the lender (``gain``,
        by the best forgery, and ``attacker``, whose it was), and how alike the maps are of the
        trained and of a shuffled network (``shuffled``), before and after the picture was moved
        (``moved``; NaN if it never keeps its class), and without and with noise (``steady``). Of
        signed maps the sizes count. Last, whether the direct attack changed it (``attacked``).
        """
        count = len(self.labels)
        with one_thread():
            direct, attacked = self._forged_by(defender)
            pictures = self.pictures | {"direct": direct}
            asked = [(name, number) for name in pictures for number in range(count)]
            order = np.random.default_rng(self.seed).permutation(len(asked))
            found = {}
            for name, number in (asked[place] for place in order):
                image = pictures[name][number : number + 1].clone()
                answer = defender.explain(image, self.labels[number], name == "shuffled")
                found[name, number] = torch.from_numpy(checked_map(answer, image)).abs()
        maps = {name: torch.stack([found[name, n] for n in range(count)]) for name in pictures}
        honest, lent = maps["honest"], maps["honest"].roll(-1, dims=0)
        before = likeness(honest, lent)
        gains = pd.DataFrame(
            {name: (likeness(maps[name], lent) - before).numpy() for name in self.attackers}
        )
        return pd.DataFrame(
            {
                "gain": gains.max(axis=1).clip(lower=0),
                "attacker": gains.idxmax(axis=1),
                "shuffled": likeness(honest, maps["shuffled"]).numpy(),
                "moved": likeness(honest, maps["moved"]).where(self.same_class, math.nan).numpy(),
                "steady": likeness(honest, maps["noisy"]).numpy(),
                "attacked": attacked,
            }
        )

    def _forged_by(self, defender: Defender) -> tuple[Tensor, NDArray[np.bool_]]:
        """Forge each picture with what the explainer shows; where the class is lost, keep it.

        Also returned is which pictures the attack changed at all.
        """
        images, forged = self.pictures["honest"], self.pixels.copy()
        for n, label in enumerate(self.labels):
            lender = (n + 1) % len(images)
            found = defender.forge(
                images[n : n + 1], label, images[lender : lender + 1], self.labels[lender]
            )
            change = found.astype(int) - self.pixels[n]
            forged[n] = self.pixels[n] + change.clip(-self.epsilon, self.epsilon)
        kept = torch.tensor(self._classes(as_images(forged))) == torch.tensor(self.labels)
        attacked = (forged != self.pixels).any(axis=(1, 2, 3))
        return torch.where(kept.view(-1, 1, 1, 1), as_images(forged), images), attacked

    def _moved(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mirror pictures and move them by quarters of their size, and say which keep their class.

        What leaves on one side comes back on the other. Each picture is moved in the first of
        several ways that keeps its class: what shows dice for each class must not be saved by
        another class.
        """
        quarter, labels = images.shape[-1] // 4, torch.tensor(self.labels)
        shifts = [(quarter * down, quarter * right) for down, right in product(_QUARTERS, repeat=2)]
        ways = torch.stack([images.flip(3).roll(shift, (2, 3)) for shift in shifts])
        kept = torch.stack([torch.tensor(self._classes(way)) == labels for way in ways])
        return ways[kept.int().argmax(dim=0), torch.arange(len(images))], kept.any(dim=0)

    def _classes(self, images: Tensor) -> list[int]:
        with one_thread(), torch.no_grad():
            labels: list[int] = self.model(images).argmax(dim=1).tolist()
        return labels


def defender_score(rows: pd.DataFrame) -> float:
    """Return how much of the forgeries the explainer withstood: 100 if they gained nothing."""
    return round(float(100 * (1 - rows["gain"].mean())), 1)


def objection(rows: pd.DataFrame) -> str:
    """Say why maps explain nothing, if so."""
    if rows["shuffled"].mean() > ALIKE:
        return "it shows the same for a network whose weights were shuffled"
    if rows["moved"].mean() > ALIKE:
        return "it shows the same for a picture that was mirrored and moved"
    if rows["steady"].mean() < STEADY:
        return f"its maps do not survive noise of {255 * NOISE:g} grey levels"
    if not rows["attacked"].any():
        return "nothing was attacked: no pixel was changed"
    return ""


def shuffled(model: el.Network) -> el.Network:
    """Return the same network with the weights of each layer in another order."""
    twin, generator = copy.deepcopy(model), torch.Generator().manual_seed(0)
    for weight in twin.parameters():
        order = torch.randperm(weight.numel(), generator=generator)
        weight.data = weight.data.flatten()[order].view_as(weight)
    return twin


class Submitted(el.Explainer):
    """What a team wrote, explain(model, image, label), as an explainer that can be attacked."""

    def __init__(self, function: Callable[[torch.nn.Module, Tensor, int], Any]) -> None:
        self.function = function

    def explain(self, model: torch.nn.Module, images: Tensor, classes: Tensor) -> el.Explanation:
        """Explain one picture."""
        found = self.function(model, images, int(classes))
        if not isinstance(found, Tensor) or (images.requires_grad and not found.requires_grad):
            raise Refused("it returned what has no gradient, and nobody can try to forge that")
        checked_map(found, images)
        return el.Explanation(found[None, None], model(images))


def attacked(
    explainer: Submitted, model: el.Network, pair: Tensor, labels: Sequence[int], epsilon: int
) -> Pixels:
    """Forge the first of two pictures (2, 3, H, W), so that it is explained as the second."""
    image, lender = pair[:1], pair[1:]
    explanation = explainer.explain(model, lender, torch.tensor(labels[1:]))
    result = el.manipulate(
        model,
        image,
        el.relevance_map(explanation.attribution).detach(),
        explainer,
        steps=DIRECT,
        lr=epsilon / 255 / 4,
        epsilon=epsilon / 255,
        classes=labels[0],
        progress=False,
    )
    found: Pixels = as_pixels(result.images)[0]
    return found


class Here:
    """A defender in this process and without limits: one's own code."""

    def __init__(
        self,
        function: Callable[[torch.nn.Module, Tensor, int], Any],
        network: str,
        epsilon: int,
        seed: int,
    ) -> None:
        self.explainer, self.epsilon, self.seed = Submitted(function), epsilon, seed_of_code(seed)
        self.model = el.load_model(network)
        self.twin = shuffled(self.model)

    def explain(self, image: Tensor, label: int, shuffled: bool = False) -> NDArray[Any]:
        """Return the map (H, W) of a picture (1, 3, H, W), or that by a network without a plan."""
        sow(self.seed)
        found = self.explainer.function(self.twin if shuffled else self.model, image, label)
        return checked_map(found, image)

    def forge(self, image: Tensor, label: int, lender: Tensor, other: int) -> Pixels:
        """Return a picture (H, W, 3) whose map should be that of the lender, of another class."""
        sow(self.seed)
        pair = torch.cat([image, lender])
        return attacked(self.explainer, self.model, pair, (label, other), self.epsilon)


def seed_of_code(seed: int) -> int:
    """Derive the seed of submitted code from the judge's, whose noise it could remove."""
    return int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4], "little")


def sow(seed: int) -> None:
    """Seed all that code may draw from."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def checked_map(answer: Any, image: Tensor) -> NDArray[np.float64]:
    """Return a map as float64, or refuse what is none."""
    values = np.asarray(answer.detach().cpu() if isinstance(answer, Tensor) else answer)
    size = tuple(image.shape[2:])
    if values.dtype.kind not in "fiu":
        raise Refused(f"it returned {type(answer).__name__} in place of a map of numbers")
    if values.shape != size:
        raise Refused(f"it returned a map of the shape {values.shape} in place of {size}")
    if not np.isfinite(values).all():
        raise Refused("it returned a map with NaN or infinity")
    return values.astype(np.float64)


# What a student calls


def function_of(source: str) -> Callable[[torch.nn.Module, Tensor, int], Any]:
    """Run the code of a defender, and return its function."""
    namespace: dict[str, Any] = {"__name__": "defender"}
    exec(compile(source, _CODE, "exec", dont_inherit=True), namespace)
    if not callable(namespace.get("explain")):
        raise Refused("its explain is no function explain(model, image, label)")
    function: Callable[[torch.nn.Module, Tensor, int], Any] = namespace["explain"]
    return function


def raised(error: BaseException) -> str:
    """Say what the code of a defender raised, and in which of its lines."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == _CODE]
    where = f"in line {lines[-1]} " if lines else ""
    return f"{where}it raised {type(error).__name__}: {error}"


@contextmanager
def own_code() -> Iterator[None]:
    """Turn what a student's own code raises into a sentence."""
    try:
        yield
    except (Refused, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise Refused(raised(error)) from error


def score(path: Path, challenge: Challenge) -> str:
    """Judge a submission as the public judge does, and say how it did."""
    if path.suffix != ".py":
        rows = ForgeryJudge(challenge, challenge.judge)(read_forgery(path, challenge))
        rows.index += 1
        return f"{rows.round(2).to_string()}\nScore: {forgery_score(rows)} of 100"
    source = read_defender(path)
    forged = path.parent / "forged.npy"
    forgeries = {"yours": read_forgery(forged, challenge)} if forged.is_file() else {}
    given = challenge.network, challenge.epsilon, challenge.judge.seed
    judge = DefenderJudge(given[0], challenge.pixels, forgeries, *given[1:])
    with own_code():
        rows = judge(Here(function_of(source), *given))
    rows.index += 1
    reason = objection(rows)
    verdict = f", but it would not be ranked: {reason}" if reason else ""
    return f"{rows.round(2).to_string()}\nWithstood: {defender_score(rows)} of 100{verdict}"


def pack(path: Path, team: str, challenge: Challenge, folder: Path = Path()) -> Path:
    """Check a submission and write the file to hand in, named after the team."""
    _check_team(team)
    if path.suffix == ".py":
        source = read_defender(path)
        with own_code():
            Here(function_of(source), challenge.network, challenge.epsilon, 0).explain(
                challenge.images[:1], label=0
            )
        packed = folder / f"{team}.py"
        packed.write_text(source, "utf-8", newline="")
    else:
        pixels = read_forgery(path, challenge)
        packed = folder / f"{team}.npy"
        np.save(packed, np.ascontiguousarray(pixels), allow_pickle=False)
    return packed


def team_of(path: Path) -> str:
    """Read the team's name off the name of its file."""
    _check_team(path.stem)
    return path.stem


def _check_team(team: str) -> None:
    if not _TEAM.fullmatch(team):
        raise Refused(
            "a team's name has up to 30 letters of A to Z, digits, spaces, - and _, "
            f"and begins with a letter or digit; got {team!r}"
        )
    if team.lower() in map(str.lower, RESERVED):
        raise Refused(f"{team!r} is no name for a team: the judge has a line of that name")


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status: 2 with a sentence if something is refused."""
    parser = argparse.ArgumentParser(prog="python challenge.py", description=__doc__)
    parser.add_argument("command", choices=["score", "pack"])
    parser.add_argument("path", type=Path, help="forged.npy, a folder of PNGs, or defender.py")
    parser.add_argument("--team", help="its name, for pack")
    options = parser.parse_args(arguments)
    if options.command == "pack" and options.team is None:
        parser.error("pack needs --team")
    try:
        challenge = load()
        if options.command == "score":
            print(score(options.path, challenge))
        else:
            print(f"Hand in {pack(options.path, options.team, challenge)}")
    except (ValueError, OSError) as error:
        print(f"challenge.py: error: {options.path}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
