"""L-BFGS: quasi-Newton steps from the last changes of the gradient, with a line search."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..autograd import Tensor
from .flat import Evaluation, FlatOptimizer, Vector, dot
from .optimizer import check_range


class LBFGS(FlatOptimizer):
    """``p -= t * H g``, with ``H`` the inverse Hessian that the last `history_size` steps suggest.

    ``step(closure)`` makes up to `max_iter` such iterations. All parameters form one vector, in one group;
    the state takes ``2 * history_size + 2`` numbers a parameter.

    Args:
        params: Tensors.
        lr: length ``t`` of the steps, respectively the first that the line search tries; default 1.
        max_iter: iterations a step, default 20.
        max_eval: evaluations of the closure a step; default ``max_iter * 5 // 4``.
        tolerance_grad: ends a step where no gradient is larger, default 1e-7.
        tolerance_change: ends a step where neither parameters nor loss change by more, default 1e-9.
        history_size: how many changes are kept, default 100.
        line_search_fn: "strong_wolfe", or None (default): steps of fixed length.

    Raises:
        ValueError: an option out of range, or a second group.
        TypeError: parameters of several dtypes.
        RuntimeError (in ``step``): the loss is NaN or infinite at its beginning, or after a step of fixed
            length; parameters and state are as before. The line search steps back from such points.

    Source:
        Nocedal and Wright 2006, "Numerical Optimization", algorithms 7.4 and 7.5; line search: algorithms 3.5
        and 3.6 with cubic interpolation, in the order and safeguards of Schmidt's minFunc, as in PyTorch.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)

    _vectors = ("d", "old_dirs", "old_stps", "prev_flat_grad")
    _numbers = ("func_evals", "n_iter", "t", "ro", "H_diag", "prev_loss")

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "tolerance_grad", "tolerance_change"):
            check_range("LBFGS", name, group[name])
        for name in ("max_iter", "max_eval", "history_size"):
            check_range("LBFGS", name, group[name], low=1)
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(
                f"LBFGS: line_search_fn must be 'strong_wolfe' or None, got {group['line_search_fn']!r}"
            )

    def _minimize(
        self, group: dict[str, Any], x: Vector, at_x: Evaluation, evaluate: Callable[[Vector], Evaluation]
    ) -> None:
        lr, least_gradient, least_change = group["lr"], group["tolerance_grad"], group["tolerance_change"]
        memory = _Memory(self.state[self._parameters()[0]], group["history_size"])
        memory.evaluations += 1
        evaluations = 1
        if _largest(at_x.gradient) > least_gradient:
            for iteration in range(1, group["max_iter"] + 1):
                d = memory.direction(at_x.gradient)
                first = memory.iterations == 1
                t = min(1.0, 1.0 / float(np.abs(at_x.gradient).sum())) * lr if first else lr
                slope, before = dot(at_x.gradient, d), at_x
                memory.note(d, t, at_x)
                if slope > -least_change:
                    break
                used = 0
                if group["line_search_fn"] is not None:
                    tries = group["max_eval"] - evaluations
                    t, at_x, used = strong_wolfe(evaluate, x, t, d, at_x, slope, least_change, tries)
                    memory.t = t
                x = x + np.asarray(t, x.dtype) * d
                self._move_to(x)
                if group["line_search_fn"] is None and iteration != group["max_iter"]:
                    at_x, used = evaluate(x), 1
                    self._require_finite(at_x, f"after iteration {iteration} of this step")
                evaluations += used
                memory.evaluations += used
                if (
                    evaluations >= group["max_eval"]
                    or _largest(at_x.gradient) <= least_gradient
                    or _largest(d) * t <= least_change
                    or abs(at_x.loss - before.loss) < least_change
                ):
                    break
        self.state[self._parameters()[0]] = memory.entry()


class _Memory:
    """The last changes of parameters and gradient, and where the last iteration stood."""

    def __init__(self, entry: dict[str, Any], size: int) -> None:
        self.size = size
        self.evaluations, self.iterations = entry.get("func_evals", 0), entry.get("n_iter", 0)
        self.changes = [t.array for t in entry.get("old_dirs", [])]  # of the gradient
        self.steps = [t.array for t in entry.get("old_stps", [])]
        self.ro = list(entry.get("ro", []))  # 1 / (change . step)
        self.scale = entry.get("H_diag", 1.0)
        self.d = entry["d"].array if "d" in entry else None
        self.t: float = entry.get("t", 0.0)
        self.gradient = entry["prev_flat_grad"].array if "prev_flat_grad" in entry else None
        self.loss: float | None = entry.get("prev_loss")

    def direction(self, gradient: Vector) -> Vector:
        """- H g, after the last step has been taken in."""
        self.iterations += 1
        if self.d is None or self.gradient is None:
            return -gradient
        change, step = gradient - self.gradient, self.d * np.asarray(self.t, gradient.dtype)
        curvature = dot(change, step)
        if curvature > 1e-10:
            if len(self.steps) == self.size:
                del self.steps[0], self.changes[0], self.ro[0]
            self.changes.append(change)
            self.steps.append(step)
            self.ro.append(1.0 / curvature)
            self.scale = curvature / dot(change, change)
        q = -gradient
        shares = []
        for i in reversed(range(len(self.steps))):
            share = dot(self.steps[i], q) * self.ro[i]
            q = q - np.asarray(share, q.dtype) * self.changes[i]
            shares.append(share)
        q = q * np.asarray(self.scale, q.dtype)
        for i, share in enumerate(reversed(shares)):
            q = q + np.asarray(share - dot(self.changes[i], q) * self.ro[i], q.dtype) * self.steps[i]
        return q

    def note(self, d: Vector, t: float, at: Evaluation) -> None:
        self.d, self.t, self.gradient, self.loss = d, t, at.gradient, at.loss

    def entry(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"func_evals": self.evaluations, "n_iter": self.iterations}
        if self.d is not None and self.gradient is not None:
            entry |= {
                "d": Tensor(self.d),
                "t": float(self.t),
                "old_dirs": [Tensor(a) for a in self.changes],
                "old_stps": [Tensor(a) for a in self.steps],
                "ro": self.ro,
                "H_diag": self.scale,
                "prev_flat_grad": Tensor(self.gradient),
                "prev_loss": self.loss,
            }
        return entry


class _Trial:
    """A point of the line search; its loss is infinite where it is not finite."""

    __slots__ = ("at", "loss", "slope", "t")

    def __init__(self, t: float, at: Evaluation, slope: float) -> None:
        self.t, self.at, self.slope = t, at, slope
        self.loss = at.loss if at.finite else math.inf


def strong_wolfe(
    evaluate: Callable[[Vector], Evaluation],
    x: Vector,
    t: float,
    d: Vector,
    at_x: Evaluation,
    slope: float,
    least_change: float,
    tries: int,
    c1: float = 1e-4,
    c2: float = 0.9,
) -> tuple[float, Evaluation, int]:
    """Find a step along `d` that meets the strong Wolfe conditions, within `tries` evaluations.

    Points whose loss or gradient is not finite count as infinitely high, and are left by bisection.

    Returns:
        the step's length (0 where nothing lower was found), what was found there, the evaluations.
    """

    def trial(t: float) -> _Trial:
        at = evaluate(x + np.asarray(t, x.dtype) * d)
        return _Trial(t, at, dot(at.gradient, d))

    def steep(p: _Trial) -> bool:
        return p.loss > at_x.loss + c1 * p.t * slope

    start = last = _Trial(0.0, at_x, slope)
    new, count, used = trial(t), 0, 1
    low, high = start, new  # where the tries end before a bracket is found
    while count < tries:
        if steep(new) or (count > 1 and new.loss >= last.loss):
            low, high = last, new
            break
        if abs(new.slope) <= -c2 * slope:
            return new.t, new.at, used
        if new.slope >= 0:
            low, high = last, new
            break
        far = _cubic_minimum(last, new, new.t + 0.01 * (new.t - last.t), new.t * 10)
        last, new = new, trial(far)
        count, used = count + 1, used + 1
    else:
        low, high = start, new
    bracket = [low, high]
    lowest = 0 if low.loss <= high.loss else 1
    reach, slow = _largest(d), False
    while count < tries:
        left, right = sorted(p.t for p in bracket)
        if (right - left) * reach < least_change:
            break
        t = _cubic_minimum(bracket[0], bracket[1], left, right)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if slow or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                slow = False
            else:
                slow = True
        else:
            slow = False
        new = trial(t)
        count, used = count + 1, used + 1
        if steep(new) or new.loss >= bracket[lowest].loss:
            bracket[1 - lowest] = new
            lowest = 0 if bracket[0].loss <= bracket[1].loss else 1
            continue
        done = abs(new.slope) <= -c2 * slope
        if not done and new.slope * (bracket[1 - lowest].t - bracket[lowest].t) >= 0:
            bracket[1 - lowest] = bracket[lowest]
        bracket[lowest] = new
        if done:
            break
    best = bracket[lowest]
    return best.t, best.at, used


def _cubic_minimum(a: _Trial, b: _Trial, low: float, high: float) -> float:
    """The minimum of the cubic through both points and slopes, within [low, high]; else the middle."""
    if a.t > b.t:
        a, b = b, a
    if a.t == b.t or not all(map(math.isfinite, (a.loss, b.loss, a.slope, b.slope))):
        return (low + high) / 2
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if square < 0:
        return (low + high) / 2
    d2 = math.sqrt(square)
    divisor = b.slope - a.slope + 2 * d2
    if divisor == 0:
        return (low + high) / 2
    return min(max(b.t - (b.t - a.t) * ((b.slope + d2 - d1) / divisor), low), high)


def _largest(vector: Vector) -> float:
    return float(np.abs(vector).max(initial=0.0))
