"""What an analysis works on: some samples as two arrays, a copy of a model, and short trainings of copies."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import optim, random
from ..autograd import Tensor, from_numpy
from ..data import DataLoader
from ..nn import Dropout, Module

Loss = Callable[..., Tensor]


@contextlib.contextmanager
def untouched_randomness() -> Iterator[None]:
    """Put pynet's random numbers back where they were, whatever happens inside."""
    before = random.get_rng_state()
    try:
        yield
    finally:
        random.set_rng_state(before)


def gather(data: Any, limit: int, owner: str = "analysis") -> tuple[np.ndarray, np.ndarray]:
    """The first samples of `data`, at most `limit`, as (inputs, targets).

    Args:
        data: a pair of arrays or Tensors (N, ...), a Dataset of pairs, of which equally spaced samples are
            taken, or a loader of batches (inputs, targets), whose position is put back.
        limit: how many samples.
        owner: who asks, for the errors.

    Raises:
        ValueError: no samples, pairs of different lengths, or batches of something else than pairs.
    """
    if isinstance(data, (tuple, list)) and len(data) == 2 and all(hasattr(part, "shape") for part in data):
        inputs, targets = (_array(part) for part in data)
        if len(inputs) != len(targets):
            raise ValueError(f"{owner}: {len(inputs)} inputs and {len(targets)} targets; they must be pairs")
        chosen = _spread(len(inputs), limit)
        pieces = [(inputs[chosen], targets[chosen])]
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, (list, tuple)):
        picked = [data[int(i)] for i in _spread(len(data), limit)]
        pieces = list(DataLoader(picked, batch_size=limit)) if picked else []
    else:
        pieces = _batches(data, limit)
    pairs = []
    for piece in pieces:
        if not isinstance(piece, (tuple, list)) or len(piece) != 2:
            raise ValueError(f"{owner}: a batch must be a pair (inputs, targets), got {type(piece).__name__}")
        pairs.append((_array(piece[0]), _array(piece[1])))
    if not pairs or not len(pairs[0][0]):
        raise ValueError(f"{owner}: the data has no samples")
    inputs = np.concatenate([pair[0] for pair in pairs])[:limit]
    targets = np.concatenate([pair[1] for pair in pairs])[:limit]
    if inputs.dtype == np.float64 or inputs.dtype == np.float16:
        inputs = inputs.astype(np.float32)
    return inputs, targets


def _batches(loader: Any, limit: int) -> list[Any]:
    with untouched_randomness():
        position = loader.state_dict() if hasattr(loader, "state_dict") else None
        pieces, count = [], 0
        for piece in loader:
            pieces.append(piece)
            count += len(piece[0]) if isinstance(piece, (tuple, list)) and len(piece) else limit
            if count >= limit:
                break
        if position is not None:
            loader.load_state_dict(position)
    return pieces


def _spread(count: int, limit: int) -> np.ndarray:
    """`limit` positions, equally spaced: of data sorted by class, some of each."""
    return np.arange(count) if count <= limit else np.linspace(0, count - 1, limit).astype(int)


def _array(value: Any) -> np.ndarray:
    return value.array if isinstance(value, Tensor) else np.asarray(value)


def check_model(owner: str, model: Any) -> None:
    """Refuse what is no Module."""
    if not isinstance(model, Module):
        raise TypeError(f"{owner}: model must be a Module, got {type(model).__name__}")


def duplicate(model: Module, *, dropout: bool = True) -> Module:
    """A copy in training mode without gradients; `dropout` False switches its dropout off."""
    made = copy.deepcopy(model).train()
    for parameter in made.parameters():
        parameter.grad = None
    for module in made.modules():
        if not dropout and isinstance(module, Dropout):
            module.eval()
    return made


def copy_for_training(
    model: Module, optimizer: Any = None, lr: float | None = None
) -> tuple[Module, optim.Optimizer]:
    """Copies of a model and of its optimizer, which belong together.

    Args:
        model: the network.
        optimizer: an Optimizer over the model's parameters, a function ``parameters -> Optimizer``, or None
            for Adam.
        lr: the learning rate of all groups, by default the optimizer's own.
    """
    if isinstance(optimizer, optim.Optimizer):
        made, copied = copy.deepcopy((model, optimizer))
    else:
        made = copy.deepcopy(model)
        copied = (optimizer or optim.Adam)(made.parameters())
    made.train()
    if lr is not None:
        set_rate(copied, lr)
    return made, copied


def set_rate(optimizer: optim.Optimizer, lr: float) -> None:
    """Give every parameter group the learning rate `lr`."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def step(model: Module, optimizer: optim.Optimizer, loss: Loss, x: np.ndarray, y: np.ndarray) -> float:
    """One training step; the loss before it."""
    optimizer.zero_grad()
    value = loss(model(from_numpy(x)), from_numpy(y))
    value.backward()
    optimizer.step()
    return float(value.array)


def endless_batches(x: np.ndarray, y: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Shuffled batches of `size`, pass after pass, the same in every run."""
    generator = np.random.default_rng(0)
    while True:
        order = generator.permutation(len(x))
        for start in range(0, max(len(x) - size + 1, 1), size):
            chosen = order[start : start + size]
            yield x[chosen], y[chosen]


def train_losses(
    model: Module, optimizer: optim.Optimizer, loss: Loss, x: np.ndarray, y: np.ndarray, steps: int, size: int
) -> np.ndarray:
    """The losses of a short training, which ends where one is not finite."""
    losses: list[float] = []
    with np.errstate(all="ignore"):
        for _, (inputs, targets) in zip(range(steps), endless_batches(x, y, size), strict=False):
            losses.append(step(model, optimizer, loss, inputs, targets))
            if not np.isfinite(losses[-1]):
                break
    return np.array(losses)


def is_labels(y: np.ndarray) -> bool:
    """Whether targets are class labels: integers, one a sample."""
    return y.ndim == 1 and y.dtype.kind in "iu"
