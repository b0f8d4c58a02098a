"""The walk back: how gradients flow, add up and are handed over, and what is refused."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import pynet
from pynet import autograd, ops
from pynet.autograd import Operation, record
from tests.autograd.leaf import leaf

# --- gradients ------------------------------------------------------------------------------------


def test_gradient_of_a_used_twice_leaf_is_the_sum():
    x = pynet.tensor([2.0, 3.0], dtype=np.float64, requires_grad=True)
    (x * x + x).sum().backward()
    assert x.grad.tolist() == [5.0, 7.0]


def test_diamond_walks_each_node_once():
    calls = []

    def backward(dout, saved, needs):
        calls.append(dout.copy())
        return (dout,)

    counted = Operation("counted", lambda x: (x.copy(), ()), backward)
    x = leaf(3)
    y = record(counted, (x,))
    (y * 2.0 + y * 3.0 + y).sum().backward()
    assert len(calls) == 1
    assert calls[0].tolist() == [6.0] * 3


def test_gradients_accumulate_in_place_over_backwards():
    x = leaf(3)
    (x * 2.0).sum().backward()
    first = x.grad.array
    (x * 3.0).sum().backward()
    assert x.grad.array is first
    assert x.grad.tolist() == [5.0] * 3


def test_grads_alias_neither_each_other_nor_the_callers_gradient():
    a, b = leaf(4), leaf(4, seed=1)
    given = pynet.ones(4, dtype=np.float64)
    (a + b).backward(given)
    arrays = [a.grad.array, b.grad.array, given.array]
    for i, first in enumerate(arrays):
        for second in arrays[:i]:
            assert not np.shares_memory(first, second)


def test_grad_does_not_alias_what_an_operation_saved():
    def forward(x):
        return x.sum(), (np.ones_like(x), x)

    saving = Operation("saving", forward, lambda dout, saved, needs: (saved[1],))
    x = leaf(3)
    record(saving, (x,)).backward()
    assert not np.shares_memory(x.grad.array, x.array)


def test_a_borrowed_gradient_is_never_added_into():
    # a and the chain behind b get one array from add; a then gets a second gradient.
    a, b = leaf(3), leaf(3, seed=1)
    y = a + (b * 1.0)
    (y + a).sum().backward()
    assert a.grad.tolist() == [2.0] * 3
    assert b.grad.tolist() == [1.0] * 3


def test_gradient_has_the_parameters_strides():
    weight = pynet.tensor(
        np.random.default_rng(0).standard_normal((3, 3, 2, 4)).transpose(3, 2, 0, 1), requires_grad=True
    )
    x = leaf(1, 2, 5, 5)
    ops.conv2d(x, weight).sum().backward()
    assert weight.grad.array.strides == weight.array.strides
    (weight * 2.0).sum().backward()
    assert weight.grad.array.strides == weight.array.strides
    plain = pynet.tensor(np.ones((4, 5)).T, requires_grad=True)
    plain.sum().backward()  # the gradient of a sum is a broadcast view
    assert plain.grad.array.strides == plain.array.strides
    assert plain.grad.array.flags.writeable


def test_only_what_needs_a_gradient_is_computed():
    asked = []

    def backward(dout, saved, needs):
        asked.append(needs)
        return dout, None

    operation = Operation("two", lambda a, b: (a + b, ()), backward)
    record(operation, (leaf(2), pynet.ones(2, dtype=np.float64))).sum().backward()
    assert asked == [(True, False)]


def test_several_outputs():
    x = leaf(6)
    first, second = ops.split(x, [2, 4])
    (first * 2.0).sum().backward(retain_graph=True)
    assert x.grad.tolist() == [2.0, 2.0, 0.0, 0.0, 0.0, 0.0]
    second.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 1.0, 1.0, 1.0, 1.0]


def test_backward_of_several_tensors_and_with_gradients():
    x = leaf(2)
    autograd.backward([x * 2.0, (x * 3.0).sum()], [pynet.tensor(np.array([1.0, 10.0])), None])
    assert x.grad.tolist() == [5.0, 23.0]


def test_backward_on_a_leaf():
    x = leaf()
    x.backward()
    assert x.grad.item() == 1.0


def test_grad_leaves_dot_grad_alone_and_reaches_inner_results():
    x, w = leaf(3), leaf(3, seed=1)
    inner = x * w
    out = (inner * inner).sum()
    to_inner, to_x = autograd.grad(out, [inner, x])
    np.testing.assert_allclose(to_inner.array, 2 * inner.detach().numpy())
    np.testing.assert_allclose(to_x.array, 2 * inner.detach().numpy() * w.detach().numpy())
    assert x.grad is None and w.grad is None


def test_grad_runs_only_what_leads_to_the_inputs():
    calls = []

    def backward(dout, saved, needs):
        calls.append(1)
        return (dout,)

    counted = Operation("counted", lambda x: (x.copy(), ()), backward)
    x, other = leaf(2), leaf(2, seed=1)
    out = (x * 2.0).sum() + record(counted, (other,)).sum()
    (found,) = autograd.grad(out, x)
    assert found.tolist() == [2.0, 2.0]
    assert calls == []


def test_grad_of_an_unused_input():
    x, unused = leaf(2), leaf(2)
    with pytest.raises(RuntimeError, match="do not depend on an input of shape"):
        autograd.grad(x.sum(), [x, unused])
    assert autograd.grad(x.sum(), [x, unused], allow_unused=True)[1] is None


def test_retain_grad_and_hooks():
    x = leaf(2)
    y = x * 2.0
    y.retain_grad()
    seen = []
    handle = y.register_hook(lambda g: seen.append(g.tolist()))
    x.register_hook(lambda g: g * 10.0)
    y.sum().backward(retain_graph=True)
    assert seen == [[1.0, 1.0]]
    assert y.grad.tolist() == [1.0, 1.0]
    assert x.grad.tolist() == [20.0, 20.0]
    handle.remove()
    handle.remove()
    y.sum().backward()
    assert len(seen) == 1
    with pytest.raises(RuntimeError, match="requires no gradient"):
        pynet.ones(2).register_hook(print)


def test_hook_that_changes_the_shape_is_refused():
    x = leaf(2)
    x.register_hook(lambda g: g.sum())
    with pytest.raises(RuntimeError, match=r"a hook returned a gradient of shape \(\)"):
        (x * 1.0).sum().backward()


# --- what is refused ------------------------------------------------------------------------------


def test_second_backward_names_the_way_out():
    x = leaf(3)
    y = (x + x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [2.0] * 3


def test_retain_graph_allows_a_second_walk():
    x = leaf(3)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.array, 4 * x.array)


def test_backward_on_a_non_scalar():
    with pytest.raises(RuntimeError, match=r"shape \(3,\) is not a scalar"):
        (leaf(3) * 2.0).backward()
    with pytest.raises(RuntimeError, match=r"gradient has shape \(2,\), the tensor \(3,\)"):
        (leaf(3) * 2.0).backward(pynet.ones(2, dtype=np.float64))
    with pytest.raises(TypeError, match="float32, the tensor float64"):
        (leaf(3) * 2.0).backward(pynet.ones(3))


def test_backward_without_requires_grad():
    with pytest.raises(RuntimeError, match="needs no gradient"):
        pynet.ones(()).backward()


def test_backward_of_something_else_than_a_tensor():
    with pytest.raises(TypeError, match="backward: expected a Tensor, got list"):
        pynet.autograd.backward([[1.0]])


def test_numpy_scalars_from_an_operation_are_arrays_of_no_axes():
    def backward(dout, saved, needs):
        return (np.float64(3) * dout[()],)

    scalar = Operation("scalar", lambda a: (a[()], ()), backward)
    x = pynet.tensor(np.float64(2), requires_grad=True)
    (record(scalar, (x,)) + record(scalar, (x,))).backward()
    assert x.grad.array.shape == () and x.grad.item() == 6.0
    y = record(scalar, (x,))
    y.retain_grad()
    y.backward()
    assert y.grad.item() == 1.0 and x.grad.item() == 9.0


def test_hooks_may_return_numpy_scalars():
    x = pynet.tensor([1.0, 2.0], requires_grad=True)
    y = x.sum()
    y.register_hook(lambda gradient: pynet.sign(gradient))
    y.backward()
    assert x.grad.tolist() == [1.0, 1.0]
    leaf = pynet.tensor(2.0, requires_grad=True)
    leaf.register_hook(lambda gradient: pynet.sign(-gradient))
    (leaf * 3).backward()
    assert leaf.grad.item() == -1.0
    leaf.grad = pynet.sign(leaf.detach())
    (leaf * 3).backward()
    assert leaf.grad.item() == 0.0


def test_a_forward_without_a_result_is_refused():
    nothing = Operation("nothing", lambda a: (None, ()), None)
    with pytest.raises(TypeError, match="a forward returns"):
        record(nothing, (leaf(3),))


def test_create_graph():
    with pytest.raises(NotImplementedError, match="gradients of gradients"):
        leaf().backward(create_graph=True)


def test_exception_in_a_custom_backward_passes_and_the_next_step_works():
    def broken(dout, saved, needs):
        raise ZeroDivisionError("as planned")

    breaking = Operation("breaking", lambda x: (x * 1.0, ()), broken)
    x = leaf(2)
    y = record(breaking, (x * 2.0,)).sum()
    with pytest.raises(ZeroDivisionError, match="as planned"):
        y.backward()
    assert x.grad is None
    (x * 2.0).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        (lambda d: (), "returned 0 gradients for 1 inputs"),
        (lambda d: (d[:1],), r"shape \(1,\) and dtype float64 for input 0"),
        (lambda d: (d.astype(np.float32),), "dtype float32 for input 0"),
    ],
)
def test_wrong_gradient_of_a_custom_backward(gradients, message):
    operation = Operation("wrong", lambda x: (x * 1.0, ()), lambda dout, saved, needs: gradients(dout))
    with pytest.raises(RuntimeError, match=message):
        record(operation, (leaf(2),)).sum().backward()


def test_integers_cannot_require_a_gradient():
    with pytest.raises(RuntimeError, match="int64 cannot require a gradient"):
        pynet.tensor([1, 2], requires_grad=True)


def test_result_cannot_stop_requiring():
    with pytest.raises(RuntimeError, match="use detach"):
        (leaf(2) * 1.0).requires_grad = False


def test_grad_setter():
    x = leaf(2)
    with pytest.raises(TypeError, match="must be a Tensor"):
        x.grad = np.ones(2)
    with pytest.raises(ValueError, match=r"grad of shape \(3,\)"):
        x.grad = pynet.ones(3, dtype=np.float64)
    x.grad = pynet.ones(2, dtype=np.float64)
    (x * 2.0).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    x.grad = None
    assert x.grad is None


# --- summands -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("users", [2, 3, 4])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("watch", ["hook", "retain", "target"])
def test_summands_give_the_bits_of_their_sum(dtype, users, residual, watch):
    rng = np.random.default_rng(0)
    x, w, b, s = (
        pynet.tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True)
        for shape in ((4, 3, 5, 5), (3,), (3,), (4, 3, 5, 5))
    )
    factors = [pynet.tensor(rng.standard_normal((4, 3, 5, 5)).astype(dtype)) for _ in range(users)]
    inputs = [x, w, b] + [s] * residual

    def gradients(watched):
        y = ops.batch_norm(x * 1.0, None, None, w, b, training=True)
        y = pynet.relu(y + s * 1.0 if residual else y)
        seen = []
        if watched and watch == "hook":
            y.register_hook(lambda g: seen.append(g.array.copy()))
        if watched and watch == "retain":
            y.retain_grad()
        loss = sum((y * f).sum() for f in factors)
        wanted = inputs + [y] * (watched and watch == "target")
        if watch == "target":
            found = [g.array for g in autograd.grad(loss, wanted)]
            seen += found[len(inputs) :]
        else:
            for t in inputs:
                t.grad = None
            loss.backward()
            found = [t.grad.array for t in inputs]
            seen += [y.grad.array] if y.grad is not None else []
        return found[: len(inputs)], seen

    plain, nothing = gradients(False)
    summed, seen = gradients(True)
    assert nothing == [] and len(seen) == 1
    np.testing.assert_allclose(seen[0], sum(f.array for f in factors), rtol=1e-5, atol=1e-6)
    for got, expected in zip(plain, summed, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_only_an_operation_that_takes_two_gets_summands():
    received = []

    def operation(takes_two):
        def backward(dout, saved, needs):
            received.append(type(dout))
            return (dout[0] + dout[1] if type(dout) is list else dout,)

        return Operation("seen", lambda a: (a * 1.0, ()), backward, takes_two=takes_two)

    x = leaf(3)
    for takes_two in (True, False):
        for users in (1, 2, 3):
            y = record(operation(takes_two), (x * 1.0,))
            sum((y * float(i + 1)).sum() for i in range(users)).backward()
            assert received[-1] is (list if takes_two and users > 1 else np.ndarray)
    np.testing.assert_allclose(x.grad.array, 2 * (1 + 3 + 6))


# --- threads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_on_shared_weights_get_the_same_bits(dtype):
    rng = np.random.default_rng(0)
    x = pynet.tensor(rng.standard_normal((8, 3, 6, 6)).astype(dtype))
    weight = pynet.tensor(rng.standard_normal((3, 3, 3, 3)).astype(dtype), requires_grad=True)
    scale = pynet.tensor(rng.standard_normal(3).astype(dtype), requires_grad=True)

    def step():
        y = ops.conv2d(x, weight, padding=1)
        out = pynet.relu(ops.batch_norm(y, None, None, scale, scale, training=True) + y)
        return [g.array for g in autograd.grad(out.sum(), [weight, scale])]

    expected, found = step(), []
    threads = [threading.Thread(target=lambda: found.extend(step() for _ in range(5))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 40
    for gradients in found:
        for got, wanted in zip(gradients, expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
