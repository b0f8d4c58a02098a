"""Batch normalisation layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor, wrap
from . import functional as F
from . import init
from .arguments import integer, non_negative, on_cpu
from .module import Module
from .parameter import Parameter, as_float_dtype, write


class _BatchNorm(Module):
    """What BatchNorm1d and BatchNorm2d share; they differ in the ranks that they take."""

    _ranks: tuple[int, ...] = ()
    _shapes = ""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        on_cpu(name, device)
        self.num_features = integer(name, "num_features", num_features)
        self.eps = non_negative(name, "eps", eps)
        self.momentum = None if momentum is None else non_negative(name, "momentum", momentum)
        self.affine = bool(affine)
        self.track_running_stats = bool(track_running_stats)
        dtype = as_float_dtype(dtype or "float32", name)
        size = (self.num_features,)
        self.register_parameter("weight", Parameter(wrap(np.ones(size, dtype))) if affine else None)
        self.register_parameter("bias", Parameter(wrap(np.zeros(size, dtype))) if affine and bias else None)
        tracked = self.track_running_stats
        self.register_buffer("running_mean", wrap(np.zeros(size, dtype)) if tracked else None)
        self.register_buffer("running_var", wrap(np.ones(size, dtype)) if tracked else None)
        self.register_buffer("num_batches_tracked", wrap(np.array(0, np.int64)) if tracked else None)

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batches."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            write(self.num_batches_tracked, 0)

    def reset_parameters(self) -> None:
        """Running statistics as above, weight 1, bias 0."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """The normalised input, of the same shape.

        Raises:
            ValueError: another rank, or in training one value a channel.
        """
        if input.ndim not in self._ranks:
            raise ValueError(
                f"{type(self).__name__}: expected {self._shapes}, got {input.ndim}-D input of shape "
                f"{input.shape}"
            )
        buffers, parameters = self._buffers, self._parameters
        mean, var, batches = buffers["running_mean"], buffers["running_var"], buffers["num_batches_tracked"]
        momentum = self.momentum
        counts = self.training and batches is not None
        if momentum is None:  # all batches count alike
            momentum = 1.0 / (int(batches.array) + 1) if counts else 0.0
        training = self.training or mean is None
        out = F.batch_norm(
            input, mean, var, parameters["weight"], parameters["bias"], training, momentum, self.eps
        )
        if counts:  # only now, so that a batch that is refused does not count
            count = batches.array
            count += 1
        return out

    def extra_repr(self) -> str:
        """All arguments."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """``(x - mean) / sqrt(var + eps) * weight + bias`` for each channel of (N, C) or (N, C, L).

    Args:
        num_features: C.
        eps: default 1e-5.
        momentum: share of the newest batch in the running statistics, default 0.1; None: the mean over all
            batches.
        affine: whether there are a weight and a bias, default True.
        track_running_stats: whether evaluation normalises with running statistics, default True; else always
            with the batch's own.
        device: None or "cpu".
        dtype: float32 (default) or float64.
        bias: False leaves out the bias alone, default True.

    Raises:
        TypeError: a size that is no int, or another dtype.
        ValueError: a size below 1, eps or momentum negative.

    Source:
        Ioffe and Szegedy 2015, "Batch Normalization", algorithms 1 and 2; the running variance is the
        unbiased one.
    """

    _ranks = (2, 3)
    _shapes = "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """``(x - mean) / sqrt(var + eps) * weight + bias`` for each channel of (N, C, H, W).

    Args, errors and source as for BatchNorm1d.
    """

    _ranks = (4,)
    _shapes = "(N, C, H, W)"
