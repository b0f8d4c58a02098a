"""Convolution: geometry, gradients, fusion, algorithms and errors."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, ops

GEOMETRIES = [
    # x, weight, options
    ((2, 3, 5, 6), (4, 3, 3, 3), {}),
    ((1, 2, 5, 5), (3, 2, 3, 2), {"stride": 2, "padding": 1}),
    ((2, 2, 6, 5), (2, 2, 2, 3), {"stride": (2, 1), "padding": (1, 2), "dilation": (2, 1)}),
    ((1, 4, 4, 4), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    ((2, 3, 4, 4), (6, 1, 3, 3), {"groups": 3}),
    ((1, 3, 4, 4), (2, 3, 1, 1), {}),
    ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ((0, 2, 4, 4), (3, 2, 3, 3), {}),
    ((2, 2, 5, 4), (3, 2, 3, 3), {"padding": "same"}),
    ((1, 2, 5, 4), (3, 2, 2, 4), {"padding": "same"}),
    ((1, 2, 5, 4), (3, 2, 2, 4), {"padding": "valid"}),
]


def naive(x, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    """The definition, one output element at a time."""
    pair = lambda v: (v, v) if isinstance(v, int) else v  # noqa: E731
    stride, dilation = pair(stride), pair(dilation)
    kh, kw = weight.shape[2:]
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, (kh, kw), strict=True)]
        widths = [(t // 2, t - t // 2) for t in total]
    else:
        widths = [(p, p) for p in pair(0 if padding == "valid" else padding)]
    x = np.pad(x, ((0, 0), (0, 0), *widths))
    oh, ow = (
        (n - d * (k - 1) - 1) // s + 1
        for n, d, k, s in zip(x.shape[2:], dilation, (kh, kw), stride, strict=True)
    )
    out = np.zeros((len(x), len(weight), oh, ow))
    per, filters = weight.shape[1], len(weight) // groups
    for f in range(len(weight)):
        channels = x[:, f // filters * per : f // filters * per + per]
        for i in range(oh):
            for j in range(ow):
                window = channels[
                    :,
                    :,
                    i * stride[0] : i * stride[0] + dilation[0] * (kh - 1) + 1 : dilation[0],
                    j * stride[1] : j * stride[1] + dilation[1] * (kw - 1) + 1 : dilation[1],
                ]
                out[:, f, i, j] = (window * weight[f]).sum((1, 2, 3)) + (0 if bias is None else bias[f])
    return out


@pytest.mark.parametrize(("xs", "ws", "options"), GEOMETRIES, ids=str)
@pytest.mark.parametrize("with_bias", [True, False])
def test_conv2d(xs, ws, options, with_bias, make, check_float32):
    inputs = [make(*xs), make(*ws)] + ([make(ws[0])] if with_bias else [])

    def function(x, weight, bias=None):
        return ops.conv2d(x, weight, bias, **options)

    out = function(*inputs)
    arrays = [t.array for t in inputs] + [None] * (3 - len(inputs))
    np.testing.assert_allclose(out.array, naive(*arrays, **options), atol=1e-12)
    assert out.array.transpose(0, 2, 3, 1).flags.c_contiguous
    if inputs[0].numel():
        assert gradcheck(function, inputs)
    check_float32(function, *inputs)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "sigmoid", "tanh"])
def test_fused_activation(activation, make, check_float32):
    x, weight, bias = make(2, 2, 4, 4), make(3, 2, 3, 3), make(3)

    def fused(x, weight, bias):
        return ops.conv2d(x, weight, bias, padding=1, activation=activation)

    out = fused(x, weight, bias)
    assert out.grad_fn.attributes["activation"] == activation
    separate = getattr(ops, activation)(ops.conv2d(x, weight, bias, padding=1))
    np.testing.assert_allclose(out.array, separate.array, atol=1e-12)
    assert gradcheck(fused, (x, weight, bias))
    check_float32(fused, x, weight, bias)
    names = []
    with pynet.autograd.listen(lambda name, *rest: names.append(name)):
        np.testing.assert_array_equal(fused(x, weight, bias).array, separate.array)
    assert names == ["conv2d", activation]


def test_any_memory_order_gives_the_same(make):
    x, weight = make(2, 3, 6, 6), make(4, 3, 3, 3)
    expected = ops.conv2d(x, weight).array
    channels_last = np.ascontiguousarray(x.array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    readonly = x.array.copy()
    readonly.flags.writeable = False
    for array in (
        channels_last,
        np.asfortranarray(x.array),
        x.array[:, :, ::-1].copy()[:, :, ::-1],
        readonly,
    ):
        for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
            got = ops.conv2d(pynet.from_numpy(array.astype(dtype, copy=False)), weight.detach().to(dtype))
            np.testing.assert_allclose(got.array, expected, atol=tolerance, rtol=tolerance)


def test_unbatched(make):
    x, weight = make(3, 5, 5), make(4, 3, 3, 3)
    out = ops.conv2d(x, weight, padding=1)
    assert out.shape == (4, 5, 5)
    np.testing.assert_array_equal(out.array, ops.conv2d(x.unsqueeze(0), weight, padding=1).array[0])
    assert gradcheck(lambda t: ops.conv2d(t, weight), (make(3, 3, 4),))


def test_batch_zero_has_zero_gradients(make):
    weight, bias = make(3, 2, 3, 3), make(3)
    out = ops.conv2d(pynet.zeros(0, 2, 4, 4, dtype=np.float64), weight, bias)
    assert out.shape == (0, 3, 2, 2)
    out.sum().backward()
    assert not weight.grad.array.any() and not bias.grad.array.any()


def test_gradient_of_the_bias_alone(make):
    x, weight, bias = make(2, 2, 4, 4, requires_grad=False), make(3, 2, 3, 3, requires_grad=False), make(3)
    ops.conv2d(x, weight, bias).sum().backward()
    assert bias.grad.tolist() == [8.0] * 3


@pytest.mark.parametrize("algorithm", ["auto", "direct", "im2col", "winograd2", "winograd4", "fft"])
def test_algorithms_agree(algorithm, make, check_float32):
    x, weight = make(2, 3, 6, 6), make(4, 3, 3, 3)
    with pynet.conv_algorithm(algorithm):
        out = ops.conv2d(x, weight, padding=1)
        assert out.grad_fn.attributes["algorithm"] == algorithm
        check_float32(lambda a, b: ops.conv2d(a, b, padding=1), x, weight)
    assert ops.conv2d(x, weight).grad_fn.attributes["algorithm"] == "auto"


def test_unknown_algorithm():
    with pytest.raises(ValueError, match="unknown algorithm 'magic'; choose one of auto, direct, im2col"):
        pynet.conv_algorithm("magic")


@pytest.mark.parametrize(
    ("xs", "ws", "options", "message"),
    [
        (
            (8, 3, 32, 32),
            (32, 16, 3, 3),
            {},
            r"x has 3 channels but weight expects 16; x is \(8, 3, 32, 32\), weight \(32",
        ),
        ((1, 3, 8, 8), (4, 2, 3, 3), {"groups": 2}, "expects 4 in 2 groups"),
        ((3, 8), (4, 3, 3, 3), {}, r"expected x \(N, C, H, W\) or \(C, H, W\)"),
        ((1, 3, 8, 8), (4, 3, 3), {}, "expected x"),
        (
            (1, 3, 4, 4),
            (4, 3, 5, 5),
            {},
            r"the kernel \(dilated size 5\) exceeds the padded input \(size 4\)",
        ),
        ((1, 3, 4, 4), (4, 3, 3, 3), {"dilation": 2}, "dilated size 5"),
        ((1, 3, 4, 4), (4, 3, 3, 3), {"groups": 0}, "groups=0 must be at least 1"),
        ((1, 3, 4, 4), (4, 3, 3, 3), {"groups": -1}, "groups=-1"),
        ((1, 3, 4, 4), (4, 1, 3, 3), {"groups": 3}, "divide the 4 filters"),
        ((1, 3, 4, 4), (4, 3, 3, 3), {"stride": 0}, "stride must be at least 1, got 0"),
        ((1, 3, 4, 4), (4, 3, 3, 3), {"dilation": (1, 0)}, "dilation must be at least 1"),
        ((1, 3, 4, 4), (4, 3, 3, 3), {"padding": -1}, "padding must be at least 0"),
        ((1, 3, 4, 4), (4, 3, 3, 3), {"padding": (1, 2, 3)}, "padding takes one int or two"),
        ((1, 3, 4, 4), (4, 3, 3, 3), {"padding": "same", "stride": 2}, 'padding "same" needs stride 1'),
        ((1, 3, 4, 4), (4, 3, 3, 3), {"padding": "full"}, "got 'full'"),
        ((1, 3, 4, 4), (4, 3, 0, 3), {}, "at least one tap"),
    ],
)
def test_value_errors(xs, ws, options, message):
    with pytest.raises(ValueError, match=message):
        ops.conv2d(pynet.zeros(*xs), pynet.zeros(*ws), **options)


def test_type_errors():
    x, weight = pynet.zeros(1, 1, 4, 4), pynet.zeros(2, 1, 3, 3)
    with pytest.raises(ValueError, match=r"bias is \(3,\), weight \(2, 1, 3, 3\) needs \(2,\)"):
        ops.conv2d(x, weight, pynet.zeros(3))
    for options in ({"stride": 1.5}, {"stride": True}, {"padding": (1, 0.5)}, {"groups": 1.0}):
        with pytest.raises(TypeError, match="must be an int, got"):
            ops.conv2d(x, weight, **options)
    with pytest.raises(TypeError, match=r"x is int64, expected float32 or float64; convert it with \.float"):
        ops.conv2d(pynet.tensor(np.zeros((1, 1, 4, 4), np.int64)), weight)
    with pytest.raises(TypeError, match="x is bool"):
        ops.conv2d(pynet.tensor(np.zeros((1, 1, 4, 4), bool)), weight)
    with pytest.raises(TypeError, match="float32 and float64 do not mix"):
        ops.conv2d(x, weight.double())


def test_channels_of_size_zero():
    out = ops.conv2d(pynet.zeros(2, 0, 4, 4, dtype=np.float64), pynet.zeros(3, 0, 3, 3, dtype=np.float64))
    assert out.shape == (2, 3, 2, 2) and not out.array.any()
