"""From a gradient to new weights: the warm-up, the optimizer's step, the schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..optim.lr_scheduler import ReduceLROnPlateau
from .callback import Logs

if TYPE_CHECKING:
    from .trainer import Trainer


class Update:
    """Makes the optimizer steps of a training.

    Args:
        trainer: whose optimizer, gradient and schedule.
        warmup_steps, scheduler_interval, scheduler_monitor: as for the Trainer.

    Attributes:
        count: optimizer steps done.
        scheduler_rests: a callback may set it, to rule the learning rate itself.
    """

    def __init__(
        self, trainer: Trainer, warmup_steps: int, scheduler_interval: str, scheduler_monitor: str
    ) -> None:
        if isinstance(warmup_steps, bool) or not isinstance(warmup_steps, int) or warmup_steps < 0:
            raise ValueError(f"Trainer: warmup_steps must be an integer of at least 0, not {warmup_steps!r}")
        if scheduler_interval not in ("epoch", "step"):
            raise ValueError(
                f"Trainer: scheduler_interval must be 'epoch' or 'step', not {scheduler_interval!r}"
            )
        self.trainer, self.warmup_steps = trainer, warmup_steps
        self.scheduler_interval, self.scheduler_monitor = scheduler_interval, scheduler_monitor
        self.count = 0
        self.scheduler_rests = False

    @property
    def learning_rate(self) -> float:
        """That of the next optimizer step, of the first parameter group; the warm-up is a factor of it."""
        return float(self.trainer.optimizer.param_groups[0]["lr"]) * self._warmth

    def apply(self, step: int) -> None:
        """Make one optimizer step of the gradients that are there, in the training step `step`."""
        trainer = self.trainer
        trainer.callback_list.call("on_before_optimizer_step", step, {})
        groups = trainer.optimizer.param_groups
        norm = trainer.gradient.finish([parameter for group in groups for parameter in group["params"]])
        rates = [group["lr"] for group in groups]
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate * self._warmth
        trainer.optimizer.step()
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate
        self.count += 1
        self.step_scheduler("step", {})
        trainer.callback_list.call(
            "on_after_optimizer_step", step, {} if norm is None else {"gradient_norm": norm}
        )

    def step_scheduler(self, interval: str, logs: Logs) -> None:
        """Let the schedule make its step, if it goes by `interval`."""
        scheduler = self.trainer.scheduler
        if scheduler is None or self.scheduler_rests or self.scheduler_interval != interval:
            return
        if not isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step()
            return
        if self.scheduler_monitor not in logs:
            raise ValueError(
                f"fit: ReduceLROnPlateau follows {self.scheduler_monitor!r}, which is not among "
                f"{', '.join(logs) or 'the figures of a step'}; give fit a validation loader, or the Trainer "
                "another scheduler_monitor, and scheduler_interval='epoch'"
            )
        scheduler.step(logs[self.scheduler_monitor])

    @property
    def _warmth(self) -> float:
        return 1.0 if self.count >= self.warmup_steps else (self.count + 1) / self.warmup_steps
