"""Operations of the user's own: a forward and a backward on Tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynet.autograd.modes import is_grad_enabled, no_grad
from pynet.autograd.recording import record
from pynet.autograd.tape import Operation
from pynet.autograd.tensors import Tensor, wrap


class FunctionContext:
    """What forward leaves for backward, besides any attribute that is set on it.

    Attributes:
        saved_tensors: what `save_for_backward` was given.
        needs_input_grad: for each argument of forward, whether its gradient is wanted.
    """

    saved_tensors: tuple[Any, ...] = ()
    needs_input_grad: tuple[bool, ...] = ()
    _materialize = True
    _constant: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps Tensors, or None, for backward."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward: expected Tensors or None, got {type(t).__name__}; set other "
                    "values as attributes of ctx"
                )
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Says that these results of forward carry no gradient."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether an unused result has zeros (True, the default) or None as gradient."""
        self._materialize = value

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Not supported: forward may not write into its arguments."""
        raise NotImplementedError("mark_dirty: forward may not write in place; return a new Tensor")


class Function:
    """Base class of an operation with a gradient of its own; called as ``Square.apply(x)``.

    A subclass has two static methods: ``forward(ctx, *args)``, which returns a Tensor or a tuple of them, and
    ``backward(ctx, *grads)``, which gets a gradient for each result and returns one for each argument of
    forward, None for those that have none. Instead, forward may leave ctx out and
    ``setup_context(ctx, inputs, output)`` fill it. Both run without recording: gradients of gradients are not
    to be had.
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The results; the subclass defines it."""
        raise NotImplementedError("a Function defines the static method forward(ctx, *args)")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Fills ctx where forward does not take it."""
        raise NotImplementedError("a Function whose forward takes no ctx defines setup_context")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the arguments; the subclass defines it."""
        raise NotImplementedError("a Function defines the static method backward(ctx, *grad_outputs)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Runs forward and records backward.

        Raises:
            TypeError: forward returns something else than Tensors.
            RuntimeError: in the walk back, where backward's results do not fit the arguments.
        """
        places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        tensors = tuple(args[i] for i in places)
        ctx = FunctionContext()
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        if not (is_grad_enabled() and any(ctx.needs_input_grad)):
            with no_grad():
                return cls._run(ctx, args)
        structure: list[Any] = []

        def forward(*arrays: Any) -> tuple[Any, tuple[Any, ...]]:
            with no_grad():
                out = cls._run(ctx, args)
            structure.append(out)
            outs = [t.array for t in (out if isinstance(out, tuple) else (out,))]
            # A result in an argument's memory would escape the tape's watch over writes.
            outs = [a.copy(order="K") if any(np.may_share_memory(a, b) for b in arrays) else a for a in outs]
            return (tuple(outs) if isinstance(out, tuple) else outs[0]), ()

        def backward(dout: Any, saved: tuple[Any, ...], needs: tuple[bool, ...]) -> tuple[Any, ...]:
            douts = dout if isinstance(dout, (tuple, list)) else (dout,)
            given = [None if d is None else wrap(np.asarray(d)) for d in douts]
            if ctx._materialize:
                outs = structure[0] if isinstance(structure[0], tuple) else (structure[0],)
                given = [
                    wrap(np.zeros(o.shape, o.dtype)) if g is None else g
                    for g, o in zip(given, outs, strict=True)
                ]
            with no_grad():
                found = cls.backward(ctx, *given)
            found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
            if len(found) < len(args) or any(g is not None for g in found[len(args) :]):
                raise RuntimeError(
                    f"{cls.__name__}.backward returned {len(found)} gradients for {len(args)} arguments"
                )
            return tuple(
                cls._fitting(found[i], t) if wanted else None
                for i, t, wanted in zip(places, tensors, needs, strict=True)
            )

        result = record(Operation(cls.__name__, forward, backward), tensors)
        if ctx._constant:
            outs = structure[0] if isinstance(structure[0], tuple) else (structure[0],)
            results = result if isinstance(result, tuple) else (result,)
            marked = tuple(
                r.detach() if any(o is c for c in ctx._constant) else r
                for r, o in zip(results, outs, strict=True)
            )
            return marked if isinstance(result, tuple) else marked[0]
        return result

    @classmethod
    def _run(cls, ctx: FunctionContext, args: tuple[Any, ...]) -> Any:
        if cls.setup_context is Function.setup_context:
            out = cls.forward(ctx, *args)
        else:
            out = cls.forward(*args)
            cls.setup_context(ctx, args, out)
        outs = out if isinstance(out, tuple) else (out,)
        if not outs or not all(isinstance(t, Tensor) for t in outs):
            raise TypeError(
                f"{cls.__name__}.forward must return a Tensor or a tuple of them, got {type(out).__name__}"
            )
        return out

    @classmethod
    def _fitting(cls, gradient: Any, argument: Tensor) -> Any:
        if gradient is None:
            return None
        if not isinstance(gradient, Tensor):
            raise TypeError(
                f"{cls.__name__}.backward must return Tensors or None, got {type(gradient).__name__}"
            )
        if gradient.shape != argument.shape:
            raise RuntimeError(
                f"{cls.__name__}.backward returned a gradient of shape {gradient.shape} for an argument of "
                f"shape {argument.shape}"
            )
        return gradient.array.astype(argument.dtype, copy=False)
