"""From a folded graph to the core's plan: one rule an operation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from pynet import _core
from pynet.compiled.capture import Graph, Node, Value
from pynet.compiled.memory import Buffer, Operand, Step, axes_in_memory, lay_out
from pynet.ops.curve import CURVES

_RULES: dict[str, Callable[[Lowering, Node], None]] = {}


def rule(*names: str) -> Callable[[Callable[[Lowering, Node], None]], Callable[[Lowering, Node], None]]:
    """Enters the decorated function for these operations."""

    def enter(function: Callable[[Lowering, Node], None]) -> Callable[[Lowering, Node], None]:
        _RULES.update(dict.fromkeys(names, function))
        return function

    return enter


def refuse(node: Node, why: str = "has no kernel for inference") -> NoReturn:
    """The error for an operation that a plan cannot hold."""
    shapes = ", ".join(str(v.shape) for v in node.inputs if v is not None)
    raise NotImplementedError(
        f"inference: the operation {node.op} on {shapes} {why}; call the module itself under no_grad()"
    )


class Lowering:
    """Collects steps; operands are made as values are first asked for."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.steps: list[Step] = []
        self.operands: dict[Value, Operand] = {}
        self.constants: list[np.ndarray] = []
        for i, value in enumerate(graph.inputs):
            self.operands[value] = Operand.dense(Buffer(math.prod(value.shape), 1 + i), value.shape)

    def plan(self) -> tuple[Any, list[str]]:
        """The core's plan and a line a step."""
        for node in self.graph.nodes:
            if node.op not in _RULES:
                refuse(node)
            _RULES[node.op](self, node)
        outputs = [self.output(i, value) for i, value in enumerate(self.graph.outputs)]
        arena = lay_out(self.steps)
        shapes = [v.shape for v in self.graph.inputs]
        plan = _core.InferencePlan(arena, shapes, outputs)
        for array in self.constants:
            plan.add_constant(array)
        for step in self.steps:
            arguments = [a.place() if isinstance(a, Operand) else a for a in step.arguments]
            getattr(plan, f"add_{step.method}")(*arguments)
        return plan, [step.label for step in self.steps]

    # Operands.

    def operand(self, value: Value | None) -> Operand:
        """Where a value lies; constants become buffers of their own."""
        assert value is not None
        known = self.operands.get(value)
        if known is None:
            array = np.ascontiguousarray(value.array)
            if array.dtype != np.float32:
                raise NotImplementedError(
                    f"inference: a constant of shape {array.shape} is {array.dtype}, expected float32"
                )
            number = 1 + len(self.graph.inputs) + len(self.graph.outputs) + len(self.constants)
            self.constants.append(array)
            known = self.operands[value] = Operand.dense(Buffer(array.size, number), value.shape, "c")
        return known

    def new(self, shape: tuple[int, ...], order: str = "kernel") -> Operand:
        return Operand.dense(Buffer(math.prod(shape)), shape, order)

    def copied(self, source: Operand, order: str) -> Operand:
        """The view's elements, dense in an order."""
        out = self.new(source.shape, order)
        if len(source.shape) == 4 and order == "c" and source.is_dense("kernel"):
            n, c, h, w = source.shape
            self.add("transpose", (source, n, h * w, c, out), [source], out, "to (C, H, W) order")
        elif len(source.shape) == 4 and order == "kernel" and source.is_dense("c"):
            n, c, h, w = source.shape
            self.add("transpose", (source, n, c, h * w, out), [source], out, "channels innermost")
        else:
            one = self.operand(Value((), np.ones((), np.float32)))
            self.binary("multiply", source, one, out, "copy")
        return out

    def dense(self, value: Value | None, order: str = "kernel") -> Operand:
        found = self.operand(value)
        return found if found.is_dense(order) else self.copied(found, order)

    # Steps.

    def add(
        self,
        method: str,
        arguments: tuple[Any, ...],
        reads: list[Operand],
        out: Operand,
        label: str,
        reuses: Operand | None = None,
    ) -> None:
        self.steps.append(Step(method, arguments, reads, out, f"{label} -> {out.shape}", reuses))

    def binary(self, op: str, a: Operand, b: Operand, out: Operand, label: str) -> None:
        """out = op(a, b), both broadcast to out, which is dense; neighbouring axes joined."""
        order = sorted(range(out.ghost.ndim), key=lambda i: -out.strides[i])
        left = Operand(a.buffer, np.broadcast_to(a.ghost, out.shape)).strides
        right = Operand(b.buffer, np.broadcast_to(b.ghost, out.shape)).strides
        sizes: list[int] = []
        strides: list[list[int]] = [[], []]
        for axis in (i for i in order if out.shape[i] != 1):
            size, steps = out.shape[axis], (left[axis], right[axis])
            if sizes and all(s[-1] == step * size for s, step in zip(strides, steps, strict=True)):
                sizes[-1] *= size
                for s, step in zip(strides, steps, strict=True):
                    s[-1] = step
            else:
                sizes.append(size)
                for s, step in zip(strides, steps, strict=True):
                    s.append(step)
        reuses = next((x for x in (a, b) if x.shape == out.shape and x.strides == out.strides), None)
        self.add("binary", (op, sizes, a, strides[0], b, strides[1], out), [a, b], out, label, reuses)

    def output(self, number: int, value: Value) -> tuple[int, ...]:
        """Lets the value's own step write output `number`, or copies it there; the shape."""
        found = self.operand(value)
        buffer = found.buffer
        makers = [s for s in self.steps if s.out.buffer is buffer]
        index = 1 + len(self.graph.inputs) + number
        if makers and buffer.number == 0 and found.is_dense() and found.ghost.size == buffer.size:
            buffer.number = index
        else:
            out = Operand.dense(Buffer(math.prod(value.shape), index), value.shape)
            one = self.operand(Value((), np.ones((), np.float32)))
            self.binary("multiply", found, one, out, "copy")
        return value.shape


def _activated(name: str, node: Node) -> str:
    activation = node.attributes.get("activation", "none")
    return name if activation == "none" else f"{name} + {activation}"


def constants_of(node: Node, values: list[Value | None]) -> list[np.ndarray | None]:
    """The arrays of inputs that must not depend on the plan's inputs."""
    if any(v is not None and v.array is None for v in values):
        refuse(node, "has weights that depend on the input")
    return [None if v is None else v.array for v in values]


# --- layers ---------------------------------------------------------------------------------------


@rule("conv2d")
def _conv2d(to: Lowering, node: Node) -> None:
    x, a = to.dense(node.inputs[0]), node.attributes
    weight, bias = constants_of(node, node.inputs[1:3])
    out = to.operands[node.output] = to.new(node.output.shape)
    geometry = (a["stride"], a["padding"], a["dilation"], a["groups"], a["activation"], a["alpha"])
    to.add("conv2d", (x, x.shape, weight, bias, *geometry, out), [x], out, _activated("conv2d", node))


@rule("linear")
def _linear(to: Lowering, node: Node) -> None:
    x, a = to.dense(node.inputs[0], "c"), node.attributes
    weight, bias = constants_of(node, node.inputs[1:3])
    out = to.operands[node.output] = to.new(node.output.shape, "c")
    rows = math.prod(x.shape[:-1])
    arguments = (x, rows, weight, bias, a["activation"], a["alpha"], out)
    to.add("linear", arguments, [x], out, _activated("linear", node))


@rule("batch_norm")
def _batch_norm(to: Lowering, node: Node) -> None:
    a = node.attributes
    if a["training"]:
        refuse(node, "uses the statistics of the batch")
    shape = node.output.shape
    residual = node.inputs[5]
    per_channel = constants_of(node, node.inputs[1:5])
    order = "kernel" if len(shape) == 4 or not any(p is not None for p in per_channel) else "c"
    x = to.dense(node.inputs[0], order)
    reads = [x]
    if residual is not None:
        reads.append(to.dense(residual, order))
    out = to.operands[node.output] = to.new(shape, order)
    if len(shape) == 3 and per_channel[0] is not None:
        refuse(node, "has three axes")
    channels = shape[1] if len(shape) in (2, 4) else shape[-1] if shape else 1
    rows = math.prod(shape) // max(1, channels)
    other = reads[1] if residual is not None else None
    arguments = (x, rows, channels, *per_channel, a["eps"], other, a["activation"], a["alpha"], out)
    name = "batch_norm" if per_channel[0] is not None else "add"
    to.add("affine", arguments, reads, out, _activated(name, node))


@rule("group_norm")
def _group_norm(to: Lowering, node: Node) -> None:
    shape, a = node.output.shape, node.attributes
    if len(shape) not in (2, 4):
        refuse(node, "has neither two nor four axes")
    x = to.dense(node.inputs[0])
    weight, bias = constants_of(node, node.inputs[1:3])
    out = to.operands[node.output] = to.new(shape)
    n, c, *maps = shape
    arguments = (x, n, math.prod(maps), c, a["groups"], weight, bias, a["eps"], out)
    to.add("group_norm", arguments, [x], out, "group_norm")


@rule("max_pool2d")
def _max_pool2d(to: Lowering, node: Node) -> None:
    x, a = to.dense(node.inputs[0]), node.attributes
    if a["return_indices"]:
        refuse(node, "returns indices")
    out = to.operands[node.output] = to.new(node.output.shape)
    window = (a["kernel"], a["stride"], a["padding"], a["dilation"], a["ceil_mode"])
    to.add("max_pool2d", (x, x.shape, *window, out), [x], out, "max_pool2d")


@rule("avg_pool2d")
def _avg_pool2d(to: Lowering, node: Node) -> None:
    x, a = to.dense(node.inputs[0]), node.attributes
    out = to.operands[node.output] = to.new(node.output.shape)
    window = (a["kernel"], a["stride"], a["padding"], a["ceil_mode"], a["count_include_pad"], a["divisor"])
    to.add("avg_pool2d", (x, x.shape, *window, out), [x], out, "avg_pool2d")


@rule("adaptive_avg_pool2d")
def _adaptive_avg_pool2d(to: Lowering, node: Node) -> None:
    x = to.dense(node.inputs[0])
    out = to.operands[node.output] = to.new(node.output.shape)
    arguments = (x, x.shape, node.attributes["output_size"], out)
    to.add("adaptive_avg_pool2d", arguments, [x], out, "adaptive_avg_pool2d")


@rule("mean")
def _mean(to: Lowering, node: Node) -> None:
    shape = node.inputs[0].shape  # type: ignore[union-attr]
    if len(shape) != 4 or tuple(node.attributes["over"]) != (2, 3):
        refuse(node, "is not a mean over the maps (2, 3)")
    x = to.dense(node.inputs[0])
    out = to.new((*shape[:2], 1, 1))
    to.add("adaptive_avg_pool2d", (x, shape, (1, 1), out), [x], out, "mean")
    reshaped = out.reshaped(node.output.shape)
    assert reshaped is not None
    to.operands[node.output] = reshaped


# --- element by element ---------------------------------------------------------------------------


def _like(to: Lowering, x: Operand) -> Operand:
    """A new operand in the memory order of a dense one."""
    return to.new(x.shape, "kernel" if x.is_dense() else "c")


def _dense_in_some_order(to: Lowering, value: Value | None) -> Operand:
    x = to.operand(value)
    return x if x.is_dense() or x.is_dense("c") else to.copied(x, "kernel")


@rule("relu", "leaky_relu", "elu", "sigmoid", "tanh")
def _activation(to: Lowering, node: Node) -> None:
    x, a = _dense_in_some_order(to, node.inputs[0]), node.attributes
    out = to.operands[node.output] = _like(to, x)
    to.add("activation", (x, x.ghost.size, a["activation"], a["alpha"], out), [x], out, node.op, x)


@rule(*CURVES)
def _curve(to: Lowering, node: Node) -> None:
    x, a = _dense_in_some_order(to, node.inputs[0]), node.attributes
    out = to.operands[node.output] = _like(to, x)
    to.add("curve", (x, x.ghost.size, a["curve"], a["alpha"], a["beta"], out), [x], out, a["curve"], x)


@rule("negative", "exp", "log", "sqrt", "abs", "square", "reciprocal", "sin", "cos")
def _unary(to: Lowering, node: Node) -> None:
    x = _dense_in_some_order(to, node.inputs[0])
    out = to.operands[node.output] = _like(to, x)
    to.add("unary", (node.op, x, x.ghost.size, out), [x], out, node.op, x)


@rule("add", "subtract", "multiply", "divide", "maximum", "minimum", "power")
def _binary(to: Lowering, node: Node) -> None:
    a, b = (to.operand(v) for v in node.inputs)
    full = [x for x in (a, b) if x.shape == node.output.shape]
    plain = not any(x.is_dense() for x in full) and any(x.is_dense("c") for x in full)
    out = to.operands[node.output] = to.new(node.output.shape, "c" if plain else "kernel")
    to.binary(node.op, a, b, out, node.op)


@rule("clamp")
def _clamp(to: Lowering, node: Node) -> None:
    x = _dense_in_some_order(to, node.inputs[0])
    for op, limit in (("maximum", node.attributes["low"]), ("minimum", node.attributes["high"])):
        if limit is not None:
            out = _like(to, x)
            to.binary(op, x, to.operand(Value((), np.array(limit, np.float32))), out, "clamp")
            x = out
    to.operands[node.output] = x


@rule("softmax", "log_softmax")
def _softmax(to: Lowering, node: Node) -> None:
    x, dim = to.operand(node.inputs[0]), node.attributes["dim"]
    rows = Operand(x.buffer, np.moveaxis(x.ghost, dim, -1) if x.ghost.ndim else x.ghost)
    if not rows.is_dense("c"):
        rows = to.copied(rows, "c")
    out = to.new(rows.shape, "c")
    classes = rows.shape[-1] if rows.shape else 1
    arguments = (rows, rows.ghost.size // max(1, classes), classes, node.op == "log_softmax", out)
    to.add("softmax", arguments, [rows], out, node.op)
    ghost = np.moveaxis(out.ghost, -1, dim) if out.ghost.ndim else out.ghost
    to.operands[node.output] = Operand(out.buffer, ghost)


# --- shapes ---------------------------------------------------------------------------------------


@rule("reshape")
def _reshape(to: Lowering, node: Node) -> None:
    x = to.operand(node.inputs[0])
    viewed = x.reshaped(node.output.shape)
    if viewed is None:
        viewed = to.copied(x, "c").reshaped(node.output.shape)
    assert viewed is not None
    to.operands[node.output] = viewed


@rule("flatten_channels_last")
def _flatten_channels_last(to: Lowering, node: Node) -> None:
    x = to.dense(node.inputs[0])
    viewed = Operand(x.buffer, x.ghost.transpose(0, 2, 3, 1)).reshaped(node.output.shape)
    assert viewed is not None
    to.operands[node.output] = viewed


@rule("permute")
def _permute(to: Lowering, node: Node) -> None:
    x = to.operand(node.inputs[0])
    to.operands[node.output] = Operand(x.buffer, x.ghost.transpose(node.attributes["dims"]))


@rule("expand")
def _expand(to: Lowering, node: Node) -> None:
    x = to.operand(node.inputs[0])
    to.operands[node.output] = Operand(x.buffer, np.broadcast_to(x.ghost, node.output.shape))


@rule("slice")
def _slice(to: Lowering, node: Node) -> None:
    x = to.operand(node.inputs[0])
    index = node.attributes["index"]
    ghost = x.ghost[index if Ellipsis in index else (*index, ...)]  # a 0-d view, not a scalar
    if any(s < 0 for s in ghost.strides):
        refuse(node, "walks backwards")
    to.operands[node.output] = Operand(x.buffer, ghost)


@rule("split")
def _split(to: Lowering, node: Node) -> None:
    x, a = to.operand(node.inputs[0]), node.attributes
    parts = np.split(x.ghost, np.cumsum(a["sizes"])[:-1], axis=a["dim"])
    for value, part in zip(node.outputs, parts, strict=True):
        to.operands[value] = Operand(x.buffer, part)


@rule("cat")
def _cat(to: Lowering, node: Node) -> None:
    dim, shape = node.attributes["dim"], node.output.shape
    out = to.operands[node.output] = to.new(shape)
    order = axes_in_memory(len(shape), "kernel")
    at = order.index(dim)
    inner = math.prod(shape[i] for i in order[at + 1 :])
    outer = math.prod(shape[i] for i in order[:at])
    start = 0
    for value in node.inputs:
        x = to.dense(value)
        index = tuple(slice(start, None) if i == dim else slice(None) for i in range(len(shape)))
        part = Operand(out.buffer, out.ghost[index])
        width = x.shape[dim] * inner
        to.add("copy_rows", (x, width, outer, width, part, shape[dim] * inner), [x], part, "cat")
        start += x.shape[dim]
