"""Schedules that rise and fall: warm restarts, triangles, one cycle. The last two move momentum as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from inspect import isfunction
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler, positive_count


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine from the initial rate to `eta_min`, again and again, each `T_mult` times as long.

    Args:
        optimizer: whose rates are scheduled.
        T_0: steps of the first descent, at least 1.
        T_mult: how many times longer each next one is, at least 1; default 1.
        eta_min: lowest rate, default 0.
        last_epoch: default -1, a fresh schedule.

    Raises:
        ValueError: `T_0` or `T_mult` below 1. TypeError: they are no ints.

    Source:
        Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", equation 5.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_0 = self.T_i = positive_count("CosineAnnealingWarmRestarts", "T_0", T_0)
        self.T_mult = positive_count("CosineAnnealingWarmRestarts", "T_mult", T_mult)
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The point of the descent that `T_cur` of `T_i` steps lead to."""
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def begin(self) -> None:
        """Makes step 0: the first descent starts."""
        self.T_cur, self.T_i = -1, self.T_0
        super().begin()

    def step(self, epoch: float | None = None) -> None:
        """One step on, or to `epoch`, which may be a fraction (``epoch + batch / batches``).

        Raises:
            ValueError: a negative epoch.
        """
        if epoch is not None:
            self._jump(epoch)
            return
        self.T_cur += 1
        if self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
        super().step()

    def _jump(self, epoch: float) -> None:
        if epoch < 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: epoch must be at least 0, got {epoch}")
        self.T_cur, self.T_i = epoch, self.T_0
        while self.T_cur >= self.T_i:
            if self.T_mult == 1:
                self.T_cur %= self.T_i
            else:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        self.last_epoch = math.floor(epoch) - 1
        super().step()


class _MomentumCycle(LRScheduler):
    """Momentum, or Adam's beta1, of every group as a second thing that is scheduled."""

    def _take_momenta(self, optimizer: Any, base: Any, high: Any, cycle_momentum: bool) -> None:
        self.cycle_momentum = cycle_momentum
        if not cycle_momentum:
            return
        if not all("momentum" in group or "betas" in group for group in optimizer.param_groups):
            raise ValueError(
                f"{type(self).__name__}: {type(optimizer).__name__} has neither momentum nor betas; pass "
                "cycle_momentum=False"
            )
        name = type(self).__name__
        self.base_momentums = _one_a_group(name, "base_momentum", optimizer, base)
        self.max_momentums = _one_a_group(name, "max_momentum", optimizer, high)

    def _set_momenta(self, momenta: Sequence[float]) -> None:
        for group, momentum in zip(self.optimizer.param_groups, momenta, strict=True):
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


class CyclicLR(_MomentumCycle):
    """Triangles between `base_lr` and `max_lr`, meant to be stepped once a batch.

    Args:
        optimizer: whose rates are scheduled.
        base_lr: the rate at the foot, or one for each group.
        max_lr: at the top of the first triangle, likewise.
        step_size_up: steps of a rise; default 2000.
        step_size_down: steps of a fall; default as many as up.
        mode: "triangular" (default), "triangular2" (each triangle half as high) or "exp_range" (height times
            ``gamma ** step``).
        gamma: of "exp_range", default 1.
        scale_fn: a function of the cycle's number (from 1) or of the step that gives the height, instead of
            `mode`.
        scale_mode: "cycle" (default) or "iterations": what `scale_fn` is given.
        cycle_momentum: move momentum (beta1 of Adam) against the rate; default True.
        base_momentum: the lowest, default 0.8, or one for each group.
        max_momentum: the highest, default 0.9, likewise.
        last_epoch: default -1, a fresh schedule.

    Raises:
        ValueError: an unknown mode, a wrong number of values, or an optimizer without momentum.

    Source:
        Smith 2017, "Cyclical Learning Rates for Training Neural Networks".
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(
                f"CyclicLR: mode must be 'triangular', 'triangular2' or 'exp_range', got {mode!r}; or give "
                "scale_fn"
            )
        if scale_mode not in ("cycle", "iterations"):
            raise ValueError(f"CyclicLR: scale_mode must be 'cycle' or 'iterations', got {scale_mode!r}")
        feet = _one_a_group("CyclicLR", "base_lr", optimizer, base_lr)
        self.max_lrs = _one_a_group("CyclicLR", "max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, foot in zip(optimizer.param_groups, feet, strict=True):
                group["lr"] = group["initial_lr"] = foot
        self.step_size_up = positive_count("CyclicLR", "step_size_up", step_size_up)
        self.step_size_down = (
            self.step_size_up
            if step_size_down is None
            else positive_count("CyclicLR", "step_size_down", step_size_down)
        )
        self.mode, self.gamma, self.scale_fn, self.scale_mode = mode, gamma, scale_fn, scale_mode
        self._take_momenta(optimizer, base_momentum, max_momentum, cycle_momentum)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = feet

    def get_lr(self) -> list[float]:
        """The rates of this step; sets the momenta too."""
        length = self.step_size_up + self.step_size_down
        cycle, position = divmod(self.last_epoch, length)
        rising = position <= self.step_size_up
        height = position / self.step_size_up if rising else (length - position) / self.step_size_down
        height *= self._scale(cycle + 1)
        if self.cycle_momentum:
            self._set_momenta(
                [h - (h - b) * height for b, h in zip(self.base_momentums, self.max_momentums, strict=True)]
            )
        feet = [group["initial_lr"] for group in self.optimizer.param_groups]
        return [b + (h - b) * height for b, h in zip(feet, self.max_lrs, strict=True)]

    def _scale(self, cycle: int) -> float:
        if self.scale_fn is not None:
            return self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.mode == "exp_range":
            return self.gamma**self.last_epoch
        return 0.5 ** (cycle - 1) if self.mode == "triangular2" else 1.0

    def state_dict(self) -> dict[str, Any]:
        """As in the base class; a callable object gives its attributes, a plain function is saved as None."""
        state = super().state_dict()
        function: Any = self.scale_fn
        is_object = function is not None and not isfunction(function) and hasattr(function, "__dict__")
        state["scale_fn"] = dict(function.__dict__) if is_object else None
        return state

    def _restore(self, state_dict: Mapping[str, Any]) -> None:
        super()._restore({key: value for key, value in state_dict.items() if key != "scale_fn"})
        if state_dict["scale_fn"] is not None and self.scale_fn is not None:
            self.scale_fn.__dict__.update(state_dict["scale_fn"])


class OneCycleLR(_MomentumCycle):
    """One rise from ``max_lr / div_factor`` to `max_lr` and one fall far below; stepped once a batch.

    Args:
        optimizer: whose rates are scheduled.
        max_lr: the highest rate, or one for each group.
        total_steps: steps of the cycle; or give `epochs` and `steps_per_epoch`.
        pct_start: share of the steps that the rise takes, default 0.3.
        anneal_strategy: "cos" (default) or "linear".
        cycle_momentum: move momentum (beta1 of Adam) against the rate; default True.
        base_momentum: the lowest, default 0.85, or one for each group.
        max_momentum: the highest, default 0.95, likewise.
        div_factor: of the first rate, default 25.
        final_div_factor: the last rate is the first one divided by this; default 1e4.
        three_phase: fall back to the first rate as long as the rise took, then to the last; default False.
        last_epoch: default -1, a fresh schedule.

    Raises:
        ValueError: no number of steps, a share outside [0, 1], an unknown strategy, an optimizer without
            momentum; in ``step()``, more steps than planned.

    Source:
        Smith and Topin 2018, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
        Rates".
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR: give total_steps, or both epochs and steps_per_epoch")
            total_steps = positive_count("OneCycleLR", "epochs", epochs) * positive_count(
                "OneCycleLR", "steps_per_epoch", steps_per_epoch
            )
        self.total_steps = positive_count("OneCycleLR", "total_steps", total_steps)
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start must be in [0, 1], got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"OneCycleLR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}"
            )
        self.anneal_strategy = anneal_strategy
        self.max_lrs = _one_a_group("OneCycleLR", "max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, high in zip(optimizer.param_groups, self.max_lrs, strict=True):
                group["lr"] = group["initial_lr"] = high / div_factor
        self.final_div_factor = final_div_factor
        # Where each phase ends, and the points (start, top, end) between which it runs.
        last = self.total_steps - 1
        top = pct_start * self.total_steps - 1
        self.phases: list[tuple[float, int, int]] = [(top, 0, 1), (last, 1, 2)]
        if three_phase:
            self.phases = [(top, 0, 1), (2 * pct_start * self.total_steps - 2, 1, 0), (last, 0, 2)]
        self._take_momenta(optimizer, base_momentum, max_momentum, cycle_momentum)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates of this step; sets the momenta too."""
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"OneCycleLR: step {step} of a cycle of {self.total_steps}; plan more total_steps"
            )
        start = 0.0
        for phase in self.phases:
            end, first, second = phase
            if step <= end or phase is self.phases[-1]:
                break
            start = end
        share = (step - start) / (end - start)
        if self.cycle_momentum:
            momenta = zip(self.base_momentums, self.max_momentums, strict=True)
            points = [(high, low, high) for low, high in momenta]
            self._set_momenta([self._between(p[first], p[second], share) for p in points])
        rates = []
        for base, high in zip(self.base_lrs, self.max_lrs, strict=True):
            point = (base, high, base / self.final_div_factor)
            rates.append(self._between(point[first], point[second], share))
        return rates

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2 * (math.cos(math.pi * share) + 1)
        return (end - start) * share + start


def _one_a_group(owner: str, name: str, optimizer: Any, value: Any) -> list[float]:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{owner}: optimizer must be an Optimizer, got {type(optimizer).__name__}")
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(f"{owner}: {len(value)} values of {name} were given for {groups} parameter groups")
    return list(value)
