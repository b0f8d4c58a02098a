"""The Trainer: the training loop, evaluation and prediction, written once."""

from __future__ import annotations

import contextlib
import copy
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from ..nn import Module
from . import state as training_state
from .batches import as_array, as_tensor, empty_message, inputs_of, slices, split_batch
from .callback import Callback, CallbackList, Logs
from .callbacks import ModelCheckpoint, ProgressBar
from .checkpoint import load_checkpoint
from .history import History
from .metrics import Mean, Metric, create_all
from .signals import StopSignals


class Trainer:
    """Trains, evaluates and applies a model.

    Args:
        model: the network.
        loss: ``loss(outputs, targets)`` -> scalar Tensor, the mean over the batch; None if nothing is trained
            or measured.
        optimizer: made with the model's parameters; None if nothing is trained.
        metrics: names ("accuracy", "top_5") or Metric objects, measured in training and evaluation.
        scheduler: of the learning rate; ``scheduler.step()`` follows every epoch, or every step.
        callbacks: called in every ``fit``, ``evaluate`` and ``predict``.
        scheduler_interval: "epoch" (default) or "step".
        augment: ``augment(inputs, targets)`` -> inputs and targets of each training batch, such as
            ``data.augment.MixUp``; what changes single images belongs into the data set's transform. Random
            numbers that it takes from ``pynet.random`` are part of a checkpoint.

    Attributes:
        history: of the last ``fit``; complete up to the last finished epoch, whatever ended it.
        stop_training: a callback may set it; the training ends after the step, in good order.
        stop_reason: why the training ended before its last epoch, or None.
        interrupted: "SIGINT" or "SIGTERM" if that ended the last ``fit``, else None.
        diverged: whether ``TerminateOnNaN`` ended it.
        epoch: the epoch under way, from 0. step: steps done in it. steps: steps in an epoch, None if unknown.
        epochs: how many there will be. global_step: steps done in all epochs.

    Raises:
        ValueError: an unknown metric or interval.
    """

    steps: int | None
    stop_reason: str | None
    interrupted: str | None
    _signals: StopSignals | None

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
    ) -> None:
        if scheduler_interval not in ("epoch", "step"):
            raise ValueError(
                f"Trainer: scheduler_interval must be 'epoch' or 'step', not {scheduler_interval!r}"
            )
        self.model, self.loss, self.optimizer, self.scheduler = model, loss, optimizer, scheduler
        self.metrics = create_all(metrics)
        self.callbacks = list(callbacks)
        self.scheduler_interval, self.augment = scheduler_interval, augment
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

        Ctrl-C and SIGTERM end the training after the step under way: a checkpoint is saved where a folder was
        given, `fit` returns, and ``interrupted`` tells. A second Ctrl-C raises KeyboardInterrupt at once.

        Args:
            train_loader: batches (inputs..., targets) of arrays or Tensors.
            validation: batches of the same kind, evaluated after every epoch.
            epochs: how many there are in all, those before a resume included.
            callbacks: besides the trainer's own.
            checkpoint: a folder, in which the training is saved after every epoch.
            resume: a checkpoint, a folder of them, or True for the folder `checkpoint`: continue there, also
                in the middle of an epoch, with the bits of an uninterrupted training. A loader without
                ``state_dict`` must then repeat its order: the batches already used are skipped.
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
        self.figures = [Mean(), *_fresh(self.metrics)]
        self.callback_list = CallbackList([*self.callbacks, *extra], self)
        source = checkpoint if resume is True else resume
        if resume is True and checkpoint is None:
            raise ValueError("fit: resume=True continues from the folder `checkpoint`, which was not given")
        if source is not None and not isinstance(source, bool):
            training_state.restore(self, load_checkpoint(source), str(source))
        with (
            StopSignals() as signals,
            _mode(self.model, training=True),
            contextlib.closing(self.callback_list),
        ):
            self._signals = signals
            self._run(train_loader, validation)
        self._signals = None
        return self.history

    def evaluate(self, loader: Iterable[Any]) -> dict[str, float]:
        """Return the loss and the metrics over `loader`, batches (inputs..., targets); the model is in eval
        mode.

        Raises:
            ValueError: the loader is empty.
        """
        self.callback_list, self._signals = CallbackList(self.callbacks, self), None
        figures = self._evaluate(loader)
        assert figures is not None
        return figures

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
        self.callback_list = CallbackList(self.callbacks, self)
        batches = slices(data, batch_size) if isinstance(data, (np.ndarray, Tensor)) else map(inputs_of, data)
        outputs = []
        self.callback_list.call("on_predict_begin", {})
        with _mode(self.model, training=False), no_grad():
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
        self.validation_state = training_state.position_of(validation)
        self.steps = len(loader) if hasattr(loader, "__len__") else None
        self.epoch = self.step = self.global_step = 0
        self.seconds = 0.0  # spent on the epoch under way before a resume
        self.rate = 0.0  # of learning, at the beginning of the epoch under way
        self.trained = self._epoch_done = False  # trained: only the validation of this epoch is still to do
        self.stop_training = self.diverged = False
        self.stop_reason = None
        self.interrupted = None
        self._signals = None

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
            self.rate = float(self.optimizer.param_groups[0]["lr"])
        if not self.trained and self._fit_batches(train_loader):
            self.trained, self.validation_state = True, training_state.position_of(validation)
        self.seconds = time.perf_counter() - begin
        logs = {figure.name: figure.compute() for figure in self.figures}
        self._must_stop()
        if not self.trained or (self.interrupted is not None and validation is not None):
            return logs
        if validation is not None:
            figures = self._evaluate(validation)
            if figures is None:
                return logs
            logs.update({f"val_{key}": value for key, value in figures.items()})
        self.trained = False
        if self.scheduler is not None and self.scheduler_interval == "epoch":
            self.scheduler.step()
        logs.update(lr=self.rate, seconds=time.perf_counter() - begin)
        self.history.append({"epoch": self.epoch + 1, **logs})
        for figure in self.figures:
            figure.reset()
        self._epoch_done = True
        self.callback_list.call("on_epoch_end", self.epoch, logs)
        return logs

    def _fit_batches(self, loader: Iterable[Any]) -> bool:
        """Train on the batches of an epoch, or what is left of them; return whether that were all."""
        iterator = iter(loader)
        if self.step and not hasattr(loader, "state_dict"):
            for _ in range(self.step):
                next(iterator, None)
        try:
            for batch in iterator:
                self._fit_batch(batch)
                # After the last batch the loop goes on, so that the loader notices the end of its epoch.
                if self._must_stop() and self.step != self.steps:
                    return False
        finally:
            if hasattr(iterator, "close"):
                iterator.close()
        if self.step == 0:
            raise ValueError(empty_message("fit", "training"))
        return True

    def _fit_batch(self, batch: Any) -> None:
        step = self.step
        inputs, targets = split_batch(batch)
        if self.augment is not None:
            first, targets = self.augment(inputs[0], targets)
            inputs = (first, *inputs[1:])
        self.callback_list.call("on_train_batch_begin", step, {})
        outputs = self.model(*map(as_tensor, inputs))
        loss = self._loss(outputs, targets)
        value = loss.item()
        self.callback_list.call("on_loss", step, {"loss": value})
        if self.stop_training:
            return
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.scheduler is not None and self.scheduler_interval == "step":
            self.scheduler.step()
        _count(self.figures, value, outputs, targets)
        self.step += 1
        self.global_step += 1
        self.callback_list.call(
            "on_train_batch_end", step, {figure.name: figure.compute() for figure in self.figures}
        )

    def _evaluate(self, loader: Iterable[Any]) -> dict[str, float] | None:
        """Return the figures over `loader`, or None where a signal asked to stop."""
        figures: list[Metric] = [*([Mean()] if self.loss is not None else []), *_fresh(self.metrics)]
        self.callback_list.call("on_test_begin", {})
        step = -1
        with _mode(self.model, training=False), no_grad():
            for step, batch in enumerate(loader):
                if self._signals is not None and self._signals.received:
                    return None
                self.callback_list.call("on_test_batch_begin", step, {})
                inputs, targets = split_batch(batch)
                outputs = self.model(*map(as_tensor, inputs))
                value = self._loss(outputs, targets).item() if self.loss is not None else 0.0
                _count(figures, value, outputs, targets)
                logs = {figure.name: figure.compute() for figure in figures}
                self.callback_list.call("on_test_batch_end", step, logs)
        if step < 0:
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
        if self._signals is not None and self._signals.received and self.interrupted is None:
            self.interrupted = self._signals.received
            self.stop(f"{self.interrupted}")
        return self.stop_training

    def _say_why(self) -> None:
        if not self.stop_training or self.epoch >= self.epochs:
            return
        where = f"epoch {self.epoch + 1}, step {self.step}" if self.step else f"epoch {self.epoch}"
        saved = [
            callback for callback in self.callback_list.callbacks if isinstance(callback, ModelCheckpoint)
        ]
        kept = (
            f"the checkpoint is in {saved[0].folder}"
            if saved
            else "no checkpoint folder was given; the model keeps its weights"
        )
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


def _count(figures: Sequence[Metric], loss: float, outputs: Tensor, targets: Any) -> None:
    arrays = (outputs.array, as_array(targets))
    for figure in figures:
        if isinstance(figure, Mean):
            figure.add(loss, len(arrays[0]))
        else:
            figure.update(*arrays)


def _fresh(metrics: Sequence[Metric]) -> list[Metric]:
    """Return copies that have counted nothing: a validation happens while the epoch's own counts are still
    needed.
    """
    fresh = copy.deepcopy(list(metrics))
    for metric in fresh:
        metric.reset()
    return fresh
