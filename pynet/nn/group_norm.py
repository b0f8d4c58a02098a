"""Layers that normalise within each sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from . import functional as F
from . import init
from .arguments import integer, non_negative, on_cpu
from .module import Module
from .norm import _BatchNorm
from .parameter import Parameter, as_float_dtype


class _Affine(Module):
    """A weight of ones and a bias of zeros, or neither."""

    def _make_affine(self, shape: tuple[int, ...], affine: bool, bias: bool, device: Any, dtype: Any) -> None:
        name = type(self).__name__
        on_cpu(name, device)
        dtype = as_float_dtype(dtype or "float32", name)
        self.register_parameter("weight", Parameter(np.ones(shape, dtype)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(shape, dtype)) if affine and bias else None)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class LayerNorm(_Affine):
    """The trailing axes of each sample standardised together, scaled and shifted element by element.

    Args:
        normalized_shape: sizes of the trailing axes, or one size.
        eps: default 1e-5.
        elementwise_affine: whether there are a weight and a bias, default True.
        bias: False leaves out the bias alone, default True.
        device: None or "cpu".
        dtype: float32 (default) or float64.

    Raises:
        TypeError: a size that is no int, or another dtype. ValueError: a size below 1, eps negative.

    Source:
        Ba, Kiros and Hinton 2016, "Layer Normalization".
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        given: Any = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        self.normalized_shape = tuple(integer("LayerNorm", "normalized_shape", n) for n in given)
        self.eps = non_negative("LayerNorm", "eps", eps)
        self.elementwise_affine = bool(elementwise_affine)
        self._make_affine(self.normalized_shape, self.elementwise_affine, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """The normalised input, of the same shape."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """All arguments."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class GroupNorm(_Affine):
    """Each sample standardised over groups of channels, scaled and shifted channel by channel.

    Args:
        num_groups: divides num_channels.
        num_channels: C of (N, C, ...).
        eps: default 1e-5.
        affine: whether there are a weight and a bias, default True.
        device: None or "cpu".
        dtype: float32 (default) or float64.
        bias: False leaves out the bias alone, default True.

    Raises:
        TypeError: a size that is no int, or another dtype. ValueError: a size below 1, groups that do not
            divide, eps negative.

    Source:
        Wu and He 2018, "Group Normalization".
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_groups = integer("GroupNorm", "num_groups", num_groups)
        self.num_channels = integer("GroupNorm", "num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise ValueError(
                f"GroupNorm: num_groups={num_groups} does not divide num_channels={num_channels}"
            )
        self.eps = non_negative("GroupNorm", "eps", eps)
        self.affine = bool(affine)
        self._make_affine((self.num_channels,), self.affine, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """The normalised input, of the same shape."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """All arguments."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class _InstanceNorm(_BatchNorm):
    """As batch norm in its state, but each sample on its own; the last axes may come without a batch axis."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """The normalised input, of the same shape.

        Raises:
            ValueError: another rank or number of channels, or one value a channel.
        """
        if input.ndim not in (*self._ranks, *(n - 1 for n in self._ranks)):
            raise ValueError(
                f"{type(self).__name__}: expected {self._shapes}, got {input.ndim}-D input of shape "
                f"{input.shape}"
            )
        single = input.ndim not in self._ranks
        batch = input.unsqueeze(0) if single else input  # type: ignore[attr-defined]
        if batch.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__}: expected {self.num_features} channels, got {batch.shape[1]} in "
                f"{input.shape}"
            )
        mean, var = self._buffers["running_mean"], self._buffers["running_var"]
        use_input = self.training or mean is None
        out = F.instance_norm(
            batch, mean, var, self.weight, self.bias, use_input, self.momentum or 0.0, self.eps
        )
        return out.squeeze(0) if single else out  # type: ignore[attr-defined]


class InstanceNorm1d(_InstanceNorm):
    """Each channel of each sample of (N, C, L) or (C, L) standardised on its own.

    Args:
        num_features: C.
        eps: default 1e-5.
        momentum: share of the newest batch in the running statistics, default 0.1.
        affine: whether there are a weight and a bias, default False.
        track_running_stats: whether evaluation normalises with running statistics, default False.
        device: None or "cpu".
        dtype: float32 (default) or float64.
        bias: False leaves out the bias alone, default True.

    Raises:
        TypeError: a size that is no int, or another dtype. ValueError: a size below 1, eps negative.

    Source:
        Ulyanov, Vedaldi and Lempitsky 2016, "Instance Normalization".
    """

    _ranks = (3,)
    _shapes = "(N, C, L) or (C, L)"


class InstanceNorm2d(_InstanceNorm):
    """Each channel of each sample of (N, C, H, W) or (C, H, W) standardised on its own.

    Args, errors and source as for InstanceNorm1d.
    """

    _ranks = (4,)
    _shapes = "(N, C, H, W) or (C, H, W)"


class LocalResponseNorm(Module):
    """x / (k + alpha * mean of x^2 over `size` neighbouring channels) ^ beta.

    Args:
        size: channels of the window.
        alpha: default 1e-4.
        beta: default 0.75.
        k: default 1.

    Source:
        Krizhevsky, Sutskever and Hinton 2012, section 3.3.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = integer("LocalResponseNorm", "size", size)
        self.alpha, self.beta, self.k = alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        """The normalised input, of the same shape."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """All arguments."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
