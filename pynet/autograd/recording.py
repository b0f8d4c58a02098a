"""Running an operation: `record`, those who listen, and work that is put off so that it can be fused."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from pynet._core import _make_record
from pynet.autograd.modes import Mode, fusion_mode, grad_mode
from pynet.autograd.tape import Node, Operation, Storage, clock, flush_pending, listeners, registry
from pynet.autograd.tensors import Tensor, wrap

_new = object.__new__


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


record: Callable[..., Any] = _make_record(
    Tensor, Node, Storage, Operation, grad_mode, listeners, clock, _record_outputs, _announce
)


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
    """The last operations of a Tensor, not yet run, so that the next one may be run together with them.

    Everything that reads the array settles the Tensor: the operation runs, and is recorded, as if it had
    never been put off. An operation on a pending Tensor is put off in turn where `Operation.absorb` says
    that the two can be one. Whether they are shows when the result is read: if somebody still has the
    Tensor between them, that one is settled first and nothing is computed twice.

    `operation`, `inputs`, `attributes`, as for `record`, are all that is owed, as one; `shape` and `dtype`
    are the result's. Made by `put_off` and `followed`.
    """

    operation: Operation
    inputs: tuple[Tensor | None, ...]
    attributes: dict[str, Any]
    shape: tuple[int, ...]
    dtype: np.dtype
    recording: bool  # the mode that the operation was asked for in
    owner: weakref.ref[Tensor]
    result: Tensor | None = None
    followed_by = False
    # What this follows, and its own operation alone: the source's result goes between the other inputs.
    source: Pending | None = None
    apart: tuple[Operation, tuple, tuple, dict[str, Any]] | None = None

    def followed(
        self,
        owner: Tensor,
        operation: Operation,
        inputs: tuple[Tensor | None, ...],
        attributes: dict[str, Any],
    ) -> Tensor | None:
        """The pending result of an operation on the owner and other inputs; None where it cannot wait."""
        absorb = self.operation.absorb
        if absorb is None or self.followed_by or listeners:
            return None
        if grad_mode.get() is not self.recording or not fusion_mode.get():
            return None
        before: tuple = ()
        after: tuple = ()
        if len(inputs) > 1:
            places = [i for i, t in enumerate(inputs) if t is owner]
            if len(places) > 1:
                return None
            before, after = inputs[: places[0]], inputs[places[0] + 1 :]
        others = before + after
        whole = absorb(self, operation.name, others, attributes)
        if whole is None:
            return None
        for t in others:
            if t is not None:
                if t._array is None:
                    t._settle()
                if t._storage.held:
                    return None
        self.followed_by = True
        result = owe(whole[0], whole[1], whole[2], whole[3], self.dtype)
        work: Pending = result._pending  # type: ignore[assignment]
        work.source = self
        work.apart = operation, before, after, attributes
        return result

    def vanished(self) -> bool:
        """Whether nobody but the one that follows can ever ask for the result."""
        return (
            self.result is None and self.owner() is None and (self.source is None or self.source.vanished())
        )

    def run(self) -> Tensor:
        """The result, computed and recorded in the mode that it was asked for in."""
        result = self.result
        if result is None:
            operation, inputs, attributes = self.operation, self.inputs, self.attributes
            if self.source is not None and not self.source.vanished():
                operation, before, after, attributes = self.apart  # type: ignore[misc]
                inputs = (*before, self.source.run(), *after)
            owner = self.owner()
            mode = grad_mode.get()
            if mode is self.recording:
                result = record(operation, inputs, owner, **attributes)
            else:
                grad_mode.set(self.recording)
                try:
                    result = record(operation, inputs, owner, **attributes)
                finally:
                    grad_mode.set(mode)
            self.inputs, self.source, self.apart = (), None, None
            self.result = result
        return result


def owe(
    operation: Operation,
    inputs: tuple[Tensor | None, ...],
    attributes: dict[str, Any],
    shape: tuple[int, ...],
    dtype: np.dtype,
    known: bool = True,
) -> Tensor:
    """A Tensor that owes an operation; `known` to `flush_pending`, unless it belongs to one that is."""
    work = _new(Pending)
    work.operation, work.inputs, work.attributes = operation, inputs, attributes
    work.shape, work.dtype = shape, dtype
    work.recording = recording = grad_mode.get()
    result = _new(Tensor)
    result._array = result._node = result._grad = result._hooks = None
    result._pending = work
    result._output_index = 0
    result._requires_grad = False
    result._storage = _OWED
    if recording:
        for t in inputs:
            if t is not None and t._requires_grad:
                result._requires_grad = True
                break
    if known:
        owners = registry.owners
        work.owner = owner = weakref.ref(result, owners.discard)
        owners.add(owner)
    else:
        work.owner = weakref.ref(result)
    return result


_OWED = Storage()  # of all Tensors that are not yet computed


def put_off(
    operation: Operation,
    inputs: tuple[Tensor | None, ...],
    shape: tuple[int, ...],
    dtype: np.dtype,
    **attributes: Any,
) -> Tensor:
    """`record` for an operation that may absorb the next one: it runs when somebody reads the result.

    Nothing is put off over memory that a user may write through NumPy, nor while fusion is disabled.

    Args:
        operation, inputs, attributes: as for `record`.
        shape, dtype: of the result.
    """
    for t in inputs:
        if t is not None:
            if t._array is None:
                t._settle()  # so that pending work never piles up
            if t._storage.held:
                return record(operation, inputs, **attributes)
    if listeners or not fusion_mode.get():
        return record(operation, inputs, **attributes)
    return owe(operation, inputs, attributes, shape, dtype)
