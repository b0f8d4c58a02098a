"""Modules that hold parameters: ParameterList and ParameterDict."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..autograd import Tensor
from .module import Module, indented
from .parameter import Parameter


def _parameter(owner: Module, value: Any) -> Parameter:
    """The value as a Parameter; a Tensor becomes one."""
    if isinstance(value, Parameter):
        return value
    if not isinstance(value, Tensor):
        raise TypeError(f"{type(owner).__name__}: expected a Parameter or Tensor, got {type(value).__name__}")
    return Parameter(value)


def _described(owner: Module) -> str:
    lines = [
        f"({name}): Parameter containing: [{p.dtype} of size {'x'.join(map(str, p.shape))}]"
        for name, p in owner._parameters.items()
        if p is not None
    ]
    return (
        f"{type(owner).__name__}(" + "".join(f"\n  {indented(line)}" for line in lines) + "\n)" * bool(lines)
    )


class ParameterList(Module):
    """A list of parameters, which count as this module's; it has no forward.

    Args:
        values: an iterable of Parameters, or of Tensors that become Parameters; default none.

    Raises:
        TypeError: something else.
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def __getitem__(self, index: Any) -> Any:
        """The parameter at `index`, or a ParameterList of the same parameters for a slice."""
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._parameters[self._key(index)]

    def __setitem__(self, index: int, value: Any) -> None:
        self._parameters[self._key(index)] = _parameter(self, value)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parameters.values())

    def __iadd__(self, values: Iterable[Any]) -> ParameterList:
        return self.extend(values)

    def append(self, value: Any) -> ParameterList:
        """Add a parameter at the end and return this list."""
        self._parameters[str(len(self))] = _parameter(self, value)
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add parameters at the end and return this list."""
        for value in list(values):
            self.append(value)
        return self

    def _key(self, index: Any) -> str:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"ParameterList: index {index} is out of range for {len(self)} parameters")
        return str(index % len(self))

    def __repr__(self) -> str:
        return _described(self)


class ParameterDict(Module):
    """A dict of parameters, which count as this module's; it has no forward.

    Args:
        parameters: a mapping, or an iterable of (name, Parameter or Tensor), default none.

    Raises:
        TypeError: another value. KeyError: a name that is empty or holds a dot.
    """

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        super().__init__()
        self.update(parameters or {})

    def __getitem__(self, key: str) -> Any:
        return self._parameters[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.register_parameter(key, _parameter(self, value))

    def __delitem__(self, key: str) -> None:
        del self._parameters[key]

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, key: object) -> bool:
        return key in self._parameters

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._parameters.keys()

    def values(self) -> Iterable[Any]:
        """The parameters."""
        return self._parameters.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """(name, parameter) pairs."""
        return self._parameters.items()

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter of a name, or the default."""
        return self._parameters.get(key, default)

    def update(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Add parameters; those of a known name replace the old ones."""
        pairs = parameters.items() if isinstance(parameters, (Mapping, ParameterDict)) else parameters
        for name, value in list(pairs):
            self[name] = value

    def pop(self, key: str) -> Any:
        """Take a parameter out and return it."""
        return self._parameters.pop(key)

    def clear(self) -> None:
        """Take all parameters out."""
        self._parameters.clear()

    def __repr__(self) -> str:
        return _described(self)
