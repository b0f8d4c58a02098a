"""Batch normalisation layers: statistics, modes, options."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import nn
from pynet.autograd import Tensor


def batches(count, *shape):
    rng = np.random.default_rng(2)
    return [Tensor(rng.normal(3.0, 2.0, size=shape)) for _ in range(count)]


def unbiased(x):
    return x.array.mean((0, 2, 3)), x.array.var((0, 2, 3), ddof=1)


def test_training_normalises_by_the_batch_and_tracks():
    layer, (x,) = nn.BatchNorm2d(3, dtype=np.float64), batches(1, 4, 3, 5, 5)
    out = layer(x).array
    np.testing.assert_allclose(out.mean((0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(out.var((0, 2, 3)), 1, atol=1e-4)
    mean, var = unbiased(x)
    np.testing.assert_allclose(layer.running_mean.array, 0.1 * mean)
    np.testing.assert_allclose(layer.running_var.array, 0.9 + 0.1 * var)
    assert layer.num_batches_tracked.array == 1
    assert layer.num_batches_tracked.dtype == np.int64


def test_evaluation_uses_running_statistics_and_leaves_them():
    layer = nn.BatchNorm2d(3, dtype=np.float64)
    for x in batches(3, 4, 3, 5, 5):
        layer(x)
    before = {key: value.array.copy() for key, value in layer.state_dict().items()}
    (x,) = batches(1, 1, 3, 1, 1)
    out = layer.eval()(x).array
    mean, var = (before[key].reshape(1, 3, 1, 1) for key in ("running_mean", "running_var"))
    np.testing.assert_allclose(out, (x.array - mean) / np.sqrt(var + 1e-5))
    for key, value in layer.state_dict().items():
        np.testing.assert_array_equal(value.array, before[key])


def test_momentum_none_averages_all_batches():
    layer, xs = nn.BatchNorm2d(3, momentum=None, dtype=np.float64), batches(5, 4, 3, 2, 2)
    for x in xs:
        layer(x)
    np.testing.assert_allclose(layer.running_mean.array, np.mean([unbiased(x)[0] for x in xs], axis=0))
    np.testing.assert_allclose(layer.running_var.array, np.mean([unbiased(x)[1] for x in xs], axis=0))
    assert layer.num_batches_tracked.array == 5
    layer.reset_running_stats()
    assert layer.num_batches_tracked.array == 0
    assert layer.running_var.array.tolist() == [1, 1, 1]


def test_without_running_statistics_the_batch_is_used_in_evaluation_too():
    layer, (x,) = nn.BatchNorm1d(3, track_running_stats=False, dtype=np.float64), batches(1, 6, 3)
    assert list(layer.state_dict()) == ["weight", "bias"]
    np.testing.assert_array_equal(layer.eval()(x).array, layer.train()(x).array)
    assert layer.running_mean is None


def test_without_weight_and_bias():
    layer, (x,) = nn.BatchNorm1d(3, affine=False, dtype=np.float64), batches(1, 6, 3)
    assert not list(layer.parameters())
    np.testing.assert_allclose(layer(x).array.mean(0), 0, atol=1e-12)
    assert [name for name, _ in nn.BatchNorm1d(3, bias=False).named_parameters()] == ["weight"]


def test_one_dimensional_layer_takes_sequences():
    layer, (x,) = nn.BatchNorm1d(3, dtype=np.float64), batches(1, 6, 3, 4)
    out = layer(x).array
    assert out.shape == (6, 3, 4)
    np.testing.assert_allclose(out.mean((0, 2)), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.BatchNorm2d, (2, 3), r"BatchNorm2d: expected \(N, C, H, W\), got 2-D input of shape \(2, 3\)"),
        (nn.BatchNorm1d, (2, 3, 4, 4), r"BatchNorm1d: expected \(N, C\) or \(N, C, L\), got 4-D"),
        (nn.BatchNorm1d, (1, 3), "more than one value a channel"),
        (nn.BatchNorm2d, (1, 3, 1, 1), "more than one value a channel"),
        (nn.BatchNorm2d, (2, 4, 2, 2), r"\(3,\).*\(2, 4, 2, 2\) needs \(4,\)"),
    ],
)
def test_refused_batches_do_not_count(layer, shape, message):
    module = layer(3, dtype=np.float64)
    with pytest.raises(ValueError, match=message):
        module(Tensor(np.zeros(shape)))
    assert module.num_batches_tracked.array == 0
    assert module.running_var.array.tolist() == [1, 1, 1]
