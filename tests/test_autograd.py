"""The tape: what is recorded, how gradients flow and accumulate, what is refused, and what is freed."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import pynet
from pynet import autograd, ops
from pynet.autograd import Operation, Tensor, record
from pynet.ops.conv2d import CONV2D
from pynet.ops.norm import BATCH_NORM


def leaf(*shape, seed=0):
    return pynet.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


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


# --- modes ----------------------------------------------------------------------------------------


def test_modes_nest_and_restore():
    x = leaf(2)
    with pynet.no_grad():
        assert not (x * 1.0).requires_grad
        with pynet.enable_grad():
            assert (x * 1.0).requires_grad
        assert not pynet.is_grad_enabled()
    assert pynet.is_grad_enabled()
    with pytest.raises(KeyError), pynet.no_grad():
        raise KeyError
    assert pynet.is_grad_enabled()


def test_modes_as_decorators():
    @pynet.no_grad()
    def with_call():
        return pynet.is_grad_enabled()

    @pynet.no_grad
    def without_call():
        return pynet.is_grad_enabled()

    @pynet.no_grad()
    def steps():
        yield pynet.is_grad_enabled()
        yield pynet.is_grad_enabled()

    assert with_call() is False and without_call() is False
    for inside in steps():
        assert inside is False
        assert pynet.is_grad_enabled()


def test_set_grad_enabled():
    pynet.set_grad_enabled(False)
    assert not pynet.is_grad_enabled()
    pynet.set_grad_enabled(True)
    with pynet.set_grad_enabled(False):
        assert not pynet.is_grad_enabled()
    assert pynet.is_grad_enabled()


def test_mode_belongs_to_the_thread():
    seen = []
    with pynet.no_grad():
        thread = threading.Thread(target=lambda: seen.append(pynet.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


# --- changes in place -----------------------------------------------------------------------------


def test_changed_saved_array_is_refused():
    x = leaf(3)
    y = (x * x).sum()
    with pynet.no_grad():
        x += 1.0
    with pytest.raises(RuntimeError, match=r"shape \(3,\) that multiply saved was changed in place"):
        y.backward()


@pytest.mark.parametrize(
    "view",
    [lambda t: t[1:], lambda t: t.T, lambda t: t.detach(), lambda t: t.reshape(-1), lambda t: t[0:2, 1:][1]],
    ids=["slice", "transpose", "detach", "reshape", "slice of slice"],
)
def test_views_share_the_version(view):
    x = leaf(3, 4)
    y = (x * x).sum()
    with pynet.no_grad():
        view(x).fill_(0.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_saved_view_of_a_changed_base_is_refused():
    base = leaf(3, 4)
    part = base[1]
    y = (part * part).sum()
    with pynet.no_grad():
        base.zero_()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_changing_what_nobody_saved_is_fine():
    x = leaf(3)
    y = (x + x).sum()  # add saves no array
    z = (x[:1] * x[:1]).sum()
    with pynet.no_grad():
        x[1:].zero_()  # beside what z saved
    y.backward()
    z.backward()
    np.testing.assert_allclose(x.grad.array, [2 + 2 * x.array[0], 2, 2])


def test_change_before_the_operation_is_fine():
    x = leaf(3)
    with pynet.no_grad():
        x.zero_()
    (x * x).sum().backward()
    assert x.grad.tolist() == [0.0] * 3


def test_optimizer_writes_are_seen():
    x = leaf(3)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    autograd.before_write()
    x.array[...] -= 0.1
    autograd.wrote(x)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


# --- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [10_000, 200_000])
def test_long_chains_are_walked_and_freed(length):
    step = Operation("step", lambda x: (x, ()), lambda dout, saved, needs: (dout,))
    x = leaf()
    y = x
    for _ in range(length):
        y = record(step, (y,))
    y.backward()
    assert x.grad.item() == 1.0
    for _ in range(length):
        y = record(step, (y.detach().requires_grad_() if y.grad_fn is None else y,))
    del y  # never walked: freed without recursion


def test_saved_arrays_are_released_during_the_walk():
    alive = []

    def forward(x):
        kept = x.copy()
        return x, (kept, weakref.ref(kept))

    def backward(dout, saved, needs):
        alive.append(saved[1])
        gc.collect()
        assert [r() is not None for r in alive] == [False] * (len(alive) - 1) + [True]
        return (dout,)

    keep = Operation("keep", forward, backward)
    y = leaf(3)
    for _ in range(3):
        y = record(keep, (y,))
    y.sum().backward()
    assert len(alive) == 3


def test_the_tape_makes_no_reference_cycles():
    gc.collect()
    gc.disable()
    try:
        x = leaf(4)
        y = (x * x).tanh()
        array = weakref.ref(y)
        z = y.sum()
        del y
        z.backward()
        del z
        assert array() is None
        forgotten = (x * x).exp()
        node = weakref.ref(forgotten.grad_fn)
        del forgotten
        assert node() is None
    finally:
        gc.enable()


def test_failed_backward_frees_the_graph():
    def broken(dout, saved, needs):
        raise ZeroDivisionError

    breaking = Operation("breaking", lambda x: (x * 1.0, ()), broken)
    x = leaf(2)
    inner = x * 2.0
    node = weakref.ref(inner.grad_fn)
    y = record(breaking, (inner,)).sum()
    del inner
    with pytest.raises(ZeroDivisionError):
        y.backward()
    del y
    gc.collect()
    assert node() is None


# --- listeners ------------------------------------------------------------------------------------


def test_listeners_hear_every_operation_with_or_without_gradient():
    heard = []
    x = leaf(2, 3)
    with autograd.listen(
        lambda name, attributes, inputs, outputs: heard.append((name, attributes, inputs, outputs))
    ):
        y = x.sum(1)
        with pynet.no_grad():
            z = y.argmax()
    assert [h[0] for h in heard] == ["sum", "arg_extremum"]
    assert heard[0][1] == {"over": (1,), "keepdim": False}
    assert heard[0][2] == (x,) and heard[0][3] == (y,)
    assert heard[1][3][0] is z
    x.sum()
    assert len(heard) == 2


# --- tensors --------------------------------------------------------------------------------------


def test_tensor_copies_and_from_numpy_shares():
    a = np.arange(3.0)
    copied, shared = pynet.tensor(a), pynet.from_numpy(a)
    a[0] = 7.0
    assert copied.tolist() == [0.0, 1.0, 2.0]
    assert shared.tolist() == [7.0, 1.0, 2.0]
    assert shared.numpy() is a


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.0, "float32"),
        ([1.0, 2], "float32"),
        ([[1, 2]], "int64"),
        (True, "bool"),
        ([], "float32"),
        (np.arange(2.0), "float64"),
        (np.float64(1), "float64"),
        (np.array([1], np.uint8), "uint8"),
        ([np.float64(1)], "float64"),
    ],
)
def test_dtypes_of_tensor(data, dtype):
    assert pynet.tensor(data).dtype == dtype


def test_lists_of_tensors():
    t = pynet.tensor([pynet.tensor(1.0), pynet.tensor(2.0)])
    assert t.tolist() == [1.0, 2.0] and t.dtype == np.float32


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones(2, np.float16), r"got float16; convert with array.astype\(np.float32\)"),
        (np.ones(2, np.longdouble), "float128|longdouble|float96"),
        (np.ones(2, complex), "complex values, got complex128"),
        (np.array([None, 1]), "array of objects"),
        (np.array(["a"]), "got <U1"),
        (np.zeros(2, [("a", "f4")]), "structured array"),
        (np.ma.masked_array([1.0], [True]), "masked array"),
        (np.array(["2020-01-01"], "M8[D]"), "got datetime64"),
    ],
    ids=["float16", "longdouble", "complex", "object", "string", "structured", "masked", "date"],
)
@pytest.mark.parametrize("make", [pynet.tensor, pynet.from_numpy, Tensor])
def test_refused_dtypes(make, array, message):
    with pytest.raises(TypeError, match=message):
        make(array)


def test_other_refused_data():
    with pytest.raises(OverflowError):
        pynet.tensor(2**64)
    with pytest.raises(OverflowError):
        pynet.tensor([1, 2**63])
    with pytest.raises(ValueError, match="the rows have different lengths"):
        pynet.tensor([[1.0], [1.0, 2.0]])
    with pytest.raises(TypeError, match="expected an ndarray"):
        pynet.from_numpy([1.0])


def test_unusual_memory_reads_the_same():
    values = np.random.default_rng(0).standard_normal((4, 6))
    weight = leaf(5, 6)
    expected = ops.linear(pynet.tensor(values), weight).detach().numpy()
    padded = np.zeros(values.nbytes + 1, np.uint8)
    unaligned = padded[1:].view(np.float64).reshape(values.shape)
    unaligned[...] = values
    readonly = values.copy()
    readonly.flags.writeable = False
    reversed_ = values[::-1, ::-1].copy()[::-1, ::-1]
    for array in (np.asfortranarray(values), values.astype(">f8"), unaligned, readonly, reversed_):
        np.testing.assert_allclose(
            ops.linear(pynet.from_numpy(array), weight).detach().numpy(), expected, rtol=1e-12
        )
    spread = pynet.from_numpy(np.broadcast_to(values[:1], (4, 6)))
    np.testing.assert_allclose(ops.linear(spread, weight).detach().numpy(), np.repeat(expected[:1], 4, 0))
    assert pynet.tensor(values.astype(">f8")).dtype.isnative
    assert pynet.from_numpy(values.astype(">f8")).dtype.isnative


def test_numpy_of_a_tensor_that_requires_a_gradient():
    x = leaf(2)
    with pytest.raises(RuntimeError, match="use detach"):
        x.numpy()
    with pytest.raises(RuntimeError, match="use detach"):
        np.asarray(x)
    assert np.shares_memory(x.detach().numpy(), x.array)


def test_array_protocol():
    t = pynet.tensor([1.5, 2.5])
    assert np.asarray(t) is t.numpy()
    assert np.asarray(t, dtype=np.float64).dtype == np.float64
    assert not np.shares_memory(np.array(t), t.numpy())


def test_dlpack_both_ways():
    t = pynet.tensor([[1.0, 2.0]])
    seen = np.from_dlpack(t)
    assert np.shares_memory(seen, t.numpy())
    back = pynet.from_dlpack(np.arange(3, dtype=np.float32))
    assert back.tolist() == [0.0, 1.0, 2.0]
    assert t.__dlpack_device__() == (1, 0)
    with pytest.raises(TypeError, match="has no __dlpack__"):
        pynet.from_dlpack([1.0])


def test_scalars_to_python():
    t = pynet.tensor([[2.5]])
    assert t.item() == 2.5 and float(t) == 2.5 and int(t) == 2 and bool(t)
    assert isinstance(t.item(), float)
    assert [10, 20][pynet.tensor(1)] == 20
    assert f"{pynet.tensor(0.125):.2f}" == "0.12"
    with pytest.raises(ValueError, match=r"shape \(2,\) has 2 elements"):
        pynet.tensor([1.0, 2.0]).item()
    with pytest.raises(ValueError, match="ambiguous"):
        bool(pynet.tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match="cannot be an index"):
        [1, 2][pynet.tensor(1.0)]
    with pytest.raises(TypeError, match="0-d tensor"):
        len(pynet.tensor(1.0))


def test_sizes():
    t = pynet.zeros(2, 3)
    assert (t.shape, t.ndim, t.dim(), t.size(), t.size(1), t.numel(), len(t)) == (
        (2, 3),
        2,
        2,
        (2, 3),
        3,
        6,
        2,
    )
    assert t.device == "cpu" and t.is_leaf and t.is_floating_point()
    assert [row.shape for row in t] == [(3,), (3,)]


def test_detach_shares_memory_and_not_the_tape():
    x = leaf(2)
    y = (x * 2.0).detach()
    assert not y.requires_grad and y.grad_fn is None
    assert np.shares_memory(x.detach().array, x.array)


def test_repr():
    assert repr(pynet.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert repr(pynet.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(leaf(0).detach()) == "tensor([], shape=(0,), dtype=float64)"
    x = pynet.tensor([1.0], requires_grad=True)
    assert repr(x) == "tensor([1.], requires_grad=True)"
    assert repr(x.reshape(1, 1)) == "tensor([[1.]], grad_fn=<reshape>)"
    assert repr(pynet.zeros(100, 100)).endswith("shape=(100, 100))")


def test_deepcopy():
    import copy

    x = leaf(2)
    (x * 2.0).sum().backward()
    y = copy.deepcopy([x, x])
    assert y[0] is y[1] and y[0].requires_grad
    assert not np.shares_memory(y[0].array, x.array)
    assert y[0].grad.tolist() == [2.0, 2.0] and not np.shares_memory(y[0].grad.array, x.grad.array)
    maps = pynet.tensor(np.zeros((2, 4, 4, 3)).transpose(0, 3, 1, 2))
    assert copy.deepcopy(maps).array.strides == maps.array.strides
    with pytest.raises(RuntimeError, match="deepcopy of the result"):
        copy.deepcopy(x * 1.0)


def test_hash_is_identity_and_comparison_elementwise():
    x, y = leaf(2), leaf(2)
    assert len({x: 1, y: 2}) == 2
    assert (x == y).tolist() == [True, True]
    assert (x == None) is False  # noqa: E711
    assert (x != "a") is True


# --- work put off ---------------------------------------------------------------------------------


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


# --- summands ---------------------------------------------------------------------------------------


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


# --- threads ----------------------------------------------------------------------------------------


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
