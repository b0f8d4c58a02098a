"""The core's plans at every ISA level: steps against NumPy, and places that lie outside."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from pynet import _core, reference
from pynet.ops._backend import nhwc

IN, OUT = (1, 0), (2, 0)


def one_step(x, out_shape, add, *arguments):
    plan = _core.InferencePlan(0, [x.shape], [out_shape])
    getattr(plan, add)(*arguments)
    return plan


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (2, 3, 5), (1, 3, 1024), (3, 16, 33), (1, 40, 17), (5, 70, 65), (0, 3, 4)]
)
def test_transpose(isa, same_bits, rng, shape):
    x = rng.standard_normal(shape).astype(np.float32)
    count, rows, columns = shape
    plan = one_step(x, (count, columns, rows), "add_transpose", IN, count, rows, columns, OUT)
    out = same_bits(lambda: plan.run([x])[0])
    np.testing.assert_array_equal(out, x.transpose(0, 2, 1))


@pytest.mark.parametrize("shape", [(2, 3, 8, 9), (1, 20, 5, 5), (3, 1, 6, 6)])
def test_an_input_in_any_memory_order_gives_the_same(isa, same_bits, rng, shape):
    x = rng.standard_normal(shape).astype(np.float32)
    plan = one_step(x, shape, "add_unary", "negative", IN, x.size, OUT)
    wide = np.zeros((*shape[:3], 2 * shape[3]), np.float32)
    wide[..., ::2] = x
    for given in (x, nhwc(x), wide[..., ::2], x[::-1].copy()[::-1]):
        out = same_bits(lambda given=given: plan.run([given])[0])
        np.testing.assert_array_equal(out, -x)


def test_a_chain_shares_the_arena(isa, same_bits, rng):
    x = rng.standard_normal((3, 5, 12, 11)).astype(np.float32)
    w1 = rng.standard_normal((20, 5, 3, 3)).astype(np.float32)
    w2 = rng.standard_normal((20, 20, 3, 3)).astype(np.float32)
    bias = rng.standard_normal(20).astype(np.float32)
    size = 3 * 20 * 12 * 11
    plan = _core.InferencePlan(3 * size, [x.shape], [(3, 20)])
    geometry = ((1, 1), (1, 1), (1, 1), 1)
    shape = (3, 20, 12, 11)
    plan.add_conv2d(IN, x.shape, w1, bias, *geometry, "relu", 0.0, (0, 0))
    plan.add_conv2d((0, 0), shape, w2, None, *geometry, "sigmoid", 0.0, (0, size))
    plan.add_affine((0, size), 3 * 132, 20, None, None, None, None, 0.0, (0, 0), "relu", 0.0, (0, 2 * size))
    plan.add_adaptive_avg_pool2d((0, 2 * size), shape, (1, 1), OUT)
    out = same_bits(lambda: plan.run([x])[0])
    y = reference.conv2d_forward(
        x.astype(np.float64), w1.astype(np.float64), bias.astype(np.float64), *geometry, "relu", 0.0, "auto"
    )
    z = reference.conv2d_forward(y, w2.astype(np.float64), None, *geometry, "sigmoid", 0.0, "auto")
    np.testing.assert_allclose(out, (z + y).mean((2, 3)), rtol=1e-4, atol=1e-4)


def test_places_are_checked():
    plan = _core.InferencePlan(10, [(2, 3)], [(2, 3)])
    with pytest.raises(ValueError, match="do not fit into buffer 1 of 6"):
        plan.add_unary("exp", IN, 7, OUT)
    with pytest.raises(ValueError, match="do not fit into buffer 0 of 10"):
        plan.add_unary("exp", IN, 6, (0, 5))
    with pytest.raises(ValueError, match="do not fit"):
        plan.add_unary("exp", (1, -1), 2, OUT)
    with pytest.raises(ValueError, match="no such buffer"):
        plan.add_unary("exp", IN, 6, (3, 0))
    with pytest.raises(ValueError, match="no operation"):
        plan.add_unary("cosh", IN, 6, OUT)
    with pytest.raises(ValueError, match="do not fit"):
        plan.add_binary("add", [2, 3], IN, [3, 2], IN, [3, 1], OUT)
    with pytest.raises(ValueError, match="stride"):
        plan.add_binary("add", [2, 3], IN, [-3, 1], IN, [3, 1], OUT)
    with pytest.raises(ValueError, match="do not fit"):
        plan.add_copy_rows(IN, 3, 2, 4, OUT, 3)
    with pytest.raises(ValueError, match="negative"):
        plan.add_softmax(IN, -2, -3, False, OUT)
    with pytest.raises(ValueError, match="out of range"):
        _core.InferencePlan(-1, [], [])


def test_inputs_are_checked():
    plan = _core.InferencePlan(0, [(2, 3)], [(2, 3)])
    plan.add_unary("exp", IN, 6, OUT)
    with pytest.raises(ValueError, match="0 inputs, expected 1"):
        plan.run([])
    with pytest.raises(ValueError, match=r"\(3, 2\), expected \(2, 3\)"):
        plan.run([np.zeros((3, 2), np.float32)])
    with pytest.raises(TypeError, match="not float32"):
        plan.run([np.zeros((2, 3))])


def test_calls_at_once_do_not_disturb_each_other(rng):
    x = [rng.standard_normal((64, 300)).astype(np.float32) for _ in range(4)]
    weight = rng.standard_normal((300, 300)).astype(np.float32)
    plan = _core.InferencePlan(64 * 300, [(64, 300)], [(64, 300)])
    plan.add_linear(IN, 64, weight, None, "relu", 0.0, (0, 0))
    plan.add_linear((0, 0), 64, weight, None, "none", 0.0, OUT)
    alone = [plan.run([a])[0] for a in x]
    wrong = []

    def work(i):
        for _ in range(20):
            if not np.array_equal(plan.run([x[i]])[0], alone[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.parametrize(
    ("x_shape", "filters", "kernel", "stride", "groups"),
    [
        ((1, 96, 5, 5), 80, 3, 1, 1),  # few pixels, many weights
        ((2, 33, 4, 4), 300, 3, 1, 1),
        ((1, 260, 3, 3), 270, 3, 2, 1),
        ((1, 300, 4, 4), 250, 1, 1, 1),
        ((1, 128, 6, 6), 128, 3, 1, 2),
        ((1, 20, 19, 18), 37, 3, 1, 1),
        ((3, 24, 12, 12), 40, 3, 2, 1),
        ((1, 3, 20, 20), 17, 5, 1, 1),
        ((2, 24, 9, 9), 24, 3, 1, 24),
    ],
)
def test_convolutions_with_weights_packed_ahead(
    isa, same_bits, rng, x_shape, filters, kernel, stride, groups
):
    x = rng.standard_normal(x_shape).astype(np.float32)
    w = rng.standard_normal((filters, x_shape[1] // groups, kernel, kernel)).astype(np.float32)
    bias = rng.standard_normal(filters).astype(np.float32)
    geometry = ((stride, stride), (1, 1), (1, 1), groups)
    exact = reference.conv2d_forward(
        x.astype(np.float64), w.astype(np.float64), bias.astype(np.float64), *geometry, "relu", 0.0, "auto"
    )
    plan = _core.InferencePlan(0, [x_shape], [exact.shape])
    plan.add_conv2d(IN, x_shape, w, bias, *geometry, "relu", 0.0, OUT)
    w[...] = np.nan  # the plan has its own by now, or the array that it keeps is another
    out = same_bits(lambda: plan.run([x])[0])
    np.testing.assert_allclose(out, exact, rtol=1e-4, atol=2e-5 * np.abs(exact).max())
