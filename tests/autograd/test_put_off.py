"""Work that is put off so that it can be run together with what follows."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import pynet
from pynet import autograd, ops
from pynet.autograd import Operation
from pynet.ops.conv2d import CONV2D
from pynet.ops.norm import BATCH_NORM
from tests.autograd.leaf import leaf


@pytest.fixture
def maps():
    """The result of an operation, over which batch norm is put off."""
    x = leaf(4, 3, 5, 5)
    return lambda: x * 1.5


def norm(x, **options):
    return ops.batch_norm(x, None, None, options.get("weight"), options.get("bias"), training=True)


def pending(t):
    return t._array is None


def test_batch_norm_sum_and_activation_run_as_one(maps):
    x, shortcut = maps(), maps()
    y = norm(x)
    assert pending(y) and y.shape == x.shape and y.dtype == x.dtype and y.requires_grad
    z = y + shortcut
    assert pending(z)
    out = pynet.relu(z)
    assert pending(out) and pending(y) and pending(z) and out.requires_grad
    del y, z
    node = out.grad_fn
    assert node.name == "batch_norm" and node.attributes["activation"] == "relu"
    assert node.next_functions[5] is shortcut.grad_fn
    with autograd.unfused():
        plain = pynet.relu(norm(x) + shortcut)
    assert plain.grad_fn.name == "relu"
    np.testing.assert_allclose(out.array, plain.array, rtol=1e-14, atol=1e-14)


def test_nothing_is_computed_twice(maps, monkeypatch):
    """Whoever still has the Tensor between two operations gets it, and the second one runs apart."""
    x, weight = maps(), leaf(2, 3, 3, 3, seed=1)
    runs = []
    forward = CONV2D.forward

    def counted(*arrays, **attributes):
        runs.append(attributes["activation"])
        return forward(*arrays, **attributes)

    monkeypatch.setattr(CONV2D, "forward", counted)

    def conv():
        return ops.conv2d(x, weight)

    def names(t):
        found, node = [], t.grad_fn
        while node.name not in ("multiply",):
            found.append(node.name)
            node = node.next_functions[0]
        return found

    out = pynet.relu(conv())
    assert runs == [] and names(out) == ["conv2d"] and runs == ["relu"]

    for first_read in ("y", "out"):
        runs.clear()
        y = conv()
        out = pynet.relu(y)
        (y if first_read == "y" else out).array  # noqa: B018
        assert names(out) == ["relu", "conv2d"] and names(y) == ["conv2d"] and runs == ["none"]
        assert out.grad_fn.next_functions[0] is y.grad_fn

    runs.clear()
    y = conv()
    first, second = pynet.relu(y), pynet.tanh(y)
    del y
    assert names(first) == ["relu", "conv2d"] and names(second) == ["tanh", "conv2d"] and runs == ["none"]

    runs.clear()
    y = conv()
    out = y * pynet.sigmoid(y)
    assert runs == ["none"]

    runs.clear()
    pooled = ops.max_pool2d(pynet.relu(conv()), 2)
    assert names(pooled) == ["max_pool2d", "conv2d"] and runs == ["none"]

    for first_read in ("active", "pooled", "flush"):
        runs.clear()
        active = pynet.relu(conv())
        pooled = ops.max_pool2d(active, 2)
        if first_read == "flush":
            autograd.flush_pending()
        else:
            (active if first_read == "active" else pooled).array  # noqa: B018
        assert names(active) == ["conv2d"] and names(pooled) == ["max_pool2d", "conv2d"] and runs == ["relu"]

    runs.clear()
    y = conv()
    active = pynet.relu(y)
    pooled = ops.max_pool2d(active, 2)
    del active
    assert names(pooled) == ["max_pool2d", "relu", "conv2d"] and names(y) == ["conv2d"] and runs == ["none"]


CHAINS = {
    "conv": lambda x, w, b: ops.conv2d(x, w, b, padding=1),
    "conv, relu": lambda x, w, b: pynet.relu(ops.conv2d(x, w, b, padding=1)),
    "conv, leaky": lambda x, w, b: ops.leaky_relu(ops.conv2d(x, w, b, padding=1), 0.2),
    "conv, tanh": lambda x, w, b: pynet.tanh(ops.conv2d(x, w, b, padding=1)),
    "conv, relu, pool": lambda x, w, b: ops.max_pool2d(pynet.relu(ops.conv2d(x, w, b, padding=1)), 2),
    "overlapping": lambda x, w, b: ops.max_pool2d(pynet.relu(ops.conv2d(x, w, b)), 3, 2, 1),
    "ceil_mode": lambda x, w, b: ops.max_pool2d(pynet.relu(ops.conv2d(x, w, b)), 2, ceil_mode=True),
    "leaky, pool": lambda x, w, b: ops.max_pool2d(ops.leaky_relu(ops.conv2d(x, w, b)), 2),
    "conv, pool": lambda x, w, b: ops.max_pool2d(ops.conv2d(x, w, b), 2),
    "indices": lambda x, w, b: ops.max_pool2d(pynet.relu(ops.conv2d(x, w, b)), 2, return_indices=True)[0],
    "explicit": lambda x, w, b: ops.max_pool2d(ops.conv2d(x, w, b, activation="relu"), 2),
    "conv, norm": lambda x, w, b: pynet.relu(norm(ops.conv2d(x, w, b))),
    "conv, sum": lambda x, w, b: pynet.relu(
        ops.conv2d(x, w, b, padding=1) + norm(ops.conv2d(x, w, padding=1))
    ),
    "linear, relu": lambda x, w, b: pynet.relu(ops.linear(x.reshape(-1, 27), w.reshape(4, 27))),
    "linear, elu": lambda x, w, b: ops.elu(ops.linear(x.reshape(4, 21, 27), w.reshape(4, 27))),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_fused_bits_are_the_unfused_ones(chain, grad, dtype, threads):
    rng = np.random.default_rng(0)
    inputs = [
        pynet.tensor(rng.standard_normal(shape).astype(dtype), requires_grad=grad)
        for shape in ((7, 3, 12, 9), (4, 3, 3, 3), (4,))
    ]
    with pynet.no_grad():
        inputs[0][:, :, :2] = 0.0
        inputs[2][1] = -0.0
        inputs[0][3, 1, 5, 1] = np.nan

    def run():
        out = CHAINS[chain](*inputs)
        if not grad:
            return [out.array]
        names = [out.grad_fn.name]
        used = [t for t in inputs if not (t is inputs[2] and "linear" in chain)]
        weights = pynet.tensor(np.random.default_rng(1).standard_normal(out.shape).astype(dtype))
        return [out.array, *(g.array for g in autograd.grad((out * weights).sum(), used))], names

    before = pynet.get_num_threads()
    pynet.set_num_threads(threads)
    try:
        got = run()
        with autograd.unfused():
            expected = run()
    finally:
        pynet.set_num_threads(before)
    if grad:
        got, expected = got[0], expected[0]
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_array_equal(a, b)
        finite = np.isfinite(a)
        np.testing.assert_array_equal(np.signbit(a[finite]), np.signbit(b[finite]))


def test_gradients_of_fused_chains():
    x, w, b = leaf(2, 3, 6, 6), leaf(4, 3, 3, 3, seed=1), leaf(4, seed=2)
    for name in ("conv, relu, pool", "overlapping", "explicit", "conv, sum"):
        assert pynet.gradcheck(lambda x, w, b, name=name: CHAINS[name](x * 1.0, w, b), (x, w, b))


def test_errors_are_not_put_off():
    x, w = pynet.zeros(1, 2, 4, 4), pynet.zeros(3, 2, 5, 5)
    with pytest.raises(ValueError, match="exceeds the padded input"):
        ops.conv2d(x, w)
    with pytest.raises(ValueError, match="exceeds the padded input"):
        ops.max_pool2d(pynet.relu(ops.conv2d(x, pynet.zeros(3, 2, 3, 3))), 3)
    with pytest.raises(TypeError, match="do not mix"):
        ops.conv2d(x, w.double())


def test_fused_and_unfused_gradients_agree():
    def run(fused):
        x, s, w, b = leaf(4, 3, 5, 5), leaf(4, 3, 5, 5, seed=1), leaf(3, seed=2), leaf(3, seed=3)

        def body():
            out = ops.leaky_relu(norm(x * 1.0, weight=w, bias=b) + s * 1.0, 0.2)
            (out * out).sum().backward()
            return [t.grad.array for t in (x, s, w, b)]

        if fused:
            return body()
        with autograd.unfused():
            return body()

    for got, expected in zip(run(True), run(False), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_reading_settles_with_the_same_bits(maps):
    x = maps()
    with autograd.unfused():
        expected = norm(x).array
    y = norm(x)
    assert pending(y)
    np.testing.assert_array_equal(y.array, expected)
    assert y.grad_fn.name == "batch_norm" and not pending(y)


def test_output_used_twice(maps):
    x = maps()
    y = norm(x)
    z = pynet.relu(y) + y
    with autograd.unfused():
        plain = norm(x)
        expected = pynet.relu(plain) + plain
    np.testing.assert_allclose(z.array, expected.array, rtol=1e-14, atol=1e-14)
    (gradient,) = autograd.grad(z.sum(), x, retain_graph=True)
    (wanted,) = autograd.grad(expected.sum(), x, retain_graph=True)
    np.testing.assert_allclose(gradient.array, wanted.array, atol=1e-10)


def test_sum_of_two_pending_sides(maps):
    a, b = norm(maps()), norm(maps() * 2.0)
    z = a + b
    assert pending(z) and not pending(b)
    out = pynet.relu(z)
    kept = a
    del a, z
    assert out.grad_fn.name == "relu"
    out = pynet.relu(norm(maps()) + norm(maps() * 2.0))
    assert out.grad_fn.name == "batch_norm"
    a = kept
    np.testing.assert_allclose(out.array, np.maximum(a.array + b.array, 0), atol=1e-12)


def test_sum_with_itself_and_broadcast_sums(maps):
    y = norm(maps())
    np.testing.assert_allclose((y + y).array, 2 * y.array)
    y = norm(maps())
    z = y + pynet.ones(3, 1, 1, dtype=np.float64)
    assert not pending(z)
    np.testing.assert_allclose(z.array, y.array + 1)
    y = norm(maps())
    assert (1.0 + y).grad_fn.name == "add"


def test_nothing_is_put_off_over_memory_that_a_user_holds(maps):
    x = pynet.from_numpy(np.random.default_rng(0).standard_normal((4, 3, 5, 5)))
    assert pending(norm(x + 1)) and pending(norm(pynet.tensor(x)))
    assert not pending(norm(x))
    assert not pending(norm(x.reshape(4, 3, 25)))
    assert not pending(norm(maps(), weight=pynet.from_numpy(np.ones(3))))
    with pynet.no_grad():
        y = maps()
        y.numpy()
        assert not pending(norm(y))
    # A shortcut that a user may write is read at once.
    z = norm(maps()) + x
    assert not pending(z) and z.grad_fn.name == "add"


def test_export_settles_what_reads_the_memory():
    with pynet.no_grad():
        x = leaf(4, 3, 5, 5) * 1.0
        y = norm(x)
        assert pending(y)
        expected = y.shape
        x.numpy()[...] = 0.0
        assert not pending(y) and y.shape == expected
        assert np.abs(y.array).max() > 0.1


def test_a_write_settles_first(maps):
    w, b = leaf(3), leaf(3, seed=1)
    x = maps()
    y = norm(x, weight=w, bias=b)
    with autograd.unfused():
        expected = norm(x, weight=w, bias=b).array
    y = norm(x, weight=w, bias=b)
    assert pending(y)
    with pynet.no_grad():
        w.zero_()
    assert not pending(y)
    np.testing.assert_array_equal(y.array, expected)


def test_mode_of_the_call_counts(maps):
    x = maps()
    y = norm(x)
    with pynet.no_grad():
        y.array  # noqa: B018
    assert y.requires_grad and y.grad_fn.name == "batch_norm"
    with pynet.no_grad():
        y = norm(x)
    z = pynet.relu(y)
    assert not y.requires_grad and not z.requires_grad
    y = norm(x)
    with pynet.no_grad():
        z = pynet.relu(y)
    assert not z.requires_grad
    assert y.requires_grad


def test_hooks_and_backward_on_a_pending_result(maps):
    y = norm(maps())
    seen = []
    y.register_hook(lambda g: seen.append(g.shape))
    pynet.relu(y).sum().backward()
    assert seen == [(4, 3, 5, 5)]
    y = norm(maps())
    y.backward(pynet.ones(4, 3, 5, 5, dtype=np.float64))


def test_listeners_hear_the_ordinary_operations(maps):
    x = maps()
    names = []
    with autograd.listen(lambda name, *rest: names.append(name)):
        pynet.relu(norm(x) + x)
    assert names == ["batch_norm", "add", "relu"]


def test_pending_work_belongs_to_its_thread(maps):
    y = norm(maps())
    thread = threading.Thread(target=autograd.flush_pending)
    thread.start()
    thread.join()
    assert pending(y)
    autograd.flush_pending()
    assert not pending(y)


def test_dropped_pending_work_never_runs():
    runs = []
    original = BATCH_NORM.forward
    x = leaf(4, 3, 5, 5) * 1.0
    y = norm(x)
    y._pending.operation = Operation("batch_norm", lambda *a, **k: runs.append(1) or original(*a, **k), None)
    del y
    autograd.flush_pending()
    assert runs == []
