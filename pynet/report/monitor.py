"""What a report shows of a training beyond its history: the size of the gradients, and how activations and
weights are distributed, epoch by epoch.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis import activation_stats
from ..io.safetensors import read_file, save_file
from ..nn import Module
from ..nn.utils import clip_grad_norm_
from ..train import Callback
from ..train.callback import Logs

LAYERS = 12  # as many are shown; of deeper networks some are left out, evenly
_POINTS = 60  # gradient norms an epoch
_BINS = 40


class Monitor(Callback):
    """Records gradient norms at some steps and, after each epoch, histograms of weights and activations.

    It is part of checkpoints, so that a resumed training has the whole story. An epoch costs one forward pass
    of `images` and a pass over the weights.

    Args:
        path: the file it writes after every epoch.
        images: a batch that the network sees, preprocessed, always the same.

    Attributes:
        gradients: float64 (steps, 3): epochs passed, norm of all gradients, learning rate.
        histograms: name to float64 (epochs, 42): smallest and largest value, and 40 counts between them.
            Names begin with "activations " or "weights ".
    """

    def __init__(self, path: str | os.PathLike[str], images: np.ndarray) -> None:
        self.path, self.images = Path(path), images
        self.gradients = np.zeros((0, 3))
        self.histograms: dict[tuple[str, str], np.ndarray] = {}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Monitor:
        """What a training has recorded.

        Raises:
            FileNotFoundError, ValueError: there is no such file, or it is damaged.
        """
        monitor = cls(path, np.zeros(0))
        monitor.load_state_dict(read_file(path).tensors)
        return monitor

    def on_batch_end(self, step: int, logs: Logs) -> None:
        """Take the norm of the gradients, some steps an epoch."""
        trainer = self.trainer
        steps = trainer.steps or _POINTS
        if step % max(1, steps // _POINTS):
            return
        # A bound that nothing exceeds: the norm alone is wanted.
        norm = clip_grad_norm_(trainer.model.parameters(), math.inf).item()
        rate = trainer.optimizer.param_groups[0]["lr"]
        row = [trainer.epoch + (step + 1) / steps, norm, rate]
        self.gradients = np.concatenate([self.gradients, [row]])

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Take the histograms, and write the file."""
        model = self.trainer.model
        training = model.training
        model.eval()
        try:
            layers = activation_stats(model, self.images).layers
        finally:
            model.train(training)
        shown = [layer for layer in layers if layer.is_activation] or layers
        for layer in _evenly(shown):
            self._append("activations", layer.name, *layer.histogram)
        for name, values in _evenly(_weights(model)):
            finite = values[np.isfinite(values)]
            self._append("weights", name, *np.histogram(finite if finite.size else [0.0], bins=_BINS))
        save_file(self.state_dict(), self.path)

    def _append(self, kind: str, layer: str, counts: np.ndarray, edges: np.ndarray) -> None:
        row = np.concatenate([[edges[0], edges[-1]], counts.astype(np.float64)])[None]
        before = self.histograms.get((kind, layer))
        self.histograms[kind, layer] = row if before is None else np.concatenate([before, row])

    def state_dict(self) -> dict[str, Any]:
        """All that was recorded."""
        # Files sort their entries by name; the number keeps the order.
        numbered = enumerate(self.histograms.items())
        rows = {f"{number:03d} {kind} {layer}": row for number, ((kind, layer), row) in numbered}
        return {"gradients": self.gradients, **rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on recording after it."""
        arrays = {name: np.asarray(value, np.float64) for name, value in state.items()}
        self.gradients = arrays.pop("gradients", np.zeros((0, 3))).reshape(-1, 3)
        self.histograms = {}
        for name in sorted(arrays):
            _, kind, layer = name.split(" ", 2)
            self.histograms[kind, layer] = arrays[name]


def _weights(model: Module) -> list[tuple[str, np.ndarray]]:
    return [(name, p.array) for name, p in model.named_parameters() if p.ndim > 1]


def _evenly(items: list[Any]) -> list[Any]:
    """At most LAYERS of them, the first and the last among them."""
    places = np.unique(np.linspace(0, len(items) - 1, min(len(items), LAYERS)).round().astype(int))
    return [items[place] for place in places] if items else []
