"""What flows through a network: statistics of activations and gradients, operation by operation."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ..autograd import Tensor, from_numpy, listen
from ..nn import Module
from .samples import check_model, duplicate, untouched_randomness

SATURATED = 0.97
_RELU = ("relu",)
_BOUNDED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.abs,
    "sigmoid": lambda y: np.abs(2 * y - 1),
}
_WEIGHTED = ("linear", "conv2d", "conv1d", "conv_transpose2d")
_NORMS = ("batch_norm", "group_norm", "layer_norm")
_ACTIVATIONS = (
    *("relu", "leaky_relu", "elu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu", "mish", "softplus"),
    *("softsign", "selu", "celu", "hardtanh", "hardsigmoid", "hardswish", "maxout", "prelu", "rrelu"),
)


@dataclass
class LayerActivations:
    """One operation's output: where it is, how it is distributed, and its gradient.

    Attributes:
        path: of the module that ran it, "" for the network's own forward. kind: the operation.
        shape: of the output, batch first.
        mean, std: of all numbers.
        spread: deviation from sample to sample, root mean square over units and positions; where it is 0 the
            layer tells no sample from another.
        saturated: for tanh and sigmoid the share of numbers in the outer 3 % of the range (|tanh| >
            0.97, |2 sigmoid - 1| > 0.97), else NaN.
        dead: for ReLU the share of units (features, channels) that are zero for every sample and at every
            position, else NaN.
        grad_mean, grad_std: of the loss's gradient with respect to the output; NaN where none was computed.
        histogram, gradient_histogram: (counts, edges), 40 bins of equal width.
    """

    path: str
    kind: str
    shape: tuple[int, ...]
    mean: float
    std: float
    spread: float
    saturated: float = math.nan
    dead: float = math.nan
    grad_mean: float = math.nan
    grad_std: float = math.nan
    histogram: tuple[np.ndarray, np.ndarray] = field(default=(np.zeros(0), np.zeros(0)), repr=False)
    gradient_histogram: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Path and operation."""
        return f"{self.path} {self.kind}".strip()

    @property
    def is_activation(self) -> bool:
        """Whether it is an activation; else it is a layer with weights, or a norm."""
        return self.kind in _ACTIVATIONS


@dataclass
class ActivationStats:
    """What `activation_stats` returns; `print` it for the table.

    Attributes:
        layers: linear layers, convolutions, norms and activations in the order in which they ran.
        loss: of the batch, NaN where none was given.
        weights: for each parameter (name, deviation, deviation of its gradient); NaN for those without one.
    """

    layers: list[LayerActivations]
    loss: float
    weights: list[tuple[str, float, float]]

    def rows(self) -> list[tuple[str, ...]]:
        """The table: a head, and a row a layer."""
        rows: list[tuple[str, ...]] = [
            ("layer", "output", "mean", "std", "saturated", "dead", "gradient std")
        ]
        for layer in self.layers:
            gradient = "" if math.isnan(layer.grad_std) else f"{layer.grad_std:.2e}"
            shares = _percent(layer.saturated), _percent(layer.dead)
            rows.append(
                (layer.name, str(layer.shape), f"{layer.mean:.3g}", f"{layer.std:.3g}", *shares, gradient)
            )
        return rows

    def __str__(self) -> str:
        return columns(self.rows(), 2)

    __repr__ = __str__

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Write a PNG: a histogram of every layer's activations, and of its gradients where there are any.

        Raises:
            ImportError: matplotlib is missing.
        """
        from .pictures import draw_activations, save

        save(draw_activations(self), path)


def columns(rows: Sequence[Sequence[str]], text_columns: int) -> str:
    """Rows as lines; the first `text_columns` columns begin, the others end in line."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if place < text_columns else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.1f} %"


def activation_stats(
    model: Module, batch: Any, targets: Any = None, loss: Callable[..., Tensor] | None = None
) -> ActivationStats:
    """Statistics of every layer's output, and of its gradient where `targets` and `loss` are given.

    A copy of the model runs, in the model's own mode; weights, buffers, random numbers and mode stay as they
    are. Functions in a forward (``F.relu``) are seen as well as modules.

    Args:
        model: the network.
        batch: the input (N, ...), an array or Tensor.
        targets: what `loss` takes.
        loss: ``loss(outputs, targets)`` -> scalar Tensor.

    Returns:
        An `ActivationStats`.

    Raises:
        TypeError: the model is no Module.
        ValueError: `targets` without `loss`, or the reverse.

    Source:
        He et al. 2015, "Delving Deep into Rectifiers"; Glorot and Bengio 2010, figures 6 and 7.

    Example:
        >>> stats = analysis.activation_stats(model, x, y, nn.CrossEntropyLoss())
        >>> print(stats)
    """
    return watch(model, batch, targets, loss)[0]


def watch(
    model: Module, batch: Any, targets: Any = None, loss: Callable[..., Tensor] | None = None
) -> tuple[ActivationStats, list[tuple[str, str]]]:
    """The statistics, and the pairs of layers that follow each other without an activation."""
    check_model("activation_stats", model)
    if (targets is None) != (loss is None):
        raise ValueError("activation_stats: give both targets and loss, or neither")
    with untouched_randomness(), np.errstate(all="ignore"):
        copied = duplicate(model)
        for mine, theirs in zip(copied.modules(), model.modules(), strict=True):
            mine.training = theirs.training
        recorder = _Recorder(copied)
        x = batch if isinstance(batch, Tensor) else from_numpy(np.asarray(batch))
        output = recorder.run(x)
        value = math.nan
        if loss is not None:
            measured = loss(
                output, targets if isinstance(targets, Tensor) else from_numpy(np.asarray(targets))
            )
            value = float(measured.array)
            if measured.requires_grad:
                measured.backward()
    weights = [
        (name, _std(p.array), math.nan if p.grad is None else _std(p.grad.array))
        for name, p in copied.named_parameters()
    ]
    return ActivationStats(recorder.layers, value, weights), recorder.pairs


class _Recorder:
    """Runs a forward and notes what its operations give; gradients are noted when backward passes."""

    def __init__(self, model: Module) -> None:
        self.model = model
        self.paths = {id(module): path for path, module in model.named_modules()}
        self.layers: list[LayerActivations] = []
        self.pairs: list[tuple[str, str]] = []
        self.running: list[str] = []
        # By a Tensor's id: the weighted layer whose linear function it is, and the width going in and out.
        self.linear_of: dict[int, tuple[str, int, int]] = {}
        self.kept: list[Any] = []  # Tensors under way: an id stays theirs
        self.outputs: list[tuple[str, str, Tensor]] = []

    def run(self, x: Tensor) -> Any:
        handles = [m.register_forward_pre_hook(self._enter) for m in self.model.modules()]
        handles += [m.register_forward_hook(self._leave) for m in self.model.modules()]
        try:
            with listen(self._hear):
                output = self.model(x)
        finally:
            for handle in handles:
                handle.remove()
        for path, kind, tensor in self.outputs:
            layer = _describe(path, kind, tensor.array)
            self.layers.append(layer)
            if tensor.requires_grad:
                tensor.register_hook(partial(_note, layer))
        return output

    def _enter(self, module: Module, args: tuple) -> None:
        self.running.append(self.paths[id(module)])

    def _leave(self, module: Module, args: tuple, output: Any) -> None:
        self.running.pop()

    def _hear(self, name: str, attributes: dict[str, Any], operands: tuple, outputs: tuple) -> None:
        self.kept.append((operands, outputs))
        path = self.running[-1] if self.running else ""
        if name in (*_WEIGHTED, *_NORMS, *_ACTIVATIONS):
            self.outputs.append((path, name, outputs[0]))
        before = self.linear_of.get(id(operands[0])) if operands else None
        if name in _WEIGHTED and attributes.get("activation", "none") in (None, "none"):
            weight = operands[1]
            groups = attributes.get("groups", 1)
            out, into = weight.shape[0], weight.shape[1] * groups
            if name == "conv_transpose2d":
                into, out = weight.shape[0], weight.shape[1] * groups
            # A narrow layer between wide ones (a factorised product) is meant so, and so are depthwise
            # convolutions before a pointwise one.
            if before is not None and before[2] >= min(before[1], out):
                self.pairs.append((before[0], path))
            if groups == 1:
                self.linear_of[id(outputs[0])] = (path, into, out)
        elif before is not None and name in (*_NORMS, "reshape", "permute", "dropout", "avg_pool2d"):
            self.linear_of[id(outputs[0])] = before


def _describe(path: str, kind: str, y: np.ndarray) -> LayerActivations:
    spread = math.sqrt(float(y.var(axis=0, dtype=np.float64).mean()))
    layer = LayerActivations(path, kind, y.shape, float(y.mean(dtype=np.float64)), _std(y), spread)
    if kind in _BOUNDED:
        layer.saturated = float((_BOUNDED[kind](y) > SATURATED).mean())
    if kind in _RELU and y.ndim > 1:
        layer.dead = float((y == 0).all(axis=(0, *range(2, y.ndim))).mean())
    layer.histogram = _histogram(y)
    return layer


def _note(layer: LayerActivations, tensor: Tensor) -> None:
    gradient = tensor.array
    layer.grad_mean, layer.grad_std = float(gradient.mean(dtype=np.float64)), _std(gradient)
    layer.gradient_histogram = _histogram(gradient)


def _std(values: np.ndarray) -> float:
    return float(values.std(dtype=np.float64))


def _histogram(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    finite = values[np.isfinite(values)]
    return np.histogram(finite, bins=40) if finite.size else (np.zeros(40, int), np.linspace(0, 1, 41))
