"""What a callback is: code of the user's that the Trainer calls at fixed moments.

Moments have Keras' names. ``logs`` is a dict of the figures so far; epochs and steps count from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .checkpoint import CheckpointError

if TYPE_CHECKING:
    from .trainer import Trainer

Logs = dict[str, float]

EVENTS = (
    "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end",
    "on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end", "on_loss",
    "on_before_optimizer_step", "on_after_optimizer_step",
    "on_test_begin", "on_test_end", "on_test_batch_begin", "on_test_batch_end",
    "on_predict_begin", "on_predict_end", "on_predict_batch_begin", "on_predict_batch_end",
)  # fmt: skip


class Callback:
    """Base class: override the moments you need. ``self.trainer`` is the Trainer; its ``stop_training`` ends
    the training.

    Attributes:
        order: callbacks are called by ascending order, those of one order as they were given; at
            ``on_train_end`` the other way round. 0 for most; 1 where what the training ends with is made
            (weight averages), 2 where the others' work is saved or shown.
    """

    trainer: Trainer
    order = 0

    def on_train_begin(self, logs: Logs) -> None:
        """Called once, before the first epoch."""

    def on_train_end(self, logs: Logs) -> None:
        """Called once, after the last epoch or an orderly stop, not after an error, in the reverse order of
        the other moments: what saves the training does so before others change its weights for good. `logs`
        are the last epoch's.
        """

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        """Called before an epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Called after an epoch and its validation; `logs` are its row of the history."""

    def on_train_batch_begin(self, step: int, logs: Logs) -> None:
        """Called before a training step; the same as ``on_batch_begin``."""
        self.on_batch_begin(step, logs)

    def on_train_batch_end(self, step: int, logs: Logs) -> None:
        """Called after a training step; `logs` are the means since the epoch began. The same as
        ``on_batch_end``.
        """
        self.on_batch_end(step, logs)

    def on_batch_begin(self, step: int, logs: Logs) -> None:
        """Called before a training step."""

    def on_batch_end(self, step: int, logs: Logs) -> None:
        """Called after a training step."""

    def on_loss(self, step: int, logs: Logs) -> None:
        """Called in a training step when its loss, ``logs["loss"]``, is known and the weights are still the
        old ones.
        """

    def on_before_optimizer_step(self, step: int, logs: Logs) -> None:
        """Called when the gradients are complete, before they are clipped and applied; once for several
        training steps where gradients are accumulated.
        """

    def on_after_optimizer_step(self, step: int, logs: Logs) -> None:
        """Called when the weights have changed, before ``on_train_batch_end``; with gradient clipping by norm
        ``logs["gradient_norm"]`` is the norm before.
        """

    def on_test_begin(self, logs: Logs) -> None:
        """Called before an evaluation or a validation."""

    def on_test_end(self, logs: Logs) -> None:
        """Called after an evaluation or a validation."""

    def on_test_batch_begin(self, step: int, logs: Logs) -> None:
        """Called before a batch of an evaluation."""

    def on_test_batch_end(self, step: int, logs: Logs) -> None:
        """Called after a batch of an evaluation."""

    def on_predict_begin(self, logs: Logs) -> None:
        """Called before ``predict``."""

    def on_predict_end(self, logs: Logs) -> None:
        """Called after ``predict``."""

    def on_predict_batch_begin(self, step: int, logs: Logs) -> None:
        """Called before a batch of ``predict``."""

    def on_predict_batch_end(self, step: int, logs: Logs) -> None:
        """Called after a batch of ``predict``."""

    def close(self) -> None:
        """Called once when ``fit`` ends, whatever the reason; free what ``on_train_begin`` took."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to keep: numbers, strings, lists, dicts, arrays."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned."""


class LambdaCallback(Callback):
    """Functions as a callback: ``LambdaCallback(on_epoch_end=lambda epoch, logs: print(logs))``.

    Args:
        **functions: a moment's name and the function for it.

    Raises:
        TypeError: there is no such moment, or the function cannot be called.
    """

    def __init__(self, **functions: Callable[..., Any]) -> None:
        for event, function in functions.items():
            if event not in EVENTS:
                raise TypeError(
                    f"LambdaCallback: there is no moment {event!r}; there are {', '.join(EVENTS)}"
                )
            if not callable(function):
                raise TypeError(f"LambdaCallback: {event} must be a function, not {type(function).__name__}")
            setattr(self, event, function)


class CallbackList:
    """The callbacks of one training; an exception in one is reported with its name and place.

    Args:
        callbacks: called by their ``order``, then in this one.
        trainer: what they see as ``self.trainer``.
    """

    def __init__(self, callbacks: Sequence[Callback], trainer: Trainer) -> None:
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(
                    f"fit: {callback!r} is no pynet.train.Callback; derive from it or use LambdaCallback"
                )
        self.trainer = trainer
        self.callbacks = sorted(callbacks, key=lambda callback: callback.order)
        for callback in self.callbacks:
            callback.trainer = trainer

    def call(self, event: str, *arguments: Any) -> None:
        """Call the moment `event` of every callback.

        Raises:
            RuntimeError: a callback failed (OSError where it failed with one); the original is the cause.
            CheckpointError: as it is, for it says everything.
        """
        for callback in reversed(self.callbacks) if event == "on_train_end" else self.callbacks:
            try:
                getattr(callback, event)(*arguments)
            except CheckpointError:
                raise
            except Exception as error:
                trainer = self.trainer
                of_step = isinstance(arguments[0], int) and "epoch" not in event
                step = arguments[0] + 1 if of_step else trainer.step
                text = (
                    f"callback {type(callback).__name__} failed in {event} at epoch {trainer.epoch + 1}, "
                    f"step {step}: {type(error).__name__}: {error}"
                )
                if isinstance(error, OSError):
                    raise OSError(error.errno, text) from error
                raise RuntimeError(text) from error

    def close(self) -> None:
        """Close all; the first failure is raised when all were called."""
        failure: Exception | None = None
        for callback in self.callbacks:
            try:
                callback.close()
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the class name and state of every callback."""
        return [
            {"class": type(callback).__name__, "state": callback.state_dict()} for callback in self.callbacks
        ]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Give each callback the state of the same class; a callback that is new, or gone, is no error."""
        waiting = list(states)
        for callback in self.callbacks:
            entry = next((entry for entry in waiting if entry["class"] == type(callback).__name__), None)
            if entry is not None:
                waiting.remove(entry)
                callback.load_state_dict(entry["state"])
