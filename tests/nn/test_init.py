"""Initial values: bounds, moments, reproducibility, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pynet import nn, random
from pynet.autograd import Tensor
from pynet.nn import init


def weight(*shape, dtype=np.float64):
    return nn.Parameter(np.zeros(shape, dtype))


def within(array, bound):
    assert np.abs(array).max() <= bound
    assert np.abs(array).max() > 0.97 * bound
    np.testing.assert_allclose(array.std(), bound / math.sqrt(3), rtol=0.05)
    assert abs(array.mean()) < 0.05 * bound


def spread(array, std):
    np.testing.assert_allclose(array.std(), std, rtol=0.05)
    assert abs(array.mean()) < 0.06 * std
    assert 0.63 < (np.abs(array) < std).mean() < 0.73


CONV, LINEAR = (32, 16, 3, 3), (80, 60)  # fan_in 144, fan_out 288; fan_in 60, fan_out 80


@pytest.mark.parametrize(("shape", "fan_in", "fan_out"), [(CONV, 144, 288), (LINEAR, 60, 80)])
def test_fans(shape, fan_in, fan_out):
    w = weight(*shape)
    within(init.xavier_uniform_(w, gain=2.0).array, 2 * math.sqrt(6 / (fan_in + fan_out)))
    spread(init.xavier_normal_(w).array, math.sqrt(2 / (fan_in + fan_out)))
    within(init.kaiming_uniform_(w, nonlinearity="relu").array, math.sqrt(6 / fan_in))
    within(init.kaiming_uniform_(w, a=math.sqrt(5)).array, 1 / math.sqrt(fan_in))
    spread(init.kaiming_normal_(w, mode="fan_out", nonlinearity="linear").array, 1 / math.sqrt(fan_out))
    spread(init.kaiming_normal_(w, a=1.0).array, 1 / math.sqrt(fan_in))


def test_layers_start_as_pytorchs():
    conv, linear = nn.Conv2d(32, 64, 3, groups=2), nn.Linear(100, 200)
    within(conv.weight.array, 1 / math.sqrt(144))
    assert np.abs(conv.bias.array).max() <= 1 / 12
    assert np.abs(conv.bias.array).max() > 0.8 / 12
    within(linear.weight.array, 0.1)
    within(linear.bias.array, 0.1)


def test_plain_distributions():
    w = weight(50, 40)
    array = init.uniform_(w, 2.0, 5.0).array
    assert array.min() >= 2
    assert array.max() < 5
    np.testing.assert_allclose(array.mean(), 3.5, rtol=0.02)
    spread(init.normal_(w, 1.0, 0.1).array - 1.0, 0.1)
    assert (init.constant_(w, 0.3).array == 0.3).all()
    assert (init.ones_(w).array == 1).all()
    assert not init.zeros_(w).array.any()


@pytest.mark.parametrize(("a", "b"), [(-1.0, 0.5), (-2.0, 2.0), (3.0, 3.5), (-100.0, 100.0)])
def test_truncated_normal(a, b):
    array = init.trunc_normal_(weight(60, 50), 0.0, 1.0, a, b).array
    assert array.min() >= a
    assert array.max() <= b
    grid = np.linspace(max(a, -8), min(b, 8), 20001)
    density = np.exp(-grid * grid / 2)
    mean = (grid * density).sum() / density.sum()
    np.testing.assert_allclose(array.mean(), mean, atol=0.06)
    assert len(np.unique(array)) > 2900


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (4, 3, 2, 2), (6, 6)])
def test_orthogonal(shape):
    flat = init.orthogonal_(weight(*shape), gain=2.0).array.reshape(shape[0], -1)
    product = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


DRAWS = [
    init.uniform_,
    init.normal_,
    init.trunc_normal_,
    init.xavier_uniform_,
    init.xavier_normal_,
    init.kaiming_uniform_,
    init.kaiming_normal_,
    init.orthogonal_,
]


@pytest.mark.parametrize("draw", DRAWS)
def test_draws_follow_the_seed(draw):
    random.manual_seed(5)
    first, second = draw(weight(3, 4)).array.copy(), draw(weight(3, 4)).array.copy()
    random.manual_seed(5)
    np.testing.assert_array_equal(draw(weight(3, 4)).array, first)
    assert (first != second).any()
    state = random.get_rng_state()
    own = draw(weight(3, 4), generator=random.Generator(5)).array
    np.testing.assert_array_equal(own, first)
    assert random.get_rng_state() == state


@pytest.mark.parametrize("draw", DRAWS)
def test_values_do_not_depend_on_the_memory_order(draw):
    ordered, plain = weight(4, 3, 2, 2), Tensor(np.zeros((4, 3, 2, 2)))
    assert ordered.array.strides != plain.array.strides
    draw(ordered, generator=random.Generator(1))
    assert draw(plain, generator=random.Generator(1)) is plain
    np.testing.assert_array_equal(ordered.array, plain.array)


def test_gain():
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("leaky_relu", 0.5) == math.sqrt(2 / 1.25)
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / (1 + 1e-4))
    assert init.calculate_gain("conv2d") == init.calculate_gain("sigmoid") == 1
    with pytest.raises(ValueError, match="unknown nonlinearity 'swish'"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match="must be a number, got 'a'"):
        init.calculate_gain("leaky_relu", "a")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: init.uniform_(w, 2, 1), "a must not exceed b, got a = 2 and b = 1"),
        (lambda w: init.normal_(w, std=-1), "std must not be negative, got -1"),
        (lambda w: init.trunc_normal_(w, std=0), "std must be positive, got 0"),
        (lambda w: init.trunc_normal_(w, a=1, b=-1), "a must not exceed b"),
        (lambda w: init.kaiming_uniform_(w, mode="fan"), "mode must be 'fan_in' or 'fan_out', got 'fan'"),
        (
            lambda w: init.xavier_normal_(Tensor(np.ones(3))),
            r"xavier_normal_: .* at least 2 dimensions, got shape \(3,\)",
        ),
        (lambda w: init.orthogonal_(Tensor(np.ones(3))), "orthogonal_: .* at least 2 dimensions"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(weight(2, 2))


def test_a_generator_of_another_kind():
    with pytest.raises(TypeError, match=r"must be a pynet.random.Generator or None, got Generator|got int"):
        init.uniform_(weight(2, 2), generator=3)
