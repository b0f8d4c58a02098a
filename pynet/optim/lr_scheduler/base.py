"""What every learning-rate schedule shares: it sets ``lr`` of every parameter group, once per ``step()``.

The schedules are recursive, as PyTorch's: each step computes the new rate from the group's present one. A
rate that the user, or a second schedule on the same optimizer, has changed is therefore carried on and not
overwritten.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from ..optimizer import Optimizer


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

    def begin(self) -> None:
        """Makes step 0 from the groups' present rates, as on construction."""
        self.last_epoch, self._step_count = -1, 0
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
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"{type(self).__name__}.load_state_dict: expected a dict, got {type(state_dict).__name__}"
            )
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


def positive_count(owner: str, name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{owner}: {name} must be an int, got {value!r}")
    if value < 1:
        raise ValueError(f"{owner}: {name} must be at least 1, got {value}")
    return value
