"""Make a challenge: a public folder for students, and a secret one for whoever judges."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import explman_lite as el
from bookkit.address import on_the_site
from bookkit.archives.pack import package_address
from bookkit.challenge import tool
from bookkit.challenge.tool import Judge, Pixels, as_images, as_pixels
from bookkit.templates import templates_in
from explman_lite.pictures.crops import CROPPED
from explman_lite.pictures.photos import photo_path
from explman_lite.progress import progress_bar

NETWORK, SIZE, EPSILON, STEPS = "efficientnet_lite0", 96, 8, 40
SENTENCE = "this explanation was manipulated"
"""The target map of the first picture; of the others, the map of the next picture."""
PUBLIC, SECRET = "public", "secret"
ATTACKERS: dict[str, el.Explainer] = {
    "Gradient": el.Gradient(),
    "BetaSmoothing": el.BetaSmoothing(el.Gradient(), beta=5.0),
    "SmoothGrad": el.SmoothGrad(4),
}
"""For which maps the hidden pictures are forged; noise is drawn anew at every step."""
_SURE, _TRIES = 0.5, 20
"""The probability that a picture's class has to have, and how many pieces of a photograph to try.
"""
_FILES = Path(__file__).parent / "public"


def make(
    folder: Path,
    seed: int,
    *,
    own: Path | None = None,
    count: int = 6,
    size: int = SIZE,
    steps: int = STEPS,
) -> None:
    """Write the two halves of a challenge, and try the starter that students get.

    Parameters
    ----------
    folder : Path
        Where to; must not be there yet, or be empty.
    seed : int
        Of the public pictures. What is secret is drawn by the operating system, since anybody can
        run this function with the same seed.
    own : Path, optional
        A folder with pictures for the hidden round, which students cannot have; pieces of the
        photographs that the package carries if not given.
    count, size, steps : int
        Pictures in each half, their height and width in pixels, and steps of our own attacks.

    Raises
    ------
    ValueError
        If the folder holds something, or there are no two pictures that can be used.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already: a challenge needs a folder of its own")
    folder = folder.resolve()
    model = el.load_model(NETWORK)
    pixels = _draw(model, np.random.default_rng(seed), count, size)
    secret = np.random.default_rng()
    hidden = _draw(model, secret, count, size) if own is None else _own(own, size)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unfinished") as name:
        made = Path(name) / "challenge"
        _write_public(made / PUBLIC, model, pixels, seed)
        _write_secret(made / SECRET, model, hidden, _judge(secret), steps)
        _try_starter(made, steps)
        folder.mkdir(exist_ok=True)
        for half in (PUBLIC, SECRET):
            (made / half).replace(folder / half)


def _try_starter(folder: Path, steps: int) -> None:
    """Run what students begin with, as they do, and keep what it reached."""
    print("trying the starter", flush=True)
    ran = subprocess.run(
        [sys.executable, "-B", "attack.py", str(steps)], cwd=folder / PUBLIC, check=False
    )
    if ran.returncode:
        raise ValueError(f"the students' attack.py ended with exit status {ran.returncode}")
    (folder / PUBLIC / "forged.npy").replace(folder / SECRET / "starter.npy")


def _draw(model: el.Network, generator: np.random.Generator, count: int, size: int) -> Pixels:
    """Draw pieces of different photographs, of which the network is sure."""
    names = generator.permutation(list(CROPPED))
    found = [piece for name in names if (piece := _sure_piece(model, generator, name, size))]
    if len(found) < count:
        raise ValueError(f"only {len(found)} photographs have pieces for {count} pictures")
    return np.stack([np.asarray(piece) for piece in found[:count]])


def _sure_piece(
    model: el.Network, generator: np.random.Generator, name: str, size: int
) -> Image.Image | None:
    """Draw a square piece of a photograph, perhaps mirrored; None if the network is never sure."""
    with Image.open(photo_path(CROPPED[name])) as opened:
        photograph = opened.convert("RGB")
    for _ in range(_TRIES):
        edge = round(min(photograph.size) * generator.uniform(0.7, 1))
        left, top = (int(generator.integers(side - edge + 1)) for side in photograph.size)
        piece = photograph.crop((left, top, left + edge, top + edge))
        if generator.integers(2):
            piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        piece = piece.resize((size, size), Image.Resampling.BICUBIC)
        with torch.no_grad():
            logits = model(as_images(np.asarray(piece)[None]))
        if logits.softmax(dim=1).max() >= _SURE:
            return piece
    return None


def _judge(secret: np.random.Generator) -> Judge:
    """Draw the judge that counts."""
    return Judge(
        seed=int(secret.integers(1 << 62)),  # too many for submitted code to try
        quality=int(secret.choice(tool.QUALITIES)),
        method=str(secret.choice(tool.METHODS)),
    )


def _own(folder: Path, size: int) -> Pixels:
    """Read the pictures of a folder."""
    paths = sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    if len(paths) < 2:
        raise ValueError(f"{folder} holds {len(paths)} pictures, and it takes two at least")
    return as_pixels(torch.cat([el.load_photo(path, size) for path in paths]))


def _targets(model: el.Network, pixels: Pixels, explainer: el.Explainer) -> torch.Tensor:
    """Return for each picture the map of the next one, and that of the first for the last."""
    images = as_images(pixels)
    classes = model(images).argmax(dim=1)
    return el.relevance_map(explainer(model, images, classes)).roll(-1, dims=0)


def _write_public(folder: Path, model: el.Network, pixels: Pixels, seed: int) -> None:
    """Write what students get: pictures, target maps, rules, the judge's program and starters."""
    for name in ("pictures", "targets"):
        (folder / name).mkdir(parents=True)
    targets = _targets(model, pixels, el.Gradient())
    targets[:1] = el.text_target(SENTENCE, pixels.shape[1])
    np.savez(folder / "pairs.npz", pictures=pixels, targets=targets.numpy())
    for number, (picture, target) in enumerate(zip(pixels, targets, strict=True), 1):
        Image.fromarray(picture).save(folder / "pictures" / f"{number}.png")
        el.figures.panel({"": target}, height=3).save(folder / "targets" / f"{number}.png")
    rules = {
        "network": NETWORK,
        "epsilon": EPSILON,
        "seed": seed,
        "judge": {"seed": 0, "quality": 90, "method": tool.METHODS[0]},
    }
    (folder / "challenge.json").write_text(json.dumps(rules, indent=2) + "\n", "utf-8")
    (folder / "challenge.py").write_bytes(Path(tool.__file__).read_bytes())
    templates = templates_in(_FILES, keep_trailing_newline=True)
    for path in sorted(_FILES.iterdir()):
        text = templates.get_template(path.name).render(
            rules=rules,
            tool=tool,
            count=len(pixels),
            size=pixels.shape[1],
            page=on_the_site("book/teach/challenge.md"),
            package=package_address(),
        )
        (folder / path.stem).write_text(text, "utf-8")


def _write_secret(
    folder: Path, model: el.Network, pixels: Pixels, judge: Judge, steps: int
) -> None:
    """Write what only the judge knows, forgeries of the hidden pictures among it."""
    folder.mkdir(parents=True)
    images, forged = as_images(pixels), []
    with progress_bar("forging hidden pictures", len(ATTACKERS), True, unit="attacker") as bar:
        for explainer in ATTACKERS.values():
            found = el.manipulate(
                model,
                images,
                _targets(model, pixels, explainer),
                explainer,
                steps=steps,
                lr=EPSILON / 255 / 4,
                epsilon=EPSILON / 255,
                fresh_noise=4 if explainer.with_seed(1) != explainer else None,
                progress=False,
            )
            forged.append(as_pixels(found.images))
            bar.update()
    np.savez(
        folder / "hidden.npz",
        pictures=pixels,
        attackers=np.array(list(ATTACKERS)),
        forged=np.stack(forged),
    )
    (folder / "judge.json").write_text(json.dumps(vars(judge), indent=2) + "\n", "utf-8")
