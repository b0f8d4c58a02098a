"""A module's forward as a flat graph: it runs once, and the tape's announcements are written down."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pynet.autograd import Tensor, listen, no_grad, wrap
from pynet.autograd.tape import clock


@dataclass(eq=False)
class Value:
    """What an operation reads or makes: a shape, and for a constant its array."""

    shape: tuple[int, ...]
    array: np.ndarray | None = None


@dataclass(eq=False)
class Node:
    """One operation."""

    op: str
    inputs: list[Value | None]
    outputs: list[Value]
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> Value:
        """The first output."""
        return self.outputs[0]


@dataclass(eq=False)
class Graph:
    """Nodes in the order they ran in; `structure` is what the forward returned: Tensor, tuple or list."""

    nodes: list[Node]
    inputs: list[Value]
    outputs: list[Value]
    structure: type = Tensor

    def users(self, value: Value) -> list[Node]:
        """The nodes that read a value."""
        return [n for n in self.nodes if any(v is value for v in n.inputs)]

    def producer(self, value: Value | None) -> Node | None:
        """The node that makes a value."""
        return next((n for n in self.nodes if any(v is value for v in n.outputs)), None)

    def sole_user(self, value: Value) -> Node | None:
        """The one node that reads a value that nobody else reads and that is not returned."""
        users = self.users(value)
        return users[0] if len(users) == 1 and not any(v is value for v in self.outputs) else None


class _Recorder:
    """Turns announced Tensors into Values; keeps all of them alive, so that no address is used twice."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.thread = threading.get_ident()
        self.begin = next(clock)
        self.values: dict[int, Value] = {}
        self.alive: list[Tensor] = []
        self.varying: list[Tensor] = []  # those that depend on the input
        self.nodes: list[Node] = []
        self.inputs = [self.define(t) for t in inputs]

    def define(self, tensor: Tensor, constant: bool = False) -> Value:
        value = Value(tensor.shape, tensor.array if constant else None)
        self.values[id(tensor)] = value
        self.alive.append(tensor)
        if not constant:
            self.varying.append(tensor)
        return value

    def value_of(self, tensor: Tensor) -> Value:
        """The value that a Tensor stands for; one that no operation made is a constant."""
        known = self.values.get(id(tensor))
        if known is not None:
            return known
        array = tensor.array
        for other in self.varying:
            if not array.size or not np.may_share_memory(array, other.array):
                continue
            mine, its = array.__array_interface__, other.array.__array_interface__
            if (mine["data"], mine["shape"], mine["strides"]) == (its["data"], its["shape"], its["strides"]):
                self.alive.append(tensor)  # detach() and the like
                self.values[id(tensor)] = self.values[id(other)]
                return self.values[id(other)]
            raise NotImplementedError(
                f"inference: a Tensor of shape {tensor.shape} was made from an intermediate result outside "
                "the recorded operations (by way of NumPy); use pynet's operations"
            )
        return self.define(tensor, constant=True)

    def hear(self, name: str, attributes: dict[str, Any], inputs: tuple, outputs: tuple) -> None:
        if threading.get_ident() != self.thread:
            return
        read = [None if t is None else self.value_of(t) for t in inputs]
        constant = all(v is None or v.array is not None for v in read)
        made = [self.define(t, constant) for t in outputs]
        if not constant:
            self.nodes.append(Node(name, read, made, dict(attributes)))

    def refuse_writes(self) -> None:
        if any(t._storage.written > self.begin for t in self.alive):
            raise NotImplementedError(
                "inference: the forward writes in place (+=, add_ or x[i] = v), which a plan cannot do; "
                "write y = x + z instead"
            )


def capture(forward: Callable[..., Any], examples: Sequence[np.ndarray]) -> Graph:
    """The operations that `forward` runs on Tensors of these shapes, unfused, under no_grad.

    Raises:
        TypeError: it returns something else than a Tensor or a tuple or list of them.
        NotImplementedError: it writes in place, or leads intermediate results through NumPy.
    """
    inputs = [wrap(a) for a in examples]
    recorder = _Recorder(inputs)
    with no_grad(), listen(recorder.hear):
        result = forward(*inputs)
    structure = type(result)
    results = list(result) if structure in (tuple, list) else [result]
    for r in results:
        if not isinstance(r, Tensor):
            raise TypeError(
                f"inference: the forward returns {type(r).__name__}, expected a Tensor or a tuple or list"
            )
    outputs = [recorder.value_of(r) for r in results]
    recorder.refuse_writes()
    return Graph(
        recorder.nodes, recorder.inputs, outputs, structure if structure in (tuple, list) else Tensor
    )
