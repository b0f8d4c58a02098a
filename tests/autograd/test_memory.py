"""What the tape keeps, and for how long."""

from __future__ import annotations

import gc
import weakref

import pytest

from pynet.autograd import Operation, record
from tests.autograd.leaf import leaf


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
