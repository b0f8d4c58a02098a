"""Losses of distances and angles between vectors, and those distances, composed of other operations."""

from __future__ import annotations

from typing import Any

from pynet.autograd import Tensor
from pynet.ops import arithmetic as a
from pynet.ops import reduction as r
from pynet.ops._backend import require_floats, tensor_of
from pynet.ops.loss_pairs import positive_part, reduced, same_shapes
from pynet.ops.vector_norm import norm


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """1 - cos of two vectors where the target is 1, max(0, cos - margin) where it is -1.

    Args:
        input1, input2: float (N, D) or (D,).
        target: 1 or -1, Tensor or array (N,) or ().
        margin: from -1 to 1; default 0.
        reduction: "mean", "sum" or "none".
    Raises:
        ValueError: shapes differ or do not fit the target. TypeError: dtypes differ.
    """
    name = "cosine_embedding_loss"
    same_shapes(name, input1, input2)
    signs = tensor_of(target).array
    if len(input1.shape) not in (1, 2) or signs.shape != input1.shape[:-1]:
        raise ValueError(
            f"{name}: expected inputs (N, D) with target (N,), or (D,) with (); inputs are {input1.shape}, "
            f"target {signs.shape}"
        )
    squares = [a.add(r.sum(a.square(x), -1), 1e-12) for x in (input1, input2)]
    cosine = a.divide(r.sum(a.multiply(input1, input2), -1), a.sqrt(a.multiply(*squares)))
    together = a.where(signs == 1, a.subtract(1.0, cosine), 0.0)
    apart = a.where(signs == -1, positive_part(a.subtract(cosine, margin)), 0.0)
    return reduced(name, a.add(together, apart), reduction)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along `dim`.

    Args:
        x1, x2: float Tensors whose shapes broadcast.
        dim: the vectors' axis; default 1.
        eps: least length that is divided by; default 1e-8.
    """
    require_floats("cosine_similarity", x1=x1, x2=x2)
    lengths = [a.clamp(a.sqrt(r.sum(a.square(x), dim)), min=eps) for x in (x1, x2)]
    return a.divide(r.sum(a.multiply(x1, x2), dim), a.multiply(*lengths))


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Vectors along an axis divided by their p-norm.

    Args:
        input: float, any shape.
        p: the order of the norm.
        dim: the vectors' axis; default 1.
        eps: least norm that is divided by.
    Raises:
        IndexError: no such axis.
    """
    require_floats("normalize", input=input)
    return a.divide(input, a.clamp(norm(input, p, dim, keepdim=True), min=eps))


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of x1 - x2 + eps over the last axis.

    Args:
        x1, x2: float Tensors (N, D) or (D,).
        p: above 0, or infinity.
        eps: keeps the gradient of equal vectors defined.
        keepdim: keep the reduced axis with size 1.
    Raises:
        ValueError: p is not above 0.
    """
    require_floats("pairwise_distance", x1=x1, x2=x2)
    if not p > 0:
        raise ValueError(f"pairwise_distance: p must be above 0, got {p}")
    difference = a.add(a.subtract(x1, x2), eps)
    if p == 2:
        return a.sqrt(r.sum(a.square(difference), -1, keepdim))
    size = a.abs(difference)
    if p == float("inf"):
        return r.amax(size, -1, keepdim)
    return r.sum(size, -1, keepdim) if p == 1 else a.pow(r.sum(a.pow(size, p), -1, keepdim), 1.0 / p)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin + d(anchor, positive) - d(anchor, negative)), d the `pairwise_distance`.

    Args:
        anchor, positive, negative: float (N, D) or (D,).
        margin: above 0; default 1.
        p, eps: of the distance.
        swap: take d(positive, negative) where it is smaller than d(anchor, negative); default False.
        reduction: "mean", "sum" or "none".
    Raises:
        ValueError: shapes differ, or margin is not above 0. TypeError: dtypes differ.
    Source:
        Balntas et al. 2016, "Learning local feature descriptors with triplets".
    """
    name = "triplet_margin_loss"
    same_shapes(name, anchor, positive)
    same_shapes(name, anchor, negative)
    if not margin > 0:
        raise ValueError(f"{name}: margin must be above 0, got {margin}")
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = a.minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced(name, positive_part(a.add(a.subtract(near, far), margin)), reduction)
