"""Answers to the exercise on SmoothGrad with fresh noise: right ones, and wrong ones by hint."""

import math

import torch


def drawn(samples, image, generator):
    return torch.randn(samples, *image.shape[1:], generator=generator)


def fresh(
    explain, image, samples, noise, generator, *, draw=drawn, scale=float, noisy=torch.clone,
    mean=lambda maps: maps.mean(dim=0, keepdim=True),
):  # fmt: skip
    pictures = image + scale(noise) * draw(samples, image, generator)
    return mean(explain(noisy(pictures.expand(samples, -1, -1, -1))))


def freshly(**how):
    return lambda *given: fresh(*given, **how)


def one_by_one(explain, image, samples, noise, generator, piles_up=False):
    total, pictures = 0, image
    for _ in range(samples):
        pictures = (pictures if piles_up else image) + noise * drawn(1, image, generator)
        total = total + explain(pictures)
    return total / samples


def antithetic(samples, image, generator):
    half = drawn(samples // 2, image, generator)
    return torch.cat([half, -half])


def global_numbers(*given):
    return fresh(*given[:4], None)


def half_global(samples, image, generator):
    return torch.cat([drawn(samples // 2, image, source) for source in (generator, None)])


def first_half_only(explain, image, samples, noise, generator):
    pictures = image + noise * drawn(samples, image, generator)
    maps = explain(pictures[::2]), explain(pictures[1::2]).detach()
    return torch.cat(maps).mean(dim=0, keepdim=True)


def uniform(samples, image, generator):
    return torch.rand(samples, *image.shape[1:], generator=generator)


RIGHT = [
    ("fresh_smoothgrad", answer)
    for answer in (one_by_one, freshly(draw=antithetic), freshly(scale=lambda noise: -noise))
]

WRONG = {
    "fresh_smoothgrad": {
        "set no seed inside": lambda *g: fresh(*g[:4], torch.Generator().manual_seed(7)),
        "learns one noise by heart": lambda *g: fresh(*g[:4], g[4].manual_seed(7)),
        "untouched": global_numbers,
        "elsewhere": freshly(draw=half_global),
        "nothing to average": freshly(draw=lambda n, *g: drawn(1, *g)),
        "no noise": freshly(scale=lambda noise: 0.0),
        "Some samples": freshly(draw=lambda n, *g: drawn(n // 2, *g).repeat(2, 1, 1, 1)),
        "add the": freshly(mean=lambda maps: maps.sum(dim=0, keepdim=True)),
        "absolute": freshly(mean=lambda maps: maps.abs().mean(dim=0, keepdim=True)),
        "the mean of all": freshly(mean=lambda maps: maps[:1]),
        "not the mean": freshly(mean=lambda maps: maps.median(dim=0, keepdim=True)[0]),
        "every noisy picture": freshly(mean=lambda maps: maps),
        "shape should be": freshly(mean=lambda maps: maps.mean(dim=0)),
        "single picture": freshly(noisy=lambda pictures: pictures.mean(dim=0, keepdim=True)),
        "24 noisy pictures to explain, not 12": lambda e, x, n, *g: fresh(e, x, n // 2, *g),
        "not 0": lambda explain, image, *others: 1 * image,
        "square": freshly(scale=lambda noise: noise**2),
        "root": freshly(scale=math.sqrt),
        "forget to multiply": freshly(scale=lambda noise: 1),
        "instead of 0.25": freshly(scale=lambda noise: 3 * noise),
        "not centred": freshly(draw=uniform),
        "not normally distributed": freshly(draw=lambda *g: math.sqrt(12) * (uniform(*g) - 0.5)),
        "brighter or darker": freshly(draw=lambda n, x, g: drawn(n, x[:, :1, :1, :1], g)),
        "same in all channels": freshly(draw=lambda n, x, g: drawn(n, x[:, :1], g)),
        "one-sided": freshly(noisy=lambda pictures: pictures.clamp(0, 1)),
        "piles up": lambda *g: one_by_one(*g, piles_up=True),
        "no gradient": lambda *g: fresh(*g).detach(),
        "reaches the image": lambda e, x, *g: fresh(e, x.detach().requires_grad_(), *g),
        "only a part": first_half_only,
        "takes a batch": lambda e, x, n, *g: e(x.expand(n, 1, -1, -1, -1)),
        "type list": lambda *g: fresh(*g).tolist(),
    }
}
