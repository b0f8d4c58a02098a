"""Running an operation: `record`, those who listen, and work that is put off so that it can be fused."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from pynet._core import _make_tape
from pynet.autograd.modes import Mode, fusion_mode, grad_mode
from pynet.autograd.tape import Node, Operation, Storage, clock, flush_pending, listeners, registry
from pynet.autograd.tensors import Tensor, wrap


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
    """The last operations of a Tensor, not yet run, so that the next one may be run together with them.

    Everything that reads the array settles the Tensor: the operation runs, and is recorded, as if it had
    never been put off. An operation on a pending Tensor is put off in turn where `Operation.absorb` says
    that the two can be one. Whether they are shows when the result is read: if somebody still has the
    Tensor between them, that one is settled first and nothing is computed twice.

    `operation`, `inputs`, `attributes`, as for `record`, are all that is owed, as one; `shape` and `dtype`
    are the result's. Made by `put_off` and, where an operation follows, by `record`.
    """

    __slots__ = (
        "apart",
        "attributes",
        "dtype",
        "followed_by",
        "inputs",
        "operation",
        "owner",
        "recording",
        "result",
        "shape",
        "source",
    )

    operation: Operation
    inputs: tuple[Tensor | None, ...]
    attributes: dict[str, Any]
    shape: tuple[int, ...]
    dtype: np.dtype
    recording: bool  # the mode that the operation was asked for in
    owner: weakref.ref[Tensor]
    result: Tensor | None
    followed_by: bool
    # What this follows, and its own operation alone: the source's result goes between the other inputs.
    source: Pending | None
    apart: tuple[Operation, tuple, tuple, dict[str, Any]] | None


record: Callable[..., Any]
owe: Callable[..., Tensor]
put_off: Callable[..., Any]
wrote: Callable[..., None]
record, owe, put_off, wrote = _make_tape(
    {
        "Tensor": Tensor,
        "Node": Node,
        "Storage": Storage,
        "Operation": Operation,
        "Pending": Pending,
        "grad_mode": grad_mode,
        "fusion_mode": fusion_mode,
        "listeners": listeners,
        "clock": clock,
        "registry": registry,
        "record_outputs": _record_outputs,
        "announce": _announce,
    }
)
