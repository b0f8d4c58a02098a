"""Batch normalisation: values, running statistics, gradients.

How it waits for what follows: tests/autograd/test_put_off.py.
"""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, ops

SHAPES = [(6, 3), (4, 3, 5), (2, 3, 4, 4), (2, 1, 1, 3), (5, 3, 1, 1)]


def over(shape):
    return tuple(i for i in range(len(shape)) if i != 1)


def columns(v, shape):
    return v.reshape(1, -1, *(1,) * (len(shape) - 2))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("affine", [True, False])
def test_training(shape, affine, make, check_float32):
    c = shape[1]
    inputs = [make(*shape)] + ([make(c), make(c)] if affine else [])

    def function(x, weight=None, bias=None):
        return ops.batch_norm(x, None, None, weight, bias, training=True)

    x = inputs[0].array
    expected = (x - x.mean(over(shape), keepdims=True)) / np.sqrt(x.var(over(shape), keepdims=True) + 1e-5)
    if affine:
        expected = expected * columns(inputs[1].array, shape) + columns(inputs[2].array, shape)
    np.testing.assert_allclose(function(*inputs).array, expected, atol=1e-10)
    assert gradcheck(function, inputs)
    check_float32(function, *inputs, rtol=1e-3)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_inference(shape, make, check_float32):
    c = shape[1]
    x, weight, bias = make(*shape), make(c), make(c)
    mean, var = np.linspace(-1, 1, c), np.linspace(0.5, 2, c)

    def function(x, weight, bias):
        return ops.batch_norm(x, mean.astype(x.dtype), var.astype(x.dtype), weight, bias, eps=0.1)

    expected = (x.array - columns(mean, shape)) / np.sqrt(columns(var, shape) + 0.1)
    expected = expected * columns(weight.array, shape) + columns(bias.array, shape)
    np.testing.assert_allclose(function(x, weight, bias).array, expected, atol=1e-10)
    assert gradcheck(function, (x, weight, bias))
    check_float32(function, x, weight, bias)


@pytest.mark.parametrize("as_tensors", [True, False])
def test_running_statistics(as_tensors, make):
    x = make(4, 3, 2, 2)
    mean, var = np.ones(3), np.full(3, 2.0)
    given = (pynet.from_numpy(mean), pynet.from_numpy(var)) if as_tensors else (mean, var)
    ops.batch_norm(x, *given, training=True, momentum=0.25)
    np.testing.assert_allclose(mean, 0.75 + 0.25 * x.array.mean((0, 2, 3)))
    np.testing.assert_allclose(var, 1.5 + 0.25 * x.array.var((0, 2, 3), ddof=1))


def test_inference_keeps_the_statistics_it_saw(make):
    x, mean, var = make(4, 3), pynet.zeros(3, dtype=np.float64), pynet.ones(3, dtype=np.float64)
    inner = x * 1.0
    y = ops.batch_norm(inner, mean, var)
    ops.batch_norm(x, mean, var, training=True)
    np.testing.assert_allclose(y.array, x.array / np.sqrt(1 + 1e-5))
    y.sum().backward()
    np.testing.assert_allclose(x.grad.array, 1 / np.sqrt(1 + 1e-5))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "sigmoid", "tanh"])
@pytest.mark.parametrize("with_residual", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_fused(activation, with_residual, training, make, check_float32):
    inputs = [make(2, 3, 3, 3), make(3), make(3)] + ([make(2, 3, 3, 3)] if with_residual else [])

    def function(x, weight, bias, shortcut=None):
        zero, one = np.zeros(3, x.dtype), np.full(3, 2.0, x.dtype)
        y = ops.batch_norm(x * 1.0, zero, one, weight, bias, training)
        if shortcut is not None:
            y = y + shortcut * 1.0
        return getattr(ops, activation)(y)

    assert function(*inputs).grad_fn.name == "batch_norm"
    assert gradcheck(function, inputs)
    check_float32(function, *inputs, rtol=1e-3)


def test_fused_float32_has_the_bits_of_the_parts(make):
    x, s = make(2, 3, 5, 5, dtype=np.float32), make(2, 3, 5, 5, dtype=np.float32)
    w, b = make(3, dtype=np.float32), make(3, dtype=np.float32)

    def function():
        return ops.relu(ops.batch_norm(x * 1.0, None, None, w, b, training=True) + s * 1.0).array

    with pynet.autograd.unfused():
        expected = function()
    np.testing.assert_array_equal(function(), expected)


# --- statistics from the convolution before it ---------------------------------------------------------


class Net(pynet.nn.Module):
    """As a user writes it; float32."""

    def __init__(self):
        super().__init__()
        pynet.manual_seed(0)
        self.conv1 = pynet.nn.Conv2d(5, 16, 3, padding=1, bias=False)
        self.bn1 = pynet.nn.BatchNorm2d(16)
        self.conv2 = pynet.nn.Conv2d(16, 8, 3, stride=2)
        self.bn2 = pynet.nn.BatchNorm2d(8, momentum=None)

    def forward(self, x):
        return ops.tanh(self.bn2(self.conv2(ops.relu(self.bn1(self.conv1(x))))))


def kernels(run):
    with pynet.profile() as p:
        run()
    return [r.name for r in p.records if "conv2d_forward" in r.name or "statistics" in r.name]


def images(make):
    return make(6, 5, 14, 13, dtype=np.float32, requires_grad=False) * 3.0


def bits_of_a_step(net, x):
    """Outputs, gradients and running statistics."""
    net.zero_grad()
    out = net(x)
    (out * out.detach().cos()).sum().backward()
    arrays = [
        out.array,
        *(p.grad.array for p in net.parameters()),
        *(t.array for t in net.state_dict().values()),
    ]
    return [a.tobytes() for a in arrays]


def test_convolutions_without_bias_deliver_statistics(make):
    x, net = images(make), Net()
    with_bias = ["conv2d_forward", "batch_norm_statistics"]
    assert kernels(lambda: net(x).array) == ["conv2d_forward_statistics", *with_bias]
    with pynet.no_grad():  # a pass of their own: nobody may ask
        assert kernels(lambda: net(x).array) == with_bias * 2
    assert kernels(lambda: net.eval()(x).array) == ["conv2d_forward_statistics", "conv2d_forward"]
    net.requires_grad_(False)
    assert kernels(lambda: net(x).array) == ["conv2d_forward"] * 2


def test_statistics_have_the_same_bits_whoever_looks(make):
    x = images(make)
    expected = bits_of_a_step(Net(), x)

    looked = Net()
    looked.conv1.register_forward_hook(lambda module, inputs, out: out.array.sum() and None)
    assert bits_of_a_step(looked, x) == expected

    held = Net()
    for p in held.parameters():
        p.detach().numpy()  # a user may write the weights now: nothing waits
    assert bits_of_a_step(held, x) == expected

    with pynet.autograd.unfused():
        assert bits_of_a_step(Net(), x) == expected
    with pynet.autograd.listen(lambda *_: None):
        assert bits_of_a_step(Net(), x) == expected
    with pynet.profile():
        assert bits_of_a_step(Net(), x) == expected


def test_statistics_are_taken_anew_where_the_output_was_written(make):
    x, net = images(make), Net()

    def norm(write):
        y = net.conv1(x)
        write(y)
        return ops.batch_norm(y, training=True).array

    def in_place(y):
        with pynet.no_grad():
            y.mul_(0.0)

    for write in (in_place, lambda y: y.detach().numpy().fill(2.0), lambda y: y.detach().fill_(3.0)):
        np.testing.assert_allclose(norm(write), 0.0, atol=1e-6)


def test_statistics_of_a_convolution_that_others_want_too(make):
    x, net = images(make), Net()
    y = net.conv1(x)
    first, second = (ops.batch_norm(y, training=True) for _ in range(2))
    assert first.array.tobytes() == second.array.tobytes()
    assert y.grad_fn is first.grad_fn.next_functions[0] and y.grad_fn.name == "conv2d"
    assert y.array.tobytes() == Net().conv1(x).array.tobytes()
    (first + second).sum().backward()
    again = ops.batch_norm(y, training=True)  # after backward has freed what the convolution saved
    np.testing.assert_allclose(again.array, first.array, rtol=1e-5, atol=1e-5)

    def activated(net, relu=ops.relu):
        y = net.conv1(x)
        return ops.batch_norm(relu(y), training=True).array

    plain = activated(Net(), lambda y: ops.relu(y.clone()))
    np.testing.assert_allclose(activated(Net()), plain, rtol=1e-5, atol=1e-5)


def test_who_listens_hears_convolution_and_norm(make):
    x, heard = images(make), []
    with pynet.autograd.listen(lambda name, attributes, inputs, outputs: heard.append((name, attributes))):
        Net()(x)
    assert [name for name, _ in heard] == ["conv2d", "batch_norm", "relu", "conv2d", "batch_norm", "tanh"]
    out = ops.batch_norm(Net().conv1(x), training=True)
    assert out.grad_fn.next_functions[0].attributes == heard[0][1]


@pytest.mark.parametrize("activation", [None, "relu"])
def test_gradients_through_a_convolution(activation, make):
    x, w, scale = make(2, 2, 5, 4), make(3, 2, 3, 3), make(3)

    def function(x, w, scale):
        y = ops.conv2d(x * 1.0, w, padding=1, activation=activation)
        return ops.sigmoid(ops.batch_norm(y, None, None, scale, None, training=True))

    assert gradcheck(function, (x, w, scale))


def test_one_value_a_channel_of_a_convolution():
    x, w = pynet.zeros(1, 2, 3, 3) * 1.0, pynet.zeros(4, 2, 3, 3)
    with pytest.raises(ValueError, match=r"more than one value a channel, got x of shape \(1, 4, 1, 1\)"):
        ops.batch_norm(ops.conv2d(x, w), training=True)
    empty = ops.batch_norm(ops.conv2d(x[:0] * 1.0, w), training=True)
    assert empty.shape == (0, 4, 1, 1)


def test_batch_zero(make):
    weight, bias = make(3), make(3)
    mean, var = np.zeros(3), np.ones(3)
    x = pynet.zeros(0, 3, 4, 4, dtype=np.float64, requires_grad=True)
    out = ops.batch_norm(x, mean, var, weight, bias, training=True)
    assert out.shape == (0, 3, 4, 4)
    out.sum().backward()
    assert x.grad.shape == x.shape
    assert weight.grad.tolist() == [0.0] * 3 and bias.grad.tolist() == [0.0] * 3
    assert mean.tolist() == [0.0] * 3 and var.tolist() == [1.0] * 3


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1), (1, 3, 1, 1)], ids=str)
def test_one_value_a_channel(shape):
    with pytest.raises(ValueError, match="more than one value a channel"):
        ops.batch_norm(pynet.zeros(*shape), training=True)


def test_errors():
    x = pynet.zeros(2, 3)
    with pytest.raises(
        ValueError, match=r"expected x \(N, C\), \(N, C, L\) or \(N, C, H, W\), got shape \(3,\)"
    ):
        ops.batch_norm(pynet.zeros(3))
    with pytest.raises(ValueError, match=r"weight is \(2,\), x \(2, 3\) needs \(3,\)"):
        ops.batch_norm(x, weight=pynet.zeros(2))
    with pytest.raises(ValueError, match=r"running_mean is \(2,\)"):
        ops.batch_norm(x, np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="both running_mean and running_var"):
        ops.batch_norm(x, np.zeros(3))
    with pytest.raises(ValueError, match="eps must be at least 0"):
        ops.batch_norm(x, eps=-1)
    with pytest.raises(TypeError, match="do not mix"):
        ops.batch_norm(x, weight=pynet.zeros(3, dtype=np.float64))
