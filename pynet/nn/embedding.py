"""Embedding: learned rows that numbers stand for."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor
from ..ops.embedding import padding_of
from . import functional as F
from . import init
from .arguments import integer, on_cpu
from .module import Module
from .parameter import Parameter, as_float_dtype, new_parameter, write


class Embedding(Module):
    """A table of rows, looked up by number.

    Args:
        num_embeddings: how many rows.
        embedding_dim: their size.
        padding_idx: a row that starts at zero and gets no gradient, default None; may be negative.
        max_norm: rows that are read and longer are scaled down to this norm, default None.
        norm_type: p of that norm, default 2.
        scale_grad_by_freq: divide each row's gradient by how often it was read, default False.
        sparse: only False.
        device: None or "cpu".
        dtype: float32 (default) or float64.

    Shape:
        input integers of any shape, output (*, embedding_dim).

    Attributes:
        weight: (num_embeddings, embedding_dim), drawn from the standard normal distribution.

    Raises:
        TypeError: a size that is no int, or another dtype.
        ValueError: a size below 1, or padding_idx out of range.
        NotImplementedError: sparse.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        on_cpu("Embedding", device)
        if sparse:
            raise NotImplementedError("Embedding: there are no sparse gradients; leave sparse=False")
        self.num_embeddings = integer("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = integer("Embedding", "embedding_dim", embedding_dim)
        self.padding_idx = padding_of("Embedding", padding_idx, self.num_embeddings)
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq
        self.sparse = False
        shape = (self.num_embeddings, self.embedding_dim)
        self.weight = new_parameter(shape, as_float_dtype(dtype or "float32", "Embedding"))
        self.reset_parameters()

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, **options: Any) -> Embedding:
        """An Embedding with given rows.

        Args:
            embeddings: float (num_embeddings, embedding_dim), Tensor or ndarray; copied.
            freeze: whether the rows get no gradient, default True.
            options: the other arguments of Embedding.
        """
        rows = embeddings.array if isinstance(embeddings, Tensor) else np.asarray(embeddings)
        if rows.ndim != 2:
            raise ValueError(f"Embedding.from_pretrained: expected a table (rows, size), got {rows.shape}")
        module = cls(rows.shape[0], rows.shape[1], **{**options, "dtype": rows.dtype})
        module.weight = Parameter(rows.copy(), requires_grad=not freeze)
        return module

    def reset_parameters(self) -> None:
        """Draw the rows anew; the padding row is zero."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            rows = self.weight.array.copy(order="K")
            rows[self.padding_idx] = 0
            write(self.weight, rows)

    def forward(self, input: Any) -> Tensor:
        """Integers (*) -> (*, embedding_dim)."""
        return F.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq
        )

    def extra_repr(self) -> str:
        """Sizes, and what differs from the defaults."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        for name, default in (
            ("padding_idx", None),
            ("max_norm", None),
            ("norm_type", 2),
            ("scale_grad_by_freq", False),
        ):
            value = getattr(self, name)
            if value != default:
                text += f", {name}={value}"
        return text
