"""Results, gradients and buffers of every case, in two precisions and three orders of memory; NaN and infinity in the
results."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import pynet
from tests.parity import functions, modules
from tests.parity.case import LAYOUTS, Case, arrays, evaluate, lacking
from tests.parity.compare import compare32, compare64, same_special
from tests.parity.differences import DIFFERENCES, SPECIAL_DIFFERENCES

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
        if reason := (SPECIAL_DIFFERENCES if special else DIFFERENCES).get(case.text):
            pytest.skip(f"documented difference: {reason}")

        def given(dtype: str):
            return arrays(case, dtype, layout, special)

        def pynets() -> dict[str, np.ndarray]:
            try:
                with pynet.conv_algorithm("direct"):
                    return evaluate("pynet", case, given(dtype), state)[0]
            except NotImplementedError as error:
                return missing(f"{case.text} ({error})")

        want, state = evaluate("torch", case, given("float64"), None)
        if special:
            got = pynets()
            want, _ = evaluate("torch", case, given(dtype), state)
            for name, a in want.items():
                if name.startswith("result") and a.dtype.kind == "f":
                    same_special(name, got[name], a)
        elif dtype == "float64":
            compare64(pynets(), want)
        else:
            state = _as_single(state)
            want, _ = evaluate("torch", case, given("float32"), state)
            exact, _ = evaluate("torch", case, given("float64"), state)
            compare32(pynets(), want, exact, case.K)

    return run


def _as_single(state):
    """Parameters rounded to float32, so that either precision begins with the same numbers."""
    if state is None:
        return None
    return {
        k: v.astype(np.float32).astype(np.float64) if v.dtype.kind == "f" else v for k, v in state.items()
    }


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("text", CASES)
def test_float64(check, text, layout):
    check(CASES[text], layout, "float64")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("text", FLOATS)
def test_float32(check, text, layout):
    check(CASES[text], layout, "float32")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("text", SPECIAL)
def test_nan_and_infinity(check, text, dtype):
    check(CASES[text], "rows", dtype, special=True)
