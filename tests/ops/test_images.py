"""Convolutions of other kinds, padding, interpolation, folding: gradients, single precision, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import nn
from pynet.nn import functional as F

RNG = np.random.default_rng(0)
WEIGHT, KERNEL = RNG.standard_normal((4, 3, 3, 2)), RNG.standard_normal((3, 4, 3))
CASES = {
    "conv_transpose2d": (lambda x, w: F.conv_transpose2d(x, w, None, 2, 1, 1), (2, 4, 3, 4), WEIGHT),
    "conv1d": (lambda x, w: F.conv1d(x, w, None, 2, 1), (2, 4, 6), KERNEL),
    "conv_transpose1d": (lambda x, w: F.conv_transpose1d(x, w, None, 2), (2, 3, 4), KERNEL),
    "reflect": (lambda x: F.pad(x, (1, 2, 2, 0), "reflect"), (2, 2, 3, 4)),
    "replicate": (lambda x: F.pad(x, (3, 1), "replicate"), (2, 2, 4)),
    "circular": (lambda x: F.pad(x, (1, 2, 2, 0), "circular"), (2, 2, 3, 4)),
    "constant": (lambda x: F.pad(x, (1, -1, 2, 0), value=2.0), (2, 2, 3, 4)),
    "nearest": (lambda x: F.interpolate(x, (5, 3)), (2, 2, 3, 4)),
    "bilinear": (lambda x: F.interpolate(x, (5, 7), mode="bilinear"), (2, 2, 3, 4)),
    "corners": (lambda x: F.interpolate(x, (5, 2), mode="bilinear", align_corners=True), (2, 2, 3, 4)),
    "bicubic": (lambda x: F.interpolate(x, (5, 7), mode="bicubic"), (2, 2, 3, 4)),
    "antialias": (lambda x: F.interpolate(x, (2, 3), mode="bilinear", antialias=True), (1, 2, 5, 6)),
    "linear": (lambda x: F.interpolate(x, 7, mode="linear"), (2, 2, 4)),
    "area": (lambda x: F.interpolate(x, (2, 2), mode="area"), (1, 2, 3, 4)),
    "unfold": (lambda x: F.unfold(x, (2, 3), stride=2, padding=1), (2, 2, 3, 4)),
    "fold": (lambda x: F.fold(x, (3, 4), 2), (2, 8, 6)),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), (1, 8, 2, 3)),
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), (1, 2, 4, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_gradients_and_single_precision(name):
    function, shape, *rest = CASES[name]
    arrays = [RNG.standard_normal(shape), *rest]
    assert pynet.gradcheck(function, [pynet.tensor(a, requires_grad=True) for a in arrays])
    want = function(*(pynet.tensor(a) for a in arrays)).numpy()
    odd = [np.asfortranarray(a.astype(np.float32)) for a in arrays]
    narrow = [pynet.tensor(a, requires_grad=True) for a in odd]
    got = function(*narrow)
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=0, atol=2e-5)
    wide = [pynet.tensor(a, requires_grad=True) for a in arrays]
    function(*wide).sum().backward()
    got.sum().backward()
    for a, b in zip(narrow, wide, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=0, atol=5e-5)
    if shape[0] == 2:
        empty = function(pynet.zeros(0, *shape[1:]), *narrow[1:])
        assert empty.shape == (0, *got.shape[1:])


def test_bilinear_is_exact_on_a_plane():
    rows, columns = np.mgrid[0:4, 0:5].astype(np.float32)
    plane = pynet.tensor((2 * rows - columns)[None, None])
    got = F.interpolate(plane, (7, 9), mode="bilinear", align_corners=True).numpy()[0, 0]
    np.testing.assert_allclose(got, 2 * np.linspace(0, 3, 7)[:, None] - np.linspace(0, 4, 9), atol=1e-5)


def test_convolutional_maxout():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Maxout(2)).eval()
    x = pynet.randn(2, 3, 5, 6)
    maps = net[0](x).detach().numpy()
    want = np.maximum(maps[:, 0::2], maps[:, 1::2])
    np.testing.assert_array_equal(net(x).detach().numpy(), want)
    np.testing.assert_allclose(pynet.inference(net)(x).numpy(), want, atol=1e-5)


X = pynet.zeros(1, 4, 5, 6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.pad(X, (6, 0), "reflect"), ValueError, "reflect allows at most 5"),
        (lambda: F.pad(X, (-4, -3)), ValueError, "take more than the 6"),
        (lambda: F.pad(X, (1, 1), "reflect", 2.0), ValueError, "takes no value"),
        (lambda: F.interpolate(X), ValueError, "either size or scale_factor"),
        (lambda: F.interpolate(X, 3, mode="linear"), ValueError, "mode must be one of nearest, bilinear"),
        (lambda: F.interpolate(X, 3, align_corners=True), ValueError, "align_corners only goes with"),
        (lambda: F.interpolate(X, scale_factor=0.1), ValueError, "sizes must be at least 1"),
        (lambda: F.interpolate(pynet.zeros(1, 1, 2, 2, 2), 3), NotImplementedError, "volumes"),
        (lambda: F.conv_transpose2d(X, pynet.zeros(3, 1, 2, 2)), ValueError, "but weight expects 3"),
        (lambda: F.conv_transpose2d(X, pynet.zeros(4, 1, 2, 2), None, 1, 0, 1), ValueError, "smaller than"),
        (lambda: F.conv_transpose2d(X, pynet.zeros(4, 1, 2, 2), None, 1, 4), ValueError, "use less padding"),
        (lambda: F.conv1d(X, pynet.zeros(1, 4, 3)), ValueError, "expected input"),
        (lambda: F.unfold(X, 7), ValueError, "exceeds the padded input"),
        (lambda: F.fold(pynet.zeros(1, 8, 5), (3, 4), 2), ValueError, "2 x 3 windows"),
        (lambda: F.pixel_shuffle(X, 3), ValueError, "multiple of 9"),
        (lambda: F.pixel_unshuffle(X, 2), ValueError, "multiples of downscale_factor 2"),
        (lambda: nn.Conv2d(1, 1, 1, padding_mode="mirror"), ValueError, "padding_mode must be one of"),
        (lambda: nn.ConvTranspose2d(1, 1, 1, padding_mode="reflect"), ValueError, "must be 'zeros'"),
        (lambda: nn.Conv1d(1, 1, (3, 3)), ValueError, "must be one int"),
        (lambda: nn.ReflectionPad2d((1, 2)), ValueError, "an int or 4 of them"),
    ],
)  # fmt: skip
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
