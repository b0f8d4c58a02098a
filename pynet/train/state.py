"""The whole state of a training: collected for a checkpoint, checked and put back for a resume."""

from __future__ import annotations

import copy
import random as python_random
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import random
from ..autograd import Tensor
from ..nn.parameter import write
from .history import History

if TYPE_CHECKING:
    from .trainer import Trainer

_ENTRIES = (
    "epoch", "step", "global_step", "updates", "trained", "seconds", "rate", "model", "gradient", "optimizer",
    "scheduler", "random", "loader", "validation", "figures", "history", "callbacks",
)  # fmt: skip


def collect(trainer: Trainer) -> dict[str, Any]:
    """Return everything that decides how the training goes on; arrays in it are not copies."""
    epoch, step = trainer.position
    return {
        "epoch": epoch,
        "step": step,
        "global_step": trainer.global_step,
        "updates": trainer.update.count,
        "trained": trainer.trained,
        "seconds": trainer.seconds,
        "rate": trainer.rate,
        "model": trainer.model.state_dict(),
        "gradient": trainer.gradient.state_dict(trainer.model),
        "optimizer": {"class": type(trainer.optimizer).__name__, "state": trainer.optimizer.state_dict()},
        "scheduler": None if trainer.scheduler is None else trainer.scheduler.state_dict(),
        "random": _storable(random_state()),
        "loader": position_of(trainer.loader),
        "validation": position_of(trainer.validation),
        "figures": {figure.name: figure.state_dict() for figure in trainer.figures},
        "history": [dict(row) for row in trainer.history.rows],
        "callbacks": trainer.callback_list.state_dict(),
    }


def random_state() -> dict[str, Any]:
    """Return the state of every generator that a training may draw from: pynet's, NumPy's global one and
    Python's.
    """
    return {
        "pynet": random.get_rng_state(),
        "numpy": np.random.get_state(legacy=False),
        "python": python_random.getstate(),
    }


def _storable(numbers: dict[str, Any]) -> dict[str, Any]:
    version, words, gauss = numbers["python"]
    return {**numbers, "python": [version, np.array(words, np.uint32), gauss]}


def set_random_state(state: dict[str, Any]) -> None:
    """Put back what ``random_state`` returned."""
    random.set_rng_state(state["pynet"])
    np.random.set_state(state["numpy"])
    version, words, gauss = state["python"]
    python_random.setstate((version, tuple(map(int, words)), gauss))


class Standpoint:
    """What a step or a validation changes before it changes the weights, so that one that was cut short can
    be taken back: random numbers, the loader's position, the model's buffers, accumulated gradients.

    Args:
        trainer: whose training is under way. loader: the one that is about to be read.
    """

    def __init__(self, trainer: Trainer, loader: Any) -> None:
        self.random, self.position = random_state(), position_of(loader)
        self.buffers = [buffer.array.copy() for buffer in trainer.model.buffers()]
        self.gradient = copy.deepcopy(_plain(trainer.gradient.state_dict(trainer.model)))

    def go_back(self, trainer: Trainer, loader: Any) -> None:
        """Take back what has happened since."""
        set_random_state(self.random)
        if self.position is not None:
            loader.load_state_dict(self.position)
        for buffer, values in zip(trainer.model.buffers(), self.buffers, strict=True):
            write(buffer, values)
        trainer.gradient.load_state_dict(trainer.model, self.gradient)


def position_of(loader: Any) -> dict[str, Any] | None:
    """Return where a loader stands, None for one that cannot tell."""
    return loader.state_dict() if hasattr(loader, "state_dict") else None


def restore(trainer: Trainer, state: dict[str, Any], source: str) -> None:
    """Put `state` back into the trainer and what it drives.

    Raises:
        ValueError: the state is of another model, optimizer or loader; the differences are listed and nothing
            has changed.
    """
    _check(trainer, state, source)
    before = copy.deepcopy(_plain(collect(trainer)))
    try:
        _apply(trainer, state)
    except Exception as error:
        _apply(trainer, before)
        raise ValueError(f"{source} does not fit this training, which is unchanged: {error}") from error


def _apply(trainer: Trainer, state: dict[str, Any]) -> None:
    trainer.model.load_state_dict(state["model"])
    trainer.optimizer.load_state_dict(state["optimizer"]["state"])
    trainer.gradient.load_state_dict(trainer.model, state["gradient"])
    trainer.optimizer.step_count = state["updates"]  # a scheduler warns where it is 0
    if trainer.scheduler is not None:
        trainer.scheduler.load_state_dict(state["scheduler"])
    if state["loader"] is not None:
        trainer.loader.load_state_dict(state["loader"])
    if state["validation"] is not None and hasattr(trainer.validation, "load_state_dict"):
        trainer.validation.load_state_dict(state["validation"])
    for figure in trainer.figures:
        if figure.name in state["figures"]:
            figure.load_state_dict(state["figures"][figure.name])
    trainer.callback_list.load_state_dict(state["callbacks"])
    trainer.history = History(state["history"])
    trainer.epoch, trainer.step, trainer.global_step = state["epoch"], state["step"], state["global_step"]
    trainer.update.count, trainer.trained = state["updates"], state["trained"]
    trainer.seconds, trainer.rate = state["seconds"], state["rate"]
    set_random_state(state["random"])


def _check(trainer: Trainer, state: dict[str, Any], source: str) -> None:
    missing = [key for key in _ENTRIES if key not in state]
    if missing:
        raise ValueError(f"{source} holds no whole training: {', '.join(missing)} missing")
    problems = _compare(trainer.model.state_dict(), state["model"])
    if state["gradient"] is not None and trainer.gradient.accumulate <= state["gradient"]["batches"]:
        problems.append(
            f"it holds the gradient of {state['gradient']['batches']} batches, and here "
            f"accumulate_grad_batches is {trainer.gradient.accumulate}"
        )
    kind = type(trainer.optimizer).__name__
    if state["optimizer"]["class"] != kind:
        problems.append(f"the optimizer was {state['optimizer']['class']}, here it is {kind}")
    if (state["scheduler"] is None) != (trainer.scheduler is None):
        problems.append(f"there was {'no' if state['scheduler'] is None else 'a'} scheduler")
    if (state["loader"] is None) == hasattr(trainer.loader, "state_dict"):
        problems.append("the training loader was of another kind")
    if state["step"]:
        figures = sorted(figure.name for figure in trainer.figures)
        if sorted(state["figures"]) != figures:
            problems.append(
                f"in mid-epoch the figures must be {sorted(state['figures'])}, here they are {figures}"
            )
        if trainer.steps is not None and state["step"] > trainer.steps:
            problems.append(f"it was taken after step {state['step']}, here an epoch has {trainer.steps}")
    if problems:
        raise ValueError(f"{source} does not fit this training: {'; '.join(problems)}")


def _compare(have: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """Say in which entries two state dicts of a model differ."""
    problems = [f"the model has no {key}" for key in given if key not in have]
    problems += [f"{key} is missing" for key in have if key not in given]
    for key in have:
        if key in given and np.shape(have[key]) != np.shape(given[key]):
            problems.append(f"{key} is {np.shape(given[key])}, in the model {np.shape(have[key])}")
    return problems


def _plain(value: Any) -> Any:
    """Replace the tensors in a tree by their arrays, which deepcopy copies."""
    if isinstance(value, Tensor):
        return value.array
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value
