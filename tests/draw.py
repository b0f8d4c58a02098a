"""Inputs described by a text: a kind and a shape."""

from __future__ import annotations

import numpy as np

CONSTANT = ("weight", "target", "signs", "shares")  # kinds that carry no gradient


def draw(spec: str, rng: np.random.Generator) -> np.ndarray:
    """The array that a text like "normal 2 3" or "labels 5 < 10" describes, float values exact in float32."""
    kind, *numbers = spec.replace("<", " ").split()
    if kind == "labels":
        *shape, classes = map(int, numbers)
        return rng.integers(0, classes, shape)
    shape = [int(n) for n in numbers]
    if kind == "bools":
        return rng.random(shape) < 0.5
    if kind == "whole":
        return rng.integers(-9, 10, shape)
    if kind == "signs":
        return np.where(rng.random(shape) < 0.5, -1.0, 1.0)
    if kind == "distinct":  # no two values closer than rounding could exchange
        count = int(np.prod(shape))
        return ((rng.permutation(count) - count / 2 + 0.25) / 8).reshape(shape)
    values = {
        "normal": lambda: rng.standard_normal(shape),
        "weight": lambda: rng.uniform(0.5, 2, shape),  # positive, and without a gradient
        "positive": lambda: rng.uniform(0.5, 2, shape),
        "target": lambda: rng.uniform(0.05, 0.95, shape),  # likewise
        "unit": lambda: rng.uniform(0.05, 0.95, shape),
        "wide": lambda: 4 * rng.standard_normal(shape),
        "shares": lambda: rng.dirichlet(np.ones(shape[-1]), shape[:-1]),
        "log_shares": lambda: np.log(rng.dirichlet(np.ones(shape[-1]), shape[:-1])),
    }[kind]()
    return values.astype(np.float32).astype(np.float64)
