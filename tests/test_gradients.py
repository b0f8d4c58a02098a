"""Every differentiable function and module against central differences, over shapes that hypothesis draws."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pynet
from pynet import nn, ops
from tests.draw import CONSTANT, draw
from tests.gradients import CONTAINERS, FUNCTIONS, MODULES, NO_GRADIENT

CALLS = {**FUNCTIONS, **{f"nn.{name}": entry for name, entry in MODULES.items()}}
PRESENT = [name for name in CALLS if hasattr(nn if name.startswith("nn.") else ops, name.removeprefix("nn."))]
SIZES = st.fixed_dictionaries(
    {
        "N": st.integers(2, 3), "C": st.sampled_from([2, 4]), "L": st.integers(2, 4), "H": st.integers(3, 5),
        "W": st.integers(3, 4), "F": st.integers(1, 3),
    }
)  # fmt: skip


def test_nothing_is_left_out():
    """A new function or module is either here or said to have no gradient."""
    assert set(ops.__all__) - set(FUNCTIONS) - NO_GRADIENT == set()
    classes = {name for name in nn.__all__ if name not in ("functional", "init", "utils")}
    assert classes - set(MODULES) - CONTAINERS == set()
    assert not set(FUNCTIONS) & NO_GRADIENT


@pytest.mark.parametrize("name", PRESENT)
@settings(max_examples=4, deadline=None, derandomize=True, database=None)
@given(sizes=SIZES)
def test_gradient(name, sizes):
    text, specs = (part.format(**sizes) for part in CALLS[name])
    rng = np.random.default_rng(zlib.crc32(f"{name} {sizes}".encode()))
    inputs = {}
    for part in specs.split("; "):
        argument, spec = part.split(": ")
        a = draw(spec, rng)
        inputs[argument] = pynet.tensor(a)
        if a.dtype.kind == "f" and spec.split()[0] not in CONSTANT:
            inputs[argument].requires_grad_()
    checked = list(inputs.values())
    if name.startswith("nn."):
        module = eval(text, {"nn": nn}).double()
        checked += module.parameters()

        def call(*arguments):
            pynet.manual_seed(3)  # masks and slopes are the same in every call
            return module(*arguments[: len(inputs)])
    else:

        def call(*arguments):
            pynet.manual_seed(3)
            return eval(text, {"ops": ops, **dict(zip(inputs, arguments, strict=True))})

    assert pynet.gradcheck(call, checked)
