"""Cases in which pynet does something else than PyTorch on purpose: the text and why.

docs/parity.md has the same reasons in its table; `test_docs.py` holds the two together.
"""

from __future__ import annotations

_CELU = "PyTorch's float64 gradient has float32 constants and is off by up to 1e-8"
_SIXTH = "PyTorch's float64 gradient is float32's 1/6, off by 5e-9"
_VIEW = "`view` is `reshape`: it copies where memory does not allow a view, PyTorch raises"

DIFFERENCES: dict[str, str] = {
    "nn.CELU(0.7)": _CELU,
    "F.celu(x, 0.7)": _CELU,
    "nn.Hardsigmoid()": _SIXTH,
    "F.hardsigmoid(x)": _SIXTH,
    "x.view(2, 12)": _VIEW,
}

_GELU = "of infinity it is infinity; PyTorch's float32 has NaN there"
_LOGITS = "of an infinite logit it is the limit, infinity; PyTorch has inf - inf"

# Where NaN and infinity stand in the results.
SPECIAL_DIFFERENCES: dict[str, str] = {
    "nn.GELU()": _GELU,
    "F.gelu(x)": _GELU,
    "nn.BCEWithLogitsLoss(reduction='none')": _LOGITS,
}
