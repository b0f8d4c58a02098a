"""Averages of the weights: validated in place of those that are trained, and what the training ends with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...autograd import Tensor
from ...optim.optimizer import check_range
from ...optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn
from ..batches import as_tensor, split_batch
from ..callback import Callback, Logs
from ..state import position_of, random_state, set_random_state


class WeightAveraging(Callback):
    """What both averages share: a ``pynet.optim.swa_utils.AveragedModel`` beside the model.

    From the first average on, the validations in ``fit`` measure it, and the best weights that other
    callbacks keep are its. A training that ends by itself ends with it as the model's weights; a checkpoint
    holds both.

    Attributes:
        average: the AveragedModel, from the beginning of the training on.
    """

    order = 1  # at the end of the training after the checkpoint was saved, before the best weights come back
    average: AveragedModel | None = None

    def on_train_begin(self, logs: Logs) -> None:
        """Begin a new average, unless a training is resumed."""
        if not self._resumed:
            self.average = self._make()
        self._resumed = False
        self._offer()

    def on_train_end(self, logs: Logs) -> None:
        """Put the average into the model, if the training ended by itself."""
        if self._begun and self.trainer.interrupted is None:
            assert self.average is not None
            self.trainer.model.load_state_dict(self.average.module.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Return the average."""
        return {"average": None if self.average is None else self.average.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over an average."""
        self.average = self._make()
        if state["average"] is not None:
            self.average.load_state_dict(state["average"])
        self._resumed = True

    _resumed = False

    @property
    def _begun(self) -> bool:
        return self.average is not None and int(self.average.n_averaged.array) > 0

    def _make(self) -> AveragedModel:
        raise NotImplementedError

    def _update(self) -> None:
        assert self.average is not None
        self.average.update_parameters(self.trainer.model)
        self._offer()

    def _offer(self) -> None:
        if self._begun:
            assert self.average is not None
            self.trainer.evaluated = self.average.module


class EMAWeightAveraging(WeightAveraging):
    """An exponential moving average of the weights: ``average = decay * average + (1 - decay) * weights``.

    Args:
        decay: in [0, 1], default 0.999; the average looks back over about ``1 / (1 - decay)`` updates.
        update_every_n_steps: optimizer steps between two updates, default 1.
        update_starting_at_step: optimizer steps before the first update, which copies the weights; default 0.
        use_buffers: average the statistics of batch norm as well, default True; otherwise they are copied.

    Raises:
        ValueError: an argument is out of range.

    Source:
        Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging", with exponential
        weights.
    """

    def __init__(
        self,
        decay: float = 0.999,
        update_every_n_steps: int = 1,
        update_starting_at_step: int = 0,
        use_buffers: bool = True,
    ) -> None:
        get_ema_multi_avg_fn(decay)  # checks it
        for name, value, least in (
            ("update_every_n_steps", update_every_n_steps, 1),
            ("update_starting_at_step", update_starting_at_step, 0),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(
                    f"EMAWeightAveraging: {name} must be an integer of at least {least}, not {value!r}"
                )
        self.decay, self.use_buffers = decay, use_buffers
        self.update_every_n_steps = update_every_n_steps
        self.update_starting_at_step = update_starting_at_step

    def on_after_optimizer_step(self, step: int, logs: Logs) -> None:
        """Take the new weights into the average."""
        later = self.trainer.update.count - self.update_starting_at_step
        if later >= 0 and later % self.update_every_n_steps == 0:
            self._update()

    def _make(self) -> AveragedModel:
        average = get_ema_multi_avg_fn(self.decay)
        return AveragedModel(self.trainer.model, multi_avg_fn=average, use_buffers=self.use_buffers)


class StochasticWeightAveraging(WeightAveraging):
    """The mean of the weights at the ends of the last epochs.

    Each average is measured with batch norm statistics of its own: one pass over the training data, without
    gradients, before each validation and at the end. It changes neither the order of the data nor the random
    numbers of the training.

    Args:
        swa_lrs: the learning rate while weights are averaged, one number or one a parameter group; from its
            first epoch on the trainer's own schedule rests. Default None: the schedule goes on.
        swa_epoch_start: the first epoch whose weights are averaged: an int, from 0, or a share of the epochs,
            default 0.8.
        annealing_epochs: within which the rate goes over to `swa_lrs`, default 10.
        annealing_strategy: "cos" (default) or "linear".

    Raises:
        ValueError: an argument is out of range.

    Source:
        Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization", algorithm
        1.
    """

    def __init__(
        self,
        swa_lrs: float | list[float] | None = None,
        swa_epoch_start: int | float = 0.8,
        annealing_epochs: int = 10,
        annealing_strategy: str = "cos",
    ) -> None:
        share = isinstance(swa_epoch_start, float)
        if isinstance(swa_epoch_start, bool) or not swa_epoch_start >= 0 or (share and swa_epoch_start > 1):
            raise ValueError(
                "StochasticWeightAveraging: swa_epoch_start must be an int of at least 0 or a share in "
                f"[0, 1], not {swa_epoch_start!r}"
            )
        if annealing_strategy not in ("cos", "linear"):
            raise ValueError(
                "StochasticWeightAveraging: annealing_strategy must be 'cos' or 'linear', "
                f"not {annealing_strategy!r}"
            )
        if swa_lrs is not None:
            for rate in swa_lrs if isinstance(swa_lrs, list) else [swa_lrs]:
                check_range("StochasticWeightAveraging", "swa_lrs", rate)
        self.swa_lrs, self.swa_epoch_start = swa_lrs, swa_epoch_start
        self.annealing_epochs, self.annealing_strategy = annealing_epochs, annealing_strategy
        self._schedule: SWALR | None = None
        self._counted = -1  # the last epoch whose weights are in the average
        self._measured = False  # whether the batch norm statistics are those of the average

    def on_train_begin(self, logs: Logs) -> None:
        """Begin anew, unless a training is resumed."""
        if not self._resumed:
            self._schedule, self._counted, self._measured = None, -1, False
        super().on_train_begin(logs)
        self.trainer.update.scheduler_rests = self._schedule is not None

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        """Take over the learning rate, if that is asked and it is time."""
        if self.swa_lrs is not None and self._schedule is None and epoch >= self._start():
            self._schedule = self._make_schedule()
            self.trainer.update.scheduler_rests = True

    def on_test_begin(self, logs: Logs) -> None:
        """Average before the validation, so that it measures this epoch's average."""
        if self.trainer.trained:
            self._count(self.trainer.epoch)
            self._measure()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Average, where there was no validation; and one step of the learning rate."""
        self._count(epoch)
        if self._schedule is not None:
            self._schedule.step()

    def on_train_end(self, logs: Logs) -> None:
        """Put the average into the model, if the training ended by itself."""
        if self._begun and self.trainer.interrupted is None:
            self._measure()
        super().on_train_end(logs)

    def state_dict(self) -> dict[str, Any]:
        """Return the average, the epochs in it, and the state of the learning rate."""
        schedule = None if self._schedule is None else self._schedule.state_dict()
        return {
            **super().state_dict(),
            "counted": self._counted,
            "measured": self._measured,
            "schedule": schedule,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        super().load_state_dict(state)
        self._counted, self._measured = state["counted"], state["measured"]
        self._schedule = None
        if state["schedule"] is not None:
            self._schedule = self._make_schedule()
            self._schedule.load_state_dict(state["schedule"])

    def _start(self) -> int:
        if isinstance(self.swa_epoch_start, float):
            return int(self.swa_epoch_start * self.trainer.epochs)
        return self.swa_epoch_start

    def _make(self) -> AveragedModel:
        return AveragedModel(self.trainer.model)

    def _make_schedule(self) -> SWALR:
        assert self.swa_lrs is not None
        return SWALR(self.trainer.optimizer, self.swa_lrs, self.annealing_epochs, self.annealing_strategy)

    def _count(self, epoch: int) -> None:
        if self._counted < epoch and epoch >= self._start():
            self._update()
            self._counted, self._measured = epoch, False

    def _measure(self) -> None:
        """Measure the batch norm statistics of the average on the training data, as the model sees these."""
        if self._measured or not self._begun:
            return
        assert self.average is not None
        trainer = self.trainer
        numbers, position = random_state(), position_of(trainer.loader)
        try:
            with trainer.signals.interruptible:
                update_bn(self._inputs(), self.average)
        finally:
            set_random_state(numbers)
            if position is not None:
                trainer.loader.load_state_dict(position)
        self._measured = True

    def _inputs(self) -> Iterator[Tensor]:
        for batch in self.trainer.loader:
            inputs, targets = split_batch(batch)
            augment = self.trainer.augment
            yield as_tensor(inputs[0] if augment is None else augment(inputs[0], targets)[0])
