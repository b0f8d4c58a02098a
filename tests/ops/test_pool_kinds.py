"""Pooling of rows, to a given size, by p-norm and back: windows written out, PyTorch, gradients, errors."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, nn
from pynet.nn import functional as F

ROWS = np.random.default_rng(3).standard_normal((2, 3, 11))
MAPS = np.random.default_rng(4).standard_normal((2, 3, 7, 9))
POSITIVE = np.abs(MAPS) + 0.1

# name: (input, function, module)
CASES = {
    "max_pool1d": (ROWS, lambda F, x: F.max_pool1d(x, 3, 2, 1), lambda nn: nn.MaxPool1d(3, 2, 1)),
    "max_pool1d dilated": (
        ROWS,
        lambda F, x: F.max_pool1d(x, 4, 2, 2, 2, True),
        lambda nn: nn.MaxPool1d(4, 2, 2, 2, ceil_mode=True),
    ),
    "avg_pool1d": (
        ROWS,
        lambda F, x: F.avg_pool1d(x, 4, 3, 2, True, False),
        lambda nn: nn.AvgPool1d(4, 3, 2, True, False),
    ),
    "avg_pool1d tuple": (ROWS, lambda F, x: F.avg_pool1d(x, (2,)), lambda nn: nn.AvgPool1d((2,))),
    "avg_pool2d divisor": (
        MAPS,
        lambda F, x: F.avg_pool2d(x, 3, 2, 1, True, divisor_override=5),
        lambda nn: nn.AvgPool2d(3, 2, 1, True, divisor_override=5),
    ),
    "max_pool2d dilated": (
        MAPS,
        lambda F, x: F.max_pool2d(x, 3, 1, 1, 2),
        lambda nn: nn.MaxPool2d(3, 1, 1, 2),
    ),
    "lp_pool1d": (
        np.abs(ROWS),
        lambda F, x: F.lp_pool1d(x, 3.0, 2, 2, True),
        lambda nn: nn.LPPool1d(3.0, 2, 2, True),
    ),
    "lp_pool2d": (
        POSITIVE,
        lambda F, x: F.lp_pool2d(x, 2.0, (3, 2), 2, True),
        lambda nn: nn.LPPool2d(2.0, (3, 2), 2, True),
    ),
    "adaptive_avg_pool1d": (
        ROWS,
        lambda F, x: F.adaptive_avg_pool1d(x, 4),
        lambda nn: nn.AdaptiveAvgPool1d(4),
    ),
    "adaptive_max_pool1d": (
        ROWS,
        lambda F, x: F.adaptive_max_pool1d(x, 4),
        lambda nn: nn.AdaptiveMaxPool1d(4),
    ),
    "adaptive_max_pool2d": (
        MAPS,
        lambda F, x: F.adaptive_max_pool2d(x, (3, None)),
        lambda nn: nn.AdaptiveMaxPool2d((3, None)),
    ),
    "adaptive_max_pool2d even": (
        MAPS[:, :, :6],
        lambda F, x: F.adaptive_max_pool2d(x, (2, 3)),
        lambda nn: nn.AdaptiveMaxPool2d((2, 3)),
    ),
    "adaptive_max_pool2d larger": (
        MAPS,
        lambda F, x: F.adaptive_max_pool2d(x, (9, 10)),
        lambda nn: nn.AdaptiveMaxPool2d((9, 10)),
    ),
}


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_gradients_and_layers(name, batched, check_float32):
    values, function, build = CASES[name]
    x = pynet.tensor(values if batched else values[0], requires_grad=True)
    assert gradcheck(lambda t: function(F, t), (x,))
    check_float32(lambda t: function(F, t), x)
    np.testing.assert_array_equal(build(nn)(x).detach().numpy(), function(F, x).detach().numpy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_pytorch_agrees(name, dtype):
    torch = pytest.importorskip("torch")
    values, function, build = CASES[name]
    ours = pynet.tensor(values.astype(dtype), requires_grad=True)
    theirs = torch.tensor(values.astype(dtype), requires_grad=True)
    a, b = function(F, ours), function(torch.nn.functional, theirs)
    assert a.shape == tuple(b.shape)
    a.sum().backward()
    b.sum().backward()
    tolerance = {"rtol": 3e-6, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), **tolerance)
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), **tolerance)
    assert repr(build(nn)) == repr(build(torch.nn))


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (7, 9), (10, 2)])
def test_adaptive_maxima_are_those_of_their_windows(size):
    values = MAPS.copy()
    values[0, 0, 2, 3] = np.nan
    for x in (pynet.tensor(values), pynet.tensor(values.astype(np.float32))):
        out, indices = F.adaptive_max_pool2d(x, size, return_indices=True)
        assert indices.dtype == np.int64 and not indices.requires_grad
        for i, j in np.ndindex(size):
            rows = slice(i * 7 // size[0], -(-(i + 1) * 7 // size[0]))
            columns = slice(j * 9 // size[1], -(-(j + 1) * 9 // size[1]))
            expected = x.array[:, :, rows, columns].max((2, 3))
            np.testing.assert_array_equal(out.array[:, :, i, j], expected)
        flat = x.array.reshape(2, 3, 63)
        chosen = np.take_along_axis(flat, indices.array.reshape(2, 3, -1), 2)
        np.testing.assert_array_equal(chosen, out.array.reshape(2, 3, -1))


def test_norms_of_windows_and_their_slope_at_zero():
    x = pynet.tensor(np.arange(8.0).reshape(1, 1, 2, 4), requires_grad=True)
    out = F.lp_pool2d(x, 2, 2)
    np.testing.assert_allclose(out.array.ravel(), [np.sqrt(1 + 16 + 25), np.sqrt(4 + 9 + 36 + 49)])
    zeros = pynet.zeros(1, 1, 2, 2, requires_grad=True)
    F.lp_pool2d(zeros, 2, 2).sum().backward()
    assert zeros.grad.tolist() == [[[[0.0, 0.0], [0.0, 0.0]]]]


# --- back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("window", "size"), [((2, 2, 0), (8, 6)), ((3, 2, 1), (7, 9)), ((2, 3, 0), (7, 9))])
def test_unpooling_puts_maxima_back(window, size, dtype):
    x = pynet.tensor(np.random.default_rng(0).standard_normal((2, 3, *size)).astype(dtype))
    pooled, indices = F.max_pool2d(x, *window, return_indices=True)
    back = F.max_unpool2d(pooled, indices, *window, output_size=x.shape)
    places = np.zeros(x.shape, bool).reshape(2, 3, -1)
    np.put_along_axis(places, indices.array.reshape(2, 3, -1), True, 2)
    np.testing.assert_array_equal(back.array, np.where(places.reshape(x.shape), x.array, 0))
    torch = pytest.importorskip("torch")
    theirs = torch.nn.functional.max_unpool2d(
        torch.tensor(pooled.array), torch.tensor(indices.array), *window, output_size=size
    )
    np.testing.assert_array_equal(back.array, theirs.numpy())


def test_unpooling_gradients_and_layers():
    x = pynet.tensor(MAPS[:, :, :6, :8])
    pooled, indices = nn.MaxPool2d(2, return_indices=True)(x)
    pooled.requires_grad_()
    assert gradcheck(lambda t: F.max_unpool2d(t, indices, 2), (pooled,))
    assert nn.MaxUnpool2d(2)(pooled, indices).shape == (2, 3, 6, 8)
    assert nn.MaxUnpool2d(2)(pooled[0], indices[0]).shape == (3, 6, 8)
    rows = pynet.tensor(ROWS)
    pooled, indices = nn.MaxPool1d(2, return_indices=True)(rows)
    back = nn.MaxUnpool1d(2)(pooled, indices, output_size=rows.shape)
    np.testing.assert_array_equal(back.array.sum(-1), pooled.array.sum(-1))
    assert np.count_nonzero(back.array) == pooled.numel()
    pooled.requires_grad_()
    assert gradcheck(lambda t: F.max_unpool1d(t, indices, 2, output_size=(11,)), (pooled,))
    assert repr(nn.MaxUnpool2d(3, 2)) == "MaxUnpool2d(kernel_size=(3, 3), stride=(2, 2), padding=(0, 0))"


# --- bad arguments --------------------------------------------------------------------------------

_PLAIN = pynet.zeros(1, 2, 4, 4)
_AT = pynet.zeros(1, 2, 2, 2).long()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.max_pool1d(_PLAIN, 2), ValueError, r"max_pool1d: expected x \(N, C, L\) or \(C, L\)"),
        (lambda: F.max_pool1d(_PLAIN[0], 0), ValueError, "max_pool1d: kernel_size must be at least 1, got 0"),
        (lambda: F.max_pool1d(_PLAIN[0], (2, 2)), ValueError, r"kernel_size takes one int, got \(2, 2\)"),
        (lambda: F.max_pool1d(_PLAIN[0], 2.0), TypeError, "kernel_size must be an int, got float"),
        (lambda: F.max_pool1d(_PLAIN[0], 9), ValueError, "max_pool1d: the window .size 9. exceeds"),
        (lambda: F.max_pool1d(_PLAIN[0], 3, padding=2), ValueError, "padding .* exceeds half the kernel"),
        (lambda: F.max_pool2d(_PLAIN, 2, 1, 2, 3), ValueError, "exceeds half the kernel"),
        (lambda: F.max_pool1d(_PLAIN[0], 2, dilation=0), ValueError, "dilation must be at least 1, got 0"),
        (lambda: F.avg_pool1d(_PLAIN[0], 2, 0), ValueError, "avg_pool1d: stride must be at least 1"),
        (lambda: F.avg_pool1d(_PLAIN[0].long(), 2), TypeError, "avg_pool1d: x is int64"),
        (lambda: F.avg_pool2d(_PLAIN, 2, divisor_override=0), ValueError, "divisor_override must not be 0"),
        (lambda: F.avg_pool2d(_PLAIN, 2, divisor_override=1.5), TypeError, "divisor_override must be an int"),
        (lambda: F.lp_pool2d(_PLAIN, 0, 2), ValueError, "lp_pool2d: norm_type must not be 0"),
        (lambda: nn.LPPool2d(0, 2), ValueError, "LPPool2d: norm_type must not be 0"),
        (lambda: F.adaptive_max_pool2d(_PLAIN, 0), ValueError, "output_size must be at least 1, got 0"),
        (lambda: F.adaptive_max_pool2d(_PLAIN, (1, 2, 3)), ValueError, "output_size takes one int or two"),
        (lambda: F.adaptive_max_pool1d(_PLAIN[0], -1), ValueError, "output_size must be at least 1, got -1"),
        (lambda: F.adaptive_avg_pool1d(pynet.zeros(2, 0), 1), ValueError, "empty row"),
        (lambda: F.max_unpool2d(_PLAIN, _AT, 2), ValueError, "must have one shape"),
        (lambda: F.max_unpool2d(_AT.float(), _AT + 99, 2), IndexError, "indices from 99 to 99 do not fit"),
        (lambda: F.max_unpool2d(_AT.float(), _AT.float(), 2), TypeError, "indices are float32"),
        (
            lambda: F.max_unpool2d(_AT.float(), _AT, 2, output_size=(9, 9)),
            ValueError,
            r"output_size \(9, 9\) must lie within a stride of \(4, 4\)",
        ),
        (lambda: nn.MaxPool1d(2, padding=2), ValueError, "padding must be at most half the kernel"),
        (lambda: nn.AvgPool1d(0), ValueError, "AvgPool1d: kernel_size must be at least 1, got 0"),
        (lambda: nn.AdaptiveMaxPool2d((1, 2, 3)), ValueError, "output_size must be an int or a pair"),
        (lambda: nn.AdaptiveAvgPool1d("1"), TypeError, "output_size must be an int, got '1'"),
        (lambda: nn.MaxUnpool1d(2, padding=-1), ValueError, "padding must be at least 0, got -1"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
