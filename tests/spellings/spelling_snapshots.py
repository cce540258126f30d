"""What a user's network is, in full: to see that nobody changed it."""

import torch
from torch import nn

_HOOKS = [name for name in vars(nn.Module()) if "hook" in name]


def snapshot(model: nn.Module) -> dict[str, object]:
    """Return all that can be seen of a network: modes, attributes, hooks, weights, buffers."""
    seen: dict[str, object] = {}
    for name, module in model.named_modules():
        seen[f"{name}.training"] = module.training
        for kind in ("_parameters", "_buffers"):
            for key, value in getattr(module, kind).items():
                seen[f"{name}.{key}"] = _state(value)
        if not isinstance(module, torch.jit.ScriptModule):
            for key, value in vars(module).items():
                if key in _HOOKS and isinstance(value, dict):
                    seen[f"{name}.{key}"] = [id(hook) for hook in value.values()]
                elif key not in {"_parameters", "_buffers", "_modules"}:
                    seen[f"{name}.{key}"] = _plain(value)
    return seen


def changes(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """Return what is no longer as it was."""
    missing = object()
    return sorted(
        name for name in {*before, *after} if before.get(name, missing) != after.get(name, missing)
    )


def _state(value: torch.Tensor | None) -> object:
    if value is None:
        return None
    grad = None if value.grad is None else _plain(value.grad)
    return id(value), value.requires_grad, grad, _plain(value)


def _plain(value: object) -> object:
    """Return a value in a form that can be compared, whatever happens to it."""
    if isinstance(value, torch.Tensor):
        if value.is_quantized:
            value = value.dequantize()
        return str(value.dtype), value.detach().tolist()
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return type(value).__qualname__, id(value)
