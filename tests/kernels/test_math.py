"""The vector functions of `kernels/math.h` over the whole range of float32, against float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pynet import _core

TINY = np.finfo(np.float32).tiny
WORST = 4.0  # units in the last place


def samples() -> np.ndarray:
    """Normal numbers, zeros and infinities: every 4001st bit pattern, and dense runs where functions bend."""
    patterns = np.arange(0, 2**32, 4001, dtype=np.uint64).astype(np.uint32).view(np.float32)
    patterns = patterns[np.abs(patterns) >= TINY]  # drops NaN too
    dense = [
        np.linspace(-20, 20, 200_001),
        np.linspace(0.5, 2, 100_001),
        np.linspace(-104, 104, 200_001),
        np.arange(-4096, 4096) * (np.pi / 2),  # where a sine or cosine is smallest against its argument
        np.ldexp(1.0, np.arange(-126, 128)),
        1 + np.arange(-1000, 1000) * 2.0**-24,
        [0.0, -0.0, np.inf, -np.inf],
    ]
    return np.concatenate([patterns, *(np.asarray(part, np.float32) for part in dense)])


X = samples()

FUNCTIONS: dict[str, tuple[Callable, Callable]] = {
    "exp": (lambda x: _core.exp(x), np.exp),
    "log": (lambda x: _core.log(x), np.log),
    "sin": (lambda x: _core.sin(x), np.sin),
    "cos": (lambda x: _core.cos(x), np.cos),
    "sqrt": (lambda x: _core.sqrt(x), np.sqrt),
    "sigmoid": (lambda x: _core.activation_forward(x, "sigmoid", 0.0), lambda x: 1 / (1 + np.exp(-x))),
    "tanh": (lambda x: _core.activation_forward(x, "tanh", 0.0), np.tanh),
    "exp_minus_one": (
        lambda x: _core.activation_forward(-np.abs(x), "elu", 1.0),
        lambda x: np.expm1(-np.abs(x)),
    ),
}


def errors(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Distances in units of the last place of the true value; subnormal results may be 0."""
    rounded = want.astype(np.float32)
    distance = np.abs(got.astype(np.float64) - want) / np.spacing(np.abs(rounded)).astype(np.float64)
    exact = (got == rounded) | (np.isnan(got) & np.isnan(want))
    subnormal = (np.abs(want) < TINY) & (np.abs(got) <= TINY)
    return np.where(exact | subnormal, 0.0, distance)


@pytest.mark.parametrize("name", FUNCTIONS)
@np.errstate(all="ignore")
def test_accuracy(isa, name):
    run, oracle = FUNCTIONS[name]
    error = errors(run(X), oracle(X.astype(np.float64)))
    worst = int(np.argmax(error))  # NaN would be the largest
    assert error[worst] <= WORST, f"{name}({X[worst]!r}) is {error[worst]:.3g} ULP off"


def bits_of(values) -> list[int]:
    return np.asarray(values, np.float32).view(np.uint32).tolist()


@pytest.mark.parametrize(
    "name, at, want",
    [
        ("exp", [0.0, -0.0, -np.inf, -200.0, np.inf, 89.0], [1.0, 1.0, 0.0, 0.0, np.inf, np.inf]),
        ("log", [1.0, 0.0, -0.0, np.inf], [0.0, -np.inf, -np.inf, np.inf]),
        ("sin", [0.0, -0.0], [0.0, -0.0]),
        ("cos", [0.0, -0.0], [1.0, 1.0]),
        ("sqrt", [0.0, -0.0, 4.0, np.inf], [0.0, -0.0, 2.0, np.inf]),
        ("sigmoid", [0.0, -np.inf, np.inf, -200.0, 200.0], [0.5, 0.0, 1.0, 0.0, 1.0]),
        ("tanh", [0.0, -0.0, np.inf, -np.inf, 30.0], [0.0, -0.0, 1.0, -1.0, 1.0]),
        ("exp_minus_one", [-np.inf, -18.5], [-1.0, -1.0]),
    ],
)
def test_exact_values(isa, name, at, want):
    got = FUNCTIONS[name][0](np.array(at, np.float32))
    assert bits_of(got) == bits_of(want)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_stays(isa, name):
    x = np.ones(37, np.float32)
    x[[0, 17, 36]] = np.nan
    assert np.array_equal(np.isnan(FUNCTIONS[name][0](x)), np.isnan(x))


@pytest.mark.parametrize(
    "name, at", [("log", -1.0), ("log", -np.inf), ("sqrt", -1.0), ("sin", np.inf), ("cos", -np.inf)]
)
def test_outside_the_domain_is_nan(isa, name, at):
    assert np.isnan(FUNCTIONS[name][0](np.full(5, at, np.float32))).all()


@np.errstate(all="ignore")
def test_angles_beyond_the_vector_range_do_not_disturb_their_neighbours(isa):
    x = np.linspace(-3, 3, 64).astype(np.float32)
    x[[3, 40]] = [3e7, -1e30]
    assert np.max(errors(_core.sin(x), np.sin(x.astype(np.float64)))) <= WORST
    assert np.max(errors(_core.cos(x), np.cos(x.astype(np.float64)))) <= WORST
