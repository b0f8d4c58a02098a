"""Convolutional networks on ordinary CPUs, in PyTorch's vocabulary.

The names of this module are Tensors and what is done with them; `pynet.nn`, `pynet.optim`, `pynet.data`,
`pynet.train` and others hold the rest and are imported when first used.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

try:  # first: loads the native core
    from pynet import runtime
except ImportError:
    if importlib.util.find_spec("pynet._core") is not None:
        raise
    raise ImportError(
        "pynet's native core is missing: this is the source tree without a build: "
        "run `pip install -e .` or leave this folder"
    ) from None
from pynet import ops
from pynet.autograd import (
    Tensor,
    enable_grad,
    from_numpy,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
    tensor,
)
from pynet.gradcheck import GradcheckError, gradcheck
from pynet.ops import (
    abs,
    add,
    all,
    allclose,
    amax,
    amin,
    any,
    arange,
    argmax,
    argmin,
    argsort,
    cat,
    chunk,
    clamp,
    clone,
    concatenate,
    conv_algorithm,
    cos,
    cumsum,
    divide,
    einsum,
    empty,
    empty_like,
    exp,
    eye,
    flatten,
    flip,
    from_dlpack,
    full,
    full_like,
    gather,
    index_select,
    isnan,
    linspace,
    log,
    log_softmax,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    multiply,
    negative,
    norm,
    ones,
    ones_like,
    permute,
    pow,
    prod,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    reciprocal,
    relu,
    reshape,
    roll,
    sigmoid,
    sin,
    softmax,
    sort,
    split,
    sqrt,
    square,
    squeeze,
    stack,
    std,
    subtract,
    sum,
    tanh,
    topk,
    transpose,
    unbind,
    unsqueeze,
    var,
    where,
    zeros,
    zeros_like,
)
from pynet.profile import profile
from pynet.random import Generator, get_rng_state, initial_seed, manual_seed, set_rng_state
from pynet.runtime import build_info, empty_cache, get_num_threads, isa, set_num_threads

if TYPE_CHECKING:
    from pynet import compiled, data, io, models, nn, optim, random, reference, train  # noqa: F401
    from pynet.compiled import inference  # noqa: F401

__all__ = [
    "Generator",
    "GradcheckError",
    "Tensor",
    "__version__",
    "abs",
    "add",
    "all",
    "allclose",
    "amax",
    "amin",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "bool_",
    "build_info",
    "cat",
    "chunk",
    "clamp",
    "clone",
    "concatenate",
    "conv_algorithm",
    "cos",
    "cumsum",
    "divide",
    "einsum",
    "empty",
    "empty_cache",
    "empty_like",
    "enable_grad",
    "exp",
    "eye",
    "flatten",
    "flip",
    "float32",
    "float64",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "gather",
    "get_num_threads",
    "get_rng_state",
    "gradcheck",
    "index_select",
    "initial_seed",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_grad_enabled",
    "isa",
    "isnan",
    "linspace",
    "log",
    "log_softmax",
    "manual_seed",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "multiply",
    "negative",
    "no_grad",
    "norm",
    "ones",
    "ones_like",
    "ops",
    "permute",
    "pow",
    "prod",
    "profile",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "reciprocal",
    "relu",
    "reshape",
    "roll",
    "runtime",
    "set_grad_enabled",
    "set_num_threads",
    "set_rng_state",
    "sigmoid",
    "sin",
    "softmax",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "tanh",
    "tensor",
    "topk",
    "transpose",
    "uint8",
    "unbind",
    "unsqueeze",
    "var",
    "where",
    "zeros",
    "zeros_like",
]

__version__ = "0.1.0"

float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
int8, int16, int32, int64 = (np.dtype(t) for t in (np.int8, np.int16, np.int32, np.int64))
uint8, bool_ = np.dtype(np.uint8), np.dtype(np.bool_)

_METHODS: dict[str, Any] = {
    "__add__": ops.add,
    "__radd__": ops.add,
    "__sub__": ops.subtract,
    "__rsub__": lambda x, other: ops.subtract(other, x),
    "__mul__": ops.multiply,
    "__rmul__": ops.multiply,
    "__truediv__": ops.divide,
    "__rtruediv__": lambda x, other: ops.divide(other, x),
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
    "sub": ops.subtract,
    "mul": ops.multiply,
    "div": ops.divide,
    "neg": ops.negative,
    "eq": ops.equal,
    "ne": ops.not_equal,
    "lt": ops.less,
    "le": ops.less_equal,
    "gt": ops.greater,
    "ge": ops.greater_equal,
    "float": ops.single,
}
# Functions that are methods under their own names.
_METHODS |= {
    f.__name__: f
    for f in (
        *(
            ops.abs,
            ops.add,
            ops.add_,
            ops.all,
            ops.allclose,
            ops.amax,
            ops.amin,
            ops.any,
            ops.argmax,
            ops.argmin,
        ),
        *(
            ops.chunk,
            ops.clamp,
            ops.clamp_,
            ops.clone,
            ops.copy_,
            ops.cos,
            ops.cpu,
            ops.div_,
            ops.divide,
            ops.double,
        ),
        *(
            ops.exp,
            ops.expand,
            ops.fill_,
            ops.flatten,
            ops.flip,
            ops.gather,
            ops.index_select,
            ops.isnan,
            ops.log,
        ),
        *(
            ops.log_softmax,
            ops.long,
            ops.matmul,
            ops.max,
            ops.maximum,
            ops.mean,
            ops.min,
            ops.minimum,
            ops.mul_,
        ),
        *(ops.multiply, ops.negative, ops.normal_, ops.permute, ops.pow, ops.prod, ops.reciprocal, ops.relu),
        *(
            ops.reshape,
            ops.sigmoid,
            ops.sin,
            ops.softmax,
            ops.split,
            ops.sqrt,
            ops.square,
            ops.squeeze,
            ops.std,
        ),
        *(ops.sub_, ops.subtract, ops.sum, ops.t, ops.tanh, ops.to, ops.transpose, ops.unbind, ops.unflatten),
        *(ops.argsort, ops.cumsum, ops.norm, ops.roll, ops.sort, ops.topk),
        *(ops.uniform_, ops.unsqueeze, ops.var, ops.view, ops.zero_),
    )
}
for _name, _function in _METHODS.items():
    setattr(Tensor, _name, _function)
del _name, _function

_SUBPACKAGES = (
    "analysis",
    "autograd",
    "compiled",
    "data",
    "io",
    "models",
    "nn",
    "optim",
    "random",
    "reference",
    "train",
)


_FUNCTIONS = {"inference": "pynet.compiled", "summary": "pynet.analysis"}


def __getattr__(name: str) -> Any:
    """Imports a subpackage when it, or a function of it, is first used."""
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    if name in _SUBPACKAGES:
        return importlib.import_module(f"pynet.{name}")
    raise AttributeError(f"module 'pynet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBPACKAGES, *_FUNCTIONS})
