"""Whether operations are recorded, and who listens to them."""

from __future__ import annotations

import threading

import pytest

import pynet
from pynet import autograd
from tests.autograd.leaf import leaf

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
