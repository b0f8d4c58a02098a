"""Shapes: values, gradients, what is a view, errors."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, ops

CASES = {
    "reshape": (lambda t: t.reshape(3, -1), lambda a: a.reshape(3, -1)),
    "view": (lambda t: t.view((4, 6)), lambda a: a.reshape(4, 6)),
    "flatten": (lambda t: t.flatten(1), lambda a: a.reshape(2, 12)),
    "flatten all": (lambda t: t.flatten(), lambda a: a.reshape(-1)),
    "flatten middle": (lambda t: t.flatten(0, 1), lambda a: a.reshape(6, 4)),
    "unflatten": (lambda t: t.unflatten(2, (2, -1)), lambda a: a.reshape(2, 3, 2, 2)),
    "permute": (lambda t: t.permute(2, 0, 1), lambda a: a.transpose(2, 0, 1)),
    "transpose": (lambda t: t.transpose(0, -1), lambda a: a.swapaxes(0, 2)),
    "T": (lambda t: t.T, lambda a: a.T),
    "unsqueeze": (lambda t: t.unsqueeze(1), lambda a: a[:, None]),
    "unsqueeze last": (lambda t: t.unsqueeze(-1), lambda a: a[..., None]),
    "squeeze": (lambda t: t[:, :1].squeeze(), lambda a: a[:, 0]),
    "squeeze one": (lambda t: t[:, :1].squeeze(1), lambda a: a[:, 0]),
    "squeeze none": (lambda t: t.squeeze(0), lambda a: a),
    "expand": (lambda t: t.expand(2, -1, 3, 4), lambda a: np.broadcast_to(a, (2, 2, 3, 4))),
    "expand ones": (lambda t: t[:, :1].expand(2, 3, 4), lambda a: np.broadcast_to(a[:, :1], (2, 3, 4))),
    "flip": (lambda t: t.flip((0, 2)), lambda a: a[::-1, :, ::-1]),
    "cat": (lambda t: ops.cat([t, t * 2.0], 1), lambda a: np.concatenate([a, 2 * a], 1)),
    "stack": (lambda t: ops.stack([t, t * 2.0], -1), lambda a: np.stack([a, 2 * a], -1)),
    "split": (lambda t: t.split(2, 1)[1], lambda a: a[:, 2:]),
    "split sizes": (lambda t: t.split([1, 3], 2)[1], lambda a: a[:, :, 1:]),
    "chunk": (lambda t: t.chunk(2, 2)[0], lambda a: a[:, :, :2]),
    "unbind": (lambda t: t.unbind(1)[2], lambda a: a[:, 2]),
    "pad": (lambda t: ops.pad(t, (1, 2)), lambda a: np.pad(a, ((0, 0), (0, 0), (1, 2)))),
    "pad value": (
        lambda t: ops.pad(t, (0, 1, 2, 0), value=3.0),
        lambda a: np.pad(a, ((0, 0), (2, 0), (0, 1)), constant_values=3),
    ),
    "pad reflect": (
        lambda t: ops.pad(t, (3, 2, 1, 1), "reflect"),
        lambda a: np.pad(a, ((0, 0), (1, 1), (3, 2)), "reflect"),
    ),
    "pad replicate": (
        lambda t: ops.pad(t, (5, 1), "replicate"),
        lambda a: np.pad(a, ((0, 0), (0, 0), (5, 1)), "edge"),
    ),
    "pad circular": (
        lambda t: ops.pad(t, (4, 3), "circular"),
        lambda a: np.pad(a, ((0, 0), (0, 0), (4, 3)), "wrap"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name, make, check_float32):
    function, oracle = CASES[name]
    x = make(2, 3, 4)
    np.testing.assert_array_equal(function(x).array, oracle(x.array))
    assert gradcheck(function, (x,))
    check_float32(function, x)


@pytest.mark.parametrize("name", ["pad", "pad reflect", "pad replicate", "flip", "cat"])
def test_maps_keep_their_memory_order(name, make):
    function, _ = CASES[name]
    maps = pynet.tensor(
        np.random.default_rng(0).standard_normal((2, 4, 4, 3)).transpose(0, 3, 1, 2), requires_grad=True
    )
    assert function(maps).array.transpose(0, 2, 3, 1).flags.c_contiguous
    assert gradcheck(function, (maps,))


def test_flatten_of_maps_is_in_the_order_n_c_h_w():
    values = np.arange(24.0).reshape(2, 3, 2, 2)
    maps = ops.relu(pynet.tensor(values))
    assert maps.flatten(1).tolist() == values.reshape(2, -1).tolist()


def test_maps_of_one_pixel_are_rows_without_a_copy():
    x = pynet.zeros(4, 3, 1, 1)
    for rows in (x[::2].flatten(1), x.view(4, 3)[::2]):
        rows.add_(1)
    assert x.flatten().tolist() == [2.0] * 3 + [0.0] * 3 + [2.0] * 3 + [0.0] * 3


def test_views_share_memory():
    x = pynet.zeros(4, 6)
    for part in (
        x.reshape(6, 4),
        x.T,
        x.permute(1, 0),
        x.unsqueeze(0),
        x.split(2)[1],
        x[1],
        x.expand(2, 4, 6),
    ):
        assert np.shares_memory(part.array, x.array)
    for copy in (x.flip(0), x.clone(), ops.cat([x]), x.T.reshape(24)):
        assert not np.shares_memory(copy.array, x.array)


def test_zero_dimensional():
    s = pynet.tensor(2.0, requires_grad=True)
    for view in (s.reshape(1), s.flatten(), s.unsqueeze(0), s.view(-1)):
        assert view.shape == (1,)
    assert s.T.shape == () and s.squeeze().shape == () and s.expand(3).tolist() == [2.0] * 3
    s.expand(3).sum().backward()
    assert s.grad.item() == 3.0


def test_empty():
    x = pynet.zeros(0, 3)
    assert x.reshape(3, 0).shape == (3, 0) and x.flatten().shape == (0,)
    assert x.split(2)[0].shape == (0, 3) and x.unbind(0) == ()
    assert ops.cat([x, pynet.ones(1, 3)]).shape == (1, 3)


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ((-1, -1), ValueError, "at most one -1"),
        ((4, -1), ValueError, r"\(2, 3\) has 6 elements, which do not fit into \(4, -1\)"),
        ((-2, 3), ValueError, "sizes must be >= 0"),
        ((0, -1), ValueError, "do not fit"),
        ((2, 4), ValueError, "do not fit"),
        ((2.0, 3), TypeError, "a size must be an int, got float"),
        ((True, 6), TypeError, "a size must be an int, got bool"),
        ((2**62, 2**62), ValueError, "do not fit"),
    ],
)
def test_reshape_errors(shape, error, message):
    with pytest.raises(error, match=message):
        pynet.zeros(2, 3).reshape(*shape)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: x.transpose(0, 2), IndexError, "dim 2 is out of range for 2 axes"),
        (lambda x: x.permute(0, 0), ValueError, "each of the 2 axes"),
        (lambda x: x.permute(0), ValueError, "each of the 2 axes"),
        (lambda x: x.flatten(1, 0), ValueError, "comes after end_dim"),
        (lambda x: x.expand(4, 3), ValueError, r"\(2, 3\) cannot become \(4, 3\)"),
        (lambda x: x.expand(3), ValueError, "cannot become"),
        (lambda x: x.unsqueeze(3), IndexError, "out of range"),
        (lambda x: x.unflatten(1, (2, -1)), ValueError, "axis 1 of size 3 does not fit"),
        (lambda x: x.flip((0, 0)), ValueError, "names an axis twice"),
        (lambda x: x.split(0), ValueError, "split_size must be at least 1"),
        (lambda x: x.split([1, 2]), ValueError, r"sizes \(1, 2\) do not add up to 2"),
        (lambda x: x.chunk(0), ValueError, "chunks must be at least 1"),
        (lambda x: ops.cat([]), ValueError, "no tensors given"),
        (lambda x: ops.cat(x), TypeError, "expected a list or tuple"),
        (lambda x: ops.cat([x, x.double()]), TypeError, "do not mix"),
        (lambda x: ops.cat([x, pynet.zeros(2, 4)]), ValueError, "differ in more than axis 0"),
        (lambda x: ops.cat([x.sum()]), ValueError, "use stack"),
        (lambda x: ops.stack([x, pynet.zeros(3, 2)]), ValueError, "make them equal"),
        (lambda x: ops.pad(x, (1,)), ValueError, "must be pairs"),
        (
            lambda x: ops.pad(x, (3, 0), "reflect"),
            ValueError,
            "reflect allows at most 2 for an axis of size 3",
        ),
        (lambda x: ops.pad(x, (4, 0), "circular"), ValueError, "circular allows at most 3"),
        (lambda x: ops.pad(x, (1, 1), "mirror"), ValueError, "unknown mode 'mirror'"),
        (lambda x: ops.pad(x, (1.0, 1)), TypeError, "a width must be an int"),
    ],
)
def test_errors(function, error, message):
    with pytest.raises(error, match=message):
        function(pynet.zeros(2, 3))
