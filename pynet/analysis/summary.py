"""What a network consists of: its layers, their sizes and arithmetic, and the memory that training it
takes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import random
from ..autograd import Tensor, listen, no_grad
from ..nn import Module
from ..ops import randn
from .training_memory import block_bytes, count_backward

Shape = tuple[int, ...]


@dataclass
class Layer:
    """One module: its path ("" for the network), class, depth, output shape, and what is its own.

    `parameters` counts numbers that belong to this module itself, not to its children; `flop` the
    multiplications and additions of convolutions, linear layers and matrix products that its forward runs
    itself.
    """

    path: str
    kind: str
    depth: int
    output: str = ""
    parameters: int = 0
    trainable: int = 0
    flop: int = 0
    calls: int = 0


@dataclass
class Summary:
    """What `summary` returns; `print` it for the table.

    Attributes:
        layers: in the order of definition, each module once.
        input_shapes: of the inputs, the batch included.
        parameters, trainable: numbers in all; shared ones count once.
        flop: of one forward over the batch.
        weight_bytes: of parameters and buffers. gradient_bytes: of the parameters' gradients.
        optimizer_bytes: of the optimizer's state, one array of a parameter's size for each of
            `optimizer_states`.
        input_bytes: of the inputs. saved_bytes: what the forward keeps for backward.
        peak_bytes: the most that is in use at any moment of a training step: all of the above as far as it
            lives then, the gradients under way and the scratch memory of convolutions and linear layers.
        peak_at: the operation whose backward needs the most.
    """

    layers: list[Layer]
    input_shapes: list[Shape]
    parameters: int
    trainable: int
    flop: int
    weight_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    input_bytes: int
    saved_bytes: int
    peak_bytes: int
    peak_at: str

    def __str__(self) -> str:
        lines = [["layer", "", "output", "parameters", "MFLOP"]]
        for layer in self.layers:
            name = "  " * layer.depth + (layer.path.rpartition(".")[2] or "network")
            again = f" x{layer.calls}" if layer.calls > 1 else ""
            lines.append(
                [
                    name,
                    layer.kind + again,
                    layer.output if layer.calls else "(not called)",
                    f"{layer.parameters:,}" if layer.parameters else "",
                    f"{layer.flop / 1e6:,.2f}" if layer.flop else "",
                ]
            )
        widths = [max(len(line[i]) for line in lines) for i in range(5)]
        rows = [
            "  ".join(
                cell.rjust(w) if i > 2 else cell.ljust(w)
                for i, (cell, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        rule = "-" * max(map(len, rows))
        frozen = self.parameters - self.trainable
        inputs = ", ".join(map(str, self.input_shapes))
        return "\n".join(
            (
                rows[0].rstrip(),
                rule,
                *(row.rstrip() for row in rows[1:]),
                rule,
                f"parameters      {self.parameters:,}"
                + (f", of which {frozen:,} are frozen" if frozen else ""),
                f"forward         {self.flop / 1e9:.3f} GFLOP for {inputs}",
                f"training step   {_size(self.peak_bytes)} at its peak (in the backward of {self.peak_at}):",
                f"                weights {_size(self.weight_bytes)}, "
                f"gradients {_size(self.gradient_bytes)}, optimizer {_size(self.optimizer_bytes)}, "
                f"input {_size(self.input_bytes)}, kept for backward {_size(self.saved_bytes)}",
            )
        )

    __repr__ = __str__


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def summary(model: Module, input_shape: Any, *, optimizer_states: int = 0) -> Summary:
    """Describe a network: a line a module, the arithmetic of a forward, and the peak memory of a training
    step.

    The forward runs twice, on a copy of the model in its training mode: weights, statistics and random
    numbers stay as they are. Memory is not measured but counted: the tape of the second run says what is kept
    until when, the pool how much a block of that size takes, and convolutions and linear layers how much
    scratch memory they ask for.

    Args:
        model: the network.
        input_shape: shape of the input with the batch, (N, C, H, W) for images; or a list of shapes or
            Tensors, one for each argument of forward. Shapes stand for float inputs of the parameters' dtype.
        optimizer_states: arrays that the optimizer keeps for each parameter: 0 for SGD, 1 with momentum, 2
            for Adam.

    Returns:
        A `Summary`.

    Raises:
        ValueError: an input shape with no positive integers.
        TypeError: the model is no Module, or returns something in which there is no Tensor.

    Example:
        >>> print(pynet.summary(model, (64, 3, 32, 32)))
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary: model must be a Module, got {type(model).__name__}")
    if isinstance(optimizer_states, bool) or not isinstance(optimizer_states, int) or optimizer_states < 0:
        raise ValueError(
            f"summary: optimizer_states must be an integer of at least 0, not {optimizer_states!r}"
        )
    before = random.get_rng_state()
    try:
        duplicate = copy.deepcopy(model).train()
        inputs = _inputs(duplicate, input_shape)
        layers = _describe(duplicate, inputs)
        for parameter in duplicate.parameters():
            parameter.grad = None
        outputs = _tensors(duplicate(*inputs))
        if not outputs:
            raise TypeError(f"summary: {type(model).__name__}.forward returns no Tensor")
        backward = count_backward(outputs, [*duplicate.parameters(), *inputs])
    finally:
        random.set_rng_state(before)
    parameters = list(model.parameters())
    trainable = [p for p in parameters if p.requires_grad]
    weights = sum(block_bytes(t.shape, t.dtype) for t in (*parameters, *model.buffers()))
    states = optimizer_states * sum(block_bytes(p.shape, p.dtype) for p in trainable)
    fed = sum(block_bytes(t.shape, t.dtype) for t in inputs)
    return Summary(
        layers=layers,
        input_shapes=[t.shape for t in inputs],
        parameters=sum(math.prod(p.shape) for p in parameters),
        trainable=sum(math.prod(p.shape) for p in trainable),
        flop=sum(layer.flop for layer in layers),
        weight_bytes=weights,
        gradient_bytes=sum(block_bytes(p.shape, p.dtype) for p in trainable),
        optimizer_bytes=states,
        input_bytes=fed,
        saved_bytes=backward.saved,
        peak_bytes=weights + states + fed + backward.peak,
        peak_at=backward.at,
    )


def _inputs(model: Module, given: Any) -> list[Tensor]:
    dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float32))
    several = isinstance(given, Tensor) or (
        isinstance(given, Sequence) and any(isinstance(part, (Tensor, Sequence)) for part in given)
    )
    inputs = []
    for part in (given if isinstance(given, Sequence) else [given]) if several else [given]:
        if isinstance(part, Tensor):
            inputs.append(part.detach())
            continue
        try:
            shape = tuple(int(size) for size in part if int(size) == size and size > 0)
        except (TypeError, ValueError):
            shape = ()
        if not shape or len(shape) != len(part):
            raise ValueError(
                "summary: input_shape must be positive integers with the batch first, as (64, 3, 32, 32), "
                f"got {part!r}"
            )
        inputs.append(randn(shape, dtype=dtype))
    return inputs


def _describe(model: Module, inputs: list[Tensor]) -> list[Layer]:
    """Run the forward and note each module's output and the arithmetic inside it."""
    layers: dict[int, Layer] = {}
    for path, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        layers[id(module)] = Layer(
            path,
            type(module).__name__,
            path.count(".") + 1 if path else 0,
            parameters=sum(math.prod(p.shape) for p in own),
            trainable=sum(math.prod(p.shape) for p in own if p.requires_grad),
        )
    running: list[Layer] = []

    def enter(module: Module, args: tuple) -> None:
        running.append(layers[id(module)])

    def leave(module: Module, args: tuple, output: Any) -> None:
        layer = running.pop()
        layer.calls += 1
        layer.output = ", ".join(str(t.shape) for t in _tensors(output))

    def count(name: str, attributes: dict[str, Any], operands: tuple, outputs: tuple) -> None:
        if name in _MULTIPLICATIONS and running:
            running[-1].flop += 2 * _MULTIPLICATIONS[name](operands, outputs[0])

    handles = [module.register_forward_pre_hook(enter) for module in model.modules()]
    handles += [module.register_forward_hook(leave) for module in model.modules()]
    try:
        with no_grad(), listen(count):
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return list(layers.values())


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for part in value for t in _tensors(part)] if isinstance(value, (list, tuple)) else []


# Multiplications of the plain algorithm, each of which is followed by an addition.
_MULTIPLICATIONS: dict[str, Callable[[tuple, Tensor], int]] = {
    "conv2d": lambda operands, out: math.prod(out.shape) * math.prod(operands[1].shape[1:]),
    "conv_transpose2d": lambda operands, out: math.prod(operands[0].shape) * math.prod(operands[1].shape[1:]),
    "linear": lambda operands, out: math.prod(out.shape) * operands[1].shape[1],
    "matmul": lambda operands, out: math.prod(out.shape) * operands[0].shape[-1],
}
