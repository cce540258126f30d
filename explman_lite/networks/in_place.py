"""What works in place, rewritten so that every layer returns a new tensor.

Whoever reads a tensor after it was changed, by its own name or through a view of it, is handed the
new one; what was a change of a view becomes a change of what it is a view of.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

IN_PLACE_OPERATORS: dict[Callable[..., Any], Callable[..., Any]] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    operator.ifloordiv: operator.floordiv,
    operator.imod: operator.mod,
    operator.ipow: operator.pow,
    operator.imatmul: operator.matmul,
    operator.iand: operator.and_,
    operator.ior: operator.or_,
    operator.ixor: operator.xor,
}
"""``+=`` and the like, each with the operator that returns a new tensor."""
_FILLERS: dict[str, Callable[..., Any]] = {
    "zero_": torch.zeros_like,
    "fill_": torch.full_like,
}
_SAME_ORDER = {
    "view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "squeeze", "unsqueeze",
    "contiguous", "ravel",
}  # fmt: skip
_SWAPS = {"transpose", "swapaxes", "swapdims", "t"}
_JOINED_BY: dict[str, Callable[..., Any]] = {
    "chunk": torch.cat,
    "split": torch.cat,
    "tensor_split": torch.cat,
    "unbind": torch.stack,
}
_OTHER_VIEWS = {
    "permute", "movedim", "moveaxis", "narrow", "select", "expand", "expand_as", "broadcast_to",
    "diagonal", "detach", "unfold", "as_strided",
}  # fmt: skip
_VIEWS = _SAME_ORDER | _SWAPS | _OTHER_VIEWS | set(_JOINED_BY)
_VIEW_ATTRIBUTES = {"T", "mT", "H", "mH", "data", "real"}
_VIEW_MODULES = (nn.Flatten, nn.Unflatten)
_MEASURES = {"size", "dim", "ndimension", "numel", "stride", "shape", "ndim"}
_NOT_OF_VALUES = {"requires_grad_", "retain_grad"}


def leave_in_place(graph: fx.Graph, modules: dict[str, nn.Module]) -> None:
    """Let every layer return a new tensor, and hand that to all who read its input after it.

    Raises
    ------
    ValueError
        If what is written to is a weight or a buffer, or a view that cannot be followed back.
    """
    for node in list(graph.nodes):
        changed = _changed(node, modules)
        if changed is None:
            continue
        rewriting = _Rewriting(graph, modules, node)
        rewriting.refuse_constant(changed)
        _compute_anew(node)
        if not _is_number(changed):
            rewriting.hand_on(changed, node)


def with_part(whole: Any, index: Any, part: Any) -> Any:
    """Return a copy of a tensor, or of a tuple of them, in which one part is another."""
    if isinstance(whole, (tuple, list)):
        items = list(whole)
        items[index] = part
        return tuple(items)
    copied = whole.clone()
    copied[index] = part
    return copied


def copied_into(old: Tensor, new: Tensor) -> Tensor:
    """Return the values of ``new`` in the type and shape of ``old``."""
    return torch.as_tensor(new).to(old).expand_as(old)


def _changed(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node | None:
    """Return what a node writes to, if it works in place."""
    if node.op == "call_module":
        in_place = getattr(modules[str(node.target)], "inplace", False)
        return node.all_input_nodes[0] if in_place else None
    if node.op not in {"call_function", "call_method"}:
        return None
    out = node.kwargs.get("out")
    if isinstance(out, fx.Node):
        return out
    works_in_place = (
        node.target in IN_PLACE_OPERATORS
        or _sets_item(node)
        or _is_marked(node)
        or _named_arguments(node).get("inplace", False)
    )
    return node.all_input_nodes[0] if works_in_place else None


def _sets_item(node: fx.Node) -> bool:
    return node.target in {operator.setitem, "__setitem__"}


def _is_marked(node: fx.Node) -> bool:
    """Whether the name of a call ends as those do that work in place, unlike `operator.and_`."""
    name = _name(node)
    if name in _NOT_OF_VALUES or getattr(node.target, "__module__", None) == "_operator":
        return False
    return name.endswith("_") and not name.endswith("__")


def _compute_anew(node: fx.Node) -> None:
    """Turn a call that works in place into one that returns a new tensor."""
    if node.op == "call_module":
        return
    name = _name(node)
    if isinstance(node.kwargs.get("out"), fx.Node):
        node.kwargs = {key: value for key, value in node.kwargs.items() if key != "out"}
    elif node.target in IN_PLACE_OPERATORS:
        node.target = IN_PLACE_OPERATORS[node.target]
    elif _sets_item(node):
        node.op, node.target = "call_function", with_part
    elif not _is_marked(node):
        node.args, node.kwargs = (), {**_named_arguments(node), "inplace": False}
    elif name == "copy_":
        node.op, node.target = "call_function", copied_into
        node.args, node.kwargs = (*node.args, *node.kwargs.values())[:2], {}
    elif name in _FILLERS:
        node.op, node.target = "call_function", _FILLERS[name]
    else:
        node.target = _counterpart(node, name)


def _counterpart(node: fx.Node, name: str) -> Any:
    """Return the call, or the name of the method, that does the same and returns a new tensor."""
    short = name.removesuffix("_")
    if node.op == "call_function" or hasattr(Tensor, short):
        for place in (torch, F):
            if hasattr(place, short):
                node.op = "call_function"
                return getattr(place, short)
        if node.op == "call_method":
            return short
    raise ValueError(
        f"the network changes {str(node.all_input_nodes[0].name)!r} in place by {name!r}, which "
        "has no counterpart that returns a new tensor: write it without changing its input"
    )


class _Rewriting:
    """The change of one tensor: who reads it, or a view of it, from then on.

    Parameters
    ----------
    graph : fx.Graph
        What is rewritten.
    modules : dict of str to nn.Module
        What it calls.
    culprit : fx.Node
        What worked in place.
    """

    def __init__(self, graph: fx.Graph, modules: dict[str, nn.Module], culprit: fx.Node) -> None:
        self.graph, self.modules, self.culprit = graph, modules, culprit
        self.last = culprit
        """Behind this node stands all that the tensor's new values are read by."""
        order = {node: place for place, node in enumerate(graph.nodes)}
        self.later = {node for node in graph.nodes if order[node] > order[culprit]}

    def refuse_constant(self, changed: fx.Node) -> None:
        """Refuse a change of a weight, a buffer or a constant, which would outlast the call."""
        source: fx.Node | None = changed
        while source is not None:
            if source.op == "get_attr":
                raise ValueError(
                    f"the network writes to {source.target!r}, which is not made from its images: "
                    "leave weights and buffers as they are in evaluation mode, and make what is "
                    "filled piece by piece by images.new_zeros"
                )
            source = self._viewed(source)

    def hand_on(self, old: fx.Node, new: fx.Node, known: fx.Node | None = None) -> fx.Node:
        """Replace a tensor, its views and what it is a view of, for those who come later.

        Parameters
        ----------
        old, new : fx.Node
            The tensor, and what holds its new values.
        known : fx.Node, optional
            A view of it that has its new values already.

        Returns
        -------
        fx.Node
            What the tensor is from now on: ``new``, or a view of what was rewritten.
        """
        current, viewed = new, self._viewed(old)
        if viewed is not None and self._is_read(viewed, but=old):
            whole = self.hand_on(viewed, self._written_back(old, viewed, new), known=old)
            current = self._insert(partial(self._copy, old, viewed, whole))
            self._read_instead(new, current)
        self._renew_views(old, current, known)
        self._read_instead(old, current)
        return current

    def _read_instead(self, old: fx.Node, new: fx.Node) -> None:
        old.replace_all_uses_with(new, delete_user_cb=lambda user: user in self.later)

    def _copy(self, node: fx.Node, source: fx.Node, other: fx.Node) -> fx.Node:
        """Call once more what a node calls, with another node in place of its source."""
        return self.graph.node_copy(node, lambda read: other if read is source else read)

    def _renew_views(self, old: fx.Node, new: fx.Node, known: fx.Node | None) -> None:
        """Take the views of a tensor that were taken before, and are read later, once more."""
        for view in list(old.users):
            seen_before = view not in self.later and view not in {known, self.culprit, new}
            if seen_before and self._viewed(view) is old and self._is_read(view):
                again = self._insert(partial(self._copy, view, old, new))
                self._renew_views(view, again, None)
                self._read_instead(view, again)

    def _is_read(self, tensor: fx.Node, but: fx.Node | None = None) -> bool:
        """Whether a tensor, one of its views or what it is a view of is read later."""
        if any(user in self.later for user in tensor.users):
            return True
        views = (user for user in tensor.users if user is not but and user not in self.later)
        if any(self._viewed(user) is tensor and self._is_read(user) for user in views):
            return True
        viewed = self._viewed(tensor)
        return but is not None and viewed is not None and self._is_read(viewed, but=tensor)

    def _insert(self, make: Callable[[], fx.Node]) -> fx.Node:
        with self.graph.inserting_after(self.last):
            self.last = make()
        return self.last

    def _written_back(self, view: fx.Node, viewed: fx.Node, new: fx.Node) -> fx.Node:
        """Return the new values of what ``view``, whose new values are known, is a view of."""
        call, name = self.graph.call_function, _name(view)
        if view.target is operator.getitem:
            return self._insert(lambda: call(with_part, (viewed, view.args[1], new)))
        if name in _SAME_ORDER or isinstance(self._module(view), _VIEW_MODULES):
            return self._insert(lambda: self.graph.call_method("reshape_as", (new, viewed)))
        if name in _SWAPS or (name in {"T", "mT"} and view.target is getattr):
            return self._insert(partial(self._copy, view, viewed, new))
        if name in _JOINED_BY:
            place = 1 if name == "unbind" else 2
            dim = view.kwargs.get("dim", view.args[place] if len(view.args) > place else 0)
            return self._insert(lambda: call(_JOINED_BY[name], (new, dim)))
        raise ValueError(
            f"the network changes a view of {viewed.name!r} in place ({_name(view)}, by "
            f"{self.culprit.name!r}), which cannot be followed: write it without changing its input"
        )

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.modules[str(node.target)] if node.op == "call_module" else None

    def _viewed(self, node: fx.Node) -> fx.Node | None:
        """Return what a node is a view of."""
        is_view = (
            isinstance(self._module(node), _VIEW_MODULES)
            or (node.op in {"call_method", "call_function"} and _name(node) in _VIEWS)
            or (node.target is getattr and node.args[1] in _VIEW_ATTRIBUTES)
            or (node.target is operator.getitem and _is_basic(node.args[1]))
        )
        if not is_view or not node.all_input_nodes or _is_number(node):
            return None
        return node.all_input_nodes[0]


def _name(node: fx.Node) -> str:
    """Return the name of the function or method that a node calls, or the attribute it reads."""
    if node.op == "call_method":
        return str(node.target)
    if node.target is getattr:
        return str(node.args[1])
    return str(getattr(node.target, "__name__", "")) if node.op == "call_function" else ""


def _named_arguments(node: fx.Node) -> dict[str, Any]:
    """Return the arguments of a call of `torch.nn.functional`; of others nothing."""
    if not callable(node.target) or node.target.__module__ != F.__name__:
        return {}
    return inspect.signature(node.target).bind(*node.args, **node.kwargs).arguments


def _is_basic(index: Any) -> bool:
    """Whether an index picks a view, as numbers and slices do; masks and lists pick a copy."""
    if isinstance(index, tuple):
        return all(_is_basic(part) for part in index)
    if isinstance(index, fx.Node):
        return _is_number(index)
    return index is None or index is Ellipsis or isinstance(index, (int, slice))


def _is_number(node: fx.Node) -> bool:
    """Whether a node is a number, or several, that no tensor shares: a size, or made of sizes."""
    if _name(node) in _MEASURES:
        return True
    made_of_numbers = node.op == "call_function" and (
        node.target.__module__ in {"_operator", "math", "builtins"}
    )
    sources = node.all_input_nodes
    return made_of_numbers and bool(sources) and all(_is_number(source) for source in sources)
