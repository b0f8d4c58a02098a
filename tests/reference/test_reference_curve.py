"""Curves: slopes are the differences of the values; known points."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import reference

OPTIONS = {
    "softplus": (1.5, 20.0), "celu": (0.7, 0.0), "hardtanh": (-0.5, 2.0), "hardshrink": (0.5, 0.0),
    "softshrink": (0.5, 0.0), "threshold": (-0.5, 4.0),
}  # fmt: skip
NAMES = (
    *("gelu", "gelu_tanh", "silu", "mish", "softplus", "softsign", "selu", "celu"),
    *("hardtanh", "hardsigmoid", "hardswish"),
    *("log_sigmoid", "tanhshrink", "hardshrink", "softshrink", "threshold"),
)


@pytest.mark.parametrize("name", NAMES)
def test_slopes_are_the_differences(name, rng):
    x = 2 * rng.standard_normal(200)
    x = x[(np.abs(np.abs(x) - 3) > 1e-3) & (np.abs(np.abs(x) - 0.5) > 1e-3) & (np.abs(x - 2) > 1e-3)]
    options = OPTIONS.get(name, (0.0, 0.0))
    up = reference.curve_forward(x + 1e-6, name, *options)
    down = reference.curve_forward(x - 1e-6, name, *options)
    got = reference.curve_backward(np.ones_like(x), x, name, *options)
    np.testing.assert_allclose(got, (up - down) / 2e-6, atol=1e-8)


def test_known_points():
    one = np.array([1.0])
    known = {
        "gelu": 0.8413447460685429, "silu": 0.7310585786300049, "mish": 0.8650983882673103,
        "softsign": 0.5, "selu": 1.0507009873554805, "hardsigmoid": 4 / 6, "hardswish": 4 / 6,
        "log_sigmoid": -0.31326168751822286, "tanhshrink": 0.23840584404423515, "hardshrink": 1.0,
    }  # fmt: skip
    for name, value in known.items():
        assert reference.curve_forward(one, name, 0.0, 0.0)[0] == pytest.approx(value, rel=1e-12)
    assert reference.curve_forward(one, "softplus", 1.0, 20.0)[0] == pytest.approx(np.log(1 + np.e))
