"""Small random networks, as graphs of blocks that users write in many ways."""

import operator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

CHANNELS, SIZE, CLASSES = 4, 8, 3

RECTIFIERS = {
    "module": lambda: nn.ReLU(),
    "module in place": lambda: nn.ReLU(inplace=True),
    "ReLU6": lambda: nn.ReLU6(),
    "F.relu": lambda: F.relu,
    "torch.relu": lambda: torch.relu,
    "method": lambda: lambda x: x.relu(),
    "in-place method": lambda: lambda x: x.relu_(),
    "F.relu6 in place": lambda: lambda x: F.relu6(x, inplace=True),
}
# None leaves less than one pixel, however many there are.
POOLS = {
    "max": lambda: nn.MaxPool2d(3, 2, 1),
    "max, overlapping": lambda: nn.MaxPool2d(3, 1, 1),
    "max, dilated": lambda: nn.MaxPool2d(3, 1, 1, dilation=1),
    "max, ceil": lambda: nn.MaxPool2d(2, 2, 1, ceil_mode=True),
    "average": lambda: nn.AvgPool2d(2, 2, 1),
    "average, not padded": lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "F.max_pool2d": lambda: lambda x: F.max_pool2d(x, 3, stride=2, padding=1),
    "F.avg_pool2d": lambda: lambda x: F.avg_pool2d(input=x, kernel_size=3, stride=1, padding=1),
}
SUMS = {
    "+": operator.add,
    "turned": lambda x, y: y + x,
    "torch.add": lambda x, y: torch.add(x, other=y),
    "method": lambda x, y: x.add(y),
}
CONCATENATIONS = {
    "cat": lambda x, y: torch.cat([x, y], 1),
    "keywords": lambda x, y: torch.cat(tensors=(y, x), dim=-3),
}
ENDS = {
    "flatten": lambda x: x.flatten(1),
    "torch.flatten": lambda x: torch.flatten(x, 1),
    "view": lambda x: x.view(x.size(0), -1),
    "reshape": lambda x: x.reshape(x.shape[0], -1),
}


class Convolution(nn.Module):
    """A convolution, perhaps batch norm, and a rectifier."""

    def __init__(self, fan_in, kernel, dilation, groups, norm, rectifier):
        super().__init__()
        reach = dilation * (kernel - 1)
        self.pad = nn.ZeroPad2d((reach // 2, reach - reach // 2) * 2)
        groups = groups if fan_in % groups == 0 else 1
        self.convolution = nn.Conv2d(fan_in, CHANNELS, kernel, dilation=dilation, groups=groups)
        self.norm = nn.BatchNorm2d(CHANNELS) if norm else None
        self.rectify = RECTIFIERS[rectifier]()

    def forward(self, x):
        x = self.convolution(self.pad(x))
        if self.norm is not None:
            x = self.norm(x)
        return self.rectify(x)


class Residual(nn.Module):
    """A sum of what comes in and what a block makes of it."""

    def __init__(self, block, add):
        super().__init__()
        self.block, self.add = block, SUMS[add]

    def forward(self, x):
        return self.add(x, self.block(x))


class Branches(nn.Module):
    """Two blocks side by side, put together again."""

    def __init__(self, left, right, join, merge):
        super().__init__()
        self.left, self.right, self.join = left, right, CONCATENATIONS[join]
        self.merge = merge

    def forward(self, x):
        return self.merge(self.join(self.left(x), self.right(x)))


class RandomNet(nn.Module):
    """Blocks in a row, some of them more than once."""

    def __init__(self, blocks, order, end):
        super().__init__()
        self.blocks, self.order, self.end = nn.ModuleList(blocks), order, ENDS[end]
        self.dense = nn.Linear(CHANNELS * 4, CLASSES)
        self.pool = nn.AdaptiveAvgPool2d(2)

    def forward(self, x):
        for place in self.order:
            x = self.blocks[place](x)
        return self.dense(self.end(self.pool(x)))


@dataclass
class Plan:
    """How to draw the weights of a network: always the same for the same plan."""

    shape: tuple
    seed: int

    def build(self, biases: bool = True) -> nn.Module:
        """Return the network in float64, with or without anything that is added."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            blocks, order, end = self.shape
            model = RandomNet([block(first=k == 0) for k, block in enumerate(blocks)], order, end)
            for layer in model.modules():
                if isinstance(layer, (nn.Conv2d, nn.Linear)):
                    nn.init.kaiming_normal_(layer.weight)
                if isinstance(layer, nn.BatchNorm2d):
                    nn.init.uniform_(layer.running_var, 0.5, 2)
                    nn.init.uniform_(layer.running_mean, -0.5, 0.5)
                    nn.init.uniform_(layer.weight, 0.5, 2)
                    nn.init.uniform_(layer.bias, -0.5, 0.5)
        if not biases:
            for name, value in [*model.named_parameters(), *model.named_buffers()]:
                if name.endswith(("bias", "running_mean")):
                    value.data.zero_()
        return model.double().eval()


@st.composite
def convolutions(draw):
    """Draw a convolution, built when it is known what comes in."""
    kernel, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    groups, norm = draw(st.sampled_from([1, 2, 4])), draw(st.booleans())
    rectifier = draw(st.sampled_from(sorted(RECTIFIERS)))

    def build(first=False, fan_in=CHANNELS):
        fan_in = 3 if first else fan_in
        return Convolution(fan_in, kernel, dilation, groups, norm, rectifier)

    return build


@st.composite
def residuals(draw):
    """Draw a residual block."""
    inner, add = draw(convolutions()), draw(st.sampled_from(sorted(SUMS)))
    return lambda first=False: Residual(inner(), add)


@st.composite
def branches(draw):
    """Draw two branches."""
    left, right, merge = draw(convolutions()), draw(convolutions()), draw(convolutions())
    join = draw(st.sampled_from(sorted(CONCATENATIONS)))
    return lambda first=False: Branches(left(), right(), join, merge(fan_in=2 * CHANNELS))


@st.composite
def pools(draw):
    """Draw a pooling layer."""
    kind = draw(st.sampled_from(sorted(POOLS)))
    return lambda first=False: Called(POOLS[kind]())


class Called(nn.Module):
    """A function or a layer as a layer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@st.composite
def plans(draw):
    """Draw a network: a first convolution, blocks, and which of them come again."""
    blocks = [draw(convolutions())]
    blocks += draw(
        st.lists(
            st.one_of(convolutions(), residuals(), branches(), pools()), min_size=1, max_size=4
        )
    )
    again = draw(st.lists(st.integers(1, len(blocks) - 1), max_size=2))
    end = draw(st.sampled_from(sorted(ENDS)))
    return Plan((blocks, (*range(len(blocks)), *again), end), draw(st.integers(0, 2**16)))


def images(count: int = 2) -> Tensor:
    """Return pictures, always the same."""
    generator = torch.Generator().manual_seed(5)
    return torch.rand(count, 3, SIZE, SIZE, dtype=torch.float64, generator=generator)
