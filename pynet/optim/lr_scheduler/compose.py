"""Schedules made of schedules: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler
from .plateau import ReduceLROnPlateau


class _Composite(LRScheduler):
    """Holds the parts, checks that they belong together, saves and restores them."""

    def _take(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name}: at least one schedule is needed, got none")
        for index, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(f"{name}: schedulers[{index}] is no schedule but {type(scheduler).__name__}")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"{name}: schedulers[{index}] is a ReduceLROnPlateau, whose step() needs a metric; step "
                    "it on its own"
                )
        optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        for index, scheduler in enumerate(schedulers):
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"{name}: schedulers[{index}] belongs to another optimizer")
        self.optimizer = optimizer
        self._schedulers = list(schedulers)

    def state_dict(self) -> dict[str, Any]:
        """As in the base class, with the states of the parts."""
        state = super().state_dict()
        state["_schedulers"] = [scheduler.state_dict() for scheduler in self._schedulers]
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` returned.

        Raises:
            ValueError: entries of another kind of schedule, or other parts; the schedule is unchanged.
        """
        before = self.state_dict()
        parts = state_dict.get("_schedulers", ())
        if len(parts) != len(self._schedulers):
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: the state has {len(parts)} schedules, this one "
                f"{len(self._schedulers)}"
            )
        try:
            for scheduler, part in zip(self._schedulers, parts, strict=True):
                scheduler.load_state_dict(part)
            super().load_state_dict(state_dict)
        except ValueError:
            for scheduler, part in zip(self._schedulers, before["_schedulers"], strict=True):
                scheduler.load_state_dict(part)
            raise

    def _restore(self, state_dict: Mapping[str, Any]) -> None:
        super()._restore({key: value for key, value in state_dict.items() if key != "_schedulers"})


class SequentialLR(_Composite):
    """One schedule after the other; each starts from the initial rate at its milestone.

    Warm-up: ``SequentialLR(o, [LinearLR(o, 0.1, total_iters=5), CosineAnnealingLR(o, 95)], [5])``.

    Args:
        optimizer: whose rates are scheduled.
        schedulers: in order.
        milestones: the steps at which the second, third, ... begins; one fewer than schedules.
        last_epoch: default -1, a fresh schedule.

    Raises:
        ValueError: no schedule, one of another optimizer or that needs a metric, or a wrong number of
            milestones. TypeError: an entry is no schedule.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self._take(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedules need {len(schedulers) - 1} milestones, got "
                f"{len(milestones)}"
            )
        self._milestones = list(milestones)
        self.begin()
        self.last_epoch = last_epoch + 1

    def begin(self) -> None:
        """Makes step 0 from the initial rates."""
        self.last_epoch = 0
        self._start(bisect_right(self._milestones, 0))

    def step(self) -> None:
        """One step on: of the schedule whose turn it is."""
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            self._start(index)
        else:
            self._schedulers[index].step()
            self._last_lr = self._rates()

    def _start(self, index: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._schedulers[index].begin()
        self._last_lr = self._rates()


class ChainedScheduler(_Composite):
    """Several schedules at every step, each changing the rate that the one before has left.

    Args:
        schedulers: in order.
        optimizer: default that of the first.

    Raises:
        ValueError: no schedule, or one of another optimizer or that needs a metric. TypeError: an entry is no
            schedule.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self._take(schedulers, optimizer)
        self._last_lr = self._rates()

    def begin(self) -> None:
        """Makes step 0 of all parts, from the present rates."""
        for scheduler in self._schedulers:
            scheduler.begin()
        self._last_lr = self._rates()

    def step(self) -> None:
        """One step of every part."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._rates()
