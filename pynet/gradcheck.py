"""Compares the gradients of the tape with central differences, in double precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pynet.autograd import Tensor, flush_pending, grad, no_grad

__all__ = ["GradcheckError", "gradcheck"]


class GradcheckError(RuntimeError):
    """The two gradients differ; the message names input, element, output and both numbers."""


def gradcheck(
    fn: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Checks the gradient of every output element with respect to every input element.

    Args:
        fn: takes the inputs, returns a Tensor or several; must give the same values each time it is called.
        inputs: what fn is called with; those that require a gradient are checked and must be float64.
        eps: how far an element is moved, in both directions.
        atol, rtol: the gradients agree when |analytic - numeric| <= atol + rtol * |numeric|.
        raise_exception: False returns False instead of raising.
    Returns:
        True when all agree.
    Raises:
        GradcheckError: a gradient is wrong.
        ValueError: no input requires a gradient, or one that does is not float64.
    """
    arguments = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [i for i, t in enumerate(arguments) if isinstance(t, Tensor) and t.requires_grad]
    if not checked:
        raise ValueError("gradcheck: no input requires a gradient; set requires_grad=True on one")
    for i in checked:
        if arguments[i].dtype != np.float64:
            raise ValueError(
                f"gradcheck: input {i} is {arguments[i].dtype}; differences need float64, use .double()"
            )
    try:
        for index, output in enumerate(_outputs(fn, arguments)):
            if output.requires_grad:
                _check_output(fn, arguments, checked, index, output, eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _outputs(fn: Callable[..., Any], arguments: list[Any]) -> list[Tensor]:
    result = fn(*arguments)
    results = list(result) if isinstance(result, (tuple, list)) else [result]
    return [t for t in results if isinstance(t, Tensor) and t.dtype.kind == "f"]


def _check_output(
    fn: Callable[..., Any],
    arguments: list[Any],
    checked: list[int],
    index: int,
    output: Tensor,
    eps: float,
    atol: float,
    rtol: float,
) -> None:
    analytic = _analytic(output, [arguments[i] for i in checked])
    for i, found in zip(checked, analytic, strict=True):
        expected = _numeric(fn, arguments, i, index, eps)
        # NaN and infinities agree only with themselves.
        agree = np.isclose(found, expected, rtol=rtol, atol=atol, equal_nan=True)
        if not agree.all():
            row, column = np.unravel_index(int(np.argmin(agree)), agree.shape)
            at = tuple(int(n) for n in np.unravel_index(row, arguments[i].shape))
            to = tuple(int(n) for n in np.unravel_index(column, output.shape))
            raise GradcheckError(
                f"gradcheck: the gradient of output {index} element {to} with respect to input {i} element "
                f"{at} is "
                f"{found[row, column]:.6g} on the tape but {expected[row, column]:.6g} by differences; "
                f"{int((~agree).sum())} of {agree.size} differ"
            )


def _analytic(output: Tensor, inputs: list[Tensor]) -> list[np.ndarray]:
    """For each input the matrix (input elements, output elements), one backward for each output element."""
    matrices = [np.zeros((t.numel(), output.numel())) for t in inputs]
    for column in range(output.numel()):
        start = np.zeros(output.shape)
        start.reshape(-1)[column] = 1.0
        for matrix, g in zip(
            matrices, grad(output, inputs, start, retain_graph=True, allow_unused=True), strict=True
        ):
            if g is not None:
                matrix[:, column] = g.array.reshape(-1)
    return matrices


def _numeric(
    fn: Callable[..., Any], arguments: list[Any], position: int, index: int, eps: float
) -> np.ndarray:
    """The same matrix by central differences.

    The input is changed in place, since fn may also hold it by itself.
    """
    moved = arguments[position]
    array = moved.array
    if not array.flags.writeable:
        raise ValueError(f"gradcheck: input {position} is read-only; pass a clone() of it")

    def value() -> np.ndarray:
        with no_grad():
            result = _outputs(fn, arguments)[index].array.reshape(-1).copy()
        flush_pending()
        return result

    rows = []
    # The values are put back, so what the tape saved stays right and no version changes.
    for at in np.ndindex(array.shape):
        before = array[at]
        try:
            array[at] = before + eps
            above = value()
            array[at] = before - eps
            below = value()
        finally:
            array[at] = before
        rows.append((above - below) / (2 * eps))
    return np.array(rows).reshape(moved.numel(), -1)
