"""The Tensor: an ndarray with a place on the tape.

Operators and methods of operations are attached by `pynet`, `backward` by the walk.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from pynet.autograd.tape import Array, Node, Storage, flush_pending
from pynet.devices import CPU, device

if TYPE_CHECKING:
    from pynet.autograd.recording import Pending

_INTEGERS = "biu"


def _refuse_dtype(array: Array) -> NoReturn:
    dtype = array.dtype
    if dtype.kind == "f":
        raise TypeError(f"a Tensor is float32 or float64, got {dtype}; convert with array.astype(np.float32)")
    if dtype.kind == "c":
        raise TypeError(f"a Tensor has no complex values, got {dtype}; pass array.real and array.imag apart")
    if dtype.kind == "O":
        raise TypeError(
            "a Tensor holds numbers, got an array of objects; give all rows one length and one numeric type"
        )
    if dtype.names is not None:
        raise TypeError(
            f"a Tensor has no fields, got a structured array with {dtype.names}; pass one field, array[name]"
        )
    raise TypeError(
        f"a Tensor holds float32, float64, integers or booleans, got {dtype}; convert it to one of them"
    )


def checked(array: Any) -> Array:
    """The array as a plain ndarray of a dtype that a Tensor may have, in native byte order; shared where
    possible.

    Raises:
        TypeError: float16, long double, complex, objects, strings, dates, structured or masked arrays.
    """
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("a Tensor has no mask, got a masked array; pass array.filled(value) or array.data")
    array = np.asarray(array)
    dtype = array.dtype
    if not (dtype.kind in _INTEGERS or (dtype.kind == "f" and dtype.itemsize in (4, 8))):
        _refuse_dtype(array)
    if not dtype.isnative:
        array = array.astype(dtype.newbyteorder("="))
    return array


def array_of(value: Any) -> Array:
    return value.array if isinstance(value, Tensor) else checked(value)


class Tensor:
    """An ndarray that knows how it was computed.

    Shapes are PyTorch's; memory order is the library's business. float32 runs on the kernels, float64 on
    `pynet.reference`; integers and booleans (labels, indices, masks) carry no gradient.

    Args:
        array: ndarray, shared and not copied (`tensor` copies); float32, float64, integers or booleans.
        requires_grad: record what is done with it, so that `backward` fills `.grad`.
    Raises:
        TypeError: a dtype that a Tensor cannot have.
        RuntimeError: requires_grad for integers or booleans.
    """

    __slots__ = (
        "__weakref__",
        "_array",
        "_grad",
        "_hooks",
        "_node",
        "_output_index",
        "_pending",
        "_requires_grad",
        "_storage",
    )

    _array: Any
    _pending: Pending | None
    _node: Node | None
    _output_index: int
    _requires_grad: bool
    _grad: Any
    _hooks: dict[int, Callable] | None
    _storage: Storage

    # NumPy leaves `ndarray + Tensor` to Tensor.__radd__.
    __array_ufunc__ = None
    __array_priority__ = 1000

    def __init__(self, array: Any, requires_grad: bool = False) -> None:
        if isinstance(array, Tensor):
            self._array, self._storage = array.array, array._storage
        else:
            self._array, self._storage = checked(array), Storage()
            self._storage.held = True
        self._pending = self._node = self._grad = self._hooks = None
        self._output_index = 0
        self._requires_grad = False
        if requires_grad:
            self.requires_grad = True

    # What is worth knowing without the array. `array`, `shape`, `dtype` and `grad`, for which every operation
    # asks, are added by `pynet._core` (bindings/tape.cpp).

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def device(self) -> device:
        """Always `device("cpu")`, which equals "cpu"."""
        return CPU

    def dim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one axis."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def is_floating_point(self) -> bool:
        """Whether the dtype is float32 or float64."""
        return self.dtype.kind == "f"

    def __len__(self) -> int:
        shape = self.shape
        if not shape:
            raise TypeError("len() of a 0-d tensor: it has no first axis")
        return shape[0]

    # The tape.

    def _edge(self) -> Any:
        """Where a gradient of this Tensor goes."""
        return self if self._node is None else (self._node, self._output_index)

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this Tensor are recorded."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not value:
            if not self.is_leaf:
                raise RuntimeError(
                    "requires_grad = False on the result of an operation; use detach() instead"
                )
        elif self.dtype.kind != "f":
            raise RuntimeError(
                f"a Tensor of {self.dtype} cannot require a gradient; convert it with float() first"
            )
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Sets `requires_grad` and returns the Tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user, not by a recorded operation."""
        return self.grad_fn is None

    @property
    def grad_fn(self) -> Node | None:
        """The recorded operation that made it, None for a leaf."""
        self.array  # noqa: B018  what was put off is recorded now
        return self._node

    def retain_grad(self) -> None:
        """Asks `backward` to fill `.grad` of this result of an operation too."""
        node = self.grad_fn
        if not self._requires_grad:
            raise RuntimeError("retain_grad: the tensor requires no gradient")
        if node is not None:
            node.retained = node.retained or {}
            node.retained[self._output_index] = weakref.ref(self)

    def register_hook(self, hook: Callable[[Tensor], Any]) -> HookHandle:
        """Calls `hook(gradient)` in `backward`; a Tensor that the hook returns takes the gradient's place."""
        node = self.grad_fn
        if not self._requires_grad:
            raise RuntimeError("register_hook: the tensor requires no gradient")
        if node is None:
            hooks = self._hooks = self._hooks or {}
        else:
            node.hooks = node.hooks or {}
            hooks = node.hooks.setdefault(self._output_index, {})
        return HookHandle(hooks, hook)

    def detach(self) -> Tensor:
        """The same memory, without the tape."""
        result = wrap(self.array)
        result._storage = self._storage
        return result

    @property
    def data(self) -> Tensor:
        """As `detach()`."""
        return self.detach()

    # To NumPy and Python.

    def _export(self, name: str) -> Array:
        """The array for somebody outside, who may write it: nothing that reads it may be put off any more."""
        if self._requires_grad:
            raise RuntimeError(f"{name} on a tensor that requires a gradient: use detach().{name}")
        array = self.array
        if not self._storage.held:
            flush_pending()
            self._storage.held = True
        return array

    def numpy(self) -> Array:
        """The ndarray, shared: writes go both ways, and the tape does not see those made through NumPy.

        Raises:
            RuntimeError: the tensor requires a gradient; use `detach().numpy()`.
        """
        return self._export("numpy()")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self._export("numpy()")
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"a {array.dtype} tensor cannot become {np.dtype(dtype)} without a copy")
            return array.astype(dtype)
        return array.copy(order="K") if copy else array

    def __dlpack__(self, **options: Any) -> Any:
        return self._export("__dlpack__()").__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def item(self) -> Any:
        """The single element as a Python number.

        Raises:
            ValueError: not exactly one element.
        """
        array = self.array
        if array.size != 1:
            raise ValueError(
                f"item(): a tensor of shape {array.shape} has {array.size} elements, expected one"
            )
        return array.item()

    def tolist(self) -> Any:
        """Nested Python lists of Python numbers."""
        return self.array.tolist()

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise ValueError(
                f"the truth of a tensor of shape {self.shape} is ambiguous; use any() or all() of its numpy()"
            )
        return bool(self._array.item())

    def __pos__(self) -> Tensor:
        return self

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in _INTEGERS:
            raise TypeError(f"a {self.dtype} tensor cannot be an index; only integers can")
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.ndim == 0 else format(repr(self), spec)

    def __contains__(self, value: Any) -> bool:
        return bool(np.any(self.array == array_of(value)))

    __hash__ = object.__hash__

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError("deepcopy of the result of a recorded operation; use detach() or clone()")
        copy = type(self).__new__(type(self))
        memo[id(self)] = copy
        Tensor.__init__(copy, wrap(self.array.copy(order="K")), self._requires_grad)
        if self._grad is not None:
            copy._grad = wrap(self._grad.array.copy(order="K"))
        return copy

    def __repr__(self) -> str:
        array = self.array
        prefix = "tensor("
        suffix = []
        if array.size > np.get_printoptions()["threshold"] or array.size == 0:
            suffix.append(f"shape={array.shape}")
        if array.dtype.name not in ("float32", "int64", "bool"):
            suffix.append(f"dtype={array.dtype}")
        if self._node is not None:
            suffix.append(f"grad_fn={self._node!r}")
        elif self._requires_grad:
            suffix.append("requires_grad=True")
        values = np.array2string(array, separator=", ", prefix=prefix)
        return prefix + ", ".join([values, *suffix]) + ")"

    if TYPE_CHECKING:  # what `pynet` attaches, for readers of types

        @property
        def array(self) -> Array: ...
        @property
        def shape(self) -> tuple[int, ...]: ...
        @property
        def dtype(self) -> np.dtype: ...
        @property
        def grad(self) -> Any: ...
        @grad.setter
        def grad(self, value: Tensor | None) -> None: ...
        def __getattr__(self, name: str) -> Callable[..., Any]: ...
        def backward(
            self, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False
        ) -> None: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def __iter__(self) -> Iterator[Tensor]: ...


class HookHandle:
    """What `register_hook` returns: `remove()` takes the hook away again."""

    _next = itertools.count()

    def __init__(self, hooks: dict[int, Callable], hook: Callable) -> None:
        self._hooks, self._key = hooks, next(self._next)
        hooks[self._key] = hook

    def remove(self) -> None:
        """Takes the hook away; doing so twice is harmless."""
        self._hooks.pop(self._key, None)


_new = object.__new__


def wrap(array: Any, requires_grad: bool = False) -> Tensor:
    """A Tensor over an array that the library made itself: no checks, and nobody else holds it."""
    result = _new(Tensor)
    result._array = array
    result._pending = result._node = result._grad = result._hooks = None
    result._output_index = 0
    result._requires_grad = False
    result._storage = Storage()
    if requires_grad:
        result.requires_grad = True
    return result
