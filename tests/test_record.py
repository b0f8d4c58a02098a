"""`record`, the way of every operation to the tape: what it writes down, refuses and keeps alive."""

from __future__ import annotations

import gc
import sys

import pytest

import pynet
from pynet.autograd import Operation, record


def _double():
    return Operation("double", lambda x, y, **_: (x * 2, (x,)), lambda dout, *_, **__: (dout * 2, None))


def test_record_puts_on_the_tape_what_a_gradient_may_be_asked_for():
    x, plain = pynet.ones(3, requires_grad=True), pynet.ones(3)
    out = record(_double(), (x, None), factor=2)
    node = out.grad_fn
    assert (node.name, node.attributes, node.shape, node.dtype) == ("double", {"factor": 2}, (3,), x.dtype)
    assert node.edges == [x, None] and node.saved == (x.array,) and len(node.storages) == 2
    assert record(_double(), (out, None)).grad_fn.edges == [(node, 0), None]
    assert record(_double(), (plain, None)).grad_fn is None
    with pynet.no_grad():
        assert record(_double(), (x, None)).grad_fn is None
    out.sum().backward()
    assert x.grad.tolist() == [2.0] * 3


def test_record_refuses_what_is_no_operation_on_tensors():
    x = pynet.ones(3)
    for arguments in (
        (),
        (_double(),),
        (_double(), [x, None]),
        (None, (x, None)),
        (_double(), (x, None), x.array),
    ):
        with pytest.raises(TypeError, match="record"):
            record(*arguments)
    with pytest.raises(TypeError, match=r"an input must be a Tensor or None, got numpy\.ndarray"):
        record(_double(), (x, x.array))
    broken = pynet.autograd.Operation("broken", lambda x: x, None)
    with pytest.raises(TypeError, match=r"a forward returns \(out, saved\)"):
        record(broken, (x,))


def test_record_gives_every_reference_back():
    operation, attribute, x = _double(), object(), pynet.ones(3, requires_grad=True)
    record(operation, (x, None), attribute=attribute)  # what is made once
    objects = (operation, attribute, x, x._storage, x.array)
    before = [sys.getrefcount(o) for o in objects]
    for _ in range(50):
        record(operation, (x, None), attribute=attribute)
        with pytest.raises(TypeError):
            record(operation, (x, x.array), attribute=attribute)
    gc.collect()
    assert [sys.getrefcount(o) for o in objects] == before
