"""Matrix products and the linear layer."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, ops

SHAPES = [
    ((2, 3), (3, 4)),
    ((3,), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3,)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((2, 1, 2, 3), (3, 3, 2)),
    ((3,), (2, 3, 4)),
    ((2, 4, 3), (3,)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_matmul(shapes, make, check_float32):
    a, b = make(*shapes[0]), make(*shapes[1])
    np.testing.assert_allclose((a @ b).array, a.array @ b.array, atol=1e-12)
    if a.numel():
        assert gradcheck(ops.matmul, (a, b))
    check_float32(ops.matmul, a, b)


def test_matmul_of_transposed_and_reversed(make, check_float32):
    a, b = make(3, 2), make(4, 3)
    assert gradcheck(lambda p, q: p.T @ q.T, (a, b))
    check_float32(lambda p, q: p.T @ q.T, a, b)
    flipped = pynet.from_numpy(a.array[::-1, ::-1])
    np.testing.assert_allclose((b.detach() @ flipped).array, b.array @ a.array[::-1, ::-1])


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ((2, 3), (4, 5), r"a has 3 columns but b has 4 rows; a is \(2, 3\), b \(4, 5\)"),
        ((2, 3), (4,), "3 columns but b has 4 rows"),
        ((), (2, 3), "both need at least one axis"),
        ((2, 2, 3), (3, 3, 2), "leading axes"),
    ],
)
def test_matmul_shapes_that_do_not_fit(a, b, message):
    with pytest.raises(ValueError, match=message):
        pynet.zeros(*a) @ pynet.zeros(*b)


def test_matmul_dtypes():
    with pytest.raises(TypeError, match="float32 and float64 do not mix"):
        pynet.zeros(2, 2) @ np.zeros((2, 2))
    with pytest.raises(TypeError, match="float32 and int64 do not mix"):
        pynet.zeros(2, 2) @ pynet.tensor([[1, 2], [3, 4]])
    assert (pynet.tensor([[1, 2]]) @ pynet.tensor([[3], [4]])).tolist() == [[11]]


# --- linear ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 3), (3,), (2, 4, 3), (0, 3)], ids=str)
@pytest.mark.parametrize("activation", [None, "relu", "leaky_relu", "elu", "sigmoid", "tanh"])
@pytest.mark.parametrize("with_bias", [True, False])
def test_linear(shape, activation, with_bias, make, check_float32):
    inputs = [make(*shape), make(4, 3)] + ([make(4)] if with_bias else [])

    def function(x, weight, bias=None):
        return ops.linear(x, weight, bias, activation=activation)

    expected = inputs[0].array @ inputs[1].array.T + (inputs[2].array if with_bias else 0)
    if activation is None:
        np.testing.assert_allclose(function(*inputs).array, expected, atol=1e-12)
    else:
        separate = getattr(ops, activation)(ops.linear(*inputs))
        np.testing.assert_allclose(function(*inputs).array, separate.array, atol=1e-12)
    if inputs[0].numel():
        assert gradcheck(function, inputs)
    check_float32(function, *inputs)


def test_linear_alpha(make):
    x, weight = make(3, 2), make(4, 2)
    out = ops.linear(x, weight, activation="leaky_relu", alpha=0.3)
    np.testing.assert_allclose(out.array, ops.leaky_relu(ops.linear(x, weight), 0.3).array)
    with pytest.raises(ValueError, match="alpha must be a number >= 0, got -1"):
        ops.linear(x, weight, activation="elu", alpha=-1)
    with pytest.raises(ValueError, match="unknown activation 'swish'"):
        ops.linear(x, weight, activation="swish")


def test_linear_batch_zero_has_zero_gradients(make):
    weight, bias = make(4, 3), make(4)
    ops.linear(pynet.zeros(0, 3, dtype=np.float64), weight, bias).sum().backward()
    assert not weight.grad.array.any() and not bias.grad.array.any()


def test_linear_gradient_of_the_bias_alone(make):
    x, weight, bias = make(5, 3, requires_grad=False), make(4, 3, requires_grad=False), make(4)
    ops.linear(x, weight, bias).sum().backward()
    assert bias.grad.tolist() == [5.0] * 4


def test_linear_errors():
    x, weight = pynet.zeros(5, 3), pynet.zeros(4, 2)
    with pytest.raises(
        ValueError, match=r"x has 3 features but weight expects 2; x is \(5, 3\), weight \(4, 2\)"
    ):
        ops.linear(x, weight)
    with pytest.raises(ValueError, match=r"bias is \(3,\), weight \(4, 3\) needs \(4,\)"):
        ops.linear(x, pynet.zeros(4, 3), pynet.zeros(3))
    with pytest.raises(ValueError, match="expected x"):
        ops.linear(pynet.zeros(()), weight)
    with pytest.raises(TypeError, match="linear: float32 and float64 do not mix"):
        ops.linear(x, pynet.zeros(4, 3, dtype=np.float64))
    with pytest.raises(TypeError, match="linear: x is int64"):
        ops.linear(pynet.tensor([[1, 2, 3]]), pynet.zeros(4, 3))
