"""Running an operation: `record`, those who listen, and work that is put off so that it can be fused."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from pynet.autograd.modes import Mode, fusion_mode, grad_mode
from pynet.autograd.tape import Node, Operation, Storage, clock, flush_pending, listeners, live_pending
from pynet.autograd.tensors import Tensor, wrap

_new = object.__new__


def record(operation: Operation, inputs: tuple[Tensor | None, ...], **attributes: Any) -> Any:
    """Runs an operation, announces it and, when a gradient may be asked for, puts it on the tape.

    Args:
        operation: what to run.
        inputs: Tensors, or None for an optional input that is absent.
        attributes: handed to forward and backward by name.
    Returns:
        One Tensor, or a tuple of them when the forward returns a tuple.
    """
    arrays: list[Any] = []
    for t in inputs:
        if t is None:
            arrays.append(None)
        else:
            a = t._array
            arrays.append(t._settle() if a is None else a)
    out, saved = operation.forward(*arrays, **attributes)
    if type(out) is tuple:
        return _record_outputs(operation, inputs, attributes, out, saved)
    result = _new(Tensor)
    result._array = out
    result._pending = result._node = result._grad = result._hooks = None
    result._output_index = 0
    result._requires_grad = False
    storage: Storage = inputs[0]._storage if operation.view else Storage()  # type: ignore[union-attr]
    result._storage = storage
    if grad_mode.get() and operation.backward is not None:
        edges: list[Any] = []
        storages = [storage]
        needed = False
        for t in inputs:
            if t is None:
                edges.append(None)
                continue
            storages.append(t._storage)
            if not t._requires_grad:
                edges.append(None)
                continue
            needed = True
            edges.append(t if t._node is None else (t._node, t._output_index))
        if needed:
            node = result._node = Node()
            node.serial = next(clock)
            node.operation = operation
            node.attributes = attributes
            node.edges = edges
            node.saved = saved
            node.storages = storages
            node.shape = out.shape
            node.dtype = out.dtype
            node.hooks = node.retained = None
            result._requires_grad = True
    if listeners:
        _announce(operation.name, attributes, inputs, (result,))
    return result


def _record_outputs(
    operation: Operation,
    inputs: tuple[Tensor | None, ...],
    attributes: dict[str, Any],
    outs: tuple,
    saved: tuple,
) -> tuple[Tensor, ...]:
    """`record` for an operation with several outputs; those of integers and booleans carry no gradient."""
    results = tuple(wrap(a) for a in outs)
    if operation.view:
        for r in results:
            r._storage = inputs[0]._storage  # type: ignore[union-attr]
    present = [t for t in inputs if t is not None]
    if grad_mode.get() and operation.backward is not None and any(t._requires_grad for t in present):
        node = Node()
        node.serial = next(clock)
        node.operation, node.attributes, node.saved = operation, attributes, saved
        node.edges = [None if t is None or not t._requires_grad else t._edge() for t in inputs]
        node.storages = [t._storage for t in (*present, *results)]
        node.shape, node.dtype = [a.shape for a in outs], [a.dtype for a in outs]
        node.hooks = node.retained = None
        for i, r in enumerate(results):
            if r._array.dtype.kind == "f":
                r._node, r._output_index, r._requires_grad = node, i, True
    if listeners:
        _announce(operation.name, attributes, inputs, results)
    return results


def _announce(name: str, attributes: dict[str, Any], inputs: tuple, outputs: tuple) -> None:
    for listener in tuple(listeners):
        listener(name, attributes, inputs, outputs)


class listen:
    """Context manager: calls `callback(name, attributes, inputs, outputs)` for every operation, run unfused.

    Inputs are Tensors or None, outputs Tensors. Listeners of all threads hear all threads.
    """

    def __init__(self, callback: Callable[[str, dict[str, Any], tuple, tuple], None]) -> None:
        self.callback = callback

    def __enter__(self) -> listen:
        flush_pending()
        listeners.append(self.callback)
        return self

    def __exit__(self, *exception: object) -> None:
        listeners.remove(self.callback)


# --- work put off ---------------------------------------------------------------------------------


def is_fusion_enabled() -> bool:
    """Whether operations may be run as one with their neighbours: not while someone listens to the tape."""
    return not listeners and fusion_mode.get()


class unfused(Mode):
    """Context manager and decorator: every operation runs on its own, as it was written."""

    _variable = fusion_mode
    _value = False

    def __enter__(self) -> None:
        flush_pending()
        super().__enter__()


class Pending:
    """The last operation of a Tensor, not yet run, so that its next user may be run together with it.

    Everything that reads the array settles the Tensor: the operation runs, and is recorded, as if it had
    never been put off. A user that wants to be fused calls `absorb` first. Subclasses say what they can
    absorb.

    Args:
        operation, inputs, attributes: as for `record`.
        shape, dtype: of the result.
    """

    __slots__ = (
        "__weakref__",
        "absorbed",
        "attributes",
        "dtype",
        "inputs",
        "operation",
        "owner",
        "recording",
        "shape",
    )

    def __init__(
        self,
        operation: Operation,
        inputs: tuple[Tensor | None, ...],
        attributes: dict[str, Any],
        shape: tuple[int, ...],
        dtype: np.dtype,
    ) -> None:
        self.operation, self.inputs, self.attributes = operation, inputs, attributes
        self.shape, self.dtype = shape, dtype
        self.recording = grad_mode.get()
        self.absorbed = False
        self.owner: weakref.ref[Tensor] | None = None

    def tensor(self) -> Tensor:
        """The Tensor that owes this work."""
        result = wrap(None)
        result._pending = self
        result._requires_grad = self.recording and any(
            t is not None and t._requires_grad for t in self.inputs
        )
        self.owner = weakref.ref(result)
        live_pending().add(self)
        return result

    def absorb(self, name: str, other: Tensor | None = None, **attributes: Any) -> Tensor | None:
        """The result of operation `name` on the pending Tensor and `other`, run as one; None: cannot."""
        return None

    def materialise(self) -> Tensor:
        """Runs and records the operation in the mode it was asked for in."""
        before = grad_mode.get()
        if before is self.recording:
            return record(self.operation, self.inputs, **self.attributes)
        grad_mode.set(self.recording)
        try:
            return record(self.operation, self.inputs, **self.attributes)
        finally:
            grad_mode.set(before)
