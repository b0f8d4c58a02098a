"""Modules that hold modules: Sequential, which runs them one after the other, ModuleList and ModuleDict."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, overload

from .module import Module, indented


class Sequential(Module):
    """Modules that run one after the other.

    Args:
        *args: modules, named "0", "1", ...; or one mapping of names to modules. None at all: the identity.

    Raises:
        TypeError: an argument is no Module.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for index, module in enumerate(args):
                self.add_module(str(index), module)

    def forward(self, input: Any) -> Any:
        """The last module's result."""
        for module in self._modules.values():
            input = module(input)
        return input

    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    @overload
    def __getitem__(self, index: int) -> Module: ...
    def __getitem__(self, index: Any) -> Any:
        """The module at `index`, or a Sequential of the same modules for a slice."""
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[_key_at(self, index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, _key_at(self, index), module)

    def __delitem__(self, index: int | slice) -> None:
        _delete(self, index)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __add__(self, other: Iterable[Module]) -> Sequential:
        """A Sequential of the modules of both."""
        return Sequential(*self, *other) if isinstance(other, Sequential) else NotImplemented

    def append(self, module: Module) -> Sequential:
        """Add a module at the end and return this Sequential."""
        return self.insert(len(self), module)

    def extend(self, modules: Iterable[Module]) -> Sequential:
        """Add modules at the end and return this Sequential."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Sequential:
        """Put a module before the one at `index` and return this Sequential."""
        _insert(self, index, module)
        return self


class ModuleList(Module):
    """A list of modules, whose parameters count as this module's; it has no forward.

    Args:
        modules: an iterable of modules, default none.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    @overload
    def __getitem__(self, index: int) -> Module: ...
    def __getitem__(self, index: Any) -> Any:
        """The module at `index`, or a ModuleList of the same modules for a slice."""
        if isinstance(index, slice):
            return type(self)(list(self._modules.values())[index])
        return self._modules[_key_at(self, index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, _key_at(self, index), module)

    def __delitem__(self, index: int | slice) -> None:
        _delete(self, index)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        """A ModuleList of the modules of both."""
        return ModuleList(chain(self, other))

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end and return this list."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add modules at the end and return this list."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Put a module before the one at `index`."""
        _insert(self, index, module)

    def pop(self, index: int) -> Any:
        """Take the module at `index` out and return it."""
        module = self[index]
        del self[index]
        return module

    def __repr__(self) -> str:
        """As every module's, but a run of equal lines is one line with its length."""
        texts = [repr(module) for module in self]
        if not texts:
            return f"{self._get_name()}()"
        lines, start = [], 0
        for end in range(1, len(texts) + 1):
            if end == len(texts) or texts[end] != texts[start]:
                one = end - start == 1
                entry = (
                    f"({start}): {texts[start]}"
                    if one
                    else f"({start}-{end - 1}): {end - start} x {texts[start]}"
                )
                lines.append(indented(entry))
                start = end
        return f"{self._get_name()}(" + "".join(f"\n  {line}" for line in lines) + "\n)"


class ModuleDict(Module):
    """A dict of modules, whose parameters count as this module's; it has no forward.

    Args:
        modules: a mapping, or an iterable of (name, module), default none.
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """(name, module) pairs."""
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules; those of a known name replace the old ones."""
        for name, module in list(modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules):
            self[name] = module

    def pop(self, key: str) -> Any:
        """Take a module out and return it."""
        return self._modules.pop(key)

    def clear(self) -> None:
        """Take all modules out."""
        self._modules.clear()


def _key_at(owner: Module, index: Any) -> str:
    """The name of the entry at `index`, which may be negative."""
    index = operator.index(index)
    count = len(owner._modules)
    if not -count <= index < count:
        raise IndexError(f"{type(owner).__name__}: index {index} is out of range for {count} modules")
    return list(owner._modules)[index]


def _delete(owner: Module, index: int | slice) -> None:
    """Delete entries; the rest is numbered anew where names are numbers."""
    keys = list(owner._modules)
    for key in keys[index] if isinstance(index, slice) else [_key_at(owner, index)]:
        del owner._modules[key]
    if all(key.isdecimal() for key in keys):
        _renumber(owner, list(owner._modules.values()))


def _insert(owner: Module, index: int, module: Module) -> None:
    count = len(owner._modules)
    index = operator.index(index)
    if not -count <= index <= count:
        raise IndexError(f"{type(owner).__name__}: index {index} is out of range for {count} modules")
    modules = list(owner._modules.values())
    if index == count:  # other names may stay as they are
        owner.add_module(str(count), module)
        return
    owner.add_module(str(count), module)  # checks that it is a module, and not one that holds the owner
    modules.insert(index, module)
    _renumber(owner, modules)


def _renumber(owner: Module, modules: list[Module]) -> None:
    owner._modules.clear()
    owner._modules.update((str(i), module) for i, module in enumerate(modules))
