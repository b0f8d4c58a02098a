"""What the optimizers that evaluate a closure many times a step share: all parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..autograd import Tensor, before_write, enable_grad, wrote
from .optimizer import Bundle, Optimizer

Vector = np.ndarray


def dot(a: Vector, b: Vector) -> float:
    """The inner product, summed in double precision and always in the same order."""
    return float(np.multiply(a, b, dtype=np.float64).sum())


class Evaluation:
    """The loss (a float) and its gradient (a vector) at a point."""

    __slots__ = ("gradient", "loss")

    def __init__(self, loss: float, gradient: Vector) -> None:
        self.loss, self.gradient = loss, gradient

    @property
    def finite(self) -> bool:
        """Whether the loss and all of the gradient are finite."""
        return math.isfinite(self.loss) and bool(np.isfinite(self.gradient).all())


class FlatOptimizer(Optimizer):
    """Base class: a subclass defines ``_minimize``, which moves the vector of all parameters.

    A step that fails, and one whose loss is NaN, leaves the parameters and the state as they were.
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults)
        own = self._parameters()
        dtypes = {str(p.dtype) for p in own}
        if len(dtypes) != 1:
            raise TypeError(
                f"{type(self).__name__}: all parameters form one vector and need one dtype, got "
                f"{' and '.join(sorted(dtypes))}; convert the model with .float() or .double()"
            )

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """The one group, of the constructor.

        Raises:
            ValueError: a second group, or the penalty ``l1``, which has no gradient at 0.
        """
        name = type(self).__name__
        if self.param_groups:
            raise ValueError(
                f"{name}: all parameters form one vector; there can be one group, with one set of options"
            )
        if isinstance(param_group, Mapping) and param_group.get("l1"):
            raise ValueError(
                f"{name}: l1 has no gradient at 0, which the line search needs; penalize in the loss"
            )
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Minimize on from the present parameters.

        Args:
            closure: clears the gradients, evaluates the model, calls ``backward()`` and returns the loss. It
                is called many times and has to be a function of the parameters: no new batch, no dropout.

        Returns:
            the loss before the step, as `closure` returned it.

        Raises:
            TypeError: no closure.
            RuntimeError: the loss or its gradient is NaN or infinite where no line search can step back; the
                parameters and the state are as before.
        """
        if closure is None:
            raise TypeError(
                f"{type(self).__name__}.step: a closure is needed, which evaluates the loss and its gradient"
            )
        for hook, _ in tuple(self._pre_hooks.values()):
            hook(self, (closure,), {})
        start = self._position()
        try:
            with enable_grad():
                first = closure()
            at_start = Evaluation(float(first), self._gradient())
            self._require_finite(at_start, "at the present parameters")
            self._minimize(self.param_groups[0], start, at_start, lambda x: self._evaluate(closure, x))
        except BaseException:
            self._move_to(start)
            raise
        self.step_count += 1
        for hook, _ in tuple(self._post_hooks.values()):
            hook(self, (closure,), {})
        return first

    def _minimize(
        self, group: dict[str, Any], x: Vector, at_x: Evaluation, evaluate: Callable[[Vector], Evaluation]
    ) -> None:
        """Leave the parameters at a better point than `x`; `evaluate` moves them."""
        raise NotImplementedError

    def _require_finite(self, found: Evaluation, where: str) -> None:
        if not found.finite:
            what = (
                f"the loss is {found.loss}" if not math.isfinite(found.loss) else "a gradient is not finite"
            )
            raise RuntimeError(
                f"{type(self).__name__}: {what} {where}; the parameters are as before the step: lower lr, or "
                "look at the data and the loss"
            )

    def _evaluate(self, closure: Callable[[], Any], x: Vector) -> Evaluation:
        self._move_to(x)
        with enable_grad():
            loss = float(closure())
        return Evaluation(loss, self._gradient())

    def _position(self) -> Vector:
        return np.concatenate([p.array.ravel() for p in self._parameters()])

    def _gradient(self) -> Vector:
        """The gradients as a vector; 0 for a parameter that has none."""
        return np.concatenate(
            [
                np.zeros(p.array.size, p.dtype) if p.grad is None else p.grad.array.ravel()
                for p in self._parameters()
            ]
        )

    def _move_to(self, x: Vector) -> None:
        parameters, at = self._parameters(), 0
        before_write()
        for p in parameters:
            size = p.array.size
            p.array[...] = x[at : at + size].reshape(p.shape)
            at += size
        wrote(*parameters)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ()

    def _update(self, group: dict[str, Any], bundle: Bundle) -> None:
        raise NotImplementedError

    _vectors: tuple[str, ...] = ()  # entries of the state that are vectors, or lists of these
    _numbers: tuple[str, ...] = ()  # entries that are numbers, or lists of these

    def _read_state(self, saved: Any, groups: Any, problems: list[str]) -> dict[Tensor, dict[str, Any]]:
        """The saved state, which stands with the first parameter, with copied vectors."""
        parameters = self._parameters()
        size, dtype = sum(p.array.size for p in parameters), parameters[0].dtype
        state: dict[str, Any] = {}

        def vector(value: Any, name: str) -> Tensor:
            array = np.array(value.array if isinstance(value, Tensor) else value, dtype)
            if array.shape != (size,):
                problems.append(f"{name!r} has shape {array.shape}, the parameters are ({size},) as a vector")
            return Tensor(array)

        first = groups[0]["params"][0]
        for number, entry in saved.items():
            for name, value in entry.items():
                if number != first or name not in (*self._vectors, *self._numbers, "al"):
                    problems.append(
                        f"parameter {number} has the entry {name!r}, which {type(self).__name__} keeps not"
                    )
                elif value is None or name == "al":  # PyTorch keeps its scratch there
                    continue
                elif name in self._vectors:
                    several = isinstance(value, (list, tuple))
                    state[name] = [vector(v, name) for v in value] if several else vector(value, name)
                else:
                    state[name] = [float(v) for v in value] if isinstance(value, (list, tuple)) else value
        for name in self._numbers:
            if name in state and not isinstance(state[name], list):
                state[name] = int(state[name]) if name in ("n_iter", "func_evals") else float(state[name])
        return {parameters[0]: state} if state else {}
