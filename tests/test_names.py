"""The names of the package: version, parts imported when first used, functions that are methods."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import ops


def test_names():
    assert pynet.__version__ == "0.1.0"
    assert pynet.nn.__name__ == "pynet.nn" and "optim" in dir(pynet)
    assert pynet.float32 == np.float32 and pynet.bool_ == np.dtype(bool)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        pynet.nonsense  # noqa: B018
    for name in pynet.__all__:
        assert hasattr(pynet, name)
    for name in ops.__all__:
        assert callable(getattr(ops, name))


def test_methods_are_the_functions():
    x = pynet.ones(2, 3)
    for name in ("sum", "mean", "reshape", "exp", "relu", "max", "clamp", "to", "add_", "argmax", "softmax"):
        assert getattr(pynet.Tensor, name) is getattr(ops, name)
    assert (3 - x).tolist() == [[2.0] * 3] * 2 and (2 / x).tolist() == [[2.0] * 3] * 2
