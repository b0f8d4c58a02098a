"""One optimizer step over the parameters of a network, through the public API: `optimizer.step()` with
gradients in place. PyTorch's modes are its default, foreach and fused variants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import nets
from bench.framework import Framework, numbers
from bench.shapes import Case

TITLE = "Optimizers"
MODES = ("eager", "foreach", "fused")
OPTIONS: dict[str, tuple[str, dict[str, float]]] = {
    "SGD": ("SGD", {"lr": 1e-3}),
    "SGD, momentum": ("SGD", {"lr": 1e-3, "momentum": 0.9}),
    "Adagrad": ("Adagrad", {"lr": 1e-3}),
    "RMSprop": ("RMSprop", {"lr": 1e-3}),
    "Adam": ("Adam", {"lr": 1e-3}),
    "AdamW": ("AdamW", {"lr": 1e-3}),
    "Adam, amsgrad": ("Adam", {"lr": 1e-3, "amsgrad": True}),
    "RMSprop, centered, momentum": ("RMSprop", {"lr": 1e-3, "centered": True, "momentum": 0.9}),
    "Adadelta": ("Adadelta", {"lr": 1e-3}),
    "Adamax": ("Adamax", {"lr": 1e-3}),
    "NAdam": ("NAdam", {"lr": 1e-3}),
    "RAdam": ("RAdam", {"lr": 1e-3}),
}
CASES = [
    *(Case(f"{label}: ResNet-18, 11.2 M", {"net": "resnet18", "label": label}) for label in OPTIONS),
    *(Case(f"{label}: MLP, 0.24 M", {"net": "mlp", "label": label}) for label in ("SGD, momentum", "Adam")),
]


def prepare(fw: Framework, net: str, label: str) -> dict[str, Callable[[], Any]]:
    """One step; what is compared is the last weight after the first steps."""
    model = fw.module(nets.NETS[net].build(fw.nn, fw.F))
    parameters = list(model.parameters())
    for seed, parameter in enumerate(parameters):
        parameter.grad = fw.like(parameter, numbers(*tuple(parameter.shape), seed=seed, scale=0.01))
    name, options = OPTIONS[label]
    optimizer = fw.optimizer(name, parameters, **options)

    def step() -> Any:
        optimizer.step()
        return parameters[-2]

    return {"step": step}
