"""Schedules that go one way: by steps, a line, a power, an exponential or half a cosine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import isfunction
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler, positive_count


class _ByFunction(LRScheduler):
    """Holds a function for each group, and saves those that are objects."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        name = type(self).__name__
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{name}: optimizer must be an Optimizer, got {type(optimizer).__name__}")
        groups = len(optimizer.param_groups)
        given: Any = lr_lambda
        self.lr_lambdas: list[Any] = list(given) if isinstance(given, (list, tuple)) else [given] * groups
        if len(self.lr_lambdas) != groups:
            raise ValueError(
                f"{name}: {len(self.lr_lambdas)} functions were given for {groups} parameter groups"
            )
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"{name}: lr_lambda must be callable, got {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """As in the base class; a callable object gives its attributes, plain functions are saved as None."""
        state = super().state_dict()
        state["lr_lambdas"] = [
            dict(function.__dict__) if hasattr(function, "__dict__") and not isfunction(function) else None
            for function in self.lr_lambdas
        ]
        return state

    def _restore(self, state_dict: Mapping[str, Any]) -> None:
        self.__dict__.update({key: value for key, value in state_dict.items() if key != "lr_lambdas"})
        for function, attributes in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if attributes is not None:
                function.__dict__.update(attributes)


class LambdaLR(_ByFunction):
    """The initial rate times ``lr_lambda(epoch)``.

    Args:
        optimizer: whose rates are scheduled.
        lr_lambda: a function of the step number, or a list of them, one a group.
        last_epoch: default -1, a fresh schedule.

    Raises:
        ValueError: the list has another length than there are groups.
        TypeError: an entry is not callable.
    """

    def get_lr(self) -> list[float]:
        """``initial_lr * lr_lambda(last_epoch)``."""
        functions = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * function(self.last_epoch) for base, function in functions]


class MultiplicativeLR(_ByFunction):
    """The rate times ``lr_lambda(epoch)`` at every step.

    Args:
        optimizer: whose rates are scheduled.
        lr_lambda: a function of the step number, or a list of them, one a group.
        last_epoch: default -1, a fresh schedule.

    Raises:
        ValueError: the list has another length than there are groups.
        TypeError: an entry is not callable.
    """

    def get_lr(self) -> list[float]:
        """The present rates times ``lr_lambda(last_epoch)``; as they are at step 0."""
        if self.last_epoch == 0:
            return self._rates()
        functions = zip(self._rates(), self.lr_lambdas, strict=True)
        return [rate * function(self.last_epoch) for rate, function in functions]


class StepLR(LRScheduler):
    """The rate times `gamma` every `step_size` steps.

    Args:
        optimizer: whose rates are scheduled.
        step_size: steps between two changes, at least 1.
        gamma: factor, default 0.1.
        last_epoch: default -1, a fresh schedule.
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = positive_count("StepLR", "step_size", step_size)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rates, times `gamma` at each multiple of `step_size`."""
        changes = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return [rate * self.gamma if changes else rate for rate in self._rates()]


class MultiStepLR(LRScheduler):
    """The rate times `gamma` at each milestone.

    Args:
        optimizer: whose rates are scheduled.
        milestones: step numbers, in any order; a doubled one counts twice.
        gamma: factor, default 0.1.
        last_epoch: default -1, a fresh schedule.
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if not isinstance(milestones, Iterable):
            raise TypeError(f"MultiStepLR: milestones must be a list of ints, got {milestones!r}")
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rates, times `gamma` once for each milestone that is `last_epoch`."""
        here = self.milestones.count(self.last_epoch)
        return [rate * self.gamma**here for rate in self._rates()]


class ExponentialLR(LRScheduler):
    """The rate times `gamma` at every step.

    Args:
        optimizer: whose rates are scheduled.
        gamma: factor.
        last_epoch: default -1, a fresh schedule.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rates times `gamma`."""
        return [rate * self.gamma if self.last_epoch > 0 else rate for rate in self._rates()]


class LinearLR(LRScheduler):
    """The initial rate times a factor that goes in a straight line from `start_factor` to `end_factor`.

    Args:
        optimizer: whose rates are scheduled.
        start_factor: at step 0, in (0, 1]; default 1/3.
        end_factor: from step `total_iters` on, in [0, 1]; default 1.
        total_iters: how many steps the line takes, at least 1; default 5.
        last_epoch: default -1, a fresh schedule.

    Raises:
        ValueError: a factor or `total_iters` is outside its range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(f"LinearLR: start_factor must be in (0, 1], got {start_factor}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: end_factor must be in [0, 1], got {end_factor}")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = positive_count("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rates times the quotient of this step's factor and the last one's."""
        if self.last_epoch == 0:
            change = self.start_factor
        elif self.last_epoch > self.total_iters:
            change = 1.0
        else:
            change = self._factor(self.last_epoch) / self._factor(self.last_epoch - 1)
        return [rate * change for rate in self._rates()]

    def _factor(self, epoch: int) -> float:
        return self.start_factor + (self.end_factor - self.start_factor) * epoch / self.total_iters


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial rate down to `eta_min` in `T_max` steps, and up again in as many.

    Args:
        optimizer: whose rates are scheduled.
        T_max: steps from the highest to the lowest rate, at least 1.
        eta_min: lowest rate, default 0.
        last_epoch: default -1, a fresh schedule.

    Source:
        Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", equation 5,
        without restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = positive_count("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates whose distance to `eta_min` changes as the cosine does from the last step to this one."""
        epoch, rates = self.last_epoch, self._rates()
        if epoch == 0:
            return rates
        if self._step_count == 1:  # a schedule that continues: the present rate is no step of it
            return [self.eta_min + (base - self.eta_min) * self._height(epoch) for base in self.base_lrs]
        if (epoch - 1) % (
            2 * self.T_max
        ) == self.T_max:  # the last rate was the lowest: a quotient would divide by zero
            rise = self._height(self.T_max - 1)
            return [
                rate + (base - self.eta_min) * rise for rate, base in zip(rates, self.base_lrs, strict=True)
            ]
        change = self._height(epoch) / self._height(epoch - 1)
        return [self.eta_min + (rate - self.eta_min) * change for rate in rates]

    def _height(self, epoch: int) -> float:
        return (1 + math.cos(math.pi * epoch / self.T_max)) / 2


class ConstantLR(LRScheduler):
    """The initial rate times `factor` until step `total_iters`, then the initial rate.

    Args:
        optimizer: whose rates are scheduled.
        factor: in [0, 1]; default 1/3.
        total_iters: default 5.
        last_epoch: default -1, a fresh schedule.

    Raises:
        ValueError: `factor` is outside [0, 1].
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0 <= factor <= 1:
            raise ValueError(f"ConstantLR: factor must be in [0, 1], got {factor}")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rates, times `factor` at step 0 and divided by it at `total_iters`."""
        if self.last_epoch == 0:
            return [rate * self.factor for rate in self._rates()]
        if self.last_epoch != self.total_iters:
            return self._rates()
        return [rate * (1.0 / self.factor) for rate in self._rates()]


class PolynomialLR(LRScheduler):
    """The initial rate times ``(1 - step / total_iters) ** power``, 0 from `total_iters` on.

    Args:
        optimizer: whose rates are scheduled.
        total_iters: default 5.
        power: default 1, a straight line.
        last_epoch: default -1, a fresh schedule.
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters = positive_count("PolynomialLR", "total_iters", total_iters)
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rates times the quotient of this step's height and the last one's."""
        epoch, total = self.last_epoch, self.total_iters
        if epoch == 0 or epoch > total:
            return self._rates()
        change = ((total - epoch) / (total - epoch + 1)) ** self.power
        return [rate * change for rate in self._rates()]
