"""Dropout of channels and samples, alpha dropout; softmin, GLU and normalize: values, gradients, errors."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, nn
from pynet.nn import functional as F

X = np.random.default_rng(6).standard_normal((4, 6, 5))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("function", "shape", "entries"),
    [
        (F.dropout1d, (40, 30, 6), 2),
        (F.dropout1d, (900, 6), 1),
        (F.dropout2d, (40, 30, 3, 3), 2),
        (F.dropout2d, (40, 30, 6), 2),
        (lambda x, p: F.drop_path(x, p, True), (1000, 3, 2, 2), 1),
    ],
)
def test_whole_entries_are_dropped(function, shape, entries, dtype):
    pynet.manual_seed(5)
    x = pynet.ones(*shape, dtype=dtype, requires_grad=True)
    out = function(x, 0.2)
    assert out.dtype == dtype
    rows = out.array.reshape(*shape[:entries], -1)
    assert (rows == rows[..., :1]).all()
    np.testing.assert_array_equal(np.unique(rows), np.array([0, 1 / 0.8], dtype))
    assert abs((rows == 0).mean() - 0.2) < 0.06
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.array, out.array)
    np.testing.assert_array_equal(function(x, 1.0).array, np.zeros(shape))
    assert function(x, 0.0) is x
    pynet.manual_seed(5)
    np.testing.assert_array_equal(function(x, 0.2).array, out.array)


def test_drop_path_may_leave_the_rest_unscaled():
    pynet.manual_seed(0)
    out = F.drop_path(pynet.ones(100, 2), 0.5, True, scale_by_keep=False)
    assert set(np.unique(out.array)) == {0.0, 1.0}


def test_alpha_dropout_keeps_mean_and_variance():
    pynet.manual_seed(2)
    x = pynet.randn(200_000, requires_grad=True)
    out = F.alpha_dropout(x, 0.3, training=True)
    assert abs(out.mean().item()) < 0.02 and abs(out.std().item() - 1) < 0.02
    values, counts = np.unique(out.array, return_counts=True)
    assert abs(counts.max() / 200_000 - 0.3) < 0.01
    out.sum().backward()
    kept = x.grad.array != 0
    np.testing.assert_allclose(
        out.array[kept],
        (x.array * x.grad.array)[kept] + out.array[kept][0] - (x.array * x.grad.array)[kept][0],
        atol=1e-5,
    )
    assert values[counts.argmax()] == out.array[~kept][0]
    assert not F.alpha_dropout(x, 1.0, training=True).array.any()


@pytest.mark.parametrize(
    "layer",
    [nn.Dropout1d(0.4), nn.Dropout2d(0.4), nn.AlphaDropout(0.4), nn.DropPath(0.4)],
    ids=lambda m: type(m).__name__,
)
def test_layers_rest_in_evaluation(layer):
    x = pynet.tensor(X)
    assert not np.array_equal(layer(x).array, X)
    assert layer.eval()(x) is x


def test_parameters_of_layers():
    assert repr(nn.Dropout1d(0.2)) == "Dropout1d(p=0.2, inplace=False)"
    assert repr(nn.DropPath(0.2)) == "DropPath(drop_prob=0.2)"


CASES = {
    "glu": (lambda F, x: F.glu(x, 1), lambda nn: nn.GLU(1)),
    "softmin": (lambda F, x: F.softmin(x, 1), lambda nn: nn.Softmin(1)),
    "softmax2d": (lambda F, x: F.softmax(x, -3), lambda nn: nn.Softmax2d()),
    "normalize": (lambda F, x: F.normalize(x, dim=-1), None),
    "normalize 1": (lambda F, x: F.normalize(x, 1.0, 0), None),
    "normalize inf": (lambda F, x: F.normalize(x, float("inf")), None),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_and_pytorch(name, check_float32):
    function, build = CASES[name]
    x = pynet.tensor(X, requires_grad=True)
    assert gradcheck(lambda t: function(F, t), (x,))
    check_float32(lambda t: function(F, t), x)
    if build is not None:
        np.testing.assert_array_equal(build(nn)(x).array, function(F, x).array)
    torch = pytest.importorskip("torch")
    theirs = torch.tensor(X, requires_grad=True)
    a, b = function(F, x), function(torch.nn.functional, theirs)
    (a * a).sum().backward()
    (b * b).sum().backward()
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(x.grad.array, theirs.grad.numpy(), rtol=1e-9, atol=1e-12)
    assert build is None or repr(build(nn)) == repr(build(torch.nn))


def test_normalized_rows_have_length_one_and_zeros_stay():
    x = pynet.tensor([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(F.normalize(x).array, [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: F.dropout1d(x[None], 0.5), ValueError, r"expected \(N, C, L\) or \(C, L\)"),
        (lambda x: F.dropout2d(x, 1.5), ValueError, "dropout2d: p must be from 0 to 1, got 1.5"),
        (lambda x: F.dropout2d(x[0, 0], 0.5), ValueError, r"dropout2d: expected \(N, C, H, W\)"),
        (lambda x: F.drop_path(x, -0.1, True), ValueError, "p must be from 0 to 1, got -0.1"),
        (lambda x: F.drop_path(x.sum(), 0.1, True), ValueError, "no axis of samples"),
        (lambda x: F.alpha_dropout(x.long(), 0.1), TypeError, "alpha_dropout: input is int64"),
        (lambda x: nn.DropPath(2), ValueError, r"probability in \[0, 1\], got 2"),
        (lambda x: F.glu(x), ValueError, "must have an even size to be halved"),
        (lambda x: nn.Softmax2d()(x[0]), ValueError, "Softmax2d: expected"),
        (lambda x: F.softshrink(x, -1), ValueError, "lambd must not be negative, got -1"),
        (lambda x: nn.Softshrink(-1), ValueError, "Softshrink: lambd"),
        (lambda x: F.one_hot(x), TypeError, "labels must be integers"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(pynet.tensor(X))
