"""Parameter: a Tensor that a module registers, kept in the memory order that the kernels read.

Shapes are PyTorch's. In memory, a 4-D parameter (F, C, KH, KW) is dense in the order (KH, KW, C, F), a 3-D
one (F, C, K) in the order (K, C, F), and a 2-D one (out, in) in the order (in, out): the output channel
varies fastest, so that a kernel loads whole vectors of output channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Storage, Tensor, before_write, checked, wrap, wrote


class Parameter(Tensor):
    """A Tensor that is a module's parameter when assigned to an attribute.

    Args:
        data: Tensor or ndarray, float32 or float64. Its memory is shared when it is in kernel order already,
            and copied into that order otherwise.
        requires_grad: whether it gets gradients, default True.

    Raises:
        TypeError: a dtype that a Tensor cannot have.
        RuntimeError: `requires_grad` for integers or booleans.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        array = data.array if isinstance(data, Tensor) else checked(data)
        if not in_kernel_order(array):
            data = wrap(kernel_order(array))
        super().__init__(data)
        self.requires_grad = requires_grad

    @property
    def data(self) -> Tensor:
        """The values as a Tensor without gradient, in the same memory; assigning copies values into it."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        array = checked(value.array if isinstance(value, Tensor) else value)
        if array.shape == self.shape and array.dtype == self.dtype:
            write(self, array)
        else:
            _rebind(self, kernel_order(array.copy()))

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copy = super().__deepcopy__(memo)
        _rebind(copy, kernel_empty(self.shape, self.dtype, self.array))
        return copy

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self), (np.ascontiguousarray(self.array), self.requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


def new_parameter(shape: tuple[int, ...], dtype: Any) -> Parameter:
    """A Parameter in memory of its own, not yet filled."""
    return Parameter(wrap(kernel_empty(shape, dtype)))


def in_kernel_order(array: np.ndarray) -> bool:
    """Whether the array can be a parameter as it is: dense in kernel order and writeable."""
    return bool(array.flags.writeable and _memory_view(array).flags.c_contiguous)


def kernel_order(array: np.ndarray) -> np.ndarray:
    """The array itself if it is in kernel order, else a copy of the same shape that is."""
    if in_kernel_order(array):
        return array
    return kernel_empty(array.shape, array.dtype, array)


def kernel_empty(
    shape: tuple[int, ...], dtype: Any = np.float32, values: np.ndarray | None = None
) -> np.ndarray:
    """A new array in kernel order, filled with `values` where they are given."""
    if len(shape) == 4:
        array = _aligned((shape[2], shape[3], shape[1], shape[0]), dtype).transpose(3, 2, 0, 1)
    elif len(shape) in (2, 3):
        array = _aligned(shape[::-1], dtype).T
    else:
        array = _aligned(shape, dtype)
    if values is not None:
        array[...] = values
    return array


def write(tensor: Tensor, values: Any) -> None:
    """Copy values into a Tensor's memory, seen by the tape."""
    before_write()
    tensor.array[...] = values
    wrote(tensor)


def move(tensor: Tensor, dtype: np.dtype) -> None:
    """Convert a float Tensor and its gradient, keeping identity and memory order; leave the others alone."""
    if tensor.dtype == dtype or tensor.dtype.kind != "f":
        return
    grad = tensor.grad
    tensor.grad = None
    _rebind(tensor, kernel_empty(tensor.shape, dtype, tensor.array))
    if grad is not None:
        tensor.grad = Tensor(kernel_empty(tensor.shape, dtype, grad.array))


def as_float_dtype(dtype: Any, owner: str) -> np.dtype:
    """The dtype of parameters that is meant: float32 or float64, by name or type.

    Raises:
        TypeError: another one.
    """
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found not in (np.dtype(np.float32), np.dtype(np.float64)) or dtype is None:
        raise TypeError(f"{owner}: parameters are float32 or float64, got {dtype!r}")
    return found


def _memory_view(array: np.ndarray) -> np.ndarray:
    """The array with its axes in the order of kernel memory."""
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T if array.ndim in (2, 3) else array


def _rebind(tensor: Tensor, array: np.ndarray) -> None:
    """Give a Tensor new memory: what was recorded with the old one stays valid, nobody writes there now."""
    before_write()
    tensor._array = array
    tensor._storage = Storage()


def _aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """A C-order array that starts at a cache line, so that no vector load of a kernel straddles two."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(count + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + count].view(dtype).reshape(shape)
