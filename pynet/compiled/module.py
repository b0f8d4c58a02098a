"""The compiled module: one plan for every shape of its inputs."""

from __future__ import annotations

import copy
import threading
from typing import Any

import numpy as np

from pynet.autograd import Tensor, checked, wrap
from pynet.compiled import lower_images  # noqa: F401  enters its rules
from pynet.compiled.capture import capture
from pynet.compiled.fold import fold
from pynet.compiled.lower import Lowering
from pynet.nn import Module

_MOST_PLANS = 8
_FLOAT32 = np.dtype(np.float32)


class _Plan:
    """A plan of the core, and how its results are handed back."""

    def __init__(self, module: Module, examples: list[np.ndarray]) -> None:
        graph = capture(module, examples)
        fold(graph)
        self.structure = graph.structure
        self.core, self.labels = Lowering(graph).plan()


def inference(module: Module, *examples: Any) -> CompiledModule:
    """A read-only version of a module that runs a whole forward as one native call.

    Batch norm is folded into the weights before it, activations into the layer before them, weights are
    packed once, and all intermediate results share one arena. The result agrees with the module's own in
    eval mode up to the rounding of these changes, and has the same bits at every thread count.

    What the forward does is recorded for one shape of the inputs, when that shape is first seen: Python's
    control flow and numbers that it computes from values (`float(x.mean())`) are frozen as they were then.
    The weights are copied now: later training does not reach the compiled module (see
    `CompiledModule.refresh`).

    Args:
        module: in eval mode, float32.
        examples: inputs whose shapes are to be compiled now, Tensors or float32 arrays; without them, and for
            other shapes, the first call compiles.
    Returns:
        CompiledModule, to be called like the module, from any number of threads. Results need no gradient.
    Raises:
        ValueError: the module, or one inside it, is in training mode.
        TypeError: no Module, or weights or examples that are not float32.
        NotImplementedError: an operation that a plan cannot hold, by name.
    Source:
        Folding of batch norm: Jacob et al. 2018, section 3.2. Sharing of memory by lifetime, largest first:
        Pisarchyk & Lee 2020.
    """
    return CompiledModule(module, *examples)


class CompiledModule:
    """What `pynet.inference` returns; arguments and errors there."""

    def __init__(self, module: Module, *examples: Any) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"inference: expected a Module, got {type(module).__name__}")
        self._original = module
        self._lock = threading.Lock()
        self.refresh()
        if examples:
            self._plan_for([_array(x) for x in examples])

    def refresh(self) -> None:
        """Take the weights that the original module has now; shapes seen before are compiled anew."""
        training = [n for n, m in self._original.named_modules() if m.training]
        if training:
            which = f"its part {training[0]!r}" if training[0] else type(self._original).__name__
            raise ValueError(f"inference: {which} is in training mode; call eval() on the module first")
        for name, p in self._original.named_parameters():
            if p.dtype != _FLOAT32:
                raise TypeError(
                    f"inference: the parameter {name} is {p.dtype}, expected float32; convert with float()"
                )
        with self._lock:
            self._module = copy.deepcopy(self._original)
            self._plans: dict[tuple, _Plan] = {}

    def __call__(self, *inputs: Any) -> Any:
        """The module's result on Tensors or float32 arrays.

        A shape that was not seen before is compiled first; the eight shapes compiled last are kept.
        """
        arrays = [_array(x) for x in inputs]
        plan = self._plans.get(tuple([a.shape for a in arrays])) or self._plan_for(arrays)
        outputs = plan.core.run(arrays)
        if plan.structure is Tensor:
            return wrap(outputs[0])
        return plan.structure(map(wrap, outputs))

    def _plan_for(self, arrays: list[np.ndarray]) -> _Plan:
        key = tuple(a.shape for a in arrays)
        with self._lock:
            plan = self._plans.get(key)
            if plan is None:
                plan = _Plan(self._module, arrays)
                plans = {**self._plans, key: plan}
                self._plans = dict(list(plans.items())[-_MOST_PLANS:])
            return plan

    def __repr__(self) -> str:
        lines = [f"CompiledModule of {type(self._original).__name__}"]
        for key, plan in self._plans.items():
            shapes = ", ".join(map(str, key))
            lines.append(f"  {shapes}: {plan.core.arena_bytes / 2**20:.2f} MiB for intermediate results")
            lines += [f"    {label}" for label in plan.labels]
        return "\n".join(lines)


def _array(x: Any) -> np.ndarray:
    array = x.array if isinstance(x, Tensor) else checked(x)
    if array.dtype != _FLOAT32:
        raise TypeError(f"inference: an input is {array.dtype}, expected float32; convert it with float()")
    return array
