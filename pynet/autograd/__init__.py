"""Tensors and the tape: what records operations and walks back over them.

A `Tensor` wraps one ndarray. An operation is an `Operation` (a forward and a backward over ndarrays) that
`record` runs: it unwraps the inputs, calls the forward, wraps the result and, where a gradient may be asked
for, leaves a `Node` behind. `backward` walks the nodes by descending serial number, which is a reverse
topological order because a node is always younger than its inputs; there is no recursion, and saved arrays
are released on the way. This package knows no operation: `pynet.ops` builds on it, and `pynet` attaches
operators and methods to `Tensor`.
"""

from pynet.autograd.construct import as_tensor, from_numpy, tensor
from pynet.autograd.function import Function
from pynet.autograd.modes import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from pynet.autograd.recording import Pending, is_fusion_enabled, listen, owe, put_off, record, unfused, wrote
from pynet.autograd.tape import Node, Operation, Storage, before_write, flush_pending, listeners
from pynet.autograd.tensors import HookHandle, Tensor, checked, wrap
from pynet.autograd.walk import backward, grad, use_kernels

__all__ = [
    "Function",
    "HookHandle",
    "Node",
    "Operation",
    "Pending",
    "Storage",
    "Tensor",
    "as_tensor",
    "backward",
    "before_write",
    "checked",
    "enable_grad",
    "flush_pending",
    "from_numpy",
    "grad",
    "is_fusion_enabled",
    "is_grad_enabled",
    "listen",
    "listeners",
    "no_grad",
    "owe",
    "put_off",
    "record",
    "set_grad_enabled",
    "tensor",
    "unfused",
    "use_kernels",
    "wrap",
    "wrote",
]
