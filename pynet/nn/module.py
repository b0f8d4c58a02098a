"""Module: the base class of everything with parameters, from a layer to a whole network.

A module keeps its parameters, buffers and child modules in three ordered dicts, which attribute assignment
fills. Whatever walks over them (``parameters()``, ``state_dict()``, ``to()``, ``apply()``) goes in the order
of registration.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from ..autograd import Tensor
from . import state
from .arguments import on_cpu
from .hooks import Hooks, RemovableHandle, call_with_hooks
from .parameter import Parameter, as_float_dtype, move, write

Self = TypeVar("Self", bound="Module")


class Module:
    """Base class: a subclass calls ``super().__init__()``, assigns layers and defines ``forward``.

    Attributes:
        training: whether layers such as dropout and batch norm are in training mode; set by ``train()`` and
            ``eval()``.
    """

    training: bool

    def __init__(self) -> None:
        set_plain = super().__setattr__
        set_plain("training", True)
        set_plain("_parameters", {})
        set_plain("_buffers", {})
        set_plain("_modules", {})
        set_plain("_non_persistent_buffers_set", set())
        set_plain("_forward_hooks", Hooks())
        set_plain("_forward_pre_hooks", Hooks())
        set_plain("_backward_hooks", Hooks())

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; called through ``module(...)``, which runs the hooks."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """``forward``, with the hooks around it."""
        if self._forward_hooks or self._forward_pre_hooks or self._backward_hooks:
            return call_with_hooks(self, args, kwargs)
        return self.forward(*args, **kwargs)

    # Registration.

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, or None for one that this module could have and does not.

        Raises:
            TypeError: `param` is no Parameter.
            KeyError: `name` is empty, holds a dot, or is taken by something else.
        """
        self._check_name("_parameters", name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"{type(self).__name__}: cannot register a {type(param).__name__} as the parameter "
                f"{name!r}; wrap it: Parameter(...)"
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a Tensor that is state and no parameter, such as a running mean.

        Args:
            name: its attribute name.
            tensor: the Tensor, or None.
            persistent: whether ``state_dict`` holds it, default True.

        Raises:
            TypeError: `tensor` is no Tensor.
            KeyError: `name` is empty, holds a dot, or is taken by something else.
        """
        self._check_name("_buffers", name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"{type(self).__name__}: cannot register a {type(tensor).__name__} as the buffer {name!r}"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module.

        Raises:
            TypeError: `module` is no Module.
            ValueError: `module` is this module, or holds it.
            KeyError: `name` is empty, holds a dot, or is taken by something else.
        """
        self._check_name("_modules", name)
        if module is not None:
            if not isinstance(module, Module):
                raise TypeError(
                    f"{type(self).__name__}: the child {name!r} must be a Module, got {type(module).__name__}"
                )
            if any(inner is self for inner in module.modules()):
                raise ValueError(
                    f"{type(self).__name__}: cannot hold {type(module).__name__} as {name!r}, since that "
                    "is or contains the "
                    "module itself"
                )
        self._modules[name] = module

    register_module = add_module

    def _check_name(self, family: str, name: str) -> None:
        own = type(self).__name__
        if family not in self.__dict__:
            raise AttributeError(f"{own}: call super().__init__() before assigning {name!r}")
        if not isinstance(name, str):
            raise TypeError(f"{own}: a name must be a str, got {name!r}")
        if name == "" or "." in name:
            raise KeyError(f"{own}: a name must be neither empty nor hold a dot, got {name!r}")
        if hasattr(self, name) and name not in self.__dict__[family]:
            raise KeyError(f"{own}: the attribute {name!r} already exists")

    # Attributes.

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name, "_modules")
            self.add_module(name, value)
        elif (family := self._family(name)) is None:
            super().__setattr__(name, value)
        elif value is None or (family == "_buffers" and isinstance(value, Tensor)):
            self.__dict__[family][name] = value
        else:
            kind, wanted = _KINDS[family]
            raise TypeError(
                f"{type(self).__name__}: cannot assign a {type(value).__name__} to the {kind} {name!r}, "
                f"{wanted} or None"
            )

    def __getattr__(self, name: str) -> Any:
        attributes = self.__dict__
        for family in ("_modules", "_parameters", "_buffers"):  # layers first: every forward asks for them
            found = attributes.get(family)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        family = self._family(name)
        if family is None:
            super().__delattr__(name)
        else:
            del self.__dict__[family][name]
            self._non_persistent_buffers_set.discard(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def _family(self, name: str) -> str | None:
        """Which of the three dicts has `name`."""
        attributes = self.__dict__
        for family in _KINDS:
            if name in attributes.get(family, ()):
                return family
        return None

    def _forget(self, name: str, keep: str) -> None:
        """Remove `name` wherever it is but in the dict `keep`, whose order an assignment shall not change."""
        if keep not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before assigning {name!r}")
        self.__dict__.pop(name, None)
        for family in _KINDS:
            if family != keep:
                self.__dict__[family].pop(name, None)
        if keep != "_buffers":
            self._non_persistent_buffers_set.discard(name)

    # Walking.

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it with their dotted names; this one's is `prefix`."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(
                    memo, f"{prefix}.{name}" if prefix else name, remove_duplicate
                )

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below this one with their names, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly below this one, each once."""
        return (module for _, module in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names; without `recurse` only this module's own."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once; without `recurse` only this module's own."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """All buffers with their dotted names; without `recurse` only this module's own."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once; without `recurse` only this module's own."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _named(
        self, family: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in modules:
            for name, value in module.__dict__[family].items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def get_submodule(self, target: str) -> Module:
        """The module of the dotted name `target`; "" is this one.

        Raises:
            AttributeError: there is none.
        """
        module = self
        for name in target.split(".") if target else []:
            child = module._modules.get(name)
            if child is None:
                raise AttributeError(f"{type(module).__name__} has no module {name!r}, of {target!r}")
            module = child
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of the dotted name `target`.

        Raises:
            AttributeError: there is none.
        """
        return self._get("_parameters", target)

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of the dotted name `target`.

        Raises:
            AttributeError: there is none.
        """
        return self._get("_buffers", target)

    def _get(self, family: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found = module.__dict__[family].get(name)
        if found is None:
            raise AttributeError(
                f"{type(module).__name__} has no {_KINDS[family][0]} {name!r}, of {target!r}"
            )
        return found

    # State.

    def state_dict(
        self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> OrderedDict[str, Tensor]:
        """Parameters and persistent buffers by dotted name: Tensors that share the module's memory.

        Args:
            destination: a dict to fill, default a new one.
            prefix: put before every name, default "".
            keep_vars: give the Parameters themselves instead of detached Tensors, default False.
        """
        return state.state_dict(self, destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.IncompatibleKeys:
        """Copy values into the module's own memory, whose order stays.

        Args:
            state_dict: name -> Tensor or ndarray.
            strict: whether missing and unexpected names are errors, default True. Shapes and dtypes always
                have to fit.
            assign: put the given Tensors in the place of the module's own, with their dtype, instead of
                copying values; default False.

        Returns:
            ``(missing_keys, unexpected_keys)``.

        Raises:
            RuntimeError: something does not fit; all of it is listed and the module is unchanged.
            TypeError: `state_dict` is no mapping.
        """
        return state.load_state_dict(self, state_dict, strict, assign)

    # Changing everything at once.

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` with each module, children first, and return this module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Put this module and all below it into training mode, or into evaluation mode for False."""
        if not isinstance(mode, bool):
            raise ValueError(f"{type(self).__name__}.train: mode must be a bool, got {mode!r}")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: Self) -> Self:
        """Put this module and all below it into evaluation mode."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Say whether the parameters get gradients."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill them with zeros where `set_to_none` is False."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                write(parameter.grad, 0)

    def to(self: Self, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False) -> Self:
        """Convert parameters and floating-point buffers, in place and in their memory order.

        Args:
            *args: a dtype (float32 or float64) or the device "cpu", in any order.
            dtype, device: the same as keywords.
            non_blocking: accepted.

        Raises:
            TypeError: another dtype.
            ValueError: another device.
        """
        for argument in args:
            if isinstance(argument, str) and argument not in ("float32", "float64"):
                device = argument
            elif argument is not None and not isinstance(argument, bool):
                dtype = argument.dtype if isinstance(argument, Tensor) else argument
        on_cpu(f"{self._get_name()}.to", device)
        if dtype is not None:
            dtype = as_float_dtype(dtype, f"{self._get_name()}.to")
            for tensor in (*self.parameters(), *self.buffers()):
                move(tensor, dtype)
        return self

    def float(self: Self) -> Self:
        """Convert to float32."""
        return self.to("float32")

    def double(self: Self) -> Self:
        """Convert to float64, which runs on the reference operations."""
        return self.to("float64")

    def type(self: Self, dst_type: Any) -> Self:
        """Convert to a dtype, as ``to``."""
        return self.to(dtype=dst_type)

    def cpu(self: Self) -> Self:
        """This module: it is on the CPU."""
        return self

    def cuda(self: Self, device: Any = None) -> Self:
        """Always a ValueError: there is no GPU."""
        raise ValueError(
            f"{self._get_name()}.cuda: pynet runs on the CPU alone; ask pynet.cuda.is_available() first"
        )

    # Hooks.

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Let ``hook(module, args)`` run before forward; its result, if not None, replaces the arguments.

        Args:
            hook: with `with_kwargs` called as ``hook(module, args, kwargs)``, and returns both or None.
            prepend: run it before the hooks that are there, default False.
            with_kwargs: default False.
        """
        return self._forward_pre_hooks.add(type(self).__name__, hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Let ``hook(module, args, output)`` run after forward; its result, if not None, replaces the output.

        Args:
            hook: with `with_kwargs` called as ``hook(module, args, kwargs, output)``.
            prepend: run it before the hooks that are there, default False.
            with_kwargs: default False.
        """
        return self._forward_hooks.add(type(self).__name__, hook, prepend, with_kwargs)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Let ``hook(module, grad_input, grad_output)`` run when the gradients of a call have been computed.

        Args:
            hook: gets tuples, one gradient for each positional argument (None where there is none) and each
                output; what it returns, if not None, replaces `grad_input`.
            prepend: run it before the hooks that are there, default False.
        """
        return self._backward_hooks.add(type(self).__name__, hook, prepend, False)

    # Printing.

    def extra_repr(self) -> str:
        """What stands between the parentheses of the module's line in a repr."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr().split("\n") if self.extra_repr() else []
        children = [f"({name}): {indented(repr(module))}" for name, module in self._modules.items()]
        if len(extra) == 1 and not children:
            return f"{self._get_name()}({extra[0]})"
        lines = extra + children
        return f"{self._get_name()}(" + "".join(f"\n  {line}" for line in lines) + ("\n)" if lines else ")")


_KINDS = {
    "_parameters": ("parameter", "only a Parameter"),
    "_buffers": ("buffer", "only a Tensor"),
    "_modules": ("child module", "only a Module"),
}


def indented(text: str) -> str:
    """A repr as it stands inside another one."""
    return text.replace("\n", "\n  ")
