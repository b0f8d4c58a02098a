"""Learning-rate schedules: each sets ``lr`` of every parameter group of an optimizer, once per ``step()``.

The schedules are recursive, as PyTorch's: each step computes the new rate from the group's present one. A
rate that the user, or a second schedule on the same optimizer, has changed is therefore carried on and not
overwritten.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import isfunction
from typing import Any

from .optimizer import Optimizer


class LRScheduler:
    """Base class: a schedule defines ``get_lr()``, the rate of each group at ``self.last_epoch``.

    Creating a schedule makes its step 0: the groups get the rates that the schedule starts with.

    Args:
        optimizer: whose ``param_groups`` are scheduled; each group remembers its first rate as
            ``initial_lr``.
        last_epoch: how many steps were made before, to continue a schedule; default -1, a fresh one.

    Raises:
        TypeError: `optimizer` is no Optimizer.
        KeyError: `last_epoch` is given and a group has no ``initial_lr``.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__}: optimizer must be an Optimizer, got {type(optimizer).__name__}"
            )
        for index, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}: last_epoch={last_epoch} continues a schedule, but "
                    f"param_groups[{index}] has "
                    "no 'initial_lr'; load the optimizer's state first"
                )
        self.optimizer = optimizer
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self.step()

    def get_lr(self) -> list[float]:
        """The rate of each group at ``self.last_epoch``, from the present rates."""
        raise NotImplementedError(f"{type(self).__name__} must define get_lr()")

    def get_last_lr(self) -> list[float]:
        """The rate of each group that the last step set."""
        return self._last_lr

    def step(self) -> None:
        """Go one step on, after ``optimizer.step()``: an epoch, or whatever the caller counts."""
        if self._step_count == 1 and not self.optimizer.step_count:
            warnings.warn(
                f"{type(self).__name__}.step() was called before optimizer.step(), so that the first rate "
                "of the schedule "
                "is skipped; call optimizer.step() first",
                stacklevel=2,
            )
        self._step_count += 1
        self.last_epoch += 1
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate
        self._last_lr: list[float] = [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, for ``load_state_dict``."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` returned.

        Raises:
            ValueError: entries of another kind of schedule, or other numbers of groups; the schedule is
                unchanged.
        """
        own = self.state_dict()
        problems = [f"no {key!r}" for key in own if key not in state_dict]
        problems += [f"an unknown {key!r}" for key in state_dict if key not in own]
        for key in ("base_lrs", "_last_lr", "lr_lambdas"):
            if key in own and key in state_dict and len(own[key]) != len(state_dict[key]):
                problems.append(
                    f"{len(state_dict[key])} entries in {key!r} for {len(own[key])} parameter groups"
                )
        if problems:
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: the state has {', '.join(problems)}; it was saved "
                "by another schedule"
            )
        self._restore(state_dict)

    def _restore(self, state_dict: Mapping[str, Any]) -> None:
        self.__dict__.update(state_dict)

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]


class LambdaLR(LRScheduler):
    """The initial rate times ``lr_lambda(epoch)``.

    Args:
        optimizer: whose rates are scheduled.
        lr_lambda: a function of the step number, or a list of them, one a group.
        last_epoch: default -1, a fresh schedule.

    Raises:
        ValueError: the list has another length than there are groups.
        TypeError: an entry is not callable.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        groups = len(optimizer.param_groups)
        given: Any = lr_lambda
        self.lr_lambdas: list[Any] = list(given) if isinstance(given, (list, tuple)) else [given] * groups
        if len(self.lr_lambdas) != groups:
            raise ValueError(
                f"LambdaLR: {len(self.lr_lambdas)} functions were given for {groups} parameter groups"
            )
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"LambdaLR: lr_lambda must be callable, got {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """``initial_lr * lr_lambda(last_epoch)``."""
        return [
            base * function(self.last_epoch)
            for base, function in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]

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
        self.step_size = _positive("StepLR", "step_size", step_size)
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
        self.total_iters = _positive("LinearLR", "total_iters", total_iters)
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
        self.T_max = _positive("CosineAnnealingLR", "T_max", T_max)
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


def _positive(owner: str, name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{owner}: {name} must be an int, got {value!r}")
    if value < 1:
        raise ValueError(f"{owner}: {name} must be at least 1, got {value}")
    return value
