"""Sums, products, concatenations and slices: where a network parts and meets."""

import operator

import torch
import torch.nn.functional as F
from spelling_table import SIGNS, net, ready, scaled, spell, untold
from torch import nn


class Join(nn.Module):
    """Two branches from one place, and what joins them."""

    def __init__(self, join, first, second, dense, images_too=False):
        super().__init__()
        self.first, self.second, self.dense, self.join = first, second, dense, join

    def forward(self, x):
        x = F.relu(self.first(x))
        return self.dense(self.join(x, self.second(x)).flatten(1))


class PlainSum(nn.Module):
    """The plainest residual sum."""

    def __init__(self, first, second, dense):
        super().__init__()
        self.first, self.relu, self.second = first, nn.ReLU(), second
        self.flatten, self.dense = nn.Flatten(), dense

    def forward(self, images):
        x = self.relu(self.first(images))
        return self.dense(self.flatten(x + self.second(x)))


def joined(join):
    def make():
        layers = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(256, 5)
        return ready(Join(join, *layers))

    return make


def sum_twin(branch=1.0, all_of_it=1.0):
    """Return the twin of all_of_it · (x + branch · f(x))."""

    def twin(net):
        with torch.no_grad():
            net.dense.weight.mul_(all_of_it)
        return PlainSum(net.first, scaled(net.second, branch), net.dense)

    return twin


def add_in_place(x, y):
    x.add_(y)
    return x


def add_operator(x, y):
    x += y
    return x


def add_to_other(x, y):
    y += x
    return y


def add_to_alias(x, y):
    z = y
    z += x
    return y


def add_to_part(x, y):
    y[:, :2] += x[:, :2]
    y[:, 2:].add_(x[:, 2:])
    return y


def subtract_statement(x, y):
    x.sub_(y)
    return x


def subtract_from_other(x, y):
    y.sub_(x)
    return y


def subtract_operator(x, y):
    y -= x
    return y


def add_out(x, y):
    return torch.add(x, y, out=torch.empty(0, dtype=x.dtype))


def copied(x, y):
    y.copy_(x + y)
    return y


SUMS = {
    "+": (lambda x, y: x + y, 1, 1),
    "+ turned": (lambda x, y: y + x, 1, 1),
    "torch.add": (torch.add, 1, 1),
    "torch.add keyword": (lambda x, y: torch.add(input=x, other=y), 1, 1),
    "add": (lambda x, y: x.add(y), 1, 1),
    "add_": (add_in_place, 1, 1),
    "add_ returned": (lambda x, y: y.add_(x), 1, 1),
    "+=": (add_operator, 1, 1),
    "+= to the branch": (add_to_other, 1, 1),
    "+= to an alias": (add_to_alias, 1, 1),
    "operator.add": (operator.add, 1, 1),
    "operator.iadd": (operator.iadd, 1, 1),
}
for name, (join, branch, everything) in SUMS.items():
    spell("sum", name, joined(join), sum_twin(branch, everything))

NAMED_SUMS = {
    "sum()": (lambda x, y: sum([x, y]), 1, 1, "add|radd"),
    "alpha": (lambda x, y: torch.add(x, y, alpha=0.5), 0.5, 1, "add"),
    "alpha of a method": (lambda x, y: x.add(y, alpha=-2), -2, 1, "add"),
    "alpha in place": (lambda x, y: x.add_(y, alpha=3), 3, 1, "add"),
    "stack": (lambda x, y: torch.stack([x, y]).sum(0), 1, 1, "stack|sum"),
    "lerp": (lambda x, y: torch.lerp(x, y, 0.5), 1, 0.5, "lerp"),
    "addcmul": (lambda x, y: torch.addcmul(x, y, torch.ones_like(y)), 1, 1, "addcmul"),
    "-": (lambda x, y: x - y, -1, 1, "sub"),
    "torch.sub": (torch.sub, -1, 1, "sub"),
    "sub alpha": (lambda x, y: torch.sub(x, y, alpha=2), -2, 1, "sub"),
    "- turned": (lambda x, y: y - x, -1, -1, "sub"),
    "rsub": (lambda x, y: torch.rsub(x, y), -1, -1, "sub"),
    "sub": (lambda x, y: x.sub(y), -1, 1, "sub"),
    "sub_ statement": (subtract_statement, -1, 1, "sub"),
    "sub_ from the branch": (subtract_from_other, -1, -1, "sub"),
    "-= from the branch": (subtract_operator, -1, -1, "sub"),
    "+ negated": (lambda x, y: x + -y, -1, 1, "neg"),
    "+ scaled": (lambda x, y: x + 0.5 * y, 0.5, 1, "mul"),
    "+ divided": (lambda x, y: x + y / 4, 0.25, 1, "div"),
    "mul_ statement": (lambda x, y: (y.mul_(2), x + y)[1], 2, 1, "mul"),
    "div_ statement": (lambda x, y: (y.div_(2), x + y)[1], 0.5, 1, "div"),
    "neg_ statement": (lambda x, y: (y.neg_(), x + y)[1], -1, 1, "neg"),
    "*=": (lambda x, y: x + operator.imul(y, 2), 2, 1, "mul"),
    "to parts": (add_to_part, 1, 1, "getitem|setitem|iadd|item assignment|part"),
    "out": (add_out, 1, 1, "out"),
    "copy_": (copied, 1, 1, "copy"),
    "mean of both": (lambda x, y: torch.stack([x, y]).mean(0), 1, 0.5, "stack|mean"),
    "sum halved": (lambda x, y: (x + y) / 2, 1, 0.5, "div"),
    "in a list": (lambda x, y: sum([x, y][1:], [x, y][0]), 1, 1, "add"),
    "float functional": (
        torch.ao.nn.quantized.FloatFunctional().add,
        1,
        1,
        "join|Functional|add|submodule",
    ),
}
for name, (join, branch, everything, culprit) in NAMED_SUMS.items():
    spell(
        "sum",
        name,
        joined(join),
        sum_twin(branch, everything),
        refusal=culprit,
        skips=SIGNS if everything < 0 else untold(branch, everything),
    )


# Concatenations of two branches.
class PlainCat(nn.Module):
    """The plainest concatenation."""

    def __init__(self, first, left, right, dense):
        super().__init__()
        self.first, self.relu, self.left, self.right = first, nn.ReLU(), left, right
        self.flatten, self.dense = nn.Flatten(), dense

    def forward(self, images):
        x = self.relu(self.first(images))
        return self.dense(self.flatten(torch.cat([self.left(x), self.right(x)], 1)))


def branch_parts():
    return {
        "first": nn.Conv2d(3, 4, 3, padding=1),
        "left": nn.Conv2d(4, 2, 3, padding=1),
        "right": nn.Conv2d(4, 2, 1),
        "dense": nn.Linear(256, 5),
    }


def concatenated(join):
    def compute(self, x):
        x = F.relu(self.first(x))
        return self.dense(join(self.left(x), self.right(x)).flatten(1))

    return compute


def written(x, y):
    whole = torch.zeros(x.shape[0], 4, 8, 8, dtype=x.dtype)
    whole[:, :2], whole[:, 2:] = x, y
    return whole


for name, join, culprit in (
    ("cat", lambda x, y: torch.cat((x, y), 1), None),
    ("cat keyword", lambda x, y: torch.cat(tensors=[x, y], dim=1), None),
    ("cat axis", lambda x, y: torch.cat([x, y], axis=-3), None),
    ("concat", lambda x, y: torch.concat([x, y], dim=1), "concat"),
    ("concatenate", lambda x, y: torch.concatenate([x, y], dim=1), "concatenate"),
    ("hstack", lambda x, y: torch.hstack([x, y]), "hstack"),
    ("stack", lambda x, y: torch.stack([x, y], 1).flatten(1, 2), "stack"),
    ("flat", lambda x, y: torch.cat([x.flatten(1), y.flatten(1)], -1), "cat|flatten"),
    ("padded sum", lambda x, y: F.pad(x, (0,) * 5 + (2,)) + F.pad(y, (0,) * 4 + (2, 0)), "pad"),
    ("written", written, "setitem|zeros"),
):
    spell(
        "concatenation",
        name,
        net(concatenated(join), branch_parts),
        lambda net: PlainCat(net.first, net.left, net.right, net.dense),
        refusal=culprit,
    )


# Half of the channels changed, in place and not.
class PlainHalf(PlainCat):
    """ReLU on two of four channels."""

    def forward(self, images):
        x = self.first(images)
        x = torch.cat([self.relu(x[:, :2]), x[:, 2:]], 1)
        return self.dense(self.flatten(x))


def half_by_chunk(x):
    a, _ = x.chunk(2, 1)
    a.relu_()
    return x


def half_by_split(x):
    x.split([2, 2], 1)[0].clamp_(min=0)
    return x


def half_by_narrow(x):
    x.narrow(1, 0, 2).relu_()
    return x


def half_by_slice(x):
    x[:, :2].relu_()
    return x


def half_by_function(x):
    F.relu(x[:, :2], inplace=True)
    return x


def half_assigned(x):
    x[:, :2] = F.relu(x[:, :2])
    return x


def half_by_module(x):
    nn.ReLU(inplace=True)(x[:, :2])
    return x


def half_copied(x):
    x[:, :2].copy_(x[:, :2].relu())
    return x


def half_of_flat(x):
    x.flatten(1)[:, :128].relu_()
    return x


CULPRITS = "getitem|relu|chunk|split|narrow|setitem|item assignment|copy|clamp|flatten|submod|part"
HALVES = {
    "slice": half_by_slice,
    "chunk": half_by_chunk,
    "split": half_by_split,
    "narrow": half_by_narrow,
    "F.relu": half_by_function,
    "module": half_by_module,
    "assigned": half_assigned,
    "copied": half_copied,
    "of a flat view": half_of_flat,
}
for name, half in HALVES.items():
    spell(
        "view in place",
        name,
        net(lambda self, x, h=half: self.dense(h(self.first(x)).flatten(1)), branch_parts),
        lambda net: PlainHalf(net.first, net.left, net.right, net.dense),
        refusal=CULPRITS,
        no_rule="ReLU",
    )
