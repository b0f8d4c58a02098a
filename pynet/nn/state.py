"""A module's state as a flat dict of named Tensors, and the way back, which changes everything or nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..autograd import Tensor
from .parameter import Parameter, write

if TYPE_CHECKING:
    from .module import Module


class IncompatibleKeys(NamedTuple):
    """What did not match in ``load_state_dict(..., strict=False)``."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def state_dict(
    module: Module, destination: dict[str, Any] | None, prefix: str, keep_vars: bool
) -> OrderedDict[str, Tensor]:
    """Parameters and persistent buffers by dotted name; see ``Module.state_dict``."""
    out: Any = OrderedDict() if destination is None else destination
    for name, tensor in entries(module, prefix):
        out[name] = tensor if keep_vars else tensor.detach()
    return out


def entries(module: Module, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """(name, Tensor) of everything in a state, once for every name that a shared Tensor has."""
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield prefix + name, parameter
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers_set:
            yield prefix + name, buffer
    for name, child in module._modules.items():
        if child is not None:
            yield from entries(child, f"{prefix}{name}.")


def load_state_dict(
    module: Module, values: Mapping[str, Any], strict: bool, assign: bool
) -> IncompatibleKeys:
    """Copy `values` into the module's memory, or put them in its place; see ``Module.load_state_dict``."""
    if not isinstance(values, Mapping):
        raise TypeError(
            f"{type(module).__name__}.load_state_dict: expected a dict of names, got {type(values).__name__}"
        )
    targets = dict(entries(module))
    missing = [name for name in targets if name not in values]
    unexpected = [name for name in values if name not in targets]
    problems = []
    if strict and missing:
        problems.append("missing: " + ", ".join(repr(name) for name in missing))
    if strict and unexpected:
        problems.append("unexpected: " + ", ".join(repr(name) for name in unexpected))
    arrays = {}
    for name, target in targets.items():
        if name in values:
            array = values[name].array if isinstance(values[name], Tensor) else np.asarray(values[name])
            problem = _misfit(array, target, assign)
            if problem:
                problems.append(f"{name}: {problem}")
            arrays[name] = array
    if problems:
        lines = "".join(f"\n    {problem}" for problem in problems)
        raise RuntimeError(
            f"{type(module).__name__}.load_state_dict: the state does not fit, nothing was loaded:{lines}"
        )
    for name, array in arrays.items():
        if assign:
            _assign(module, name, values[name], array)
        else:
            write(targets[name], array)
    return IncompatibleKeys(missing, unexpected)


def _assign(module: Module, name: str, value: Any, array: np.ndarray) -> None:
    """Put a value where the module has its parameter or buffer of that dotted name."""
    path, _, last = name.rpartition(".")
    owner = module.get_submodule(path)
    old = owner._parameters.get(last)
    if old is None:
        owner._buffers[last] = value if isinstance(value, Tensor) else Tensor(array)
    elif isinstance(value, Parameter):
        owner._parameters[last] = value
    else:
        owner._parameters[last] = Parameter(value, old.requires_grad)


def _misfit(array: np.ndarray, target: Tensor, assign: bool) -> str:
    """Why `array` cannot be copied into `target`, or ""."""
    if array.shape != target.shape:
        return f"size mismatch, the state has {array.shape} and the module {target.shape}"
    if (
        array.dtype.kind != target.dtype.kind
        if assign
        else not np.can_cast(array.dtype, target.dtype, "same_kind")
    ):
        return f"the state has dtype {array.dtype}, which does not convert to {target.dtype}"
    return ""
