"""Operators and methods of Tensors: the functions of `pynet.ops`, under PyTorch's names."""

from __future__ import annotations

from typing import Any

from pynet import ops
from pynet.autograd import Tensor, tensor
from pynet.ops.inplace import masked_fill_

# Functions that are methods under their own names.
_SAME_NAME = [
    "abs", "acos", "add", "add_", "all", "allclose", "amax", "amin", "any", "argmax", "argmin", "argsort",
    "asin", "atan", "bernoulli", "bincount", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor",
    "bmm", "broadcast_to", "ceil", "chunk", "clamp", "clamp_", "clone", "contiguous", "copy_", "cos",
    "cosh", "count_nonzero", "cpu", "cuda", "cumprod", "cumsum", "diag", "diagonal", "div_", "divide",
    "dot", "double", "exp", "exp2", "expand", "expand_as", "expm1", "fill_", "flatten", "flip", "floor",
    "floor_divide", "gather", "greater", "greater_equal", "index_add", "index_select", "isclose",
    "isfinite", "isinf", "isnan", "less", "less_equal", "log", "log10", "log1p", "log2", "log_softmax",
    "logical_and", "logical_not", "logical_or", "logical_xor", "logsumexp", "long", "masked_fill",
    "masked_select", "matmul", "max", "maximum", "mean", "median", "min", "minimum", "mm", "movedim",
    "mul_", "multinomial", "multiply", "mv", "narrow", "negative", "nonzero", "norm", "normal_",
    "not_equal", "outer", "permute", "pow", "prelu", "prod", "reciprocal", "relu", "remainder", "repeat",
    "repeat_interleave", "reshape", "roll", "round", "rsqrt", "scatter", "scatter_add", "select", "sigmoid",
    "sign", "sin", "sinh", "softmax", "sort", "split", "sqrt", "square", "squeeze", "std", "sub_",
    "subtract", "sum", "t", "tan", "tanh", "tile", "to", "topk", "transpose", "tril", "triu", "trunc",
    "type_as", "unbind", "unflatten", "uniform_", "unique", "unsqueeze", "var", "view", "view_as", "zero_",
]  # fmt: skip

_OTHER_NAME: dict[str, Any] = {
    "__add__": ops.add,
    "__radd__": ops.add,
    "__sub__": ops.subtract,
    "__rsub__": lambda x, other: ops.subtract(other, x),
    "__mul__": ops.multiply,
    "__rmul__": ops.multiply,
    "__truediv__": ops.divide,
    "__rtruediv__": lambda x, other: ops.divide(other, x),
    "__floordiv__": ops.floor_divide,
    "__rfloordiv__": lambda x, other: ops.floor_divide(other, x),
    "__mod__": ops.remainder,
    "__rmod__": lambda x, other: ops.remainder(other, x),
    "__pow__": ops.pow,
    "__rpow__": lambda x, other: ops.pow(other, x),
    "__matmul__": ops.matmul,
    "__rmatmul__": lambda x, other: ops.matmul(other, x),
    "__iadd__": ops.add_,
    "__isub__": ops.sub_,
    "__imul__": ops.mul_,
    "__itruediv__": ops.div_,
    "__neg__": ops.negative,
    "__abs__": ops.abs,
    "__invert__": ops.bitwise_not,
    "__and__": ops.bitwise_and,
    "__or__": ops.bitwise_or,
    "__xor__": ops.bitwise_xor,
    "__eq__": ops.equal,
    "__ne__": ops.not_equal,
    "__lt__": ops.less,
    "__le__": ops.less_equal,
    "__gt__": ops.greater,
    "__ge__": ops.greater_equal,
    "__getitem__": ops.getitem,
    "__setitem__": ops.setitem,
    "__iter__": ops.iterate,
    "T": property(ops.t, doc="All axes reversed, as a view."),
    "mT": property(lambda x: ops.transpose(x, -2, -1), doc="The last two axes exchanged, as a view."),
    "is_cuda": property(lambda x: False, doc="False."),
    "absolute": ops.abs,
    "bool": ops.booleans,
    "clip": ops.clamp,
    "div": ops.divide,
    "element_size": lambda x: x.dtype.itemsize,
    "eq": ops.equal,
    "equal": ops.same,
    "float": ops.single,
    "ge": ops.greater_equal,
    "gt": ops.greater,
    "int": ops.integers,
    "is_contiguous": lambda x: True,
    "le": ops.less_equal,
    "lt": ops.less,
    "masked_fill_": masked_fill_,
    "moveaxis": ops.movedim,
    "mul": ops.multiply,
    "ndimension": Tensor.dim,
    "ne": ops.not_equal,
    "neg": ops.negative,
    "nelement": Tensor.numel,
    "ravel": lambda x: ops.reshape(x, -1),
    "reshape_as": ops.view_as,
    "sub": ops.subtract,
    "swapaxes": ops.transpose,
    "true_divide": ops.divide,
    "type": ops.cast,
    "where": lambda x, condition, other: ops.where(condition, x, other),
}


def _new(create: Any, filled: bool = False) -> Any:
    """A method that makes a Tensor in the dtype of another one."""
    if filled:
        return lambda x, size, fill_value, dtype=None, **options: create(
            size, fill_value, dtype=x.dtype if dtype is None else dtype, **options
        )
    return lambda x, *size, dtype=None, **options: create(
        *size, dtype=x.dtype if dtype is None else dtype, **options
    )


def attach() -> None:
    """Gives Tensor its operators and methods."""
    found = {name: getattr(ops, name) for name in _SAME_NAME} | _OTHER_NAME
    found |= {f"new_{f.__name__}": _new(f) for f in (ops.empty, ops.ones, ops.zeros, tensor)}
    found["new_full"] = _new(ops.full, filled=True)
    for name, function in found.items():
        setattr(Tensor, name, function)
