"""Group normalisation: moments, closed form, and gradients by differences."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import reference


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_every_group_is_standardised(rng, groups):
    x = 5 + 3 * rng.standard_normal((3, 6, 4, 2))
    out, mean, rstd = reference.group_norm_forward(x, groups, None, None, 0.0)
    values = out.reshape(3, groups, -1)
    np.testing.assert_allclose(values.mean(axis=2), 0, atol=1e-12)
    np.testing.assert_allclose(values.var(axis=2), 1)
    np.testing.assert_allclose(mean, x.reshape(3, groups, -1).mean(axis=2))
    np.testing.assert_allclose(rstd, 1 / x.reshape(3, groups, -1).std(axis=2))


def test_gradients_are_the_differences(rng):
    x, dout = rng.standard_normal((2, 4, 3, 1)), rng.standard_normal((2, 4, 3, 1))
    weight, bias = rng.standard_normal(4), rng.standard_normal(4)

    def loss(x, weight, bias):
        return (reference.group_norm_forward(x, 2, weight, bias, 1e-5)[0] * dout).sum()

    _, mean, rstd = reference.group_norm_forward(x, 2, weight, bias, 1e-5)
    gradients = reference.group_norm_backward(dout, x, mean, rstd, 2, weight)
    for position, array in enumerate((x, weight, bias)):
        for at in np.ndindex(array.shape):
            before = array[at]
            array[at] = before + 1e-6
            up = loss(x, weight, bias)
            array[at] = before - 1e-6
            down = loss(x, weight, bias)
            array[at] = before
            assert gradients[position][at] == pytest.approx((up - down) / 2e-6, abs=1e-7)
