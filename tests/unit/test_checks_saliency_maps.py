"""The checks of chapter 1 answer the reference, the stub and known wrong answers as they should."""

import torch

import explman_lite as el


def scaled(maps, *, by):
    return maps / by(maps)


def mean_size(maps):
    return maps.abs().mean(dim=(1, 2), keepdim=True)


def gap(logit, total):
    return logit - total


def logit_of(model, images, classes):
    return model(images).gather(1, classes.unsqueeze(1)).squeeze(1)


def contributions(model, images, classes):
    return el.GradientTimesInput()(model, images, classes)


def maps_of_size(*sizes):
    return torch.rand(len(sizes), 4, 4) * torch.tensor(sizes).view(-1, 1, 1)


def notices(scale, maps, sample):
    return not torch.allclose(scale(maps)[sample], scale(maps[sample : sample + 1])[0])


def products(inputs, weight):
    return inputs.unsqueeze(1) * weight


def shared(parts, relevance, over=2):
    return (parts / parts.sum(dim=over, keepdim=True) * relevance.unsqueeze(2)).sum(dim=1)


def mean_gradient(model, images, classes, baseline, steps, shift=0.5):
    marks = [(k + shift) / steps for k in range(steps)]
    points = [baseline + mark * (images - baseline) for mark in marks]
    return torch.stack([el.Gradient()(model, p, classes) for p in points]).mean(dim=0)


REFERENCES = {
    "relevance_map": el.relevance_map,
    "signed_map": lambda a: a.sum(dim=1) / mean_size(a.sum(dim=1)),
    "completeness_gap": lambda m, x, c: gap(
        logit_of(m, x, c), contributions(m, x, c).sum(dim=(1, 2, 3))
    ),
    "positive_shares": lambda x, w, r: shared(products(x, w).clamp(min=0), r).nan_to_num(0.0),
    "from_baseline": lambda m, x, c, b, n: (x - b) * mean_gradient(m, x, c, b, n),
    "depends_on_neighbours": lambda scale: notices(scale, maps_of_size(1.0, 9.0), 1),
}

WRONG = [
    ("relevance_map", "no absolute value", lambda a: a.sum(dim=1), "negative values"),
    ("relevance_map", "absolute value too late", lambda a: a.sum(dim=1).abs(), "after the sum"),
    ("relevance_map", "not scaled", lambda a: a.abs().sum(dim=1), "instead of 1"),
    (
        "relevance_map",
        "scaled by the batch",
        lambda a: scaled(a.abs().sum(dim=1), by=torch.mean),
        "depends on its neighbours",
    ),
    (
        "relevance_map",
        "sum 1",
        lambda a: el.relevance_map(a) / a[0, 0].numel(),
        "sum to 1",
    ),
    (
        "relevance_map",
        "largest value 1",
        lambda a: el.relevance_map(a) / el.relevance_map(a).amax(dim=(1, 2), keepdim=True),
        "largest value",
    ),
    ("relevance_map", "one channel", lambda a: a[:, 0].abs(), "sum of the absolute values"),
    ("relevance_map", "channels kept", lambda a: a.abs(), "(3, 3, 5, 4)"),
    ("relevance_map", "not a tensor", lambda a: a.tolist(), "type list"),
    ("relevance_map", "NaN", lambda a: a.abs().sum(dim=1) * torch.nan, "NaN"),
    ("relevance_map", "an error", lambda a: a.nonsense, "AttributeError"),
    ("signed_map", "absolute value", el.relevance_map, "sign"),
    (
        "signed_map",
        "divided by the signed mean",
        lambda a: a.sum(dim=1) / a.sum(dim=1).mean(dim=(1, 2), keepdim=True),
        "absolute values",
    ),
    (
        "signed_map",
        "scaled by the batch",
        lambda a: a.sum(dim=1) / a.sum(dim=1).abs().mean(),
        "depends on its neighbours",
    ),
    ("signed_map", "one channel", lambda a: a[:, 0] / mean_size(a[:, 0]), "over the channels"),
    (
        "completeness_gap",
        "wrong way round",
        lambda m, x, c: -REFERENCES["completeness_gap"](m, x, c),
        "wrong way round",
    ),
    (
        "completeness_gap",
        "absolute values",
        lambda m, x, c: logit_of(m, x, c) - contributions(m, x, c).abs().sum(dim=(1, 2, 3)),
        "absolute values",
    ),
    (
        "completeness_gap",
        "gradient alone",
        lambda m, x, c: logit_of(m, x, c) - el.Gradient()(m, x, c).sum(dim=(1, 2, 3)),
        "multiply it by the images",
    ),
    (
        "completeness_gap",
        "probability",
        lambda m, x, c: (
            m(x).softmax(dim=1).gather(1, c.unsqueeze(1)).squeeze(1)
            - contributions(m, x, c).sum(dim=(1, 2, 3))
        ),
        "probability",
    ),
    (
        "completeness_gap",
        "predicted class",
        lambda m, x, c: REFERENCES["completeness_gap"](m, x, m(x).argmax(dim=1)),
        "`classes`",
    ),
    (
        "completeness_gap",
        "one number for the batch",
        lambda m, x, c: REFERENCES["completeness_gap"](m, x, c).sum(),
        "shape should be (3,)",
    ),
    ("completeness_gap", "logit alone", logit_of, "minus the sum"),
    (
        "positive_shares",
        "only the weight is clamped",
        lambda x, w, r: x * ((r / (x @ w.clamp(min=0).T)) @ w.clamp(min=0)),
        "Clamp the product",
    ),
    (
        "positive_shares",
        "no clamp",
        lambda x, w, r: shared(products(x, w), r),
        "negative contributions take part",
    ),
    (
        "positive_shares",
        "absolute values",
        lambda x, w, r: shared(products(x, w).abs(), r),
        "magnitude",
    ),
    (
        "positive_shares",
        "sum over the outputs",
        lambda x, w, r: shared(products(x, w).clamp(min=0), r, over=1),
        "over the inputs",
    ),
    (
        "positive_shares",
        "not divided",
        lambda x, w, r: (products(x, w).clamp(min=0) * r.unsqueeze(2)).sum(dim=1),
        "do not divide",
    ),
    (
        "positive_shares",
        "nothing over nothing",
        lambda x, w, r: shared(products(x, w).clamp(min=0), r),
        "0/0",
    ),
    ("positive_shares", "shares not summed", lambda x, w, r: products(x, w), "(3, 5)"),
    ("positive_shares", "weights in place of shares", lambda x, w, r: r @ w, "not the shares"),
    (
        "from_baseline",
        "black",
        lambda m, x, c, b, n: el.IntegratedGradients(n)(m, x, c),
        "from black",
    ),
    (
        "from_baseline",
        "times the images",
        lambda m, x, c, b, n: x * mean_gradient(m, x, c, b, n),
        "images minus baseline",
    ),
    (
        "from_baseline",
        "wrong way",
        lambda m, x, c, b, n: (b - x) * mean_gradient(m, x, c, b, n),
        "wrong way",
    ),
    (
        "from_baseline",
        "not divided",
        lambda m, x, c, b, n: (x - b) * mean_gradient(m, x, c, b, n) * n,
        "number of steps",
    ),
    (
        "from_baseline",
        "ends of the parts",
        lambda m, x, c, b, n: (x - b) * mean_gradient(m, x, c, b, n, shift=1),
        "end of each part",
    ),
    (
        "from_baseline",
        "beginnings of the parts",
        lambda m, x, c, b, n: (x - b) * mean_gradient(m, x, c, b, n, shift=0),
        "start of each part",
    ),
    (
        "from_baseline",
        "gradient at the image",
        lambda m, x, c, b, n: (x - b) * el.Gradient()(m, x, c),
        "average on the way",
    ),
    (
        "from_baseline",
        "gradient alone",
        lambda m, x, c, b, n: mean_gradient(m, x, c, b, n),
        "mean gradient on the way",
    ),
    ("depends_on_neighbours", "always guilty", lambda scale: True, "accuses"),
    ("depends_on_neighbours", "never guilty", lambda scale: False, "whole batch"),
    (
        "depends_on_neighbours",
        "a batch of one",
        lambda scale: notices(scale, maps_of_size(3.0), 0),
        "clearly different mean",
    ),
    (
        "depends_on_neighbours",
        "a batch of equal maps",
        lambda scale: notices(scale, maps_of_size(3.0)[[0, 0]], 1),
        "clearly different mean",
    ),
    (
        "depends_on_neighbours",
        "only the first map",
        lambda scale: notices(scale, maps_of_size(1.0, 9.0), 0),
        "mean of the first",
    ),
]
