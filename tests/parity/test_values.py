"""Results, gradients and buffers of every case, in two precisions, three orders of memory, with NaN and infinity."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import pynet
from tests.parity import functions, modules
from tests.parity.case import Case, arrays, evaluate, lacking
from tests.parity.compare import compare32, compare64, same_special
from tests.parity.differences import DIFFERENCES

CASES = {str(case): case for case in [*modules.CASES, *functions.CASES]}
FLOATS = {text: case for text, case in CASES.items() if any(s.split()[0] not in ("labels", "whole") for s in case.inputs.values())}  # fmt: skip
SPECIAL = {text: case for text, case in FLOATS.items() if case.special}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def check(missing):
    """check(case, layout, special): pynet beside PyTorch, the convolutions as plain sums."""

    def run(case: Case, layout: str, dtype: str, special: bool = False) -> None:
        if name := lacking(case.text):
            missing(name)
        if reason := DIFFERENCES.get(case.text):
            pytest.skip(f"documented difference: {reason}")

        def given(dtype: str):
            return arrays(case, dtype, layout, special)

        want, state = evaluate("torch", case, given("float64"), None)
        with pynet.conv_algorithm("direct"):
            if dtype == "float64":
                got, _ = evaluate("pynet", case, given("float64"), state)
                if not special:
                    compare64(got, want)
            else:
                exact = want
                want, _ = evaluate("torch", case, given("float32"), state)
                exact = evaluate("torch", case, given("float64"), _as_single(state))[0]
                got, _ = evaluate("pynet", case, given("float32"), state)
                if not special:
                    compare32(got, want, exact, case.K)
        if special:
            for name, a in want.items():
                if a.dtype.kind == "f":
                    same_special(name, got[name], a)

    return run


def _as_single(state):
    """Parameters rounded to float32, so that either precision begins with the same numbers."""
    if state is None:
        return None
    return {k: v.astype(np.float32).astype(np.float64) if v.dtype.kind == "f" else v for k, v in state.items()}


@pytest.mark.parametrize("layout", ["rows", "reversed", "gaps"])
@pytest.mark.parametrize("text", CASES)
def test_float64(check, text, layout):
    check(CASES[text], layout, "float64")


@pytest.mark.parametrize("layout", ["rows", "reversed", "gaps"])
@pytest.mark.parametrize("text", FLOATS)
def test_float32(check, text, layout):
    check(CASES[text], layout, "float32")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("text", SPECIAL)
def test_nan_and_infinity(check, text, dtype):
    check(CASES[text], "rows", dtype, special=True)
