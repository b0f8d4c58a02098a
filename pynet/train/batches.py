"""What a batch is: inputs and targets, arrays or Tensors, as loaders give them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..autograd import Tensor, from_numpy


def split_batch(batch: Any) -> tuple[tuple[Any, ...], Any]:
    """Return inputs and targets of a batch (inputs..., targets)."""
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise ValueError(f"a batch must be a tuple (inputs..., targets), not {type(batch).__name__}")
    return tuple(batch[:-1]), batch[-1]


def inputs_of(batch: Any) -> tuple[Any, ...]:
    """Return the inputs of a batch that may have no targets."""
    if not isinstance(batch, (tuple, list)):
        return (batch,)
    return tuple(batch) if len(batch) == 1 else split_batch(batch)[0]


def slices(data: np.ndarray | Tensor, batch_size: int) -> Iterator[tuple[np.ndarray]]:
    """Yield an array in pieces; an empty one as one empty piece, so that its outputs have a shape."""
    array = as_array(data)
    for start in range(0, max(len(array), 1), batch_size):
        yield (array[start : start + batch_size],)


def as_array(value: Any) -> np.ndarray:
    """Return the array of a Tensor, or anything else as an array."""
    return value.array if isinstance(value, Tensor) else np.asarray(value)


def as_tensor(value: Any) -> Tensor:
    """Return a Tensor as it is, or one that shares an array."""
    return value if isinstance(value, Tensor) else from_numpy(np.asarray(value))


def empty_message(where: str, name: str) -> str:
    """Return the sentence about a loader without batches."""
    return f"{where}: the {name} loader is empty: no samples, or drop_last and fewer than one batch of them"
