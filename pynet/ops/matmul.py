"""Matrix products and the linear layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, is_fusion_enabled, put_off, record
from pynet.ops._backend import Array, backend, io, refuse_mixed, require_floats, tensor_of
from pynet.ops.activation import absorb_activation, activate, activation_of
from pynet.ops.arithmetic import add, multiply, unbroadcast
from pynet.ops.shape import permute, reshape

# --- matmul ---------------------------------------------------------------------------------------


def _matmul_forward(a: Array, b: Array) -> tuple[Array, tuple]:
    if a.dtype.kind != "f":
        return np.matmul(a, b), ()
    left = a[None, :] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    out = backend(a, b).matmul(left, right)
    if b.ndim == 1:
        out = out[..., 0]
    if a.ndim == 1:
        out = out[..., 0] if b.ndim == 1 else out[..., 0, :]
    return out, (a, b)


def _matmul_backward(dout: Array, saved: tuple, needs: tuple) -> tuple:
    a, b = saved
    on = backend(dout)
    left = a[None, :] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    if a.ndim == 1:
        dout = dout[..., None] if b.ndim == 1 else dout[..., None, :]
    if b.ndim == 1:
        dout = dout[..., None]
    da = db = None
    if needs[0]:
        da = unbroadcast(on.matmul(dout, right.swapaxes(-1, -2)), left.shape).reshape(a.shape)
    if needs[1]:
        db = unbroadcast(on.matmul(left.swapaxes(-1, -2), dout), right.shape).reshape(b.shape)
    return da, db


MATMUL = Operation("matmul", _matmul_forward, _matmul_backward)


def matmul(a: Any, b: Any) -> Tensor:
    """The matrix product a @ b.

    Args:
        a: (..., M, K), or (K,).
        b: (..., K, N), or (K,). Leading axes broadcast.
    Returns:
        Tensor (..., M, N); an axis that a 1-d operand lacks is left out.
    Raises:
        ValueError: inner sizes differ, leading axes do not broadcast, or an operand is a scalar.
        TypeError: dtypes differ.
    """
    a, b = tensor_of(a), tensor_of(b)
    if a.dtype != b.dtype:
        refuse_mixed("matmul", a.dtype, b.dtype)
    sa, sb = a.shape, b.shape
    if not sa or not sb:
        raise ValueError(f"matmul: a is {sa} and b {sb}; both need at least one axis, use * for scalars")
    inner = sb[0] if len(sb) == 1 else sb[-2]
    if sa[-1] != inner:
        raise ValueError(f"matmul: a has {sa[-1]} columns but b has {inner} rows; a is {sa}, b {sb}")
    if len(sa) > 2 or len(sb) > 2:
        try:
            np.broadcast_shapes(sa[:-2], sb[:-2])
        except ValueError:
            raise ValueError(f"matmul: the leading axes of a {sa} and b {sb} do not broadcast") from None
    return record(MATMUL, (a, b))


def _ranked(name: str, a: Tensor, ranks: tuple[int, int], b: Tensor) -> tuple[Tensor, Tensor]:
    a, b = tensor_of(a), tensor_of(b)
    if (a.ndim, b.ndim) != ranks:
        raise ValueError(
            f"{name}: expected {ranks[0]} and {ranks[1]} axes, got shapes {a.shape} and {b.shape}; use matmul"
        )
    return a, b


def mm(a: Tensor, b: Tensor) -> Tensor:
    """The product of two matrices, without broadcasting; errors as `matmul`."""
    return matmul(*_ranked("mm", a, (2, 2), b))


def bmm(a: Tensor, b: Tensor) -> Tensor:
    """The products of matrices (B, M, K) and (B, K, N), pair by pair; errors as `matmul`."""
    a, b = _ranked("bmm", a, (3, 3), b)
    if a.shape[0] != b.shape[0]:
        raise ValueError(f"bmm: a {a.shape} and b {b.shape} hold different numbers of matrices")
    return matmul(a, b)


def mv(a: Tensor, b: Tensor) -> Tensor:
    """The product of a matrix and a vector; errors as `matmul`."""
    return matmul(*_ranked("mv", a, (2, 1), b))


def dot(a: Tensor, b: Tensor) -> Tensor:
    """The sum of the products of two vectors' elements; errors as `matmul`."""
    return matmul(*_ranked("dot", a, (1, 1), b))


def outer(a: Tensor, b: Tensor) -> Tensor:
    """out[i][j] = a[i] * b[j] of two vectors."""
    a, b = _ranked("outer", a, (1, 1), b)
    return multiply(reshape(a, -1, 1), b)


# --- linear ---------------------------------------------------------------------------------------


def _linear_forward(
    x: Array, weight: Array, bias: Array | None, activation: str, alpha: float
) -> tuple[Array, tuple]:
    rows = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
    weight = io(weight)
    out = backend(x).linear_forward(rows, weight, bias, activation, alpha)
    saved = (rows, weight, None if activation == "none" else out, x.shape)
    return out if x.ndim == 2 else out.reshape(*x.shape[:-1], weight.shape[0]), saved


def _linear_backward(dout: Array, saved: tuple, needs: tuple, activation: str, alpha: float) -> tuple:
    rows, weight, out, x_shape = saved
    on = backend(dout)
    if dout.ndim != 2:
        dout = dout.reshape(-1, weight.shape[0])
    if out is not None:
        dout = on.activation_backward(dout, out, activation, alpha)
    dx = dweight = dbias = None
    if needs[0]:
        dx = on.linear_backward_data(dout, weight)
        if len(x_shape) != 2:
            dx = dx.reshape(x_shape)
    if needs[1]:
        dweight, dbias = on.linear_backward_weight(dout, rows, needs[2])
    elif needs[2]:
        dbias = on.sum(dout, (0,), False)
    return dx, dweight, dbias


LINEAR = Operation("linear", _linear_forward, _linear_backward, absorb=absorb_activation)


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: str | None = None,
    alpha: float | None = None,
) -> Tensor:
    """x @ weight.T + bias, with an activation in the same pass where asked for.

    Args:
        x: float (..., in).
        weight: (out, in).
        bias: (out,) or None.
        activation: None, "relu", "leaky_relu", "elu", "sigmoid" or "tanh".
        alpha: parameter of leaky_relu (default 0.01) and elu (1.0).
    Returns:
        Tensor (..., out).
    Raises:
        ValueError: sizes differ. TypeError: dtypes differ or are no floats.
    """
    xs, ws = x.shape, weight.shape
    dtype = x.dtype
    if not (dtype.kind == "f" and weight.dtype is dtype and (bias is None or bias.dtype is dtype)):
        require_floats("linear", x=x, weight=weight, bias=bias)
    if len(ws) != 2 or not xs:
        raise ValueError(f"linear: expected x (..., in) and weight (out, in); x is {xs}, weight {ws}")
    if xs[-1] != ws[1]:
        raise ValueError(
            f"linear: x has {xs[-1]} features but weight expects {ws[1]}; x is {xs}, weight {ws}"
        )
    if bias is not None and bias.shape != (ws[0],):
        raise ValueError(f"linear: bias is {bias.shape}, weight {ws} needs ({ws[0]},)")
    name, number = ("none", 0.0) if activation is None else activation_of("linear", activation, alpha)
    fused = name if activation is None or is_fusion_enabled() else "none"
    shape = (xs[0], ws[0]) if len(xs) == 2 else (*xs[:-1], ws[0])
    out = put_off(LINEAR, (x, weight, bias), shape, dtype, activation=fused, alpha=number)
    return out if fused is name else activate(out, name, number)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """out[..., k] = sum over i, j of input1[..., i] * weight[k, i, j] * input2[..., j] + bias[k].

    Args:
        input1: float (..., I). input2: (..., J), equal leading axes.
        weight: (K, I, J). bias: (K,) or None.
    Returns:
        Tensor (..., K).
    Raises:
        ValueError: shapes do not fit. TypeError: dtypes differ.
    """
    require_floats("bilinear", input1=input1, input2=input2, weight=weight, bias=bias)
    fits = weight.ndim == 3 and input1.ndim and input1.shape[:-1] == input2.shape[:-1]
    if not fits or (input1.shape[-1], input2.shape[-1]) != weight.shape[1:]:
        raise ValueError(
            f"bilinear: expected inputs (..., I) and (..., J) with weight (K, I, J), got {input1.shape}, "
            f"{input2.shape} and {weight.shape}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"bilinear: bias must be ({weight.shape[0]},), got {bias.shape}")
    count, first, second = weight.shape
    rows = reshape(input1, math.prod(input1.shape[:-1]), first)
    mixed = reshape(matmul(rows, reshape(permute(weight, 1, 0, 2), first, count * second)), -1, count, second)
    other = reshape(input2, rows.shape[0], second, 1)
    out = reshape(matmul(mixed, other), (*input1.shape[:-1], count))
    return out if bias is None else add(out, bias)
