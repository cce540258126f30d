"""Kinds of layers: convolutions, paddings, activations, and layers that hold others."""

import torch
import torch.nn.functional as F
from spelling_table import (
    ANY_RELU,
    PATTERNS,
    Net,
    mean_parts,
    mean_twin,
    net,
    plain,
    ready,
    sequence,
    spell,
    vgg_parts,
)
from torch import nn


# A first layer of another kind, and behind it always the same.
def behind(first, pixels=64, channels=4):
    return {"first": first, "dense": nn.Linear(channels * pixels, 5)}


def one_layer(self, x):
    return self.dense(F.relu(self.first(x)).flatten(1))


def one_layer_twin(first_of=lambda net: net.first):
    return lambda net: sequence(first_of(net), nn.ReLU(), nn.Flatten(), net.dense)


def like(layer, **options):
    """Return a convolution with the weights of ``layer`` and other options."""
    settings = {
        "kernel_size": layer.kernel_size,
        "stride": layer.stride,
        "padding": 0,
        "dilation": layer.dilation,
        "groups": layer.groups,
        **options,
    }
    twin = nn.Conv2d(layer.in_channels, layer.out_channels, **settings)
    twin.weight, twin.bias = layer.weight, layer.bias
    return twin


CONVOLUTIONS = (
    ("padding same", {"padding": "same"}, {"padding": 1}, 64, None),
    ("padding same, dilated", {"padding": "same", "dilation": 2}, {"padding": 2}, 64, None),
    ("padding valid", {"padding": "valid"}, {}, 36, None),
    ("strided", {"stride": 2, "padding": 1}, {"padding": 1}, 16, None),
    ("oblong", {"kernel_size": (3, 1), "padding": (1, 0)}, {"padding": (1, 0)}, 64, None),
)
for name, options, twin_options, pixels, culprit in CONVOLUTIONS:
    options = {"kernel_size": 3, **options}
    spell(
        "convolution",
        name,
        net(one_layer, lambda o=options, p=pixels: behind(nn.Conv2d(3, 4, **o), p)),
        one_layer_twin(lambda net, o=twin_options: like(net.first, **o)),
        refusal=culprit,
    )


def padded_twin(pad):
    return lambda net: sequence(pad, like(net.first), nn.ReLU(), nn.Flatten(), net.dense)


for mode, pad in (
    ("reflect", nn.ReflectionPad2d(1)),
    ("replicate", nn.ReplicationPad2d(1)),
    ("circular", nn.CircularPad2d(1)),
):
    spell(
        "padding",
        mode,
        net(one_layer, lambda m=mode: behind(nn.Conv2d(3, 4, 3, padding=1, padding_mode=m))),
        padded_twin(pad),
        refusal="padding|first",
    )
    spell(
        "padding",
        f"F.pad {mode}",
        net(
            lambda self, x, m=mode: one_layer(self, F.pad(x, (1, 1, 1, 1), m)),
            lambda: behind(nn.Conv2d(3, 4, 3)),
        ),
        padded_twin(pad),
        refusal="pad",
    )
for name, compute, culprit in (
    ("F.pad", lambda self, x: one_layer(self, F.pad(x, (1, 1, 1, 1))), "pad"),
    ("F.pad value", lambda self, x: one_layer(self, F.pad(x, [1] * 4, "constant", 0)), "pad"),
    ("torch pad", lambda self, x: one_layer(self, torch.nn.functional.pad(x, pad=(1,) * 4)), "pad"),
):
    spell(
        "padding",
        name,
        net(compute, lambda: behind(nn.Conv2d(3, 4, 3))),
        padded_twin(nn.ZeroPad2d(1)),
        refusal=culprit,
    )
spell(
    "padding",
    "ConstantPad2d",
    net(
        lambda self, x: one_layer(self, self.pad(x)),
        lambda: behind(nn.Conv2d(3, 4, 3)),
        pad=lambda: nn.ConstantPad2d(1, 0.0),
    ),
    padded_twin(nn.ZeroPad2d(1)),
    refusal="ConstantPad2d|pad",
)
spell(
    "convolution",
    "padding same, even kernel",
    net(one_layer, lambda: behind(nn.Conv2d(3, 4, 2, padding="same"))),
    padded_twin(nn.ZeroPad2d((0, 1, 0, 1))),
    refusal="same|first",
)


# Convolutions that are no Conv2d, and do what one does.
def pointwise(net):
    return as_conv2d(net, net.first.weight[..., None])


def as_conv2d(net, weight, padding=0):
    twin = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], padding=padding).double()
    twin.weight, twin.bias = nn.Parameter(weight.detach().clone()), net.first.bias
    return sequence(twin, nn.ReLU(), nn.Flatten(), net.dense)


def turned(net):
    weight = net.first.weight.transpose(0, 1).flip(2, 3)
    return as_conv2d(net, weight, 1)


def dense_as_conv(net):
    return as_conv2d(net, net.first.weight[..., None, None])


def over_channels(self, x):
    return self.dense(F.relu(self.first(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)).flatten(1))


for name, compute, first, twin, culprit in (
    (
        "Conv1d",
        lambda self, x: one_layer(self, x.flatten(2)),
        lambda: nn.Conv1d(3, 4, 1),
        pointwise,
        "Conv1d|first",
    ),
    ("ConvTranspose2d", one_layer, lambda: nn.ConvTranspose2d(3, 4, 3, padding=1), turned, "first"),
    (
        "Linear over channels",
        over_channels,
        lambda: nn.Linear(3, 4),
        dense_as_conv,
        "permute|first",
    ),
    (
        "Conv3d",
        lambda self, x: one_layer(self, x.unsqueeze(2)),
        lambda: nn.Conv3d(3, 4, 1),
        lambda net: as_conv2d(net, net.first.weight[:, :, 0]),
        "Conv3d|first",
    ),
    (
        "unfolded",
        lambda self, x: one_layer(self, F.unfold(x, 1)),
        lambda: nn.Conv1d(3, 4, 1),
        pointwise,
        "unfold|Conv1d|first",
    ),
):
    spell(
        "convolution",
        name,
        net(compute, lambda f=first: behind(f())),
        twin,
        refusal=culprit,
    )


class Standardised(nn.Conv2d):
    """A convolution of the user's own, which computes its weight."""

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, padding=self.padding)


class Doubled(nn.ReLU):
    """A ReLU of the user's own, which is none."""

    def forward(self, x):
        return super().forward(x) * 2


def standardised_twin(net):
    with torch.no_grad():
        net.first.weight.sub_(net.first.weight.mean((1, 2, 3), keepdim=True))
    return one_layer_twin(lambda net: like(net.first, padding=1))(net)


def doubled_twin(net):
    with torch.no_grad():
        net.dense.weight.mul_(2)
    return one_layer_twin()(net)


def patched():
    """Return a network whose convolution got another forward by assignment."""
    model = ready(Net(one_layer, **behind(nn.Conv2d(3, 4, 3, padding=1))))
    first, own = model.first, model.first.forward
    first.forward = lambda x: own(x) * 2
    return model


def patched_twin(net):
    del net.first.forward
    with torch.no_grad():
        for parameter in net.first.parameters():
            parameter.mul_(2)
    return one_layer_twin()(net)


spell(
    "own layer",
    "Conv2d",
    net(one_layer, lambda: behind(Standardised(3, 4, 3, padding=1))),
    standardised_twin,
    skips=PATTERNS,
    refusal="conv2d|first|mean|Standardised",
)
spell(
    "own layer",
    "ReLU",
    net(
        lambda self, x: self.dense(self.relu(self.first(x)).flatten(1)),
        lambda: {"relu": Doubled(), **behind(nn.Conv2d(3, 4, 3, padding=1))},
    ),
    doubled_twin,
    skips=PATTERNS,
    refusal="mul|Doubled|relu",
)
spell(
    "own layer",
    "patched forward",
    patched,
    patched_twin,
    refusal="first|forward|mul",
    skips=PATTERNS,
)


# Other activations: with a module as the plainest form.
def activated_twin(activation):
    def twin(net):
        layers = list(plain(net).children())
        layers[1] = activation()
        return sequence(*layers)

    return twin


ACTIVATIONS = (
    ("leaky_relu", lambda x: F.leaky_relu(x, 0.1), lambda: nn.LeakyReLU(0.1), None),
    ("leaky_relu_", lambda x: F.leaky_relu_(x, 0.1), lambda: nn.LeakyReLU(0.1), "leaky"),
    ("elu", F.elu, nn.ELU, "elu"),
    ("gelu", F.gelu, nn.GELU, "gelu"),
    ("silu", F.silu, nn.SiLU, "silu"),
    ("silu written", lambda x: x * torch.sigmoid(x), nn.SiLU, "mul|sigmoid"),
    ("silu in place", lambda x: x.mul_(x.sigmoid()), nn.SiLU, "mul|sigmoid"),
    ("tanh", torch.tanh, nn.Tanh, "tanh"),
    ("tanh_", lambda x: x.tanh_(), nn.Tanh, "tanh"),
    ("sigmoid", torch.sigmoid, nn.Sigmoid, "sigmoid"),
    ("softplus", F.softplus, nn.Softplus, "softplus"),
    ("hardswish", F.hardswish, nn.Hardswish, "hardswish"),
    ("selu", torch.selu, nn.SELU, "selu"),
    ("mish", F.mish, nn.Mish, "mish"),
    ("rrelu", F.rrelu, nn.RReLU, "rrelu"),
    ("relu6", F.relu6, nn.ReLU6, None),
    ("relu6 keyword", lambda x: F.relu6(input=x, inplace=True), nn.ReLU6, None),
    ("relu6 clamp", lambda x: x.clamp(0, 6), nn.ReLU6, "clamp"),
    ("relu6 hardtanh", lambda x: F.hardtanh(x, 0, 6), nn.ReLU6, "hardtanh"),
)
for name, activate, module, culprit in ACTIVATIONS:

    def compute(self, x, activate=activate):
        x = F.max_pool2d(activate(self.first(x)), 2)
        return self.dense(F.max_pool2d(F.relu(self.second(x)), 2).flatten(1))

    spell("activation", name, net(compute, vgg_parts), activated_twin(module), refusal=culprit)

for name, layer in (
    ("no ReLU, module", nn.SiLU),
    ("no activation", nn.Identity),
):
    spell(
        "activation",
        name,
        net(
            lambda self, x: self.dense(self.act(self.first(x)).flatten(1)),
            lambda a=layer: {"act": a(), **behind(nn.Conv2d(3, 4, 3, padding=1))},
        ),
        lambda net: sequence(net.first, net.act, nn.Flatten(), net.dense),
        no_rule=ANY_RELU + "|act|silu",
    )


# Larger and smaller pictures between layers.
def global_mean(self, x):
    return self.dense(F.adaptive_avg_pool2d(x, 1).flatten(1))


def resized(resize):
    return lambda self, x: global_mean(self, F.relu(self.first(resize(self, x))))


def resized_twin(layer):
    return lambda net: sequence(layer, *mean_twin(net).children())


UP, BILINEAR = nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="bilinear")
for name, resize, layer in (
    ("factor", lambda x: F.interpolate(x, scale_factor=2), UP),
    ("size", lambda x: F.interpolate(x, size=(16, 16)), UP),
    ("computed size", lambda x: F.interpolate(x, size=(x.shape[2] * 2, x.shape[3] * 2)), UP),
    ("bilinear", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), BILINEAR),
    ("module", None, UP),
):
    spell(
        "interpolation",
        name,
        net(
            resized(lambda self, x, f=resize: self.up(x) if f is None else f(x)),
            mean_parts,
            up=lambda: nn.Upsample(size=16),
        ),
        resized_twin(layer),
    )
for name, resize, layer, culprit in (
    ("upsample", lambda x: F.upsample(x, scale_factor=2), UP, "upsample|interpolate"),
    ("repeated", lambda x: x.repeat_interleave(2, 2).repeat_interleave(2, 3), UP, "repeat"),
    ("every other", lambda x: x[:, :, ::2, ::2], nn.MaxPool2d(1, 2), "getitem"),
    ("strided pool", lambda x: F.max_pool2d(x, 1, stride=2), nn.MaxPool2d(1, 2), "max_pool"),
    ("nearest", lambda x: F.interpolate(x, size=4), nn.MaxPool2d(1, 2), "interpolate"),
):
    spell(
        "interpolation",
        name,
        net(resized(lambda self, x, f=resize: f(x)), mean_parts),
        resized_twin(layer),
        refusal=culprit,
    )


# Pooling with all its options.
for name, function, module in (
    (
        "max, ceil",
        lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True),
        nn.MaxPool2d(3, 2, ceil_mode=True),
    ),
    ("max, dilated", lambda x: F.max_pool2d(x, 2, 1, dilation=2), nn.MaxPool2d(2, 1, dilation=2)),
    ("max, padded", lambda x: F.max_pool2d(x, 3, 2, 1), nn.MaxPool2d(3, 2, 1)),
    (
        "average, padded",
        lambda x: F.avg_pool2d(x, 3, 2, 1, False, False),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    ),
    (
        "average, divided",
        lambda x: F.avg_pool2d(x, 2, divisor_override=3),
        nn.AvgPool2d(2, divisor_override=3),
    ),
    ("average, ceil", lambda x: F.avg_pool2d(x, 3, 2, 0, True), nn.AvgPool2d(3, 2, ceil_mode=True)),
    ("adaptive", lambda x: F.adaptive_avg_pool2d(x, (3, None)), nn.AdaptiveAvgPool2d((3, None))),
):
    spell(
        "pool",
        name,
        net(lambda self, x, f=function: global_mean(self, f(F.relu(self.first(x)))), mean_parts),
        lambda net, m=module: sequence(
            net.first, nn.ReLU(), m, nn.AdaptiveAvgPool2d(1), nn.Flatten(), net.dense
        ),
    )
for name, function in (
    ("lp", lambda x: F.lp_pool2d(x, 2, 2)),
    ("max and average", lambda x: F.max_pool2d(x, 2) + F.avg_pool2d(x, 2)),
):
    spell(
        "pool",
        name,
        net(
            lambda self, x, f=function: global_mean(self, f(self.relu(self.first(x)))),
            mean_parts,
            relu=nn.ReLU,
        ),
        lambda net: net,
        refusal="lp_pool2d|pool|pow|sign|mean",
    )


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
