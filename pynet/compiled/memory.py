"""Where intermediate results lie: buffers, views of them, and one arena that buffers share over time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

ALIGNMENT = 16  # floats: a cache line
_ORIGIN = np.empty(1, np.float32)


@dataclass(eq=False)
class Buffer:
    """A run of floats. `number` is its place among the plan's buffers; 0 is the arena, where `offset` counts.

    `first` and `last` are the steps that write it first and use it last; `merged` is the buffer whose memory
    it takes over.
    """

    size: int
    number: int = 0
    offset: int = 0
    first: int = -1
    last: int = -1
    merged: Buffer | None = None

    def root(self) -> Buffer:
        """The buffer whose memory this one uses."""
        return self if self.merged is None else self.merged.root()


def axes_in_memory(rank: int, order: str) -> tuple[int, ...]:
    """Axes from outermost to innermost: "c" as written, "kernel" with channels innermost."""
    return (0, 2, 3, 1) if rank == 4 and order == "kernel" else tuple(range(rank))


@dataclass(eq=False)
class Operand:
    """A view of a buffer. `ghost` has the view's shape and strides and an address, but must never be read."""

    buffer: Buffer
    ghost: np.ndarray

    @staticmethod
    def dense(buffer: Buffer, shape: tuple[int, ...], order: str = "kernel") -> Operand:
        strides = [0] * len(shape)
        step = 4
        for axis in reversed(axes_in_memory(len(shape), order)):
            strides[axis] = step
            step *= max(1, shape[axis])
        return Operand(buffer, np.lib.stride_tricks.as_strided(_ORIGIN, shape, strides, writeable=False))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.ghost.shape

    @property
    def strides(self) -> tuple[int, ...]:
        """In elements."""
        return tuple(s // 4 for s in self.ghost.strides)

    @property
    def offset(self) -> int:
        """In elements, from the buffer's start."""
        return (self.ghost.ctypes.data - _ORIGIN.ctypes.data) // 4 if self.ghost.size else 0

    def is_dense(self, order: str = "kernel") -> bool:
        return self.ghost.transpose(axes_in_memory(self.ghost.ndim, order)).flags.c_contiguous

    def is_same_view(self, other: Operand) -> bool:
        """Whether equal indices mean equal memory, for operands over one buffer."""
        return (self.shape, self.strides, self.offset) == (other.shape, other.strides, other.offset)

    def reshaped(self, shape: tuple[int, ...]) -> Operand | None:
        """The elements in C order under another shape, if no copy is needed."""
        ghost = self.ghost.view()
        try:
            ghost.shape = shape
        except AttributeError:
            return None
        return Operand(self.buffer, ghost)

    def place(self) -> tuple[int, int]:
        """(buffer, offset), for the core; valid once the arena is laid out."""
        root = self.buffer.root()
        return root.number, root.offset + self.offset


@dataclass(eq=False)
class Step:
    """One call of a method of the core's plan; Operands among its arguments become places.

    `reuses` is an operand that the result may overwrite where nobody needs it any more.
    """

    method: str
    arguments: tuple[Any, ...]
    reads: list[Operand]
    out: Operand
    label: str
    reuses: Operand | None = None


def lay_out(steps: list[Step]) -> int:
    """Gives every buffer of the arena its offset and returns the arena's size in floats.

    Buffers whose lives do not overlap share memory: the largest are placed first, each at the lowest offset
    that is free during its life.
    """
    buffers: list[Buffer] = []
    for at, step in enumerate(steps):
        for operand in (*step.reads, step.out):
            buffer = operand.buffer
            if buffer.first < 0:
                buffer.first = at
                buffers.append(buffer)
            buffer.last = at
    for at, step in enumerate(steps):
        if step.reuses is None:
            continue
        old, new = step.reuses.buffer.root(), step.out.buffer
        dying = (old.last, new.first, old.size) == (at, at, new.size)
        # Another view of the same memory, a transposed one say, would be read after it was overwritten.
        alike = all(r.is_same_view(step.reuses) for r in step.reads if r.buffer.root() is old)
        if dying and alike and old.number == new.number == 0:
            new.merged = old
            old.last = new.last
    placed: list[Buffer] = []
    total = 0
    for buffer in sorted((b for b in buffers if b.number == 0 and b.merged is None), key=lambda b: -b.size):
        taken = sorted(
            (b.offset, b.offset + b.size) for b in placed if b.first <= buffer.last and buffer.first <= b.last
        )
        for begin, end in taken:
            if buffer.offset + buffer.size <= begin:
                break
            buffer.offset = max(buffer.offset, math.ceil(end / ALIGNMENT) * ALIGNMENT)
        placed.append(buffer)
        total = max(total, buffer.offset + buffer.size)
    return total
