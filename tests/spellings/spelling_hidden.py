"""Norms, and layers that hold rectifiers or weights inside."""

import torch
import torch.nn.functional as F
from spelling_layers import behind
from spelling_table import ANY_RELU, PATTERNS, net, ready, sequence, spell
from torch import nn


# Norms of each sample, and of dense layers.
def dense_norm_parts():
    return {"first": nn.Linear(192, 8), "norm": nn.BatchNorm1d(8), "dense": nn.Linear(8, 5)}


spell(
    "norm",
    "BatchNorm1d",
    net(lambda self, x: self.dense(F.relu(self.norm(self.first(x.flatten(1))))), dense_norm_parts),
    lambda net: sequence(
        nn.Flatten(),
        torch.nn.utils.fusion.fuse_linear_bn_eval(net.first.eval(), net.norm.eval()),
        nn.ReLU(),
        net.dense,
    ),
    skips=PATTERNS,  # whose scale is that of the weight, which the twin has folded
)
for name, norm in (
    ("InstanceNorm2d", lambda: nn.InstanceNorm2d(4, affine=True)),
    ("GroupNorm", lambda: nn.GroupNorm(2, 4)),
    ("LayerNorm", lambda: nn.LayerNorm([4, 8, 8])),
    ("LocalResponseNorm", lambda: nn.LocalResponseNorm(2)),
):
    spell(
        "norm",
        name,
        net(
            lambda self, x: self.dense(F.relu(self.norm(self.first(x))).flatten(1)),
            lambda n=norm: {"norm": n(), **behind(nn.Conv2d(3, 4, 3, padding=1))},
        ),
        lambda net: sequence(net.first, net.norm, nn.ReLU(), nn.Flatten(), net.dense),
        no_rule=name,
    )
spell(
    "norm",
    "without statistics",
    net(
        lambda self, x: self.dense(F.relu(self.norm(self.first(x))).flatten(1)),
        lambda: {
            "norm": nn.BatchNorm2d(4, track_running_stats=False),
            **behind(nn.Conv2d(3, 4, 3, padding=1)),
        },
    ),
    None,
    refusal="norm",
)


# Layers that hold rectifiers or weights inside.
class Encoder(nn.Module):
    """`nn.TransformerEncoderLayer` with its parts in plain sight."""

    def __init__(self, layer, dense, activation):
        super().__init__()
        self.attention, self.first, self.relu = layer.self_attn, layer.linear1, activation
        self.second, self.norm1, self.norm2 = layer.linear2, layer.norm1, layer.norm2
        self.dense = dense

    def forward(self, images):
        x = images.permute(0, 2, 1, 3).flatten(2)
        x = self.norm1(x + self.attention(x, x, x, need_weights=False)[0])
        x = self.norm2(x + self.second(self.relu(self.first(x))))
        return self.dense(x.flatten(1))


class Rows(nn.Module):
    """A layer over the rows of the picture, as a sequence."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.dense = layer, nn.Linear(192, 5)

    def forward(self, images):
        return self.dense(self.layer(images.permute(0, 2, 1, 3).flatten(2)).flatten(1))


class Recurrent(nn.Module):
    """A recurrent layer over the rows of the picture."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.dense = layer, nn.Linear(48, 5)

    def forward(self, images):
        states, _ = self.layer(images.permute(0, 2, 1, 3).flatten(2))
        return self.dense(states.flatten(1))


class Unrolled(nn.Module):
    """`nn.RNN` with ReLU, step by step."""

    def __init__(self, layer, dense):
        super().__init__()
        self.inward, self.onward = nn.Linear(24, 6).double(), nn.Linear(6, 6).double()
        self.inward.weight, self.inward.bias = layer.weight_ih_l0, layer.bias_ih_l0
        self.onward.weight, self.onward.bias = layer.weight_hh_l0, layer.bias_hh_l0
        self.relus, self.dense = nn.ModuleList(nn.ReLU() for _ in range(8)), dense

    def forward(self, images):
        x = images.permute(0, 2, 1, 3).flatten(2)
        state, states = torch.zeros_like(x[:, 0, :6]), []
        for t, relu in enumerate(self.relus):
            state = relu(self.inward(x[:, t]) + self.onward(state))
            states.append(state)
        return self.dense(torch.stack(states, 1).flatten(1))


class Attention(nn.Module):
    """Attention of a sequence to itself."""

    def __init__(self):
        super().__init__()
        self.attention, self.relu = nn.MultiheadAttention(24, 2, batch_first=True), nn.ReLU()

    def forward(self, x):
        return self.relu(self.attention(x, x, x)[0])


def encoder(activation):
    return lambda: ready(
        Rows(nn.TransformerEncoderLayer(24, 2, 8, activation=activation, batch_first=True))
    )


HIDDEN = "layer|Transformer|attention|Attention"
for name, activation, module in (
    ("relu", "relu", nn.ReLU),
    ("gelu", "gelu", nn.GELU),
    ("F.relu", F.relu, nn.ReLU),
    ("module", nn.ReLU(), nn.ReLU),
):
    spell(
        "hidden",
        f"TransformerEncoderLayer, {name}",
        encoder(activation),
        lambda net, m=module: Encoder(net.layer, net.dense, m()),
        no_rule=HIDDEN + ("|" + ANY_RELU if name == "gelu" else ""),
        hides=PATTERNS,
    )
spell(
    "hidden",
    "TransformerEncoder",
    lambda: ready(
        Rows(
            nn.TransformerEncoder(
                nn.TransformerEncoderLayer(24, 2, 8, batch_first=True),
                1,
                enable_nested_tensor=False,
            )
        )
    ),
    lambda net: Encoder(net.layer.layers[0], net.dense, nn.ReLU()),
    no_rule=HIDDEN,
    hides=PATTERNS,
)
spell(
    "hidden",
    "RNN with ReLU",
    lambda: ready(Recurrent(nn.RNN(24, 6, nonlinearity="relu", batch_first=True))),
    lambda net: Unrolled(net.layer, net.dense),
    no_rule="layer|RNN",
    hides=PATTERNS,
)
for name, layer in (
    ("LSTM", lambda: nn.LSTM(24, 6, batch_first=True)),
    ("GRU", lambda: nn.GRU(24, 6, batch_first=True)),
):
    spell(
        "hidden",
        name,
        lambda layer=layer: ready(Recurrent(layer())),
        lambda net: net,
        hides=PATTERNS,
        no_rule=f"layer|{name}|{ANY_RELU}",
    )
spell(
    "hidden",
    "MultiheadAttention",
    lambda: ready(Rows(Attention())),
    lambda net: net,
    hides=PATTERNS,
    no_rule="attention|Attention",
)
