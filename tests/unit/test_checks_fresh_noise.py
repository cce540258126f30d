"""The check of SmoothGrad with fresh noise answers reference, stub and wrong answers rightly."""

import math

import pytest
import torch

import explman_lite as el


def fresh(
    explain,
    image,
    samples,
    noise,
    generator,
    *,
    shape=lambda samples, image: (samples, *image.shape[1:]),
    draw=torch.randn,
    scale=lambda noise: noise,
    noisy=lambda pictures: pictures,
    mean=lambda maps: maps.mean(dim=0, keepdim=True),
):
    drawn = draw(shape(samples, image), generator=generator)
    return mean(explain(noisy((image + scale(noise) * drawn).expand(samples, -1, -1, -1))))


def freshly(**how):
    return lambda *given: fresh(*given, **how)


def one_by_one(explain, image, samples, noise, generator, *, piles_up=False, seeded=False):
    total, pictures = 0, image
    for k in range(samples):
        if seeded:
            generator.manual_seed(k)
        drawn = torch.randn(image.shape, generator=generator)
        pictures = (pictures if piles_up else image) + noise * drawn
        total = total + explain(pictures)
    return total / samples


def antithetic(explain, image, samples, noise, generator):
    half = noise * torch.randn(samples // 2, *image.shape[1:], generator=generator)
    return explain(torch.cat([image + half, image - half])).mean(dim=0, keepdim=True)


def with_seed(explain, image, samples, noise, generator):
    return fresh(explain, image, samples, noise, generator.manual_seed(7))


def own_generator(explain, image, samples, noise, generator):
    return fresh(explain, image, samples, noise, torch.Generator().manual_seed(7))


def global_numbers(explain, image, samples, noise, generator):
    return fresh(explain, image, samples, noise, None)


def half_global(explain, image, samples, noise, generator):
    def draw(shape, generator):
        drawn = torch.randn(shape, generator=generator)
        drawn[::2] = torch.randn_like(drawn[::2])
        return drawn

    return fresh(explain, image, samples, noise, generator, draw=draw)


def without_graph(explain, image, samples, noise, generator):
    with torch.no_grad():
        return fresh(explain, image, samples, noise, generator)


def of_a_copy(explain, image, *others):
    return fresh(explain, image.detach().clone().requires_grad_(), *others)


def first_half_only(explain, image, samples, noise, generator):
    pictures = image + noise * torch.randn(samples, *image.shape[1:], generator=generator)
    maps = explain(pictures[::2]), explain(pictures[1::2]).detach()
    return torch.cat(maps).mean(dim=0, keepdim=True)


def mean_picture(explain, image, samples, noise, generator):
    pictures = image + noise * torch.randn(samples, *image.shape[1:], generator=generator)
    return explain(pictures.mean(dim=0, keepdim=True))


def laplace(shape, generator):
    uniform = torch.rand(shape, generator=generator) - 0.5
    return -uniform.sign() * (1 - 2 * uniform.abs()).log() / math.sqrt(2)


def twice(explain, image, samples, noise, generator):
    half = noise * torch.randn(samples // 2, *image.shape[1:], generator=generator)
    return explain(image + half.repeat(2, 1, 1, 1)).mean(dim=0, keepdim=True)


REFERENCES = {"fresh_smoothgrad": fresh}

WRONG = [
    ("fresh_smoothgrad", *rest)
    for rest in [
        ("a seed", with_seed, "set no seed inside"),
        ("own generator", own_generator, "set no seed inside"),
        ("global numbers", global_numbers, "untouched"),
        ("half global", half_global, "elsewhere"),
        (
            "same for all samples",
            freshly(shape=lambda samples, image: image.shape),
            "nothing to average",
        ),
        (
            "no noise",
            lambda explain, image, *o: fresh(explain, image, o[0], 0.0, o[2]),
            "no noise",
        ),
        ("a seed for each", lambda *g: one_by_one(*g, seeded=True), "set no seed inside"),
        ("drawn twice", twice, "Some samples"),
        ("sum", freshly(mean=lambda m: m.sum(dim=0, keepdim=True)), "add the"),
        ("sizes", freshly(mean=lambda m: m.abs().mean(0, True)), "absolute"),
        ("first", freshly(mean=lambda m: m[:1]), "the mean of all"),
        ("median", freshly(mean=lambda m: m.median(0, True)[0]), "not the mean"),
        ("all maps", freshly(mean=lambda m: m), "every noisy picture"),
        ("no batch", freshly(mean=lambda m: m.mean(dim=0)), "shape should be"),
        ("mean picture", mean_picture, "single picture"),
        (
            "too few",
            lambda explain, image, samples, *o: fresh(explain, image, samples // 2, *o),
            "24 noisy pictures to explain, not 12",
        ),
        ("no call", lambda explain, image, *o: 1 * image, "not 0"),
        ("variance", freshly(scale=lambda noise: noise**2), "square"),
        ("root", freshly(scale=math.sqrt), "root"),
        ("unscaled", freshly(scale=lambda noise: 1), "forget to multiply"),
        ("thrice", freshly(scale=lambda noise: 3 * noise), "instead of 0.25"),
        ("uniform", freshly(draw=torch.rand), "not centred"),
        ("laplace", freshly(draw=laplace), "not normally distributed"),
        (
            "brightness",
            freshly(shape=lambda samples, image: (samples, 1, 1, 1)),
            "brighter or darker",
        ),
        (
            "grey noise",
            freshly(shape=lambda samples, image: (samples, 1, *image.shape[2:])),
            "same in all channels",
        ),
        ("clamped", freshly(noisy=lambda p: p.clamp(0, 1)), "one-sided"),
        ("piles up", lambda *g: one_by_one(*g, piles_up=True), "piles up"),
        ("detached", lambda *g: fresh(*g).detach(), "no gradient"),
        ("no graph", without_graph, "no gradient"),
        ("of a copy", of_a_copy, "no gradient"),
        ("a part", first_half_only, "only a part"),
        (
            "five dimensions",
            lambda e, x, n, s, g: e(x.expand(n, 1, -1, -1, -1)),
            "takes a batch",
        ),
        ("a list", lambda *g: fresh(*g).tolist(), "type list"),
    ]
]

RIGHT = [one_by_one, antithetic, freshly(scale=lambda noise: -noise)]


@pytest.mark.parametrize("answer", RIGHT)
def test_other_way_passes(answer):
    verdict = el.checks.fresh_smoothgrad(answer)
    assert verdict, verdict
    assert verdict.sentence.startswith("Right")


def test_reference_approaches_the_expectation():
    image, generator = torch.tensor([[[[0.2, 0.9]]]]), torch.Generator().manual_seed(0)
    calls = [fresh(lambda x: x**3, image, 50, 0.3, generator) for _ in range(400)]
    expected = image**3 + 3 * image * 0.3**2
    assert torch.allclose(torch.stack(calls).mean(dim=0), expected, atol=0.02)


def test_answers_that_draw_elsewhere_leave_the_random_numbers_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    el.checks.fresh_smoothgrad(global_numbers)
    el.checks.fresh_smoothgrad(with_seed)
    assert torch.equal(torch.rand(1), expected)
