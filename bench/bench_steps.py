"""Whole training steps of the networks in `nets.py`, one source text for both frameworks: zero_grad, forward,
cross-entropy, backward, optimizer step; one resident batch, NHWC in memory for pynet (as its DataLoader
delivers it) and channels_last for PyTorch in that mode. PyTorch's modes: eager (all defaults), fused (fused
optimizer), channels_last (and fused optimizer), compile (channels_last, fused optimizer, forward, loss and
backward through torch.compile). Memory is the largest resident size of a
process that did nothing else, its library and (in mode compile) the compiler included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import nets
from bench.framework import Framework, labels, numbers
from bench.shapes import Case

TITLE = "Training steps"
MODES = ("eager", "fused", "channels_last", "compile")
FRESH_WORKERS = True
QUICK_CASES = len(nets.NETS)
CASES = [Case(net.label, {"net": name}) for name, net in nets.NETS.items()]


def prepare(fw: Framework, net: str) -> dict[str, Callable[[], Any]]:
    """One step; the loss after the first steps is what must agree."""
    spec = nets.NETS[net]
    model = fw.module(spec.build(fw.nn, fw.F))
    optimizer = fw.optimizer(spec.optimizer, model.parameters(), **spec.options)
    x, y = fw.tensor(numbers(*spec.x, seed=1)), fw.tensor(labels(spec.x[0], 10))

    def loss_of(images: Any, classes: Any) -> Any:
        return fw.F.cross_entropy(model(images), classes)

    loss_of = fw.compile(loss_of)

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss

    return {"step": step}
