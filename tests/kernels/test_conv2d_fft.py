"""Convolution by FFT: the kernels it is made for, its rounding errors, and when it is taken."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import _core, reference
from tests.kernels.test_conv2d import check, geometry, operands
from tests.shapes import ConvCase

CASES = [
    ConvCase(2, 5, 33, 30, 20, 11, 11, padding=(5, 5)),  # several tiles each way, the last ones cut
    ConvCase(1, 3, 9, 50, 4, 1, 7, padding=(0, 3)),
    ConvCase(2, 4, 20, 19, 6, 8, 6, padding=(5, 7)),  # even; more padding than the kernel reaches
    ConvCase(1, 3, 5, 6, 18, 31, 31, padding=(15, 15)),  # larger than the map
    ConvCase(2, 3, 7, 6, 4, 3, 9, padding=(2, 12)),
    ConvCase(1, 17, 20, 20, 33, 15, 3, padding=(7, 1)),  # one channel beyond a vector
    ConvCase(1, 2, 70, 66, 3, 64, 64),  # the largest: one pixel a tile
    ConvCase(2, 8, 40, 17, 12, 5, 5, padding=(2, 2), groups=2),
    ConvCase(3, 18, 40, 35, 18, 21, 13, padding=(10, 6), groups=18),  # depthwise
    ConvCase(1, 40, 21, 50, 40, 31, 31, padding=(15, 15), groups=40),
    ConvCase(1, 5, 12, 9, 5, 4, 7, padding=(5, 1), groups=5),
    ConvCase(1, 6, 12, 12, 12, 9, 9, padding=(4, 4), groups=6),  # channel multiplier 2
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_large_kernels(isa, same_bits, case):
    assert all(result is not None for result in check(case, "fft", same_bits))


@pytest.mark.slow
def test_several_blocks_of_outputs(same_bits):
    """Transformed weights beyond the workspace's bound: outputs are taken block by block."""
    check(ConvCase(1, 450, 5, 6, 40, 9, 9, padding=(4, 4)), "fft", same_bits)


def relative(got, want):
    return np.sqrt(np.mean((got - want) ** 2) / np.mean(want**2))


@pytest.mark.parametrize("case", [case for case in CASES if case.groups == 1], ids=str)
def test_rounding(isa, case):
    """Errors grow with the logarithm of the tile and the root of the channels, not with the kernel."""
    x, w, _ = operands(case)
    exact = [a.astype(np.float64) for a in (x, w)]
    out = reference.conv2d_forward(*exact, None, *geometry(case), "none", 0.0, "auto")
    dout = np.random.default_rng(1).standard_normal(out.shape).astype(np.float32)
    dx = reference.conv2d_backward_data(dout.astype(np.float64), exact[1], x.shape, *geometry(case), "auto")
    dw, _ = reference.conv2d_backward_weight(
        dout.astype(np.float64), exact[0], w.shape, *geometry(case), False, "auto"
    )
    got = [
        _core.conv2d_forward(x, w, None, *geometry(case), "none", 0.0, "fft"),
        _core.conv2d_backward_data(dout, w, x.shape, *geometry(case), "fft"),
        _core.conv2d_backward_weight(dout, x, w.shape, *geometry(case), False, "fft")[0],
    ]
    for mine, want in zip(got, (out, dx, dw), strict=True):
        assert relative(mine, want) < 4e-7


def test_small_values_beside_large_ones():
    """The error follows the largest values of a tile, wherever they lie in it."""
    case = ConvCase(1, 8, 24, 24, 8, 9, 9, padding=(4, 4))
    x, w, _ = operands(case)
    x[:, :, 0, 0] *= 1e4
    want = reference.conv2d_forward(
        *(a.astype(np.float64) for a in (x, w)), None, *geometry(case), "none", 0.0, "auto"
    )
    error = np.abs(_core.conv2d_forward(x, w, None, *geometry(case), "none", 0.0, "fft") - want)
    assert error.max() < 1e-6 * np.abs(want).max()


@pytest.mark.parametrize("case, taken", [
    (ConvCase(8, 32, 32, 32, 32, 11, 11, padding=(5, 5)), True),
    (ConvCase(2, 32, 64, 64, 32, 31, 31, padding=(15, 15), groups=32), True),
    (ConvCase(8, 32, 32, 32, 32, 3, 3, padding=(1, 1)), False),
    (ConvCase(8, 1, 28, 28, 6, 5, 5, padding=(2, 2)), False),  # LeNet's first layer
], ids=str)  # fmt: skip
def test_taken_where_it_pays(isa, case, taken):
    x, w, _ = operands(case)
    auto, fft = (
        _core.conv2d_forward(x, w, None, *geometry(case), "none", 0.0, name) for name in ("auto", "fft")
    )
    assert np.array_equal(auto, fft) == taken


@pytest.mark.parametrize("change", [
    dict(stride=(2, 2)), dict(dilation=(2, 1)), dict(KH=65, KW=65, padding=(40, 40)),
])  # fmt: skip
def test_refusals(change):
    case = ConvCase(1, 2, 20, 20, 3, 9, 9, padding=(4, 4))._replace(**change)
    x, w, _ = operands(case)
    with pytest.raises(ValueError, match='"fft" cannot compute this shape'):
        _core.conv2d_forward(x, w, None, *geometry(case), "none", 0.0, "fft")
