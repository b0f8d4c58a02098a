"""What an analysis works on: some samples as two arrays, a copy of a model, and short trainings of copies."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import optim, random
from ..autograd import Tensor, from_numpy
from ..data import DataLoader, Subset, default_collate
from ..nn import Dropout, Module

Loss = Callable[..., Tensor]


@contextlib.contextmanager
def untouched_randomness() -> Iterator[None]:
    """Put pynet's and NumPy's random numbers back where they were, whatever happens inside."""
    before, numpy_before = random.get_rng_state(), np.random.get_state()
    try:
        yield
    finally:
        random.set_rng_state(before)
        np.random.set_state(numpy_before)


def gather(
    data: Any, limit: int, owner: str = "analysis", model: Module | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Samples of `data`, at most `limit`, as (inputs, targets).

    Args:
        data: a pair of arrays or Tensors (N, ...), a Dataset of pairs, or a DataLoader over one: equally
            spaced samples are taken, so that data sorted by class gives some of each. Of any other iterable
            of batches (inputs, targets), and of a loader with a `collate_fn` of its own, the first ones.
        limit: how many samples.
        owner: who asks, for the errors.
        model: floats are given in its precision, by default float32.

    Raises:
        ValueError: no samples, pairs of different lengths, or batches of something else than pairs.
    """
    if is_pair(data):
        inputs, targets = (_array(part) for part in data)
        if len(inputs) != len(targets):
            raise ValueError(f"{owner}: {len(inputs)} inputs and {len(targets)} targets; they must be pairs")
        chosen = _spread(len(inputs), limit)
        pieces: list[Any] = [(inputs[chosen], targets[chosen])]
    elif (dataset := dataset_of(data)) is not None:
        with untouched_randomness():
            pieces = list(DataLoader(Subset(dataset, _spread(len(dataset), limit)), batch_size=limit))
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
    dtype = next((p.dtype for p in model.parameters()), np.float32) if model is not None else np.float32
    # float64 arrays are what NumPy makes, not what somebody chose for a float32 network.
    return tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in (inputs, targets))  # type: ignore[return-value]


def count(data: Any) -> int | None:
    """How many samples there are in what `gather` takes; None where only iterating would tell."""
    if is_pair(data):
        return len(data[0])
    dataset = dataset_of(data)
    return None if dataset is None else len(dataset)


def is_pair(data: Any) -> bool:
    """Whether it is a pair of arrays."""
    return isinstance(data, (tuple, list)) and len(data) == 2 and all(hasattr(part, "shape") for part in data)


def dataset_of(data: Any) -> Any:
    """The data set itself, or that of a loader which only stacks its samples; else None."""
    if isinstance(data, DataLoader):
        return dataset_of(data.dataset) if data.collate_fn is default_collate else None
    known = hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, (list, tuple))
    return data if known else None


def _batches(loader: Any, limit: int) -> list[Any]:
    loader = copy.deepcopy(loader) if isinstance(loader, DataLoader) else loader
    pieces, have = [], 0
    with untouched_randomness():
        for piece in loader:
            pieces.append(piece)
            have += len(piece[0]) if isinstance(piece, (tuple, list)) and len(piece) else limit
            if have >= limit:
                break
    return pieces


def _spread(number: int, limit: int) -> np.ndarray:
    return np.arange(number) if number <= limit else np.linspace(0, number - 1, limit).astype(int)


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
