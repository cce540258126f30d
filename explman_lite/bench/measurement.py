"""One job: attack its pairs, and measure what was reached and what chance would have reached."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from explman_lite import controls, metrics
from explman_lite.attack import Manipulation, Settings, attack_defense
from explman_lite.bench.defense import defense_columns
from explman_lite.bench.jobs import Job
from explman_lite.explainers.base import Explainer
from explman_lite.explainers.registry import DEFENSES, EXPLAINERS, UNPROTECTED
from explman_lite.maps import relevance_map
from explman_lite.networks.prepare import Network, prepare
from explman_lite.networks.smoothing import has_activations_to_round
from explman_lite.networks.zoo import card_of, load_model
from explman_lite.pictures.collections import GENERATED, Pictures, open_pictures

_ONE_AT_A_TIME = Lock()
"""A worker may have several threads but has one device: within a process one job runs at a time."""


class _Stage(NamedTuple):
    """What the jobs of one case share."""

    network: Network
    explainer: Explainer
    pictures: Pictures

    def load(self, indices: Iterable[int]) -> Tensor:
        """Load pictures (N, C, H, W) in the precision and on the device of the network."""
        images = torch.stack([self.pictures.picture(index) for index in indices])
        return images.to(_weight(self.network))

    def maps(self, images: Tensor) -> Tensor:
        """Return the relevance maps, (N, H, W), of the classes that the network predicts."""
        with torch.no_grad():
            predicted = self.network(images).argmax(dim=1)
        return relevance_map(self.explainer(self.network, images, predicted))


def measure(job: Job, data: str | None = None) -> pd.DataFrame:
    """Attack the pairs of a job and measure them.

    It runs on the GPU if there is one. Networks, pictures and patterns that the last jobs used are
    kept for the next.

    Parameters
    ----------
    job : Job
        From `Suite.jobs`.
    data : str, optional
        Folder for downloaded pictures; the one beside downloaded weights if not given.

    Returns
    -------
    pandas.DataFrame
        A row per pair: suite, model, method, settings, the pair's number and the names of its
        pictures, all columns of `Manipulation.summary`, and

        - without an attack: ``pcc_target_unattacked`` and ``ssim_target_unattacked`` compare the
          map of the original picture with the target map;
        - with `~explman_lite.controls.white_noise` of the same length (L2) in place of the attack:
          ``pcc_target_noise`` and ``pcc_original_noise`` compare the map with the target map and
          with the original one, ``output_change_noise`` compares the class probabilities;
        - with `~explman_lite.controls.same_spectrum`, noise that has the spectrum of the attack's
          perturbation too: ``pcc_target_spectrum``, ``pcc_original_spectrum`` and
          ``output_change_spectrum``;
        - with a random target: ``pcc_random_target`` compares the map after the attack with that of
          a third picture, which shares what all maps of such pictures have in common, as shuffled
          pixels would not;
        - ``diverged``, ``steps``, ``seconds`` per pair, and ``device``;
        - what the suite measures besides, such as `defense_columns`.

    Raises
    ------
    KeyboardInterrupt
        If the attack was interrupted, since its first steps are no result.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from explman_lite.bench import SUITES, measure
    >>> job = replace(SUITES["digits"], batch=2, steps=3).jobs(limit=2)[0]
    >>> table = measure(job)
    >>> table[["method", "pair", "steps"]].to_dict("list")
    {'method': ['Gradient', 'Gradient'], 'pair': [0, 1], 'steps': [3, 3]}
    """
    with _ONE_AT_A_TIME, _same_every_time():
        stage = _stage_of(job, data)
        start = time.perf_counter()
        result = _attack(job, stage)
        columns: dict[str, Any] = result.summary().to_dict("list")
        seconds = (time.perf_counter() - start) / len(job.pairs)
        columns |= _controls(job, stage, result)
        for measures in job.measures:
            columns |= MEASUREMENTS[measures](job, stage, result, data)
    columns |= {
        "diverged": result.diverged.cpu().numpy(),
        "steps": len(result.history),
        "seconds": seconds,
        "device": _device_name(),
    }
    return pd.DataFrame(_labels(job, stage.pictures) | columns).map(_rounded)


def _rounded(value: Any) -> Any:
    """Keep six digits of a fraction, which rounding errors of other machines do not reach."""
    return float(f"{value:.6g}") if isinstance(value, (float, np.floating)) else value


def _labels(job: Job, pictures: Pictures) -> dict[str, Any]:
    """Return the columns that say which pair of which case a row is about."""
    return {
        "suite": job.suite,
        **job.case._asdict(),
        "pair": [pair.number for pair in job.pairs],
        "source": [pictures.name(pair.source) for pair in job.pairs],
        "target": [pictures.name(pair.target) for pair in job.pairs],
        "random_target": [pictures.name(pair.other) for pair in job.pairs],
    }


def _attack(job: Job, stage: _Stage) -> Manipulation:
    """Attack the pairs of a job, and raise KeyboardInterrupt where that was interrupted."""
    images = stage.load(pair.source for pair in job.pairs)
    target_maps = stage.maps(stage.load(pair.target for pair in job.pairs))
    settings = _settings(job, stage, images)
    if job.steps is not None:
        settings = replace(settings, steps=job.steps)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the attack diverged|interrupted", RuntimeWarning)
        result = attack_defense(
            stage.network,
            images,
            target_maps,
            stage.explainer,
            _seeds(job),
            restarts=job.attack.searches,
            progress=False,
            **settings.keywords(),
        )
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def _settings(job: Job, stage: _Stage, images: Tensor) -> Settings:
    """Return the settings of a job, or the paper's for its pictures.

    A network that was trained with a smooth activation is searched with it.
    """
    if job.attack.settings is not None:
        smooth = not has_activations_to_round(stage.network)
        return replace(job.attack.settings, beta=None) if smooth else job.attack.settings
    with torch.no_grad():
        logits = stage.network(images)
    pixels = images.shape[-2] * images.shape[-1]
    return Settings.paper(job.case.method, job.case.model, logits=logits, pixels=pixels)


def _defense_columns(
    job: Job, stage: _Stage, result: Manipulation, data: str | None
) -> dict[str, Any]:
    """Return `defense_columns` for a job, beside an attack on the plain gradient."""
    plain = replace(job, case=job.case._replace(method=UNPROTECTED))
    unprotected = result if plain == job else _unprotected(plain, data)
    targets = stage.load(pair.target for pair in job.pairs)
    with torch.no_grad():
        classes = stage.network(targets).argmax(dim=1)
    patch = card_of(job.case.model).patch
    return defense_columns(stage.network, result, unprotected, (targets, classes), patch)


NOISES = {"noise": controls.white_noise, "spectrum": controls.same_spectrum}
"""The random changes that stand in for the attack, by the end of their columns' names."""

MEASUREMENTS: dict[str, Callable[[Job, _Stage, Manipulation, str | None], dict[str, Any]]] = {
    "defense": _defense_columns
}
"""What a suite can ask to be measured beside the attack and its controls."""


@lru_cache(maxsize=16)
def _unprotected(job: Job, data: str | None) -> Manipulation:
    """Attack the plain gradient's map of the same pairs, once for all defences."""
    return _attack(job, _stage_of(job, data))


def _seeds(job: Job) -> list[tuple[int, int]]:
    """Return a seed for each pair, which does not depend on how pairs make up jobs."""
    return [(job.seed, pair.number) for pair in job.pairs]


def _controls(job: Job, stage: _Stage, result: Manipulation) -> dict[str, Any]:
    """Measure what is reached without an attack, by noise, and with another target."""
    other_maps = stage.maps(stage.load(pair.other for pair in job.pairs))
    before, target = result.original_maps, result.target_maps
    columns = {
        "pcc_target_unattacked": metrics.pcc(before, target),
        "ssim_target_unattacked": metrics.ssim(before, target),
        "pcc_random_target": metrics.pcc(result.maps, other_maps),
    }
    for name, control in NOISES.items():
        noisy = control(result.original_images, result.images, _seeds(job))
        explanation = stage.explainer.explain(stage.network, noisy, result.classes)
        noisy_maps = relevance_map(explanation.attribution)
        columns |= {
            f"pcc_target_{name}": metrics.pcc(noisy_maps, target),
            f"pcc_original_{name}": metrics.pcc(noisy_maps, before),
            f"output_change_{name}": metrics.output_change(
                explanation.logits, result.original_logits
            ),
        }
    return {name: column.cpu().numpy() for name, column in columns.items()}


def _stage_of(job: Job, data: str | None) -> _Stage:
    return _stage(*job.case[:2], job.pictures, job.precision, job.path_points, data)


@lru_cache(maxsize=2)
def _stage(
    model: str, method: str, collection: str, precision: str, path_points: int, data: str | None
) -> _Stage:
    """Load network, explainer and pictures."""
    pictures = open_pictures(collection, data)
    network = _network(model, collection == GENERATED, precision)
    if method in DEFENSES:
        defense = DEFENSES[method]
        known = pictures.others().to(_weight(network)) if defense.needs_pictures else None
        return _Stage(network, defense.make(pictures=known), pictures)
    card = EXPLAINERS[method]
    fitted_to = None if card.fit is None else pictures.others().to(_weight(network))
    return _Stage(network, card.make(network, fitted_to, points=path_points), pictures)


@lru_cache(maxsize=1)
def _network(name: str, made_up: bool, precision: str) -> Network:
    """Load a network; with made-up pictures, one that would be downloaded stays untrained."""
    try:
        loaded = _untrained(name) if made_up and card_of(name).downloaded else load_model(name)
    except OSError as error:
        raise OSError(f"the weights of {name} cannot be loaded: {error}") from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return loaded.to(device, getattr(torch, precision))


def _untrained(name: str) -> Network:
    """Build a torchvision network with random weights.

    A single dense layer replaces those at its end, which hold most of VGG-16's weights.
    """
    from torchvision.models import get_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = get_model(name, weights=None)
        if isinstance(getattr(model, "classifier", None), nn.Sequential):
            dense = next(layer for layer in model.classifier if isinstance(layer, nn.Linear))
            model.classifier = nn.Linear(dense.in_features, 10)
    card = card_of(name)
    return prepare(model, mean=card.mean, std=card.std)


def _weight(network: Network) -> Tensor:
    """Return some weight, whose device and type are those of the network."""
    return next(network.parameters())


@contextmanager
def _same_every_time() -> Iterator[None]:
    """Make cuDNN choose algorithms that give the same bits every time, in full precision."""
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield


def _device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
