"""What an operation costs beyond its arithmetic: arrays of some numbers, with the tape.

"forward" records but does not walk back; "forward + backward" starts from a gradient of the result's shape.
The step is a perceptron's of two layers for one sample: forward, loss, backward, SGD.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.framework import Framework, labels, numbers
from bench.shapes import Case

TITLE = "Overhead"
MODES = ("eager",)
BLOCK_SECONDS = 0.02
CASES = [
    Case(name, {"name": name})
    for name in (
        "add",
        "add a number",
        "mul",
        "exp",
        "relu",
        "reshape",
        "sum",
        "mean",
        "index",
        "matmul",
        "linear",
        "Linear",
        "Linear, ReLU",
        "Conv2d",
        "BatchNorm2d",
        "max_pool2d",
        "cross_entropy",
        "step",
    )
]


def prepare(fw: Framework, name: str) -> dict[str, Callable[[], Any]]:
    """One operation on arrays of at most some hundred numbers."""
    if name == "step":
        return {"step": training_step(fw)}
    F, nn = fw.F, fw.nn
    rows, other, square, weight, bias, maps = (
        fw.tensor(numbers(*shape, seed=seed), requires_grad=True)
        for seed, shape in enumerate([(2, 8), (2, 8), (8, 8), (4, 8), (4,), (1, 4, 4, 4)])
    )
    target = fw.tensor(labels(2, 8))
    dense, conv, norm = (fw.module(m) for m in (nn.Linear(8, 4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)))
    operations: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "add": (lambda a, b: a + b, (rows, other)),
        "add a number": (lambda a: a + 1.0, (rows,)),
        "mul": (lambda a, b: a * b, (rows, other)),
        "exp": (lambda a: a.exp(), (rows,)),
        "relu": (F.relu, (rows,)),
        "reshape": (lambda a: a.reshape(4, 4), (rows,)),
        "sum": (lambda a: a.sum(), (rows,)),
        "mean": (lambda a: a.mean(1), (rows,)),
        "index": (lambda a: a[0], (rows,)),
        "matmul": (lambda a, b: a @ b, (rows, square)),
        "linear": (F.linear, (rows, weight, bias)),
        "Linear": (dense, (rows,)),
        "Linear, ReLU": (nn.Sequential(dense, nn.ReLU()), (rows,)),
        "Conv2d": (conv, (maps,)),
        "BatchNorm2d": (norm, (maps,)),
        "max_pool2d": (lambda x: F.max_pool2d(x, 2), (maps,)),
        "cross_entropy": (lambda x: F.cross_entropy(x, target), (rows,)),
    }
    operation, inputs = operations[name]
    leaves = [*inputs, *(operation.parameters() if isinstance(operation, nn.Module) else ())]
    shape = tuple(operation(*inputs).shape)
    upstream = (fw.tensor(numbers(*shape, seed=6)),) if shape else ()

    def forward() -> Any:
        return fw.force(operation(*inputs))

    def both() -> Any:
        for leaf in leaves:  # else sums of gradients would be timed too
            leaf.grad = None
        operation(*inputs).backward(*upstream)
        return leaves[0].grad

    return {"forward": forward, "forward + backward": both}


def training_step(fw: Framework) -> Callable[[], Any]:
    """A whole training step, as a user writes it."""
    nn = fw.nn
    model = fw.module(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)))
    optimizer = fw.optimizer("SGD", model.parameters(), lr=1e-3)
    x, target = fw.tensor(numbers(1, 8)), fw.tensor(labels(1, 4))

    def step() -> Any:
        optimizer.zero_grad()
        loss = fw.F.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
