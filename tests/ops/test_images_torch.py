"""Convolutions, padding, interpolation and folding beside PyTorch, where it is installed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import pynet
from pynet import nn
from pynet.nn import functional as F

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
TF = torch.nn.functional


def both(ours, theirs, *arrays, atol=1e-9):
    """Values and gradients of two functions of the same float64 arrays."""
    mine = [pynet.tensor(a, requires_grad=True) for a in arrays]
    other = [torch.tensor(a, requires_grad=True) for a in arrays]
    got, want = ours(*mine), theirs(*other)
    assert got.shape == tuple(want.shape)
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=0, atol=atol)
    start = np.random.default_rng(1).standard_normal(got.shape)
    got.backward(pynet.tensor(start))
    want.backward(torch.tensor(start))
    for m, t in zip(mine, other, strict=True):
        np.testing.assert_allclose(m.grad.numpy(), t.grad.numpy(), rtol=0, atol=atol)


def draw(*shape):
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize(
    ("stride", "padding", "output_padding", "groups", "dilation"),
    [
        (1, 0, 0, 1, 1),
        (2, 1, 1, 1, 1),
        ((2, 3), (1, 0), (1, 2), 2, (1, 2)),
        (1, 2, 1, 2, 2),  # more output padding than the stride
        (2, 2, 2, 1, 3),
        (3, 0, 0, 2, 1),
    ],
)
def test_transposed_convolution(stride, padding, output_padding, groups, dilation):
    rest = (stride, padding, output_padding, groups, dilation)
    arrays = draw(2, 4, 5, 6), draw(4, 3, 3, 2), draw(3 * groups)
    both(lambda *a: F.conv_transpose2d(*a, *rest), lambda *a: TF.conv_transpose2d(*a, *rest), *arrays)
    if all(isinstance(r, int) for r in rest):
        arrays = draw(2, 4, 7), draw(4, 3, 3), draw(3 * groups)
        both(lambda *a: F.conv_transpose1d(*a, *rest), lambda *a: TF.conv_transpose1d(*a, *rest), *arrays)


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [(1, 0, 1, 1), (2, 3, 2, 2), (1, "same", 1, 1), (1, "same", 3, 2), (3, "valid", 1, 1)],
)
def test_signals(stride, padding, dilation, groups):
    rest = (stride, padding, dilation, groups)
    arrays = draw(2, 4, 11), draw(6, 4 // groups, 4), draw(6)
    both(lambda *a: F.conv1d(*a, *rest), lambda *a: TF.conv1d(*a, *rest), *arrays)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize(
    ("shape", "widths"),
    [
        ((2, 3, 5, 6), (1, 2, 3, 4)),
        ((2, 3, 5, 6), (0, 3, 0, 0)),
        ((3, 5, 6), (5, 0, 1, 2)),
        ((2, 3, 7), (6, 3)),
        ((2, 7), (2, 6)),
    ],
)
def test_pad(mode, shape, widths):
    both(lambda x: F.pad(x, widths, mode), lambda x: TF.pad(x, widths, mode), draw(*shape))


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
def test_negative_pad(mode):
    widths = (-1, 2, 1, -2)
    both(lambda x: F.pad(x, widths, mode), lambda x: TF.pad(x, widths, mode), draw(2, 3, 5, 6))


SIZES = [((5, 6), (10, 12)), ((5, 6), (3, 4)), ((5, 6), (5, 6)), ((7, 1), (1, 9)), ((13, 9), (8, 31))]


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_interpolate_to_a_size(mode, shape, size):
    for corners in (None,) if mode not in ("bilinear", "bicubic") else (False, True):
        both(
            lambda x: F.interpolate(x, size, mode=mode, align_corners=corners),  # noqa: B023
            lambda x: TF.interpolate(x, size, mode=mode, align_corners=corners),  # noqa: B023
            draw(2, 3, *shape),
            # PyTorch keeps its scales in double but some positions in single precision
            atol=1e-9,
        )


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
@pytest.mark.parametrize("factor", [2, 0.5, (1.7, 0.6), 3.3])
@pytest.mark.parametrize("recompute", [None, True])
def test_interpolate_by_a_factor(mode, factor, recompute):
    arguments = {"scale_factor": factor, "mode": mode, "recompute_scale_factor": recompute}
    both(lambda x: F.interpolate(x, **arguments), lambda x: TF.interpolate(x, **arguments), draw(2, 3, 5, 8))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(3, 4), (11, 13), (5, 2)])
@pytest.mark.parametrize("corners", [False, True])
def test_interpolate_antialiased(mode, size, corners):
    arguments = {"size": size, "mode": mode, "antialias": True, "align_corners": corners}
    both(lambda x: F.interpolate(x, **arguments), lambda x: TF.interpolate(x, **arguments), draw(1, 2, 9, 8))


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "linear", "area"])
@pytest.mark.parametrize("arguments", [{"size": 5}, {"size": 19}, {"scale_factor": 1.3}])
def test_interpolate_signals(mode, arguments):
    both(
        lambda x: F.interpolate(x, mode=mode, **arguments),
        lambda x: TF.interpolate(x, mode=mode, **arguments),
        draw(2, 3, 8),
    )


def test_nearest_takes_the_same_pixels_in_single_precision():
    # Positions on the edge between two pixels are decided by rounding.
    for n, o in itertools.product(range(1, 60), range(1, 60)):
        x = np.arange(n, dtype=np.float32).reshape(1, 1, 1, n)
        for mode in ("nearest", "nearest-exact"):
            got = F.interpolate(pynet.tensor(x), (1, o), mode=mode).numpy()
            want = TF.interpolate(torch.tensor(x), (1, o), mode=mode).numpy()
            np.testing.assert_array_equal(got, want, err_msg=f"{mode} {n} -> {o}")


@pytest.mark.parametrize(
    "arguments",
    [(3,), ((2, 3), 1, (1, 0), (2, 1)), ((3, 2), (2, 1), 2, 3), (1,), (2, 1, 0, 2)],
)
def test_unfold_and_fold(arguments):
    x = draw(2, 3, 7, 6)
    both(lambda x: F.unfold(x, *arguments), lambda x: TF.unfold(x, *arguments), x)
    columns = TF.unfold(torch.tensor(x), *arguments).numpy()
    both(lambda c: F.fold(c, (7, 6), *arguments), lambda c: TF.fold(c, (7, 6), *arguments), columns)


@pytest.mark.parametrize("shape", [(2, 8, 3, 5), (8, 4, 6), (2, 3, 4, 2, 2)])
def test_pixel_shuffle(shape):
    both(lambda x: F.pixel_shuffle(x, 2), lambda x: TF.pixel_shuffle(x, 2), draw(*shape))
    wide = (*shape[:-3], 2, 6, 4)
    both(lambda x: F.pixel_unshuffle(x, 2), lambda x: TF.pixel_unshuffle(x, 2), draw(*wide))


LAYERS = [
    ("Conv1d", (4, 6, 3), {"padding": "same", "padding_mode": "circular"}, (2, 4, 9)),
    ("Conv1d", (4, 6, 4), {"padding": 2, "stride": 2, "groups": 2, "padding_mode": "reflect"}, (2, 4, 9)),
    ("Conv2d", (4, 6, 3), {"padding": 2, "padding_mode": "reflect"}, (2, 4, 7, 8)),
    ("Conv2d", (4, 6, (2, 4)), {"padding": "same", "padding_mode": "replicate"}, (2, 4, 7, 8)),
    ("Conv2d", (4, 6, 3), {"padding": (1, 3), "padding_mode": "circular", "stride": 2}, (2, 4, 7, 8)),
    ("Conv2d", (4, 6, 4), {"padding": "same", "dilation": (1, 3)}, (2, 4, 7, 8)),
    ("ConvTranspose1d", (4, 6, 3, 2, 1), {"output_padding": 1, "groups": 2}, (2, 4, 9)),
    ("ConvTranspose2d", (4, 6, 3, 2, 1), {"output_padding": 1, "bias": False}, (2, 4, 5, 6)),
    ("ReflectionPad2d", ((1, 2, 3, 0),), {}, (2, 4, 5, 6)),
    ("ReflectionPad1d", (2,), {}, (2, 4, 5)),
    ("ReplicationPad2d", (3,), {}, (2, 4, 5, 6)),
    ("ReplicationPad1d", (3,), {}, (2, 4, 5)),
    ("ZeroPad2d", ((1, -1, 2, 0),), {}, (2, 4, 5, 6)),
    ("ZeroPad1d", (2,), {}, (2, 4, 5)),
    ("ConstantPad2d", (1, 3.5), {}, (2, 4, 5, 6)),
    ("ConstantPad1d", (1, 3.5), {}, (2, 4, 5)),
    ("CircularPad2d", (2,), {}, (2, 4, 5, 6)),
    ("CircularPad1d", (2,), {}, (2, 4, 5)),
    ("Upsample", (None, 2), {"mode": "bilinear"}, (2, 4, 5, 6)),
    ("UpsamplingBilinear2d", (None, 2), {}, (2, 4, 5, 6)),
    ("UpsamplingNearest2d", ((7, 9),), {}, (2, 4, 5, 6)),
    ("PixelShuffle", (2,), {}, (2, 4, 5, 6)),
    ("PixelUnshuffle", (2,), {}, (2, 4, 4, 6)),
    ("Unfold", ((2, 3),), {"stride": 2, "padding": 1}, (2, 4, 5, 6)),
    ("Fold", ((5, 6), (2, 3)), {"stride": 1}, (2, 24, 16)),
]


@pytest.mark.parametrize(("name", "arguments", "named", "shape"), LAYERS)
def test_layers(name, arguments, named, shape):
    ours, theirs = getattr(nn, name)(*arguments, **named), getattr(torch.nn, name)(*arguments, **named)
    assert ours.extra_repr() == theirs.extra_repr()
    x = draw(*shape).astype(np.float32)
    state = {k: v.numpy() for k, v in theirs.state_dict().items()}
    ours.load_state_dict({k: pynet.tensor(v) for k, v in state.items()})
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    want = theirs(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours(pynet.tensor(x)).detach().numpy(), want, rtol=0, atol=2e-5)
    if name != "Fold" and not (name == "ConstantPad1d" or name == "ConstantPad2d"):
        compiled = pynet.inference(ours.eval())
        np.testing.assert_allclose(compiled(pynet.tensor(x)).numpy(), want, rtol=0, atol=2e-5)


def test_transposed_convolution_to_an_output_size():
    ours, theirs = nn.ConvTranspose2d(2, 3, 3, stride=3), torch.nn.ConvTranspose2d(2, 3, 3, stride=3)
    x = draw(1, 2, 4, 4).astype(np.float32)
    for size in ([12, 14], [1, 3, 13, 13]):
        assert ours(pynet.tensor(x), size).shape == tuple(theirs(torch.tensor(x), size).shape)
    with pytest.raises(ValueError, match=r"output_size \(15, 12\) cannot be"):
        ours(pynet.tensor(x), [15, 12])
