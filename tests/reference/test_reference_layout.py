"""Layouts survive, and a window view is what its definition says."""

from __future__ import annotations

import numpy as np
import pytest

from pynet.reference import layout


def test_to_nhwc_keeps_values_and_copies_only_when_needed(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    dense = layout.to_nhwc(x)
    assert layout.is_nhwc(dense)
    assert not layout.is_nhwc(x)
    np.testing.assert_array_equal(dense, x)
    assert np.shares_memory(layout.to_nhwc(dense), dense)


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 1, 4, 5), (2, 3, 1, 1), (1, 1, 1, 1)])
def test_unit_and_empty_axes_are_dense_in_any_order(shape):
    assert layout.is_nhwc(layout.to_nhwc(np.ones(shape)))
    assert layout.nhwc_full(shape, 7.0, np.float32).dtype == np.float32


def test_weight_layouts(rng):
    conv, linear = rng.standard_normal((4, 3, 2, 5)), rng.standard_normal((4, 3))
    assert layout.to_hwio(conv).transpose(2, 3, 1, 0).flags.c_contiguous
    np.testing.assert_array_equal(layout.to_hwio(conv), conv)
    assert layout.to_io(linear).T.flags.c_contiguous
    np.testing.assert_array_equal(layout.to_io(linear), linear)


def test_memory_order_numbers_channels_first():
    x = layout.from_memory_order(np.arange(24), (1, 2, 3, 4))
    np.testing.assert_array_equal(x[0, :, 0, 0], [0, 1])
    np.testing.assert_array_equal(layout.from_memory_order(np.arange(6), (2, 3)), [[0, 1, 2], [3, 4, 5]])


def test_pad_and_crop_are_inverse(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    padded = layout.pad(x, (1, 2), (8, 9), -1.0)
    np.testing.assert_array_equal(layout.crop(padded, (1, 2), (4, 5)), x)
    assert padded.sum() == pytest.approx(x.sum() - (padded.size - x.size))


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"),
    [((2, 3), (1, 1), (1, 1)), ((3, 2), (2, 3), (1, 2)), ((1, 1), (2, 2), (3, 3))],
)
def test_windows_and_their_adjoint(rng, kernel, stride, dilation):
    x = layout.to_nhwc(rng.standard_normal((2, 3, 7, 8)))
    view = layout.windows(x, kernel, stride, dilation)
    assert np.shares_memory(view, x)
    for n, c, i, j, k, m in np.ndindex(view.shape):
        assert (
            view[n, c, i, j, k, m]
            == x[n, c, i * stride[0] + k * dilation[0], j * stride[1] + m * dilation[1]]
        )

    # <windows(x), v> = <x, adjoint(v)> for every v is what makes it the adjoint.
    values = rng.standard_normal(view.shape)
    back = np.zeros_like(x)
    layout.add_to_windows(back, values, stride, dilation)
    assert (view * values).sum() == pytest.approx((x * back).sum())
