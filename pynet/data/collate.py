"""From samples to a batch of Tensors: `default_collate`, and the dtypes a batch has."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pynet.autograd import Tensor, wrap
from pynet.data.gather import empty_batch, memory_axes


def batch_dtype(dtype: np.dtype, sample_ndim: int) -> np.dtype:
    """The dtype that a batch of samples has.

    Floats become float32, what the kernels take. Integers become int64, what the losses take as labels; but
    uint8 with axes is an image and stays uint8 (a quarter of the memory until a transform scales it).
    Booleans stay.

    Raises:
        TypeError: neither floats, integers nor booleans.
    """
    if dtype.kind == "f":
        return np.dtype(np.float32)
    if dtype.kind in "iu":
        return np.dtype(np.uint8) if dtype == np.uint8 and sample_ndim > 0 else np.dtype(np.int64)
    if dtype.kind == "b":
        return np.dtype(np.bool_)
    raise TypeError(
        f"default_collate: no Tensor from samples of dtype {dtype}; convert them or pass collate_fn"
    )


def batch_tensor(array: np.ndarray) -> Tensor:
    """A gathered array (N, ...) as a Tensor of `batch_dtype`, copied only where the dtype changes."""
    return wrap(array.astype(batch_dtype(array.dtype, array.ndim - 1), copy=False))


def stack(arrays: Sequence[np.ndarray]) -> Tensor:
    """Equally shaped samples as one Tensor (N, ...), in the memory order of the first sample."""
    first = arrays[0]
    for array in arrays:
        if array.shape != first.shape:
            raise ValueError(
                f"default_collate: samples of one batch must have one shape, got {first.shape} and "
                f"{array.shape}; resize them in the dataset or pass collate_fn"
            )
    dtype = batch_dtype(np.result_type(*{array.dtype for array in arrays}), first.ndim)
    sample_axes = memory_axes(first[np.newaxis])
    batch = empty_batch((len(arrays), *first.shape), dtype, sample_axes)
    for position, array in enumerate(arrays):
        batch[position] = array
    return wrap(batch)


def default_collate(samples: Sequence[Any]) -> Any:
    """Joins samples into a batch along a new first axis.

    Args:
        samples: a non-empty list of arrays, Tensors, numbers, strings, or tuples, lists, named tuples and
            dicts of them.
    Returns:
        The same structure with one Tensor in the place of each array or number: float32 from floats, int64
            from
        integers, uint8 from uint8 arrays (images), bool from booleans. Strings and bytes stay lists.
    Raises:
        ValueError: samples differ in shape, length or keys. TypeError: something else is in a sample.
    """
    if not samples:
        raise ValueError("default_collate: a batch of no samples has no shape")
    first = samples[0]
    if isinstance(first, Tensor):
        return stack([sample.array for sample in samples])
    if isinstance(first, (np.ndarray, np.generic)):
        return stack([np.asarray(sample) for sample in samples])
    if isinstance(first, (str, bytes)):
        return list(samples)
    if isinstance(first, numbers.Number):
        return batch_tensor(np.array(samples))
    if isinstance(first, Mapping):
        return _collate_mappings(samples)
    if isinstance(first, (tuple, list)):
        return _collate_sequences(samples)
    raise TypeError(
        f"default_collate: no Tensor from samples of type {type(first).__name__}; "
        "give arrays, numbers, tuples or dicts, or pass collate_fn"
    )


def _collate_mappings(samples: Sequence[Mapping[Any, Any]]) -> dict[Any, Any]:
    keys = list(samples[0])
    for sample in samples:
        if set(sample) != set(keys):
            raise ValueError(f"default_collate: samples have different keys, {keys} and {list(sample)}")
    return {key: default_collate([sample[key] for sample in samples]) for key in keys}


def _collate_sequences(samples: Sequence[Sequence[Any]]) -> Any:
    first = samples[0]
    for sample in samples:
        if len(sample) != len(first):
            raise ValueError(
                f"default_collate: samples have different lengths, {len(first)} and {len(sample)}"
            )
    fields = [default_collate(field) for field in zip(*samples, strict=True)]
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*fields)
    return tuple(fields) if isinstance(first, tuple) else fields
