"""Curves, PReLU and RReLU as functions and layers: gradients, PyTorch, drawing, bad arguments."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, nn
from pynet.nn import functional as F

X = np.random.default_rng(4).standard_normal((3, 4, 5)) * 3
CASES = {
    "gelu": (lambda F, x: F.gelu(x), lambda nn: nn.GELU()),
    "gelu tanh": (lambda F, x: F.gelu(x, approximate="tanh"), lambda nn: nn.GELU("tanh")),
    "silu": (lambda F, x: F.silu(x), lambda nn: nn.SiLU()),
    "mish": (lambda F, x: F.mish(x), lambda nn: nn.Mish()),
    "softplus": (lambda F, x: F.softplus(x, 2.0, 3.0), lambda nn: nn.Softplus(2.0, 3.0)),
    "softsign": (lambda F, x: F.softsign(x), lambda nn: nn.Softsign()),
    "selu": (lambda F, x: F.selu(x), lambda nn: nn.SELU()),
    "celu": (lambda F, x: F.celu(x, 0.6), lambda nn: nn.CELU(0.6)),
    "hardtanh": (lambda F, x: F.hardtanh(x, -2.0, 0.5), lambda nn: nn.Hardtanh(-2.0, 0.5)),
    "relu6": (lambda F, x: F.relu6(x), lambda nn: nn.ReLU6()),
    "hardsigmoid": (lambda F, x: F.hardsigmoid(x), lambda nn: nn.Hardsigmoid()),
    "hardswish": (lambda F, x: F.hardswish(x), lambda nn: nn.Hardswish()),
    "logsigmoid": (lambda F, x: F.logsigmoid(x), lambda nn: nn.LogSigmoid()),
    "tanhshrink": (lambda F, x: F.tanhshrink(x), lambda nn: nn.Tanhshrink()),
    "hardshrink": (lambda F, x: F.hardshrink(x, 0.7), lambda nn: nn.Hardshrink(0.7)),
    "softshrink": (lambda F, x: F.softshrink(x, 0.7), lambda nn: nn.Softshrink(0.7)),
    "threshold": (lambda F, x: F.threshold(x, 0.3, -2.0), lambda nn: nn.Threshold(0.3, -2.0)),
    "rrelu": (lambda F, x: F.rrelu(x, 0.1, 0.3), lambda nn: nn.RReLU(0.1, 0.3).eval()),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_and_layers(name, check_float32):
    function, build = CASES[name]
    x = pynet.tensor(X, requires_grad=True)
    assert gradcheck(lambda t: function(F, t), (x,))
    check_float32(lambda t: function(F, t), x)
    np.testing.assert_array_equal(build(nn)(x).detach().numpy(), function(F, x).detach().numpy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_pytorch_agrees(name, dtype):
    torch = pytest.importorskip("torch")
    function, build = CASES[name]
    values = np.concatenate([X.ravel(), [-6, -3, -2, -0.5, 0, 0.5, 1.5, 3, 6, 30, -30]]).astype(dtype)
    ours, theirs = pynet.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    a, b = function(F, ours), function(torch.nn.functional, theirs)
    a.sum().backward()
    b.sum().backward()
    # PyTorch holds the constants of these two in float32.
    close = {"rtol": 5e-7, "atol": 5e-8} if name in ("celu", "hardsigmoid") else {"rtol": 1e-9, "atol": 1e-12}
    tolerance = {"rtol": 2e-6, "atol": 2e-6} if dtype == np.float32 else close
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), **tolerance)
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), **tolerance)
    assert repr(build(nn)) == repr(build(torch.nn)) or name in (
        "rrelu",
        "hardsigmoid",
        "hardswish",
        "softplus",
    )


@pytest.mark.parametrize("count", [1, 4])
def test_prelu(count):
    layer = nn.PReLU(count, 0.3, dtype="float64")
    weights = np.linspace(0.1, 0.4, count)
    layer.load_state_dict({"weight": pynet.tensor(weights)})
    x = pynet.tensor(X, requires_grad=True)
    slopes = weights.reshape(1, -1, 1)
    np.testing.assert_allclose(layer(x).detach().numpy(), np.where(X > 0, X, slopes * X))
    assert gradcheck(F.prelu, (x, layer.weight))
    layer.reset_parameters()
    assert layer.weight.tolist() == [0.3] * count
    with pytest.raises(ValueError, match=r"weight is \(3,\), input \(3, 4, 5\) needs \(1,\) or \(4,\)"):
        F.prelu(x, pynet.zeros(3, dtype=np.float64))


def test_rrelu_draws_slopes_in_training():
    x = -pynet.ones(100, 100)
    pynet.manual_seed(3)
    layer = nn.RReLU(0.2, 0.6)
    slopes = -layer(x).numpy()
    assert 0.2 <= slopes.min() < 0.21 and 0.59 < slopes.max() <= 0.6
    assert slopes.mean() == pytest.approx(0.4, abs=5e-3)
    pynet.manual_seed(3)
    np.testing.assert_array_equal(-layer(x).numpy(), slopes)
    np.testing.assert_allclose(layer.eval()(x).numpy(), -0.4, rtol=1e-6)
    positive = pynet.ones(5)
    np.testing.assert_array_equal(layer.train()(positive).numpy(), 1)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: F.gelu(x, "erf"), "approximate must be 'none' or 'tanh', got 'erf'"),
        (lambda x: nn.GELU("erf"), "approximate must be"),
        (lambda x: F.softplus(x, 0), "beta must not be 0"),
        (lambda x: nn.Softplus(0), "beta must not be 0"),
        (lambda x: F.celu(x, 0.0), "alpha must be above 0, got 0.0"),
        (lambda x: nn.CELU(-1), "alpha must be above 0, got -1"),
        (lambda x: F.hardtanh(x, 2, 1), "min_val 2 must not be above max_val 1"),
        (lambda x: nn.Hardtanh(1, 1), "min_val 1 must be below max_val 1"),
        (lambda x: F.rrelu(x, 0.5, 0.1), "lower 0.5 must not be above upper 0.1"),
        (lambda x: nn.RReLU(0.5, 0.1), "lower 0.5 must not be above upper 0.1"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(pynet.tensor(X))
