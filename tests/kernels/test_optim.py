"""Optimizer steps against the float64 reference: many parameters of all sizes in one call, in place."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import _core, reference

# below, at and above a vector and a segment; memory orders of activations and weights
SHAPES = [(1,), (15,), (17,), (0,), (3, 5), (16, 8, 3, 3), (8192,), (2, 8193), ()]
STEPS = 3


def arrays(rng, positive: bool = False) -> list[np.ndarray]:
    made = []
    for shape in SHAPES:
        a = np.asarray(rng.standard_normal(shape), np.float32)
        if a.ndim == 4:
            a = np.ascontiguousarray(a.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)
        made.append(np.asarray(abs(a)) if positive else a)
    return made


def compare(same_bits, rng, name, state_count, arguments, positive=(), absent=()):
    """Runs STEPS steps in float32 and float64 from the same start; arguments(t) follow the arrays."""
    params, grads = arrays(rng), [arrays(rng) for _ in range(STEPS)]
    states = [None if i in absent else arrays(rng, i in positive) for i in range(state_count)]

    def run(module, dtype):
        own = [[a.astype(dtype, order="K") for a in each] if each else None for each in [params, *states]]
        for t in range(STEPS):
            g = [a.astype(dtype, order="K") for a in grads[t]]
            assert getattr(module, name)(own[0], g, *own[1:], *arguments(t)) is None
        return [a for each in own if each for a in each]

    got = same_bits(lambda: run(_core, np.float32))
    for a, b in zip(got, run(reference, np.float64), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum, dampening", [(0.0, 0.0), (0.9, 0.0), (0.9, 0.3)])
@pytest.mark.parametrize("weight_decay, maximize", [(0.0, False), (0.1, False), (0.1, True)])
def test_sgd_step(isa, same_bits, rng, momentum, dampening, weight_decay, nesterov, maximize):
    absent = (0,) if momentum == 0 else ()
    compare(
        same_bits, rng, "sgd_step", 1,
        lambda t: (0.1, momentum, dampening, weight_decay, nesterov, maximize, t == 0), absent=absent,
    )  # fmt: skip


def test_sgd_first_step_does_not_read_the_buffers(isa):
    p, g, v = np.zeros(40, np.float32), np.ones(40, np.float32), np.full(40, np.nan, np.float32)
    _core.sgd_step([p], [g], [v], 0.5, 0.9, 0.5, 0.0, False, False, True)
    assert np.all(v == 1) and np.all(p == -0.5), "the first buffer is the undampened gradient"


@pytest.mark.parametrize("weight_decay, maximize", [(0.0, False), (0.1, True)])
def test_adagrad_step(isa, same_bits, rng, weight_decay, maximize):
    compare(
        same_bits, rng, "adagrad_step", 1,
        lambda t: (0.1 / (1 + t * 0.5), weight_decay, 1e-3, maximize), positive=(0,),
    )  # fmt: skip


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay, maximize", [(0.0, False), (0.1, True)])
def test_rmsprop_step(isa, same_bits, rng, momentum, weight_decay, maximize):
    compare(
        same_bits, rng, "rmsprop_step", 3,
        lambda t: (0.01, 0.9, 1e-2, weight_decay, momentum, maximize),
        positive=(0,), absent=(1,) if momentum else (1, 2),
    )  # fmt: skip


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rmsprop_step_centered(isa, same_bits, rng, momentum):
    # the averages of squares start well above the squares of the averages, as they are after real steps
    params, grads = arrays(rng), arrays(rng)
    square, average, buffers = [np.asarray(abs(a) + 20) for a in arrays(rng)], arrays(rng), arrays(rng)

    def run(module, dtype):
        own = [[np.array(a, dtype, order="K") for a in each] for each in (params, square, average, buffers)]
        g = [a.astype(dtype, order="K") for a in grads]
        module.rmsprop_step(
            own[0], g, own[1], own[2], own[3] if momentum else None, 0.01, 0.9, 1e-8, 0.1, momentum, False
        )
        return [a for each in own for a in each]

    got = same_bits(lambda: run(_core, np.float32))
    for a, b in zip(got, run(reference, np.float64), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("weight_decay, decoupled", [(0.0, False), (0.1, False), (0.1, True)])
@pytest.mark.parametrize("maximize", [False, True])
def test_adam_step(isa, same_bits, rng, amsgrad, weight_decay, decoupled, maximize):
    compare(
        same_bits, rng, "adam_step", 3,
        lambda t: (t + 1, 0.01, 0.9, 0.99, 1e-2, weight_decay, decoupled, maximize),
        positive=(1, 2), absent=() if amsgrad else (2,),
    )  # fmt: skip


@pytest.mark.parametrize("weight_decay, maximize", [(0.0, False), (0.1, True)])
@pytest.mark.parametrize(
    "name, states, positive, scalars, rest",
    [
        ("adadelta_step", 2, (0, 1), (1.0, 0.9, 1e-2), ()),
        ("adamax_step", 2, (1,), (0.01, 0.9, 0.99, 1e-2), ()),
        ("nadam_step", 2, (1,), (0.01, 0.02, 0.5, 0.9, 0.99, 1e-2), (0.97,)),
        ("radam_step", 2, (1,), (0.01, 0.9, 0.99, 1e-2), (0.97, True)),
        ("radam_step", 2, (1,), (0.01, 0.9, 0.99, 1e-2), (0.97, False)),
        ("lion_step", 1, (), (0.01, 0.9, 0.99), ()),
    ],
)
def test_relatives_of_adam(
    isa, same_bits, rng, name, states, positive, scalars, rest, weight_decay, maximize
):
    compare(
        same_bits, rng, name, states, lambda t: (*scalars, weight_decay, *rest, maximize), positive=positive
    )


@pytest.mark.parametrize("momentum, nesterov", [(0.0, False), (0.9, False), (0.9, True)])
@pytest.mark.parametrize("weight_decay, maximize", [(0.0, False), (0.1, True)])
def test_lars_step(isa, same_bits, rng, momentum, nesterov, weight_decay, maximize):
    absent = (0,) if momentum == 0 else ()
    compare(
        same_bits, rng, "lars_step", 1,
        lambda t: (0.5, momentum, 0.0, weight_decay, nesterov, 0.02, 1e-8, maximize, t == 0), absent=absent,
    )  # fmt: skip


def test_lars_leaves_zeros_to_sgd(isa):
    p, g = np.zeros(20, np.float32), np.ones(20, np.float32)
    _core.lars_step([p], [g], None, 0.5, 0.0, 0.0, 0.0, False, 1e-3, 1e-8, False, True)
    assert np.all(p == -0.5)


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.7, 1.0])
def test_lerp(isa, same_bits, rng, weight):
    start, to = arrays(rng), arrays(rng)

    def run():
        own = [a.copy(order="K") for a in start]
        _core.lerp(own, to, weight)
        return own

    want = [a.astype(np.float64) for a in start]
    reference.lerp(want, [a.astype(np.float64) for a in to], weight)
    for a, b, s, t in zip(same_bits(run), want, start, to, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
        if weight in (0.0, 1.0):
            np.testing.assert_array_equal(a, t if weight else s)


def test_soft_threshold(isa, same_bits, rng):
    start = arrays(rng)
    start[5][0, 0, 0, 0] = np.nan

    def run():
        own = [a.copy(order="K") for a in start]
        _core.soft_threshold(own, 0.4)
        return own

    want = [a.astype(np.float64) for a in start]
    reference.soft_threshold(want, float(np.float32(0.4)))
    for a, b in zip(same_bits(run), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
        assert ((a == 0) == (b == 0)).all()
    with pytest.raises(ValueError, match="must not be negative"):
        _core.soft_threshold(start, -1.0)


def test_adam_bias_correction_is_formed_in_double(isa):
    # 1 - 0.999999 in float32 is off by 5 %
    p, g = np.zeros(3, np.float32), np.full(3, 2.0, np.float32)
    m, v = np.zeros(3, np.float32), np.full(3, 0.0, np.float32)
    _core.adam_step([p], [g], [m], [v], None, 1, 1.0, 0.9, 1 - 1e-6, 0.0, 0.0, False, False)
    np.testing.assert_allclose(p, -1.0, rtol=1e-6)


def test_amsgrad_keeps_nan(isa):
    p, g, m, v = (np.ones(33, np.float32) for _ in range(4))
    largest = np.full(33, np.nan, np.float32)
    _core.adam_step([p], [g], [m], [v], [largest], 1, 0.1, 0.9, 0.99, 1e-8, 0.0, False, False)
    assert np.isnan(largest).all() and np.isnan(p).all()


def test_gradients_of_other_orders_are_converted(isa, rng):
    weight = np.ascontiguousarray(rng.standard_normal((3, 3, 4, 5)).astype(np.float32)).transpose(3, 2, 0, 1)
    grad = rng.standard_normal(weight.shape).astype(np.float32)
    for g in (grad, np.repeat(grad, 2, axis=1)[:, ::2], grad[::-1, ::-1][::-1, ::-1]):
        g.flags.writeable = False
        p = weight.copy(order="K")
        _core.sgd_step([p], [g], None, 0.5, 0.0, 0.0, 0.0, False, False, False)
        np.testing.assert_allclose(p, weight - 0.5 * grad, rtol=1e-6, atol=1e-6)


def test_nothing_to_update():
    _core.adam_step([], [], [], [], None, 1, 0.1, 0.9, 0.99, 1e-8, 0.0, False, False)
    _core.rmsprop_step([], [], [], None, None, 0.1, 0.9, 1e-8, 0.0, 0.0, False)


def test_refusals():
    def sgd(p, g, v=None, momentum=0.9):
        _core.sgd_step(p, g, v, 0.1, momentum, 0.0, 0.0, False, False, False)

    a, fixed = np.zeros((4, 5), np.float32), np.zeros((4, 5), np.float32)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="sgd_step: 2 params but 1 grads"):
        sgd([a, a], [a], [a, a])
    with pytest.raises(ValueError, match="2 params but 1 momentum_buffers"):
        sgd([a, a], [a, a], [a])
    with pytest.raises(ValueError, match=r"grads\[0\] has shape \(5, 4\), expected \(4, 5\)"):
        sgd([a], [np.zeros((5, 4), np.float32)], [a])
    with pytest.raises(ValueError, match=r"momentum_buffers\[0\] has shape \(20,\)"):
        sgd([a], [a], [np.zeros(20, np.float32)])
    with pytest.raises(ValueError, match=r"momentum_buffers\[0\] has another memory order"):
        sgd([a], [a], [np.zeros((5, 4), np.float32).T])
    with pytest.raises(ValueError, match=r"params\[0\] is read-only"):
        sgd([fixed], [a], [a])
    with pytest.raises(ValueError, match=r"params\[0\] is not dense"):
        sgd([np.zeros((4, 10), np.float32)[:, ::2]], [a], [a])
    with pytest.raises(TypeError, match="float64"):
        sgd([a], [a.astype(np.float64)], [a])
    with pytest.raises(ValueError, match="momentum needs momentum_buffers"):
        sgd([a], [a])
    with pytest.raises(ValueError, match="step counts from 1, got 0"):
        _core.adam_step([a], [a], [a], [a], None, 0, 0.1, 0.9, 0.99, 1e-8, 0.0, False, False)


@pytest.mark.parametrize("order", [0.5, 1.0, 2.0, 3.0, np.inf])
def test_gradient_norm(isa, same_bits, rng, order):
    grads = [*arrays(rng), rng.standard_normal((30, 40)).astype(np.float32)[::2, ::3]]
    got = same_bits(lambda: _core.gradient_norm(grads, order))
    want = reference.gradient_norm([g.astype(np.float64) for g in grads], order)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert _core.gradient_norm([], order) == 0
    for bad in (np.nan, np.inf, -np.inf):
        grads[-1][3, 3] = bad
        np.testing.assert_equal(_core.gradient_norm(grads, order), abs(bad))


def test_gradients_are_scaled_and_bounded_in_place(isa, same_bits, rng):
    grads = [*arrays(rng), rng.standard_normal((30, 40)).astype(np.float32)[::2, ::3]]
    grads[5][0, 0, 0, 0] = np.nan

    def run(name, *arguments):
        own = [np.array(g, order="K") for g in grads[:-1]]
        around = np.zeros((30, 40), np.float32)
        own.append(around[::2, ::3])
        own[-1][...] = grads[-1]
        assert getattr(_core, name)(own, *arguments) is None
        assert not around[1::2].any(), "what lies between the elements of a view was written"
        return own

    for a, g in zip(same_bits(lambda: run("scale_gradients", 0.3)), grads, strict=True):
        np.testing.assert_array_equal(a, g * np.float32(0.3))
    for a, g in zip(same_bits(lambda: run("clamp_gradients", -0.5, 0.25)), grads, strict=True):
        np.testing.assert_array_equal(a, np.clip(g, np.float32(-0.5), np.float32(0.25)))


def test_gradients_that_cannot_be_scaled():
    a = np.ones(4, np.float32)
    a.flags.writeable = False
    for call in (lambda: _core.scale_gradients([a], 2.0), lambda: _core.clamp_gradients([a], 0.0, 0.5)):
        with pytest.raises(ValueError, match=r"arrays\[0\] is read-only"):
            call()
    with pytest.raises(TypeError, match="float64"):
        _core.gradient_norm([np.ones(3)], 2.0)
    with pytest.raises(ValueError, match="must be positive"):
        _core.gradient_norm([a], 0.0)
