r"""Pictures changed as far as by an attack, but at random: what no plan would have reached.

In the formulas :math:`\delta` is the perturbation of a sample, :math:`\delta_c` its channel c,
:math:`\mathcal F` the two-dimensional Fourier transform, and w white noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from explman_lite.validation import check_images, check_same_shape

_ROUNDS = 50
"""How often noise is given its spectrum again and brought back into [0, 1], and its length."""

Seed = int | tuple[int, ...]


def white_noise(images: Tensor, changed: Tensor, seeds: Sequence[Seed]) -> Tensor:
    r"""Move each picture as far as it was changed, in a random direction.

    .. math:: x + \lVert \delta \rVert \, \frac{w}{\lVert w \rVert}

    A value that would leave [0, 1] moves the other way, which keeps the length and leaves the noise
    white, but on a black ground all of it is brighter than the picture.

    Parameters
    ----------
    images, changed : Tensor
        (N, C, H, W) in [0, 1]: the pictures, and the same after an attack.
    seeds : sequence of int, or of tuple of int
        One for each picture. Noise is drawn for each on its own and on the CPU, so that it depends
        neither on the batch nor on the device.

    Returns
    -------
    Tensor
        (N, C, H, W) in [0, 1]. The Euclidean distance from ``images`` is that of ``changed``, up to
        rounding, unless a value has no room on either side, as can happen where noise exceeds 1/2.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> images = torch.full((2, 1, 8, 8), 0.5)
    >>> noisy = el.controls.white_noise(images, images + 0.1, seeds=[0, 1])
    >>> (noisy - images).flatten(1).norm(dim=1)
    tensor([0.8000, 0.8000])
    """
    _check(images, changed, seeds)
    noise = torch.stack([_draw(seed, *images.shape[1:]) for seed in seeds]).to(images)
    length = (changed - images).flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)
    noise = noise * length.view(-1, 1, 1, 1)
    outside = (images + noise < 0) | (images + noise > 1)
    return (images + torch.where(outside, -noise, noise)).clamp(0, 1)


def same_spectrum(images: Tensor, changed: Tensor, seeds: Sequence[Seed]) -> Tensor:
    r"""Move each picture as far as it was changed, by noise with the spectrum of the change.

    .. math:: x + \mathcal F^{-1}\left(
       \mathcal F \delta_c \; \frac{\mathcal F w}{|\mathcal F w|} \right)_c

    The channels share the phases of w, so that each keeps the amplitude of :math:`\delta` at every
    frequency, and any two of them keep how they are correlated. What is lost is where things are.

    Most such noise leaves [0, 1], and to cut it off would change its spectrum, most of all on a
    black ground. So the nearest picture in [0, 1] is followed by the nearest change with the
    amplitudes of :math:`\delta` and phases that the channels share, fifty times in turn. Then all
    that has room is scaled until the length agrees.

    Parameters
    ----------
    images, changed : Tensor
        (N, C, H, W) in [0, 1]: the pictures, and the same after an attack.
    seeds : sequence of int, or of tuple of int
        One for each picture. Noise is drawn for each on its own and on the CPU, so that it depends
        neither on the batch nor on the device.

    Returns
    -------
    Tensor
        (N, C, H, W) in [0, 1]. The Euclidean distance from ``images`` is that of ``changed``, up to
        rounding. The amplitudes are kept nearly: after attacks on photographs, the Euclidean
        distance between them and those of :math:`\delta` is less than 1 % of the length; on digits,
        whose ground is black, less than 5 % for most and 25 % for each. White noise is 60 % away
        and more.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form.

    References
    ----------
    Theiler et al. (1992), "Testing for nonlinearity in time series: the method of surrogate data",
    for random phases; Gerchberg and Saxton (1972) for taking turns.

    Examples
    --------
    >>> import torch, explman_lite as el
    >>> images = torch.full((1, 1, 8, 8), 0.5)
    >>> wave = 0.1 * torch.arange(8).mul(torch.pi / 4).cos().expand_as(images)
    >>> noisy = el.controls.same_spectrum(images, images + wave, seeds=[0])
    >>> torch.fft.rfft(noisy - images)[0, 0, 0].abs().round(decimals=4)
    tensor([0.0000, 0.4000, 0.0000, 0.0000, 0.0000])
    """
    _check(images, changed, seeds)
    noisy = [_with_spectrum(*sample) for sample in zip(images, changed, seeds, strict=True)]
    return torch.stack(noisy).to(images)


def _with_spectrum(image: Tensor, changed: Tensor, seed: Seed) -> Tensor:
    """Return one picture (C, H, W), moved as `same_spectrum` says, in float64 on the CPU."""
    image = image.detach().double().cpu()
    perturbation = changed.detach().double().cpu() - image
    size = image.shape[1:]
    spectrum = torch.fft.rfft2(perturbation)
    phases = torch.fft.rfft2(_draw(seed, *size)).angle()
    for _ in range(_ROUNDS):
        noise = torch.fft.irfft2(spectrum * torch.exp(1j * phases), s=size)
        noise = (image + noise).clamp(0, 1) - image
        # The phases for which spectrum × exp(i phases) is nearest to the transform of the noise.
        phases = (spectrum.conj() * torch.fft.rfft2(noise)).sum(dim=0).angle()
    for _ in range(_ROUNDS):
        scale = perturbation.norm() / noise.norm().clamp(min=torch.finfo(noise.dtype).tiny)
        noise = (image + scale * noise).clamp(0, 1) - image
    return image.add(noise)


def _draw(seed: Seed, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def _check(images: Tensor, changed: Tensor, seeds: Sequence[Seed]) -> None:
    """Refuse what are no pictures before and after a change, and other than a seed for each."""
    check_images(images)
    check_images(changed, "changed")
    check_same_shape(images, changed)
    if not isinstance(seeds, Sequence) or len(seeds) != len(images):
        raise ValueError(f"seeds must be one for each of {len(images)} pictures, got {seeds!r}")
