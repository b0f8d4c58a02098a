"""The Trainer: the training loop, evaluation and prediction, written once."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from ..nn import Module
from . import state as training_state
from .batches import as_tensor, empty_message, inputs_of, slices, split_batch
from .callback import Callback, CallbackList, Logs
from .callbacks import ModelCheckpoint, ProgressBar, folder_of
from .checkpoint import load_checkpoint, source_of
from .gradient import Gradient
from .history import History
from .metrics import Mean, Metric, count_batch, create_all, fresh
from .signals import StopNow, StopSignals
from .update import Update

_END = object()


class Trainer:
    """Trains, evaluates and applies a model.

    Args:
        model: the network.
        loss: ``loss(outputs, targets)`` -> scalar Tensor, the mean over the batch; None if nothing is trained
            or measured.
        optimizer: made with the model's parameters; None if nothing is trained.
        metrics: names ("accuracy", "top_5") or Metric objects, measured in training and evaluation.
        scheduler: of the learning rate; ``scheduler.step()`` follows every epoch, or every optimizer step.
        callbacks: called in every ``fit``, ``evaluate`` and ``predict``.
        scheduler_interval: "epoch" (default) or "step".
        augment: ``augment(inputs, targets)`` -> inputs and targets of each training batch, such as
            ``data.augment.MixUp``; what changes single images belongs into the data set's transform. Random
            numbers that it takes from ``pynet.random``, and from NumPy's and Python's global generators, are
            part of a checkpoint.
        scheduler_monitor: the figure that a ReduceLROnPlateau follows, default "val_loss".
        warmup_steps: within so many optimizer steps the learning rate rises in equal steps from near 0 to
            what the schedule says, of which it is a factor; default 0.
        accumulate_grad_batches: an optimizer step takes the gradient of the mean over all samples of so many
            batches, and over those that are left at the end of an epoch; default 1. Losses have to be means
            over the samples of a batch.
        gradient_clip_val: None, or the bound of the gradient: of the norm of all gradients as one vector, or
            of each element.
        gradient_clip_algorithm: "norm" (default) or "value".

    Attributes:
        history: of the last ``fit``; complete up to the last finished epoch, whatever ended it.
        stop_training: a callback may set it; the training ends after the step, in good order.
        stop_reason: why the training ended before its last epoch, or None.
        interrupted: "SIGINT" or "SIGTERM" if that ended the last ``fit``, else None.
        diverged: whether ``TerminateOnNaN`` ended it.
        epoch: the epoch under way, from 0. step: steps done in it. steps: steps in an epoch, None if unknown.
        epochs: how many there will be. global_step: steps done in all epochs.
        update: the optimizer steps: their ``count``, the ``learning_rate`` of the next one.
        evaluated: what the validations in ``fit`` measure: the model, unless a callback puts an average of
            its weights there.

    Raises:
        ValueError: an unknown metric or interval, or a number out of range.
    """

    steps: int | None
    stop_reason: str | None
    interrupted: str | None
    evaluated: Module

    def __init__(
        self,
        model: Module,
        loss: Callable[..., Tensor] | None,
        optimizer: Any,
        metrics: Sequence[str | Metric] = ("accuracy",),
        scheduler: Any = None,
        callbacks: Sequence[Callback] = (),
        *,
        scheduler_interval: str = "epoch",
        augment: Callable[[Any, Any], tuple[Any, Any]] | None = None,
        scheduler_monitor: str = "val_loss",
        warmup_steps: int = 0,
        accumulate_grad_batches: int = 1,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str = "norm",
    ) -> None:
        self.model, self.loss, self.optimizer, self.scheduler = model, loss, optimizer, scheduler
        self.metrics = create_all(metrics)
        self.callbacks = list(callbacks)
        self.augment = augment
        self.update = Update(self, warmup_steps, scheduler_interval, scheduler_monitor)
        self.gradient = Gradient(accumulate_grad_batches, gradient_clip_val, gradient_clip_algorithm)
        self.history = History()
        self.figures: list[Metric] = []
        self.callback_list = CallbackList((), self)
        self._reset(None, None, 0)

    def fit(
        self,
        train_loader: Iterable[Any],
        validation: Iterable[Any] | None = None,
        epochs: int = 1,
        callbacks: Sequence[Callback] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        resume: str | os.PathLike[str] | bool | None = None,
        *,
        progress: bool = True,
    ) -> History:
        """Train.

        Ctrl-C and SIGTERM end the training after the step under way, and cut a step, a loader or a validation
        short that takes more than two seconds to end: a checkpoint is saved where a folder was given, `fit`
        returns, and ``interrupted`` tells. A second signal does at once what it does without a training:
        Ctrl-C raises KeyboardInterrupt, SIGTERM ends the process.

        Args:
            train_loader: batches (inputs..., targets) of arrays or Tensors.
            validation: batches of the same kind, evaluated after every epoch.
            epochs: how many there are in all, those before a resume included.
            callbacks: besides the trainer's own.
            checkpoint: a folder, in which the training is saved after every epoch.
            resume: a checkpoint, a folder of them, or True for the folder `checkpoint`: continue there, also
                in the middle of an epoch, with the bits of an uninterrupted training. "auto" continues from
                the folder `checkpoint` (or that of a ModelCheckpoint) if there is a checkpoint in it, and
                begins otherwise. A loader without ``state_dict`` must repeat its order: the batches already
                used are skipped.
            progress: show a bar, or on something else than a terminal a line an epoch, on standard error.

        Returns:
            The history, a row an epoch.

        Raises:
            ValueError: an empty loader, a state that does not fit, an argument out of range.
            OSError: a checkpoint cannot be written; before the first step where that can be known.
            RuntimeError: a callback failed; the message names it, the moment, the epoch and the step.
        """
        self._check_fit(train_loader, validation, epochs)
        extra: list[Callback] = list(callbacks)
        if checkpoint is not None:
            extra.append(ModelCheckpoint(checkpoint))
        if progress and not any(isinstance(callback, ProgressBar) for callback in [*self.callbacks, *extra]):
            extra.insert(0, ProgressBar())
        self._reset(train_loader, validation, epochs)
        self.history = History()
        self.figures = [Mean(), *fresh(self.metrics)]
        self.callback_list = CallbackList([*self.callbacks, *extra], self)
        source = source_of(resume, folder_of(self.callback_list.callbacks))
        if source is not None:
            training_state.restore(self, load_checkpoint(source), str(source))
        with (
            StopSignals() as self.signals,
            _mode(self.model, training=True),
            contextlib.closing(self.callback_list),
        ):
            self._run(train_loader, validation)
        self.signals = StopSignals()
        return self.history

    def evaluate(self, loader: Iterable[Any]) -> dict[str, float]:
        """Return the loss and the metrics over `loader`, batches (inputs..., targets); the model is in eval
        mode.

        Raises:
            ValueError: the loader is empty.
        """
        with self._apart():
            return self._evaluate(loader)

    def predict(self, data: Any, batch_size: int = 256) -> np.ndarray:
        """Return the model's outputs, all in one array; the model is in eval mode.

        Args:
            data: an array or Tensor (N, ...), or a loader, of which the inputs are used.
            batch_size: how many samples of an array are computed at a time.

        Raises:
            ValueError: the loader is empty, or batch_size is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"predict: batch_size must be at least 1, not {batch_size}")
        batches = slices(data, batch_size) if isinstance(data, (np.ndarray, Tensor)) else map(inputs_of, data)
        outputs = []
        with self._apart(), _mode(self.model, training=False), no_grad():
            self.callback_list.call("on_predict_begin", {})
            for step, inputs in enumerate(batches):
                self.callback_list.call("on_predict_batch_begin", step, {})
                outputs.append(self.model(*map(as_tensor, inputs)).array)
                self.callback_list.call("on_predict_batch_end", step, {})
            self.callback_list.call("on_predict_end", {})
        if not outputs:
            raise ValueError("predict: the loader is empty, it gave no batch")
        return np.concatenate(outputs)

    def stop(self, reason: str) -> None:
        """End the training in good order after the step under way; `reason` is printed."""
        self.stop_training, self.stop_reason = True, reason

    @property
    def position(self) -> tuple[int, int]:
        """Where a resume would begin: epoch and step, from 0."""
        return (self.epoch + 1, 0) if self._epoch_done else (self.epoch, self.step)

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state of the training under way, as a checkpoint holds it."""
        return training_state.collect(self)

    def _reset(self, loader: Any, validation: Any, epochs: int) -> None:
        self.loader, self.validation, self.epochs = loader, validation, epochs
        # Now, and not at their first use, do random orders draw their seeds: a checkpoint then changes no
        # later draw.
        training_state.position_of(loader)
        training_state.position_of(validation)
        self.steps = len(loader) if hasattr(loader, "__len__") else None
        self.epoch = self.step = self.global_step = self.update.count = 0
        self.seconds = 0.0  # spent on the epoch under way before a resume
        self.rate = 0.0  # of learning, at the beginning of the epoch under way
        self.trained = self._epoch_done = False  # trained: only the validation of this epoch is still to do
        self.stop_training = self.diverged = False
        self.stop_reason = None
        self.interrupted = None
        self.signals = StopSignals()
        self.evaluated, self.update.scheduler_rests = self.model, False
        self.gradient.clear()

    @contextlib.contextmanager
    def _apart(self) -> Iterator[None]:
        """Let the model be applied outside a training, or in one by a callback, which then goes on
        unchanged.
        """
        before = self.callback_list, self.signals, self.evaluated, self.trained
        self.callback_list, self.signals = CallbackList(self.callbacks, self), StopSignals()
        self.evaluated, self.trained = self.model, False
        try:
            yield
        finally:
            self.callback_list, self.signals, self.evaluated, self.trained = before

    def _check_fit(self, train_loader: Any, validation: Any, epochs: int) -> None:
        if self.loss is None or self.optimizer is None:
            raise ValueError(
                "fit: the trainer was made without a loss or an optimizer; give it both to train"
            )
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 0:
            raise ValueError(f"fit: epochs must be an integer of at least 0, not {epochs!r}")
        for name, loader in (("training", train_loader), ("validation", validation)):
            if hasattr(loader, "__len__") and len(loader) == 0:
                raise ValueError(empty_message("fit", name))

    def _run(self, train_loader: Iterable[Any], validation: Iterable[Any] | None) -> None:
        logs: Logs = {}
        self.callback_list.call("on_train_begin", {})
        while self.epoch < self.epochs and not self._must_stop():
            self.callback_list.call("on_epoch_begin", self.epoch, {})
            logs = self._fit_epoch(train_loader, validation)
            if not self._epoch_done:
                break
            self.epoch, self.step, self.seconds, self._epoch_done = self.epoch + 1, 0, 0.0, False
        self._must_stop()  # notes a signal that came in a validation
        self.callback_list.call("on_train_end", logs)
        self._say_why()

    def _fit_epoch(self, train_loader: Iterable[Any], validation: Iterable[Any] | None) -> Logs:
        """Train one epoch, or what is left of it; on an early stop `_epoch_done` stays False."""
        begin = time.perf_counter() - self.seconds
        if self.step == 0:
            self.rate = self.update.learning_rate
        if not self.trained:
            self.trained = self._fit_batches(train_loader, begin)
        logs = {figure.name: figure.compute() for figure in self.figures}
        self._must_stop()
        if not self.trained or (self.interrupted is not None and validation is not None):
            return logs
        if validation is not None:
            before = training_state.Standpoint(self, validation)
            try:
                figures = self._evaluate(validation)
            except StopNow:  # it is done again after a resume, from its beginning
                before.go_back(self, validation)
                self._must_stop()
                return logs
            logs.update({f"val_{key}": value for key, value in figures.items()})
        self.trained = False
        logs.update(lr=self.rate, seconds=time.perf_counter() - begin)
        self.update.step_scheduler("epoch", logs)
        self.history.append({"epoch": self.epoch + 1, **logs})
        for figure in self.figures:
            figure.reset()
        self._epoch_done = True
        self.callback_list.call("on_epoch_end", self.epoch, logs)
        return logs

    def _fit_batches(self, loader: Iterable[Any], begin: float) -> bool:
        """Train on the batches of an epoch, or what is left of them; return whether that were all."""
        iterator = iter(loader)
        if self.step and not hasattr(loader, "state_dict"):
            for _ in range(self.step):
                next(iterator, None)
        before = None
        try:
            while True:
                before = training_state.Standpoint(self, loader) if self.signals.active else None
                with self.signals.interruptible:
                    batch = next(iterator, _END)
                if batch is _END:
                    break
                self._fit_batch(batch)
                self.seconds = time.perf_counter() - begin
                # After the last batch the loop goes on, so that the loader notices the end of its epoch.
                if self._must_stop() and self.step != self.steps:
                    return False
        except StopNow:
            if hasattr(iterator, "close"):
                iterator.close()
            assert before is not None
            before.go_back(self, loader)
            return False
        finally:
            if hasattr(iterator, "close"):
                iterator.close()
        if self.step == 0:
            raise ValueError(empty_message("fit", "training"))
        if self.gradient.batches:
            self.update.apply(self.step - 1)
        return True

    def _fit_batch(self, batch: Any) -> None:
        step = self.step
        inputs, targets = split_batch(batch)
        with self.signals.interruptible:
            if self.augment is not None:
                first, targets = self.augment(inputs[0], targets)
                inputs = (first, *inputs[1:])
        self.callback_list.call("on_train_batch_begin", step, {})
        with self.signals.interruptible:
            outputs = self.model(*map(as_tensor, inputs))
            loss = self._loss(outputs, targets)
            value = loss.item()
        self.callback_list.call("on_loss", step, {"loss": value})
        if self.stop_training:
            return
        with self.signals.interruptible:
            self.gradient.add(self.optimizer, loss, len(outputs.array))
        if self.gradient.complete:
            self.update.apply(step)
        count_batch(self.figures, value, outputs, targets)
        self.step += 1
        self.global_step += 1
        self.callback_list.call(
            "on_train_batch_end", step, {figure.name: figure.compute() for figure in self.figures}
        )

    def _evaluate(self, loader: Iterable[Any]) -> dict[str, float]:
        """Return the figures over `loader`; StopNow is raised where a signal asked to stop."""
        figures: list[Metric] = [*([Mean()] if self.loss is not None else []), *fresh(self.metrics)]
        self.callback_list.call("on_test_begin", {})
        model, step, batches = self.evaluated, 0, iter(loader)
        logs: Logs = {}
        with _mode(model, training=False), no_grad():
            while True:
                with self.signals.interruptible:
                    if self.signals.received:
                        raise StopNow
                    batch = next(batches, _END)
                if batch is _END:
                    break
                self.callback_list.call("on_test_batch_begin", step, {})
                inputs, targets = split_batch(batch)
                with self.signals.interruptible:
                    outputs = model(*map(as_tensor, inputs))
                    value = self._loss(outputs, targets).item() if self.loss is not None else 0.0
                    count_batch(figures, value, outputs, targets)
                logs = {figure.name: figure.compute() for figure in figures}
                self.callback_list.call("on_test_batch_end", step, logs)
                step += 1
        if not step:
            raise ValueError(empty_message("evaluate", "evaluation"))
        self.callback_list.call("on_test_end", logs)
        return logs

    def _loss(self, outputs: Tensor, targets: Any) -> Tensor:
        assert self.loss is not None
        loss = self.loss(outputs, targets)
        if loss.shape != ():
            raise ValueError(f"the loss must be one number, not of shape {loss.shape}; use reduction='mean'")
        return loss

    def _must_stop(self) -> bool:
        if self.signals.received and self.interrupted is None:
            self.interrupted = self.signals.received
            self.stop(f"{self.interrupted}")
        return self.stop_training

    def _say_why(self) -> None:
        if not self.stop_training or self.epoch >= self.epochs:
            return
        where = f"epoch {self.epoch + 1}, step {self.step}" if self.step else f"epoch {self.epoch}"
        folder = folder_of(self.callback_list.callbacks)
        kept = "no checkpoint folder was given; the model keeps its weights"
        if folder is not None:
            kept = f"the checkpoint is in {folder}"
        print(
            f"training stopped after {where}: {self.stop_reason or 'a callback asked for it'}; {kept}",
            file=sys.stderr,
        )


@contextlib.contextmanager
def _mode(model: Module, training: bool) -> Iterator[None]:
    """Put the model into a mode, and back into its own at the end, module by module."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode
