"""Hooks of modules: functions that run before or after forward, or with the gradients, and their handles."""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ..autograd import Operation, Tensor, is_grad_enabled, record

_numbers = itertools.count()


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes the hook away; as a context manager, at its end."""

    def __init__(self, hooks: OrderedDict[int, Any]) -> None:
        self._hooks = weakref.ref(hooks)
        self.id = next(_numbers)

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        hooks = self._hooks()
        if hooks is not None:
            hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class Hooks(OrderedDict):  # type: ignore[type-arg]
    """Hooks in the order in which they run, ``id -> (function, whether it gets keyword arguments too)``."""

    def add(self, owner: str, hook: Callable[..., Any], prepend: bool, with_kwargs: bool) -> RemovableHandle:
        """Register a hook.

        Raises:
            TypeError: `hook` is not callable.
        """
        if not callable(hook):
            raise TypeError(f"{owner}: a hook must be callable, got {type(hook).__name__}")
        handle = RemovableHandle(self)
        self[handle.id] = (hook, with_kwargs)
        if prepend:
            self.move_to_end(handle.id, last=False)
        return handle


def call_with_hooks(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``module.forward`` with the module's hooks around it."""
    for hook, with_kwargs in tuple(module._forward_pre_hooks.values()):
        if with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is not None:
                if not isinstance(changed, tuple) or len(changed) != 2:
                    raise RuntimeError(
                        f"{type(module).__name__}: a forward pre-hook with_kwargs must return None or "
                        "(args, kwargs), got "
                        f"{type(changed).__name__}"
                    )
                args, kwargs = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    watch = Watch(module) if module._backward_hooks and is_grad_enabled() else None
    if watch is not None:
        args = watch.inputs(args)
    out = module.forward(*args, **kwargs)
    if watch is not None:
        out = watch.outputs(out)
    for hook, with_kwargs in tuple(module._forward_hooks.values()):
        changed = hook(module, args, kwargs, out) if with_kwargs else hook(module, args, out)
        if changed is not None:
            out = changed
    return out


class Watch:
    """Gradients of one call of a module, for its backward hooks.

    The inputs and the outputs pass through an operation that changes nothing; its backward sees the
    gradients.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.grad_output: tuple[Tensor | None, ...] = ()
        self.places: list[int] = []  # which arguments pass
        self.count = 0

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, Tensors that need a gradient led through the operation."""
        self.count = len(args)
        self.places = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
        if not self.places:
            return args
        passed = dict(zip(self.places, _pass([args[i] for i in self.places], self._at_inputs), strict=True))
        return tuple(passed.get(i, a) for i, a in enumerate(args))

    def outputs(self, out: Any) -> Any:
        """The output, a Tensor or a tuple of them, led through the operation."""
        tensors = list(out) if isinstance(out, tuple) else [out]
        if not all(isinstance(t, Tensor) for t in tensors):
            raise TypeError(
                f"{type(self.module).__name__}: full backward hooks need a Tensor or a tuple of Tensors as "
                "output, got "
                f"{type(out).__name__}"
            )
        passed = _pass(tensors, self._at_outputs)
        return tuple(passed) if isinstance(out, tuple) else passed[0]

    def _at_outputs(self, gradients: list[Any]) -> list[Any]:
        self.grad_output = tuple(None if g is None else Tensor(g) for g in gradients)
        if not self.places:  # nothing below asks for a gradient: the hooks run here
            self._call((None,) * self.count)
        return gradients

    def _at_inputs(self, gradients: list[Any]) -> list[Any]:
        passed = {i: None if g is None else Tensor(g) for i, g in zip(self.places, gradients, strict=True)}
        changed = self._call(tuple(passed.get(i) for i in range(self.count)))
        return [None if changed[i] is None else changed[i].array for i in self.places]

    def _call(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook, _ in tuple(self.module._backward_hooks.values()):
            changed = hook(self.module, grad_input, self.grad_output)
            if changed is None:
                continue
            changed = changed if isinstance(changed, tuple) else (changed,)
            if len(changed) != len(grad_input):
                raise RuntimeError(
                    f"{type(self.module).__name__}: a backward hook returned {len(changed)} gradients for "
                    f"{len(grad_input)} inputs"
                )
            grad_input = changed
        return grad_input


def _pass(tensors: list[Tensor], at_gradients: Callable[[list[Any]], list[Any]]) -> list[Tensor]:
    """The Tensors, results of one operation that sends on what `at_gradients` makes of their gradients."""

    def forward(*arrays: Any) -> tuple[Any, tuple[Any, ...]]:
        return arrays, ()

    def backward(dout: Any, saved: tuple[Any, ...], needs: tuple[bool, ...]) -> tuple[Any, ...]:
        gradients = at_gradients(list(dout))
        return tuple(g if needed else None for g, needed in zip(gradients, needs, strict=True))

    return list(record(Operation("backward_hook", forward, backward), tuple(tensors)))
