"""The checks of chapter 5 answer the reference, the stub and known wrong answers as they should."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

import explman_lite as el


def logistic(beta):
    return math.pi / (math.sqrt(3) * beta)


def of_paper(beta):
    return math.log(2) * math.sqrt(2 * math.pi) / beta


def closed_form(w, x, beta, *, slope=torch.sigmoid, power=1):
    return slope(beta * (x @ w) / w.norm() ** power).unsqueeze(1) * w


def by_exp(w, x, beta):
    e = (beta * (x @ w) / w.norm()).exp()
    return (e / (1 + e)).unsqueeze(1) * w


def by_autograd(w, x, beta):
    x = x.requires_grad_()
    outputs = F.softplus(x @ w, beta=(beta / w.norm()).item())
    return torch.autograd.grad(outputs.sum(), x)[0]


def by_drawing(w, x, beta):
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(2000, 1, generator=generator, dtype=x.dtype).logit() / beta
    return ((x @ w - noise * w.norm() > 0).to(x).mean(dim=0)).unsqueeze(1) * w


def most_relevant(relevance, portion, *, descending=True):
    count = int(portion * relevance.numel())
    chosen = relevance.flatten().argsort(descending=descending)[:count]
    return torch.zeros(relevance.numel()).index_fill(0, chosen, 1.0).bool().view_as(relevance)


def erased(
    image,
    relevance,
    portion,
    *,
    descending=True,
    colour=lambda image, mask: image.mean(dim=(1, 2), keepdim=True),
):
    mask = most_relevant(relevance, portion, descending=descending)
    return torch.where(mask, colour(image, mask), image)


def in_colour(colour):
    return lambda *given: erased(*given, colour=colour)


def by_topk(image, relevance, portion):
    result = image.clone()
    chosen = relevance.flatten().topk(int(portion * relevance.numel())).indices
    result.flatten(1)[:, chosen] = image.mean(dim=(1, 2)).unsqueeze(1)
    return result


def pixel_by_pixel(image, relevance, portion):
    result, (_, height, width) = image.clone(), image.shape
    places = [(i, j) for i in range(height) for j in range(width)]
    places.sort(key=lambda place: relevance[place].item(), reverse=True)
    for i, j in places[: int(portion * len(places))]:
        result[:, i, j] = image.mean(dim=(1, 2))
    return result


def in_place(image, relevance, portion):
    image.copy_(erased(image, relevance, portion))
    return image


def spends_relevance(image, relevance, portion):
    result = erased(image, relevance, portion)
    relevance.zero_()
    return result


def by_channel(image, relevance, portion):
    score = (image * relevance).flatten()
    chosen = score.topk(int(portion * len(score))).indices
    mask = torch.zeros_like(score, dtype=torch.bool).index_fill(0, chosen, True)
    return torch.where(mask.view_as(image), image.mean(dim=(1, 2), keepdim=True), image)


def one_channel(image, relevance, portion):
    result = image.clone()
    result[:1] = erased(image, relevance, portion)[:1]
    return result


def by_quantile(image, relevance, portion):
    mask = relevance >= relevance.quantile(1 - portion)
    return torch.where(mask, image.mean(dim=(1, 2), keepdim=True), image)


def from_behind(image, relevance, portion):
    result = image.clone()
    chosen = relevance.flatten().argsort()[-int(portion * relevance.numel()) :]
    result.flatten(1)[:, chosen] = image.mean(dim=(1, 2)).unsqueeze(1)
    return result


def transposed(image, relevance, portion):
    mask = most_relevant(relevance, portion).T.reshape(relevance.shape)
    return torch.where(mask, image.mean(dim=(1, 2), keepdim=True), image)


def closest(distances, kept, *, lost=torch.inf):
    return distances.masked_fill(~kept, lost).argmin(dim=0)


def closest_in_place(distances, kept):
    distances[~kept] = torch.inf
    return distances.argmin(dim=0)


def times_infinity(distances, kept):
    return (distances + torch.inf * ~kept).argmin(dim=0)


def none_is(index):
    return lambda d, kept: torch.where(kept.any(dim=0), closest(d, kept), index)


def overall_best(distances, kept):
    best = distances.masked_fill(~kept, 9.0).mean(dim=1).argmin()
    return best.expand(distances.shape[1])


def in_turn(distances, kept):
    best = torch.zeros(distances.shape[1], dtype=torch.long)
    for sample in range(distances.shape[1]):
        fine = [(distances[s, sample].item(), s) for s in range(len(kept)) if kept[s, sample]]
        best[sample] = min(fine)[1] if fine else 0
    return best


REFERENCES = {
    "noise_of_beta": logistic,
    "mean_gradient": closed_form,
    "erase": erased,
    "best_of": closest,
}

ALSO_RIGHT = [
    ("noise_of_beta", lambda beta: torch.tensor(logistic(beta))),
    ("noise_of_beta", lambda beta: np.float32(logistic(beta))),
    ("noise_of_beta", lambda beta: round(logistic(beta), 4)),
    ("noise_of_beta", lambda beta: stats.logistic(scale=1 / beta).std()),
    ("mean_gradient", by_autograd),
    ("mean_gradient", lambda *given: closed_form(*given).float()),
    ("erase", by_topk),
    ("erase", pixel_by_pixel),
    ("best_of", in_turn),
    ("best_of", lambda *given: closest(*given, lost=1e9)),
    ("best_of", lambda *given: closest(*given).int()),
]

WRONG = [
    ("noise_of_beta", "paper", of_paper, "the paper's number"),
    ("noise_of_beta", "root of it", lambda b: math.sqrt(of_paper(b)), "calls it a variance"),
    ("noise_of_beta", "scale", lambda b: 1 / b, "is the scale"),
    ("noise_of_beta", "variance", lambda b: logistic(b) ** 2, "That is the variance"),
    ("noise_of_beta", "three", lambda b: math.pi / (3 * b), "divide by its root"),
    ("noise_of_beta", "no root", lambda b: math.pi / b, "√3"),
    ("noise_of_beta", "peak", lambda b: 4 / (math.sqrt(2 * math.pi) * b), "peak"),
    ("noise_of_beta", "grows", lambda b: logistic(1 / b), "does not shrink"),
    ("noise_of_beta", "constant", lambda b: 1.8, "does not shrink"),
    ("noise_of_beta", "other", lambda b: 3 / b, "yours is 3.000"),
    ("noise_of_beta", "not a number", lambda b: math.nan, "yours is nan"),
    ("noise_of_beta", "a list", lambda b: [1 / b], "type list"),
    ("noise_of_beta", "an error", lambda b: torch.sqrt(3), "TypeError"),
    ("noise_of_beta", "only once", lambda b: logistic(b) if b == 1 else None, "type NoneType"),
    ("mean_gradient", "no norm", lambda *g: closed_form(*g, power=0), "do not divide by ‖w‖"),
    ("mean_gradient", "times norm", lambda *g: closed_form(*g, power=-1), "multiply by ‖w‖"),
    ("mean_gradient", "square", lambda *g: closed_form(*g, power=2), "twice"),
    ("mean_gradient", "no β", lambda w, x, beta: closed_form(w, x, 1.0), "β is missing"),
    ("mean_gradient", "hard", lambda w, x, beta: (x @ w > 0).unsqueeze(1) * w, "hard step"),
    (
        "mean_gradient",
        "softplus",
        lambda w, x, beta: F.softplus(x @ w, (beta / w.norm()).item()).unsqueeze(1) * w,
        "softplus itself",
    ),
    (
        "mean_gradient",
        "softplus of the argument",
        lambda *g: closed_form(*g, slope=F.softplus),
        "take its slope",
    ),
    ("mean_gradient", "unit", lambda w, *g: closed_form(w, *g) / w.norm(), "the unit vector"),
    ("mean_gradient", "β in front", lambda *g: g[2] * closed_form(*g), "in front"),
    ("mean_gradient", "down", lambda w, x, beta: closed_form(w, x, -beta), "goes down"),
    (
        "mean_gradient",
        "density",
        lambda *g: g[2] * closed_form(*g, slope=lambda z: torch.sigmoid(z) * torch.sigmoid(-z)),
        "density",
    ),
    ("mean_gradient", "one point", lambda *g: closed_form(*g)[0], "each of the 7 points"),
    ("mean_gradient", "slopes", lambda w, x, beta: x @ w, "one number for each point"),
    ("mean_gradient", "column", lambda *g: closed_form(*g)[:, :1], "one number for each point"),
    ("mean_gradient", "exp", by_exp, "overflows"),
    ("mean_gradient", "drawn", by_drawing, "If you draw noise"),
    ("mean_gradient", "turned", lambda *g: closed_form(*g).T, "shape should be"),
    ("mean_gradient", "points", lambda w, x, beta: x, "between 0 and 1"),
    ("mean_gradient", "a list", lambda *g: closed_form(*g).tolist(), "type list"),
    ("erase", "least", lambda *g: erased(*g, descending=False), "erase the most relevant"),
    ("erase", "black", in_colour(lambda image, mask: 0 * image), "Black"),
    ("erase", "grey", in_colour(lambda image, mask: image.mean()), "each channel has its own"),
    ("erase", "own grey", in_colour(lambda image, mask: image.mean(dim=0)), "its own grey"),
    (
        "erase",
        "mean of the erased",
        in_colour(lambda image, mask: image[:, mask].mean(dim=1).view(3, 1, 1)),
        "mean of what you erase",
    ),
    (
        "erase",
        "mean of the rest",
        in_colour(lambda image, mask: image[:, ~mask].mean(dim=1).view(3, 1, 1)),
        "mean of what is left",
    ),
    ("erase", "white", in_colour(lambda image, mask: torch.ones_like(image)), "not in the mean"),
    ("erase", "in place", in_place, "work on a copy"),
    ("erase", "spends relevance", spends_relevance, "work on a copy"),
    ("erase", "channels apart", by_channel, "all channels or in none"),
    ("erase", "one channel", one_channel, "all channels or in none"),
    ("erase", "percent", lambda x, r, portion: erased(x, r, portion / 100), "erase 0 of 32"),
    ("erase", "all but", lambda x, r, portion: erased(x, r, 1 - portion), "erase 24 of 32"),
    ("erase", "quantile", by_quantile, "With portion 0 you erase 1 of 32"),
    ("erase", "from behind", from_behind, "[-0:]"),
    ("erase", "turned", transposed, "not the most relevant"),
    ("erase", "a batch", lambda *g: erased(*g).unsqueeze(0), "shape should be"),
    ("erase", "only once", lambda *g: erased(*g) if g[2] else None, "type NoneType"),
    ("best_of", "kept ignored", lambda d, kept: d.argmin(dim=0), "ignore `kept`"),
    ("best_of", "farthest", lambda d, kept: closest(-d, kept), "smaller, the closer"),
    ("best_of", "farthest of all", lambda d, kept: d.argmax(dim=0), "whether or not"),
    ("best_of", "lost", lambda d, kept: closest(d, ~kept), "that lost the class"),
    ("best_of", "product", lambda d, kept: (d * kept).argmin(dim=0), "the best of all"),
    ("best_of", "zero", lambda *g: closest(*g, lost=0.0), "the best of all"),
    ("best_of", "inf times 0", times_infinity, "NaN"),
    ("best_of", "same for all", overall_best, "same search for all"),
    ("best_of", "one number", lambda d, kept: d.mean(dim=1).argmin(), "for the whole batch"),
    ("best_of", "other way", lambda d, kept: d.argmin(dim=1), "a search for each sample"),
    ("best_of", "small sentinel", lambda *g: closest(*g, lost=1.0), "not the closest"),
    ("best_of", "-1 for none", none_is(-1), "you return -1"),
    ("best_of", "closest for none", lambda d, kept: closest(d + 9 * ~kept, kept | True), "Where"),
    ("best_of", "in place", closest_in_place, "changed the tensors"),
    ("best_of", "a pair", lambda d, kept: d.min(dim=0), "return the indices"),
    ("best_of", "distances", lambda d, kept: d.amin(dim=0), "the index of a search"),
    ("best_of", "a list", lambda *g: closest(*g).tolist(), "type list"),
    ("best_of", "flags", lambda d, kept: kept[0], "a whole number"),
]


@pytest.mark.parametrize(("name", "answer"), ALSO_RIGHT)
def test_other_way_passes(name, answer):
    verdict = getattr(el.checks, name)(answer)
    assert verdict, verdict


def test_the_papers_number_is_that_of_a_gaussian_which_agrees_at_the_kink():
    gaussian = stats.norm(scale=of_paper(5))
    assert gaussian.expect(lambda x: x, lb=0) == pytest.approx(math.log(2) / 5)
    assert stats.logistic(scale=1 / 5).std() == pytest.approx(logistic(5))


def test_closed_form_is_the_mean_over_noise():
    w, x = torch.tensor([3.0, -1.0]), torch.tensor([[0.2, 0.1], [-0.3, 0.4]])
    noise = torch.from_numpy(stats.logistic(scale=1 / 2).ppf((np.arange(4000) + 0.5) / 4000))
    noisy = x - noise.view(-1, 1, 1) * w / w.norm()
    mean = ((noisy @ w.double() > 0).unsqueeze(2) * w).mean(dim=0)
    assert torch.allclose(mean, closed_form(w, x, 2.0), atol=2e-3)
