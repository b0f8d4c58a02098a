"""Matrix products against sums written out, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import reference


@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((0, 4), (4, 5)), ((3, 0), (0, 5))],
)
def test_matmul_is_the_sum_of_products(rng, a, b):
    left, right = rng.standard_normal(a), rng.standard_normal(b)
    products = left[..., :, :, None] * right[..., None, :, :]
    np.testing.assert_allclose(reference.matmul(left, right), products.sum(axis=-2), atol=1e-14)


@pytest.mark.parametrize("m", [0, 1, 3])
@pytest.mark.parametrize("activation", ["none", "relu", "tanh"])
def test_linear(rng, check_gradient, m, activation):
    x, weight, bias = rng.standard_normal((m, 4)), rng.standard_normal((5, 4)), rng.standard_normal(5)

    def forward(x, weight, bias):
        return reference.linear_forward(x, weight, bias, activation, 0.0)

    out = forward(x, weight, bias)
    plain = np.array(
        [[bias[o] + sum(row[i] * weight[o, i] for i in range(4)) for o in range(5)] for row in x]
    )
    expected = reference.activation_forward(plain.reshape(m, 5), activation, 0.0)
    np.testing.assert_allclose(out, expected, atol=1e-14)

    dout = rng.standard_normal((m, 5))
    before = reference.activation_backward(dout, out, activation, 0.0)
    dweight, dbias = reference.linear_backward_weight(before, x, True)
    check_gradient(
        lambda v: forward(v, weight, bias), x, reference.linear_backward_data(before, weight), dout
    )
    check_gradient(lambda v: forward(x, v, bias), weight, dweight, dout)
    check_gradient(lambda v: forward(x, weight, v), bias, dbias, dout)
    assert dweight.T.flags.c_contiguous


def test_linear_without_bias(rng):
    x, weight = rng.standard_normal((3, 4)), rng.standard_normal((5, 4))
    np.testing.assert_array_equal(
        reference.linear_forward(x, weight, None, "none", 0.0),
        reference.linear_forward(x, weight, np.zeros(5), "none", 0.0),
    )
    assert reference.linear_backward_weight(np.ones((3, 5)), x, False)[1] is None
