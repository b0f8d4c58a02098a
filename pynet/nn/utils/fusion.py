"""A batch norm in evaluation mode folded into the layer before it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ...autograd import Tensor
from ..module import Module
from ..parameter import Parameter


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of one layer that does what a convolution and the batch norm behind it do.

    Args:
        conv_w, conv_b: of the convolution; the bias may be None.
        bn_rm, bn_rv, bn_eps: running mean and variance, and eps.
        bn_w, bn_b: gain and shift, or None.
        transpose: whether the weight is a transposed convolution's (in, out, ...).
    Returns:
        (weight, bias), computed in double precision, in the weight's dtype.
    Source:
        Jacob et al. 2018, section 3.2.
    """
    scale = 1.0 / np.sqrt(bn_rv.array.astype(np.float64) + bn_eps)
    scale = scale if bn_w is None else scale * bn_w.array
    axis = 1 if transpose else 0
    shape = tuple(-1 if i == axis else 1 for i in range(conv_w.ndim))
    offset = ((0.0 if conv_b is None else conv_b.array) - bn_rm.array) * scale
    offset = offset if bn_b is None else offset + bn_b.array
    weight = (conv_w.array * scale.reshape(shape)).astype(conv_w.dtype)
    return (
        Parameter(weight, conv_w.requires_grad),
        Parameter(offset.astype(conv_w.dtype), True if conv_b is None else conv_b.requires_grad),
    )


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """As `fuse_conv_bn_weights`, of a linear layer."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of the convolution that does what it and the batch norm behind it do in evaluation mode.

    Raises:
        ValueError: one of them is in training mode, or the batch norm has no running statistics.
    """
    return _fused("fuse_conv_bn_eval", conv, bn, transpose)


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A copy of the linear layer that does what it and the batch norm behind it do in evaluation mode.

    Raises:
        ValueError: one of them is in training mode, or the batch norm has no running statistics.
    """
    return _fused("fuse_linear_bn_eval", linear, bn, False)


def _fused(name: str, layer: Module, bn: Any, transpose: bool) -> Module:
    if layer.training or bn.training:
        raise ValueError(f"{name}: both layers must be in evaluation mode; call eval() on them first")
    if bn.running_mean is None or bn.running_var is None:
        raise ValueError(f"{name}: the batch norm keeps no running statistics, which fusing needs")
    fused = copy.deepcopy(layer)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        layer.weight, layer.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused
