"""What the tape is made of: operations, nodes, the memory they depend on, and work that waits.

`clock` numbers nodes and writes alike, so that "written after it was recorded" is one comparison.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pynet.autograd.recording import Pending
    from pynet.autograd.tensors import Tensor

Array = np.ndarray


class Operation:
    """A forward and a backward over ndarrays, with a name.

    Args:
        name: as listeners, messages and `Tensor.grad_fn` show it.
        forward: `forward(*arrays, **attributes) -> (out, saved)`: out an ndarray or a tuple of them, saved a
            tuple of what the backward needs.
        backward: `backward(dout, saved, needs, **attributes)` -> tuple with one gradient an input, None where
            `needs` is False. None for an operation without gradient. With several outputs `dout` is a tuple.
        view: the output may share memory with the first input.
        takes_two: the backward also takes a gradient as a list of two summands, which it may empty, and so
            spares their sum. For an operation with one output.
        absorb: `absorb(pending, name, others, attributes)` -> the one operation, inputs, attributes and shape
            that stand for `pending`, whose operation this is, and operation `name` with these attributes on
            its result and on the other inputs; None where there is none. See `Pending`.
    """

    __slots__ = ("absorb", "backward", "forward", "name", "takes_two", "view")

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        backward: Callable[..., Any] | None,
        view: bool = False,
        takes_two: bool = False,
        absorb: Callable[[Pending, str, tuple, dict[str, Any]], tuple | None] | None = None,
    ) -> None:
        self.name, self.forward, self.backward, self.view = name, forward, backward, view
        self.takes_two, self.absorb = takes_two, absorb

    def __repr__(self) -> str:
        return f"Operation({self.name!r})"


class Storage:
    """What tensors over one buffer share: when it was last written, where, and who may hold it.

    `written` is a serial number of the tape's clock; `low` and `high` bound the bytes written so far.
    `held`: memory that a user may write through NumPy, so that no work on it may be put off.
    """

    __slots__ = ("held", "high", "low", "written")

    def __init__(self) -> None:
        self.written = self.low = self.high = 0
        self.held = False


class Node:
    """One recorded operation: where its gradients go and what its backward needs."""

    __slots__ = (
        "__weakref__",
        "attributes",
        "dtype",
        "edges",
        "hooks",
        "operation",
        "retained",
        "saved",
        "serial",
        "shape",
        "storages",
    )  # fmt: skip

    serial: int
    operation: Operation
    attributes: dict[str, Any]
    edges: (
        list[Any] | None
    )  # an input: None (no gradient), a leaf Tensor, or (node, output index); None once freed
    saved: tuple[Any, ...]
    storages: list[Storage]  # of inputs and outputs
    shape: Any  # of the output, or a list of shapes
    dtype: Any  # likewise
    hooks: dict[int, dict[int, Callable]] | None
    retained: dict[int, weakref.ref[Tensor]] | None

    @property
    def name(self) -> str:
        """The operation's name."""
        return self.operation.name

    @property
    def next_functions(self) -> tuple[Any, ...]:
        """The nodes and leaf tensors that the gradients go to, None where none does."""
        return tuple(e[0] if type(e) is tuple else e for e in self.edges or ())

    def __repr__(self) -> str:
        return f"<{self.operation.name}>"


clock = itertools.count(1)
listeners: list[Callable[[str, dict[str, Any], tuple, tuple], None]] = []

# --- work that waits ------------------------------------------------------------------------------


class _Registry(threading.local):
    """The Tensors of this thread that owe work; other threads neither see nor settle them."""

    def __init__(self) -> None:
        self.owners: set[weakref.ref[Tensor]] = set()


registry = _Registry()


def flush_pending() -> None:
    """Runs all work that was put off."""
    owners = registry.owners
    if owners:
        for reference in owners.copy():
            owner = reference()
            if owner is not None:
                owner.array  # noqa: B018  runs it
        owners.clear()


def before_write() -> None:
    """To be called before arrays of Tensors are written in place; `wrote` afterwards."""
    flush_pending()
