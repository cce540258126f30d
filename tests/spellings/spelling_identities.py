"""What changes nothing, weights that lie elsewhere, and names that say something else."""

import torch
import torch.nn.functional as F
from spelling_calls import vgg
from spelling_table import (
    AS_PYTORCH_RUNS_IT,
    PATTERNS,
    Net,
    net,
    norm_parts,
    plain,
    ready,
    sequence,
    spell,
    vgg_parts,
)
from torch import nn

# What changes nothing: the map must not change either, or the call is named.
IDENTITIES = {
    "clone": (lambda x: x.clone(), None),
    "contiguous": (lambda x: x.contiguous(), None),
    "double": (lambda x: x.double(), "double"),
    "to": (lambda x: x.to(torch.float64), "to\\b"),
    "type_as": (lambda x: x.type_as(x), "type_as"),
    "slice": (lambda x: x[:], "getitem"),
    "permuted": (lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2), None),
    "torch.permute": (lambda x: torch.permute(torch.permute(x, (1, 0, 2, 3)), (1, 0, 2, 3)), None),
    "transposed": (lambda x: x.transpose(1, 2).transpose(1, 2), None),
    "chunk": (lambda x: torch.cat(x.chunk(2, dim=1), 1), "chunk|cat"),
    "split": (lambda x: torch.cat(torch.split(x, 2, 1), dim=1), "split|cat"),
    "split unpacked": (lambda x: torch.cat([x[:, :1], x[:, 1:]], 1), "getitem|cat"),
    "concatenated": (lambda x: torch.concat(tensors=(x[:, :1], x[:, 1:]), dim=1), "getitem|concat"),
    "stacked": (lambda x: torch.stack(x.unbind(1), 1), "unbind|stack"),
    "stacked slices": (lambda x: torch.stack([x[:, c] for c in range(4)], 1), "getitem|stack"),
    "list of channels": (lambda x: x[:, [0, 1, 2, 3]], "getitem"),
    "narrow": (lambda x: torch.cat([x.narrow(1, 0, 2), x.narrow(1, 2, 2)], 1), "narrow"),
    "rolled": (lambda x: x.roll(1, 1).roll(-1, 1), "roll"),
    "flipped": (lambda x: x.flip(3).flip(3), "flip"),
    "shuffled": (lambda x: F.pixel_shuffle(F.pixel_unshuffle(x, 2), 2), "pixel"),
    "padded": (lambda x: F.pad(x, (1, 1, 1, 1))[:, :, 1:-1, 1:-1], "pad|getitem"),
    "interpolated": (lambda x: F.interpolate(x, scale_factor=1), "interpolate"),
    "times 1": (lambda x: x * 1, "mul"),
    "by 1": (lambda x: x / 1.0, "div"),
    "plus 0": (lambda x: x + 0, "add"),
    "minus 0": (lambda x: x - 0, "sub"),
    "negated twice": (lambda x: torch.neg(-x), "neg"),
    "power": (lambda x: x**1, "pow"),
    "expanded": (lambda x: x.expand_as(x), "expand"),
    "dropout": (lambda x: F.dropout(x, 0.5, False), None),
    "dropout keyword": (lambda x: F.dropout(input=x, training=False), None),
    "dropout2d": (lambda x: F.dropout2d(x, training=False), "dropout"),
    "alpha_dropout": (lambda x: F.alpha_dropout(x, training=False), "dropout"),
}
# These two are not known to change nothing: a neuron behind them counts as one without a ReLU.
UNKNOWN = {"power", "interpolated"}
for name, (mix, culprit) in IDENTITIES.items():
    skips = PATTERNS if name in UNKNOWN else frozenset()
    spell("identity", name, net(vgg(mix=mix), vgg_parts), plain, refusal=culprit, skips=skips)

LAYERS = {
    "Identity": nn.Identity,
    "Dropout": nn.Dropout,
    "Dropout2d": nn.Dropout2d,
    "Dropout in place": lambda: nn.Dropout(inplace=True),
    "AlphaDropout": nn.AlphaDropout,
    "Dropout3d": nn.Dropout3d,
    "empty Sequential": nn.Sequential,
}
for name, layer in LAYERS.items():
    spell(
        "identity",
        name,
        net(lambda self, x: vgg(mix=self.mix)(self, x), vgg_parts, mix=layer),
        plain,
        refusal="Dropout|mix" if name in {"AlphaDropout", "Dropout3d"} else None,
    )


# Whole layers, called with weights that lie elsewhere.
def with_functions(self, x):
    first, second, dense = self.first, self.second, self.dense
    x = F.max_pool2d(F.relu(F.conv2d(x, first.weight, first.bias, padding=1)), 2)
    x = F.max_pool2d(
        F.relu(F.conv2d(input=x, weight=second.weight, bias=second.bias, padding=1)), 2
    )
    return F.linear(x.flatten(1), dense.weight, dense.bias)


def with_dense(compute):
    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2).flatten(1)
        return compute(x, self.dense.weight, self.dense.bias)

    return forward


for name, compute, culprit in (
    ("F.conv2d", with_functions, "conv2d|linear"),
    ("F.linear", with_dense(F.linear), None),
    ("F.linear keyword", with_dense(lambda x, w, b: F.linear(x, weight=w, bias=b)), None),
    ("matmul", with_dense(lambda x, w, b: x @ w.T + b), "matmul"),
    ("torch.matmul", with_dense(lambda x, w, b: torch.matmul(x, w.t()) + b), "matmul"),
    ("addmm", with_dense(lambda x, w, b: torch.addmm(b, x, w.t())), "addmm"),
    ("einsum", with_dense(lambda x, w, b: torch.einsum("ni,ki->nk", x, w) + b), "einsum"),
):
    spell("weights", name, net(compute, vgg_parts), plain, refusal=culprit)


def by_keyword(self, x):
    x = F.max_pool2d(F.relu(self.first(input=x)), 2)
    return self.dense(input=torch.flatten(F.max_pool2d(F.relu(self.second(input=x)), 2), 1))


spell("weights", "modules by keyword", net(by_keyword, vgg_parts), plain)


def functional_norm(training):
    def forward(self, x):
        norm = self.norm
        x = F.batch_norm(
            self.first(x),
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
            training=training,
            eps=norm.eps,
        )
        x = F.max_pool2d(F.relu(x), 2)
        return self.dense(F.max_pool2d(F.relu(self.second(x)), 2).flatten(1))

    return forward


spell("norm", "F.batch_norm", net(functional_norm(False), norm_parts), plain)
spell(
    "norm",
    "F.batch_norm in training",
    net(functional_norm(True), norm_parts),
    None,
    refusal="batch_norm|norm",
    stateful=True,
    skips=AS_PYTORCH_RUNS_IT,
)
spell("norm", "module", lambda: ready(plain(net(vgg(), norm_parts)())), lambda net: net)


# Layers whose names say something else.
AWKWARD = (
    "global",
    "class_",
    "flatten",
    "view",
    "reshape",
    "add",
    "relu",
    "cat",
    "mean",
    "getattr",
)
for name in AWKWARD:

    def make(name=name):
        built = net(vgg(), vgg_parts)()
        return Net(
            lambda self, x, name=name: vgg()(_Renamed(self, name), x),
            **{name: built.first, "second": built.second, "dense": built.dense},
        ).eval()

    spell(
        "named",
        name,
        make,
        lambda net, name=name: sequence(
            getattr(net, name), *list(plain(_Renamed(net, name)).children())[1:]
        ),
    )


class _Renamed:
    def __init__(self, net, name):
        self.first, self.second, self.dense = getattr(net, name), net.second, net.dense
