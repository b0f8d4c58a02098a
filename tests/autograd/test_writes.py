"""Arrays that are changed in place after they were recorded."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import autograd
from tests.autograd.leaf import leaf


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
