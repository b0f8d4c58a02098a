"""Passes over a captured graph that leave fewer and larger operations, with the same meaning.

Batch norm goes into the weights before it, constants added to outputs into the bias, an activation into
the operation before it, a sum with a shortcut and its activation become one pass, and the order of a
flattened map goes into the weights of the linear layer behind it.
"""

from __future__ import annotations

import math

import numpy as np

from pynet.compiled.capture import Graph, Node, Value

ACTIVATIONS = ("relu", "leaky_relu", "elu", "sigmoid", "tanh")


def fold(graph: Graph) -> None:
    """Runs all passes, in place."""
    for step in (
        _drop_copies,
        _products_with_constants,
        _fold_batch_norms,
        _fold_biases,
        _fuse_shortcuts,
        _fuse_activations,
        _fold_flatten,
    ):
        step(graph)


def _constant(array: np.ndarray) -> Value:
    return Value(array.shape, array)


def _array(value: Value | None) -> np.ndarray | None:
    return None if value is None else value.array


def _replace(graph: Graph, old: Value, new: Value) -> None:
    for node in graph.nodes:
        node.inputs = [new if v is old else v for v in node.inputs]
    graph.outputs = [new if v is old else v for v in graph.outputs]


def _drop_copies(graph: Graph) -> None:
    for node in [n for n in graph.nodes if n.op in ("clone", "none")]:
        graph.nodes.remove(node)
        _replace(graph, node.output, node.inputs[0])  # type: ignore[arg-type]


def _products_with_constants(graph: Graph) -> None:
    """x @ constant is a linear layer without bias."""
    for node in graph.nodes:
        if node.op != "matmul":
            continue
        b = _array(node.inputs[1])
        if b is not None and b.ndim == 2:
            node.op, node.inputs = "linear", [node.inputs[0], _constant(b.T), None]
            node.attributes = {"activation": "none", "alpha": 0.0}


def _is_weighted(node: Node | None, graph: Graph) -> bool:
    """A convolution or linear layer with constant weights and nothing fused, read by one node alone."""
    return (
        node is not None
        and node.op in ("conv2d", "linear")
        and node.attributes["activation"] == "none"
        and all(v is None or v.array is not None for v in node.inputs[1:])
        and graph.sole_user(node.output) is not None
    )


def _fold_batch_norms(graph: Graph) -> None:
    for node in [n for n in graph.nodes if n.op == "batch_norm" and not n.attributes["training"]]:
        source = graph.producer(node.inputs[0])
        if not _is_weighted(source, graph) or (source.op == "linear" and len(node.output.shape) != 2):  # type: ignore[union-attr]
            continue
        assert source is not None
        mean, var, gain, shift = (_array(v) for v in node.inputs[1:5])
        scale = 1.0 / np.sqrt(var.astype(np.float64) + node.attributes["eps"])  # type: ignore[union-attr]
        if gain is not None:
            scale = scale * gain
        weight, bias = _array(source.inputs[1]), _array(source.inputs[2])
        folded = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))  # type: ignore[union-attr, operator]
        offset = ((0.0 if bias is None else bias) - mean) * scale  # type: ignore[operator]
        if shift is not None:
            offset = offset + shift
        source.inputs[1:] = [_constant(folded.astype(np.float32)), _constant(offset.astype(np.float32))]
        source.outputs = node.outputs
        graph.nodes.remove(node)


def _fold_biases(graph: Graph) -> None:
    """(x @ w + b) + constant, one number an output channel."""
    for node in [n for n in graph.nodes if n.op == "add"]:
        for data, other in (node.inputs, reversed(node.inputs)):
            source, added = graph.producer(data), _array(other)
            if added is None or not _is_weighted(source, graph):
                continue
            assert source is not None
            channels = source.inputs[1].shape[0]  # type: ignore[union-attr]
            axis = 1 if source.op == "conv2d" else len(source.output.shape) - 1
            shape = tuple(channels if i == axis else 1 for i in range(len(source.output.shape)))
            if added.ndim > len(shape) or np.broadcast_shapes(added.shape, shape) != shape:
                continue
            bias = np.broadcast_to(added, shape).reshape(channels)
            if source.inputs[2] is not None:
                bias = bias + source.inputs[2].array
            source.inputs[2] = _constant(np.ascontiguousarray(bias, np.float32))
            source.outputs = node.outputs
            graph.nodes.remove(node)
            break


def _fuse_shortcuts(graph: Graph) -> None:
    """A batch norm that is still there takes a sum along; a sum and the activation behind it are one pass."""
    for at, node in enumerate(graph.nodes):
        if node.op != "add":
            continue
        a, b = node.inputs
        if a.array is not None or b.array is not None or a.shape != b.shape:  # type: ignore[union-attr]
            continue
        for data, other in ((a, b), (b, a)):
            source = graph.producer(data)
            if (
                source is not None
                and source.op == "batch_norm"
                and len(source.output.shape) == 4
                and source.inputs[5] is None
                and source.attributes["activation"] == "none"
                and graph.sole_user(source.output) is node
            ):
                graph.nodes[at] = Node(
                    "batch_norm", [*source.inputs[:5], other], node.outputs, source.attributes
                )
                graph.nodes.remove(source)
                return _fuse_shortcuts(graph)
        after = graph.sole_user(node.output)
        if after is not None and after.op in ACTIVATIONS:
            attributes = {"eps": 0.0, "training": False, "activation": "none", "alpha": 0.0}
            graph.nodes[at] = Node("batch_norm", [a, None, None, None, None, b], node.outputs, attributes)
    return None


def _fuse_activations(graph: Graph) -> None:
    for node in [n for n in graph.nodes if n.op in ACTIVATIONS]:
        source = graph.producer(node.inputs[0])
        if (
            source is not None
            and source.op in ("conv2d", "linear", "batch_norm")
            and source.attributes["activation"] == "none"
            and graph.sole_user(source.output) is node
        ):
            source.attributes = {**source.attributes, **node.attributes}
            source.outputs = node.outputs
            graph.nodes.remove(node)


def _fold_flatten(graph: Graph) -> None:
    """Maps lie channels innermost: flattening them so is free where the weights behind are sorted alike."""
    for node in [n for n in graph.nodes if n.op == "reshape"]:
        before, after = node.inputs[0].shape, node.output.shape  # type: ignore[union-attr]
        user = graph.sole_user(node.output)
        if len(before) != 4 or after != (before[0], math.prod(before[1:])):
            continue
        if user is None or user.op != "linear" or user.inputs[0] is not node.output:
            continue
        weight = _array(user.inputs[1])
        assert weight is not None
        maps = weight.reshape(-1, *before[1:]).transpose(0, 2, 3, 1)
        # (in, out) in memory, as the kernels read it
        rows = np.ascontiguousarray(maps.transpose(1, 2, 3, 0)).reshape(after[1], -1)
        user.inputs[1] = _constant(rows.T)
        node.op = "flatten_channels_last"
