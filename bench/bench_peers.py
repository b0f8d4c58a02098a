"""The training steps of `steps` beside other peers: PyTorch in bf16 autocast (channels_last, fused
optimizer), and Keras 3 on TensorFlow (as a graph, and through XLA) and on JAX, each with one compiled
training step. pynet computes in float32. Keras pads strided convolutions at the other end and bf16 rounds,
so losses agree only roughly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import bench_steps
from bench.framework import Framework

TITLE = "Training steps beside other peers"
MODES = ("bf16", "tensorflow", "tensorflow_xla", "jax")
FRESH_WORKERS = True
QUICK_CASES = bench_steps.QUICK_CASES
CHECK_TOLERANCE = 0.05
CASES = bench_steps.CASES


def prepare(fw: Framework, net: str) -> dict[str, Callable[[], Any]]:
    """One step; the loss after the first steps is what must agree."""
    if fw.name == "keras":
        return {"step": fw.training_step(net)}
    return bench_steps.prepare(fw, net)
