"""Optimizer steps: first steps by hand, recursions in scalars, and what is left untouched."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pynet import reference

STEPS = 4


@pytest.fixture
def problem(rng):
    """Return parameters of awkward shapes and the gradients of several steps."""
    shapes = [(2, 3), (), (0,), (1, 2, 2, 1)]
    params = [np.asarray(rng.standard_normal(shape)) for shape in shapes]
    grads = [[np.asarray(rng.standard_normal(shape)) for shape in shapes] for _ in range(STEPS)]
    return params, grads


def zeros(params):
    return [np.zeros_like(p) for p in params]


def follow(problem, step, scalar):
    """Run step(params, grads, t); compare each element with the recursion scalar(p, g, state, t)."""
    params, grads = problem
    expected = [p.copy() for p in params]
    states = [[{} for _ in range(p.size)] for p in params]
    for t in range(1, STEPS + 1):
        before = [g.copy() for g in grads[t - 1]]
        step(params, grads[t - 1], t)
        for p, g, cells in zip(expected, before, states, strict=True):
            for i, index in enumerate(np.ndindex(p.shape)):
                p[index] = scalar(float(p[index]), float(g[index]), cells[i], t)
        for old, new in zip(before, grads[t - 1], strict=True):
            np.testing.assert_array_equal(old, new, err_msg="a gradient was written to")
        for p, q in zip(params, expected, strict=True):
            np.testing.assert_allclose(p, q, rtol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("dampening", [0.0, 0.3])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("maximize", [False, True])
def test_sgd(problem, momentum, dampening, weight_decay, nesterov, maximize):
    # What the buffers hold before the first step must not matter.
    buffers = [np.full_like(p, np.nan) for p in problem[0]] if momentum else None

    def scalar(p, g, state, t):
        g = (-g if maximize else g) + weight_decay * p
        if momentum:
            v = g if t == 1 else momentum * state["v"] + (1 - dampening) * g
            state["v"] = v
            g = g + momentum * v if nesterov else v
        return p - 0.1 * g

    def step(params, grads, t):
        reference.sgd_step(
            params, grads, buffers, 0.1, momentum, dampening, weight_decay, nesterov, maximize, t == 1
        )

    follow(problem, step, scalar)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("maximize", [False, True])
def test_adagrad(problem, weight_decay, maximize):
    sums = zeros(problem[0])

    def scalar(p, g, state, t):
        g = (-g if maximize else g) + weight_decay * p
        state["s"] = state.get("s", 0) + g * g
        return p - 0.1 / (1 + (t - 1) * 0.2) * g / (math.sqrt(state["s"]) + 1e-10)

    def step(params, grads, t):
        reference.adagrad_step(params, grads, sums, 0.1 / (1 + (t - 1) * 0.2), weight_decay, 1e-10, maximize)

    follow(problem, step, scalar)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("maximize", [False, True])
def test_rmsprop(problem, momentum, centered, weight_decay, maximize):
    params = problem[0]
    squares, means = zeros(params), zeros(params) if centered else None
    buffers = zeros(params) if momentum else None

    def scalar(p, g, state, t):
        g = (-g if maximize else g) + weight_decay * p
        state["s"] = 0.9 * state.get("s", 0) + 0.1 * g * g
        state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
        spread = state["s"] - state["m"] ** 2 if centered else state["s"]
        state["v"] = momentum * state.get("v", 0) + g / (math.sqrt(spread) + 1e-3)
        return p - 0.01 * state["v"]

    def step(params, grads, t):
        reference.rmsprop_step(
            params, grads, squares, means, buffers, 0.01, 0.9, 1e-3, weight_decay, momentum, maximize
        )

    follow(problem, step, scalar)


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("maximize", [False, True])
def test_adam(problem, amsgrad, decoupled, weight_decay, maximize):
    params = problem[0]
    m, v, largest = zeros(params), zeros(params), zeros(params) if amsgrad else None

    def scalar(p, g, state, t):
        g = -g if maximize else g
        if decoupled:
            p -= 0.01 * weight_decay * p
        else:
            g += weight_decay * p
        state["m"] = 0.8 * state.get("m", 0) + 0.2 * g
        state["v"] = 0.5 * state.get("v", 0) + 0.5 * g * g
        state["max"] = max(state.get("max", 0), state["v"])
        v_hat = (state["max"] if amsgrad else state["v"]) / (1 - 0.5**t)
        return p - 0.01 * state["m"] / (1 - 0.8**t) / (math.sqrt(v_hat) + 1e-3)

    def step(params, grads, t):
        reference.adam_step(
            params, grads, m, v, largest, t, 0.01, 0.8, 0.5, 1e-3, weight_decay, decoupled, maximize
        )

    follow(problem, step, scalar)


def test_first_steps_by_hand():
    p = [np.array([1.0, -1.0])]
    reference.adam_step(p, [np.array([3.0, -1e-3])], *(zeros(p) for _ in range(2)), None, 1, 0.1, 0.9, 0.999,
                        0.0, 0.0, False, False)  # fmt: skip
    np.testing.assert_allclose(p[0], [0.9, -0.9])  # Adam's first step has length lr whatever the gradient
    p = [np.array([1.0])]
    reference.sgd_step(p, [np.array([2.0])], None, 0.1, 0.0, 0.0, 0.5, False, False, True)
    np.testing.assert_allclose(p[0], [0.75])


def test_first_momentum_step_copies_the_gradient():
    p, g, buffers = [np.zeros(2)], [np.ones(2)], [np.zeros(2)]
    reference.sgd_step(p, g, buffers, 0.1, 0.9, 0.0, 0.0, False, False, True)
    assert not np.shares_memory(buffers[0], g[0])
    reference.sgd_step(p, g, buffers, 0.1, 0.9, 0.0, 0.0, False, False, False)
    np.testing.assert_array_equal(g[0], np.ones(2))
    np.testing.assert_allclose(buffers[0], [1.9, 1.9])


def test_float32_is_kept_and_written_in_place():
    p, g = [np.ones(3, np.float32)], [np.ones(3, np.float32)]
    same = p[0]
    reference.sgd_step(p, g, None, 0.5, 0.0, 0.0, 0.1, False, False, True)
    assert p[0] is same
    np.testing.assert_allclose(same, np.full(3, 0.45, np.float32))


def test_missing_buffers():
    with pytest.raises(ValueError, match="needs a state array for every parameter"):
        reference.sgd_step([np.ones(2)], [np.ones(2)], None, 0.1, 0.9, 0.0, 0.0, False, False, True)


def test_gradient_norms_by_hand():
    arrays = [np.array([[3.0, -4.0]]), np.array(-12.0), np.zeros(0)]
    assert reference.gradient_norm(arrays, 2.0) == 13
    assert reference.gradient_norm(arrays, 1.0) == 19
    assert reference.gradient_norm(arrays, math.inf) == 12
    assert reference.gradient_norm([], 2.0) == 0


def test_gradients_scaled_and_clamped_in_place():
    a, b = np.array([[3.0, -4.0]]), np.array(-12.0)
    reference.scale_gradients([a, b], 0.5)
    np.testing.assert_array_equal(a, [[1.5, -2.0]])
    assert b == -6
    reference.clamp_gradients([a, b], -1.0, 1.25)
    np.testing.assert_array_equal(a, [[1.25, -1.0]])
    assert b == -1


def test_first_steps_of_the_others_by_hand():
    def one(name, states, *arguments, p=1.0, g=2.0):
        params = [np.array([p])]
        own = [[np.array([float(v)])] for v in states]
        getattr(reference, name)(params, [np.array([g])], *own, *arguments)
        return params[0][0], [s[0][0] for s in own]

    delta = math.sqrt(0.01) / math.sqrt(2.0 + 0.01) * 2
    p, (s, u) = one("adadelta_step", (0, 0), 0.5, 0.5, 0.01, 0.0, False)
    np.testing.assert_allclose([p, s, u], [1 - 0.5 * delta, 2.0, delta**2 / 2])
    p, (m, u) = one("adamax_step", (0, 8), 0.1, 0.9, 0.5, 0.25, 0.0, False)
    np.testing.assert_allclose([p, m, u], [1 - 0.1 * 0.2 / 4, 0.2, 4])
    p, (m, v) = one("nadam_step", (0, 0), 0.1, 0.3, 0.5, 0.5, 0.75, 0.0, 0.0, 0.9, False)
    np.testing.assert_allclose([p, m, v], [0.9 - (0.1 * 2 + 0.3 * 1) / (1 / 0.5), 1, 1])
    p, (m, v) = one("radam_step", (0, 0), 0.1, 0.5, 0.75, 1.0, 0.0, 0.9, True, False)
    np.testing.assert_allclose([p, m, v], [0.9 - 0.1 * 1 / (1 + 1), 1, 1])
    p, _ = one("radam_step", (0, 0), 0.1, 0.5, 0.75, 1.0, 0.0, 0.9, False, False)
    np.testing.assert_allclose(p, 0.9 - 0.1)
    p, (m,) = one("lion_step", (-1,), 0.1, 0.5, 0.75, 2.0, False)
    np.testing.assert_allclose([p, m], [1 - 0.2 - 0.1, -0.25])
    params = [np.array([3.0, 4.0])]
    reference.lars_step(
        params, [np.array([0.0, 2.0])], None, 0.5, 0.0, 0.0, 0.0, False, 0.1, 0.0, False, True
    )
    np.testing.assert_allclose(params[0], [3, 4 - 0.5 * 0.1 * 5 / 2 * 2])


def test_lerp_and_soft_threshold_by_hand():
    a = [np.array([1.0, 3.0])]
    reference.lerp(a, [np.array([3.0, 1.0])], 0.25)
    np.testing.assert_allclose(a[0], [1.5, 2.5])
    reference.lerp(a, [np.array([0.5, 0.5])], 0.75)
    np.testing.assert_allclose(a[0], [0.75, 1.0])
    b = [np.array([1.0, -0.25, -3.0, np.nan])]
    reference.soft_threshold(b, 0.5)
    np.testing.assert_array_equal(b[0], [0.5, 0, -2.5, np.nan])
