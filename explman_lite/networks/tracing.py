"""How a network is read by `torch.fx`, and left as it was."""

from __future__ import annotations

import copy
import dataclasses
import keyword
import operator
import random
import re
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily

from explman_lite.networks.in_place import IN_PLACE_OPERATORS
from explman_lite.networks.layers import Conv2d, Normalize, PoolUp
from explman_lite.networks.pooling import SmoothMaxPool2d
from explman_lite.networks.softplus import CentredSoftplus, SmoothReLU

_LOCK = threading.RLock()
_TRACED_INTO = (nn.Sequential, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
"""Modules of `torch.nn` that are no more than the layers inside them."""


class Trace(NamedTuple):
    """What a network calls, in order.

    Attributes
    ----------
    graph : fx.Graph
        The calls.
    modules : dict of str to nn.Module
        The network's modules by name, called or not.
    values : dict of str to Any
        The parameters, buffers and constants that the graph reads directly, by name.
    """

    graph: fx.Graph
    modules: dict[str, nn.Module]
    values: dict[str, Any]


def trace(model: nn.Module, reserved: type[nn.Module]) -> Trace:
    """Trace a network as a function of its images alone, in evaluation mode.

    Everything else that its forward pass takes gets its default.

    Parameters
    ----------
    model : nn.Module
        The network.
    reserved : type
        What the trace will be part of: a layer with the name of one of its attributes, or of a
        keyword of Python, gets an underscore behind it.

    Raises
    ------
    ValueError
        If `torch.fx` cannot follow the forward pass.
    """
    whole, tracer = _Whole(model), _Tracer(model, reserved)
    with untouched(model), _only_plain_attention(), fixed(model):
        try:
            graph = tracer.trace(whole)
        except Exception as error:
            raise ValueError(
                f"cannot trace {type(model).__name__}: its forward pass depends on the data "
                f"in a way that torch.fx does not follow ({error})"
            ) from error
        values = {
            name: reduce(getattr, path.split("."), whole) for name, path in tracer.paths.items()
        }
    modules = {tracer.name_of(path): module for path, module in model.named_modules()}
    plain = fx.Graph()  # which knows nothing of this tracer when it is stored
    plain.output(plain.graph_copy(graph, {}))
    for node in plain.nodes:
        node.type = None  # a word, if anything, which PyTorch 2.4 cannot store
    return Trace(plain, {**modules, **tracer.added}, values)


class _Whole(nn.Module):
    """Calls a network as users do: with images, by its own ``__call__``.

    Constants that fx finds while it traces are put here, and not on the user's network.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Any:
        return self.model(images)


class _Proxy(fx.Proxy):
    """Stands for a tensor; writes down ``+=`` and the like, and what is assigned to its parts."""

    def __setitem__(self, index: Any, value: Any) -> None:
        self.tracer.create_proxy("call_function", operator.setitem, (self, index, value), {})


def _in_place(function: Callable[..., Any]) -> Callable[[fx.Proxy, Any], fx.Proxy]:
    def write_down(self: fx.Proxy, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return write_down


for _function in IN_PLACE_OPERATORS:
    setattr(_Proxy, f"__{_function.__name__}__", _in_place(_function))


class _Tracer(fx.Tracer):
    """Traces a `_Whole`, and names everything as the network inside it does."""

    def __init__(self, model: nn.Module, reserved: type[nn.Module]) -> None:
        super().__init__()
        self.model, self.reserved = model, reserved
        self.paths: dict[str, str] = {}
        self.added: dict[str, nn.Module] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if not module_qualified_name or isinstance(m, _TRACED_INTO) or "forward" in vars(m):
            return False
        ours = isinstance(m, (Conv2d, SmoothReLU, CentredSoftplus, SmoothMaxPool2d, Normalize))
        return ours or super().is_leaf_module(m, module_qualified_name)

    def path_of_module(self, mod: nn.Module) -> str:
        return self.name_of(super().path_of_module(mod).removeprefix("model").removeprefix("."))

    def name_of(self, path: str) -> str:
        """Return a path with an underscore behind each part that cannot be an attribute."""
        owner: nn.Module | None = self.model
        parts: list[str] = []
        for part in path.split("."):
            name = re.sub(r"[\"\\\n]", "_", part)
            while keyword.iskeyword(name) or (
                (name != part and hasattr(owner, name))
                or (not parts and (hasattr(self.reserved, name) or name == "meta"))
            ):
                name += "_"
            parts.append(name)
            owner = None if owner is None else owner._modules.get(part)
        return ".".join(parts)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def create_node(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any = None,
    ) -> fx.Node:
        if kind == "get_attr":
            path = target
            if path.startswith("model."):
                target = self.name_of(path.removeprefix("model."))
            else:  # a constant, whose name may be that of something in the network
                while hasattr(self.model, target):
                    target += "_"
            self.paths[target] = path
        return super().create_node(kind, target, args, kwargs, name, type_expr)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        inner = unwrapped(m)
        if inner is not m:
            return inner(*args, **kwargs)
        vgg = sys.modules.get("timm.models.vgg")
        if vgg is not None and isinstance(m, vgg.ConvMlp):
            return self._without_branch(m, *args)
        return super().call_module(m, forward, args, kwargs)

    def _without_branch(self, head: Any, features: fx.Proxy) -> Any:
        """Trace the head of timm's VGG, which asks whether its input is smaller than its kernel."""
        name = f"{self.path_of_module(head)}.pool_up"
        self.added[name] = PoolUp((head.input_kernel_size,) * 2)
        enlarged = self.create_proxy("call_module", name, (features,), {})
        return head.act2(head.fc2(head.drop(head.act1(head.fc1(enlarged)))))


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the network inside `torch.compile`'s and the data-parallel wrappers."""
    while isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)) or hasattr(
        model, "_orig_mod"
    ):
        inner = vars(model)["_modules"]
        model = inner["_orig_mod"] if "_orig_mod" in inner else inner["module"]
    return model


@contextmanager
def _only_plain_attention() -> Iterator[None]:
    """Keep transformer layers from asking their input whether a fused kernel would do."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, without hooks, and leave no trace of what it did.

    Afterwards its modules have the attributes that they had, with the lists, dictionaries and
    buffers in them as they were, and the random number generators go on from where they were.
    """
    with _LOCK, _same_random_numbers():
        memory = _remember(model)
        try:
            model.eval()
            for module in model.modules():
                _silence(module)
            yield
        finally:
            _restore(memory)


def _silence(module: nn.Module) -> None:
    """Take a module's hooks away, and the compiled twin that `nn.Module.compile` gave it."""
    for name, value in vars(module).items():
        if name.endswith("_hooks") and isinstance(value, dict):
            vars(module)[name] = OrderedDict()
    if getattr(module, "_compiled_call_impl", None) is not None:
        module._compiled_call_impl = None


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 (whatever networks draw from)
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


@contextmanager
def fixed(model: nn.Module) -> Iterator[None]:
    """Refuse a network that draws random numbers while it is called.

    Raises
    ------
    ValueError
        If one of the generators of PyTorch, NumPy and Python has moved on.
    """
    before = _generators()
    yield
    if _generators() != before:
        raise ValueError(
            f"{type(model).__name__} draws random numbers whenever it is called: expected one "
            "fixed function"
        )


def _generators() -> tuple[Any, ...]:
    """Return where the generators of random numbers stand."""
    # Inside of these modes tensors have no numbers to read.
    with unset_fake_temporarily(), torch._C._DisableFuncTorch():
        on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        states = [bytes(state.numpy()) for state in (torch.get_rng_state(), *on_gpus)]
    return states, random.getstate(), str(np.random.get_state(legacy=False))  # noqa: NPY002


_CONTAINERS = (dict, list, set, deque)


def _remember(model: nn.Module) -> list[tuple[Any, Any]]:
    """Return all that can be changed in a network, each with a copy of what it holds.

    Weights are not among it: they are too large to copy.
    """
    found: dict[int, tuple[Any, Any]] = {}
    waiting: list[Any] = [model]
    while waiting:
        value = waiting.pop()
        if id(value) in found:
            continue
        if isinstance(value, _CONTAINERS):
            found[id(value)] = value, copy.copy(value)
            waiting += value.values() if isinstance(value, dict) else value
        elif isinstance(value, tuple):
            waiting += value
        elif isinstance(value, Tensor):
            if not isinstance(value, nn.Parameter) and not value.is_inference():
                found[id(value)] = value, (value._version, value.detach().clone())
        elif _has_attributes(value):
            found[id(value)] = value, dict(vars(value))
            waiting += vars(value).values()
    return list(found.values())


def _has_attributes(value: Any) -> bool:
    if isinstance(value, (nn.Module, SimpleNamespace)):
        return True
    is_record = dataclasses.is_dataclass(value) and not isinstance(value, type)
    return is_record and hasattr(value, "__dict__")


def has_numbers(value: Tensor) -> bool:
    """Whether a tensor is an ordinary one, and not what stands for one in a trace."""
    return not (
        value.is_meta
        or isinstance(value, FakeTensor)
        or torch._C._functorch.is_functorch_wrapped_tensor(value)
    )


def _restore(memory: list[tuple[Any, Any]]) -> None:
    for value, kept in memory:
        if isinstance(value, Tensor):
            version, content = kept
            # Batch norm writes to its statistics without counting.
            same = value._version == version
            if not same or (has_numbers(value) and not torch.equal(value, content)):
                with torch.no_grad():
                    value.copy_(content)
        else:
            held = value if isinstance(value, _CONTAINERS) else vars(value)
            held.clear()
            held.extend(kept) if isinstance(held, (list, deque)) else held.update(kept)
