"""Snapshot ensembles: the weights at the end of each cycle of the learning rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ensemble import Ensemble
from ..optim.lr_scheduler import CosineAnnealingWarmRestarts
from .callback import Callback, Logs


class SnapshotEnsemble(Callback):
    """Keeps the weights whenever the rate has come down to its lowest, before it jumps up again.

    The Trainer's scheduler is a CosineAnnealingWarmRestarts, of steps or of epochs; a training whose last
    cycle is whole gives a snapshot at its end. So one training's time makes several models::

        scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=cycle)
        snapshots = SnapshotEnsemble()
        trainer = Trainer(model, loss, optimizer, scheduler=scheduler, callbacks=[snapshots])
        trainer.fit(loader, epochs=5 * cycle)
        ensemble = snapshots.ensemble()

    Args:
        last: how many are kept, the latest; default all.

    Attributes:
        snapshots: state_dicts of copies, in the order of the cycles.

    Raises:
        ValueError: `last` is below 1. TypeError: at the beginning of the training, another schedule.

    Source:
        Huang et al. 2017, "Snapshot Ensembles: Train 1, get M for free".
    """

    def __init__(self, last: int | None = None) -> None:
        if last is not None and (isinstance(last, bool) or not isinstance(last, int) or last < 1):
            raise ValueError(f"SnapshotEnsemble: last must be an int of at least 1, or None, not {last!r}")
        self.last = last
        self.snapshots: list[dict[str, np.ndarray]] = []
        self._seen = 0  # the schedule's step that was looked at last
        self._resumed = False

    def on_train_begin(self, logs: Logs) -> None:
        """Forget an earlier training, but not the one that is resumed."""
        scheduler = self._scheduler()
        if not self._resumed:
            self.snapshots, self._seen = [], scheduler.last_epoch
        self._resumed = False

    def on_batch_end(self, step: int, logs: Logs) -> None:
        """Look whether a cycle of steps has ended."""
        self._look()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Look whether a cycle of epochs has ended."""
        self._look()

    def ensemble(self, average: str = "probabilities") -> Ensemble:
        """The ensemble of copies of the trainer's model with the weights kept, in eval mode.

        Raises:
            ValueError: no cycle has ended.
        """
        if not self.snapshots:
            raise ValueError("SnapshotEnsemble: no cycle has ended yet; train for at least T_0 steps")
        return Ensemble.from_states(self.trainer.model, self.snapshots, average).eval()

    def state_dict(self) -> dict[str, Any]:
        """Return the snapshots."""
        return {"snapshots": self.snapshots, "seen": self._seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over snapshots."""
        self.snapshots, self._seen = list(state["snapshots"]), state["seen"]
        self._resumed = True

    def _look(self) -> None:
        scheduler = self._scheduler()
        if scheduler.last_epoch == self._seen:
            return
        self._seen = scheduler.last_epoch
        if scheduler.T_cur == 0:
            state = self.trainer.model.state_dict()
            self.snapshots.append({key: np.array(value) for key, value in state.items()})
            if self.last is not None:
                del self.snapshots[: -self.last]

    def _scheduler(self) -> CosineAnnealingWarmRestarts:
        scheduler = self.trainer.scheduler
        if not isinstance(scheduler, CosineAnnealingWarmRestarts):
            raise TypeError(
                "SnapshotEnsemble: the trainer's scheduler must be a CosineAnnealingWarmRestarts, not "
                f"{type(scheduler).__name__}"
            )
        return scheduler
