"""The memory of a backward, counted without running it.

The tape knows what each operation has saved and which gradients it makes; the pool, what a block of a size
takes; convolutions and linear layers, how much scratch memory they ask for. The walk is played through in its
order, and the most that is in use at any moment is the peak.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from ..autograd import Tensor

Shape = tuple[int, ...]


class Backward(NamedTuple):
    """Bytes that the forward keeps for the backward, bytes at the backward's peak, and the operation
    there.
    """

    saved: int
    peak: int
    at: str


def block_bytes(shape: Shape, dtype: Any) -> int:
    """Bytes that an array takes in the pool."""
    return _core.pool_bytes(math.prod(shape) * np.dtype(dtype).itemsize)


def count_backward(outputs: Iterable[Tensor], others: Iterable[Tensor]) -> Backward:
    """Count the memory of a backward from `outputs`, gradients of the leaves included; that of `others`,
    which are there anyway, is left out.
    """
    outputs = list(outputs)
    for t in outputs:
        t.array  # noqa: B018  what was put off is recorded now
    nodes = _nodes(outputs)
    memory = _Memory({id(_root(t.array)) for t in others})
    for node in nodes:
        memory.keep(node)
    saved = memory.live
    waiting: dict[Any, int] = {}  # bytes of the gradients under way, by their place
    for t in outputs:
        if t._node is not None:
            waiting[t._edge()] = block_bytes(t.shape, t.dtype)
            memory.add(waiting[t._edge()], "the loss")
    for node in nodes:
        _play(node, memory, waiting)
    return Backward(saved, memory.peak, memory.at)


class _Memory:
    """What is in use, at present and at the most."""

    def __init__(self, others: set[int]) -> None:
        self.live = self.peak = 0
        self.at = "nothing"
        self.others = others
        self.readers: dict[int, int] = {}  # nodes yet to run that have saved an array, by its address

    def add(self, size: int, at: str) -> None:
        self.live += size
        if self.live > self.peak:
            self.peak, self.at = self.live, at

    def keep(self, node: Any) -> None:
        for array in self._saved(node):
            if id(array) not in self.readers:
                self.add(block_bytes(array.shape, array.dtype), "forward")
            self.readers[id(array)] = self.readers.get(id(array), 0) + 1

    def release(self, node: Any) -> None:
        for array in self._saved(node):
            self.readers[id(array)] -= 1
            if not self.readers[id(array)]:
                self.live -= block_bytes(array.shape, array.dtype)

    def _saved(self, node: Any) -> Iterator[np.ndarray]:
        roots = {id(root): root for root in map(_root, _arrays(node.saved))}
        return (root for key, root in roots.items() if key not in self.others)


def _play(node: Any, memory: _Memory, waiting: dict[Any, int]) -> None:
    """One operation's backward: its gradients come into being, then what it had is released."""
    name = node.operation.name
    outputs = (
        zip(node.shape, node.dtype, strict=True) if type(node.shape) is list else [(node.shape, node.dtype)]
    )
    arrived = sum(waiting.pop((node, index), 0) for index, _ in enumerate(outputs))
    edges = node.edges
    # A view's gradient, and those of a sum, are the arriving one.
    passes_on = node.operation.view or name in ("add", "reshape")
    extra = _scratch(node)
    memory.add(extra.get("whole", 0), name)
    made: list[tuple[Any, int]] = []
    for position, edge in enumerate(edges):
        if edge is None:
            continue
        size = 0 if passes_on else block_bytes(*_target(edge))
        memory.add(size + extra.get(position, 0), name)
        memory.live -= extra.get(position, 0)
        made.append((edge, size))
    memory.live -= extra.get("whole", 0)
    memory.release(node)
    if passes_on and made:
        made[0] = (made[0][0], arrived)
    else:
        memory.live -= arrived
    for edge, size in made:
        if type(edge) is tuple:
            if edge in waiting:  # the two become one
                memory.live -= min(size, waiting[edge])
            waiting[edge] = max(size, waiting.get(edge, 0))


def _scratch(node: Any) -> dict[Any, int]:
    """Bytes beyond the gradients: "whole", as long as the backward runs, or while it makes the gradient of an
    input, by the input's position.
    """
    a = node.attributes
    # The gradient before an activation that runs with its layer is an array of its own.
    fused = a.get("activation", "none") != "none" and node.operation.name in ("conv2d", "linear")
    scratch: dict[Any, int] = {"whole": block_bytes(node.shape, node.dtype) if fused else 0}
    if node.operation.name == "conv2d" and node.dtype == np.float32:
        x, weight, *_ = node.saved
        window = (a["stride"], a["padding"], a["dilation"], a["groups"], a["algorithm"])
        _, scratch[0], scratch[1] = _core.conv2d_scratch(x.shape, weight.shape, *window)
    if node.operation.name == "linear" and node.dtype == np.float32:  # a 1x1 convolution of single pixels
        x, weight, *_ = node.saved
        rows, inputs = x.size // x.shape[-1], x.shape[-1]
        pixels, filters = (rows, inputs, 1, 1), (*weight.shape, 1, 1)
        _, scratch[0], scratch[1] = _core.conv2d_scratch(pixels, filters, (1, 1), (0, 0), (1, 1), 1, "im2col")
    return scratch


def _target(edge: Any) -> tuple[Shape, Any]:
    """Shape and dtype of the gradient that goes along an edge."""
    if type(edge) is not tuple:
        return edge.shape, edge.dtype
    node, index = edge
    return (node.shape[index], node.dtype[index]) if type(node.shape) is list else (node.shape, node.dtype)


def _nodes(outputs: Iterable[Tensor]) -> list[Any]:
    """The nodes behind `outputs`, in the order in which backward visits them."""
    found: set[Any] = set()
    stack = [t._node for t in outputs if t.requires_grad and t._node is not None]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack.extend(edge[0] for edge in node.edges or () if type(edge) is tuple)
    return sorted(found, key=lambda node: -node.serial)


def _arrays(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _arrays(part)


def _root(array: np.ndarray) -> np.ndarray:
    """The innermost array whose memory a view shows."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
