"""Matrix products, kernels alone: `pynet._core` on arrays in kernel order against `torch.mm` and
`F.linear`; no autograd on either side. A linear layer's three products are timed apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import shapes
from bench.framework import Framework, io, numbers
from bench.shapes import Case

TITLE = "GEMM"
MODES = ("eager",)
CASES = [
    *(Case(f"{n} x {n} x {n}", {"kind": "square", "M": n, "K": n, "N": n}) for n in shapes.SQUARE_GEMM),
    *(
        Case(f"linear {m} x {k} -> {n}", {"kind": "linear", "M": m, "K": k, "N": n})
        for m, k, n in shapes.LINEAR
    ),
]
PASSES = ("forward", "backward data", "backward weight")


def flops(kind: str, M: int, K: int, N: int) -> dict[str, float]:
    """Multiplications and additions of each pass; the bias is not counted."""
    return dict.fromkeys(("multiply", *PASSES), 2.0 * M * K * N)


def prepare(fw: Framework, kind: str, M: int, K: int, N: int) -> dict[str, Callable[[], Any]]:
    """The product, or the linear layer's three."""
    x, dout = numbers(M, K), numbers(M, N, seed=1)
    if kind == "square":
        b = numbers(K, N, seed=2)
        if fw.name == "pynet":
            return {"multiply": lambda: fw.core.matmul(x, b)}
        left, right = fw.tensor(x), fw.tensor(b)
        return {"multiply": lambda: fw.lib.mm(left, right)}

    weight, bias = numbers(N, K, seed=2), numbers(N, seed=3)
    if fw.name == "pynet":
        core, weight = fw.core, io(weight)
        runs = (
            lambda: core.linear_forward(x, weight, bias, "none", 0.0),
            lambda: core.linear_backward_data(dout, weight),
            lambda: core.linear_backward_weight(dout, x, True)[0],
        )
    else:
        tx, tdout, tw, tb = (fw.tensor(array) for array in (x, dout, weight, bias))

        def backward_weight() -> Any:
            tdout.sum(0)  # the bias's gradient, which pynet's call computes as well
            return fw.lib.mm(tdout.t(), tx)

        runs = (lambda: fw.F.linear(tx, tw, tb), lambda: fw.lib.mm(tdout, tw), backward_weight)
    return dict(zip(PASSES, runs, strict=True))
