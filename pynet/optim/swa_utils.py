"""Averages of a model's weights over its training: stochastic weight averaging and moving averages.

Names and semantics as in torch.optim.swa_utils.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, before_write, no_grad, wrote
from ..nn import BatchNorm1d, BatchNorm2d, Module
from ..nn.parameter import write
from ..ops._backend import backend
from .lr_scheduler.base import LRScheduler
from .lr_scheduler.cycle import _one_a_group
from .optimizer import Optimizer, check_range

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

Average = Callable[[Tensor, Tensor, Any], Tensor]
MultiAverage = Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """``decay * averaged + (1 - decay) * current``, for one Tensor.

    Raises:
        ValueError: `decay` outside [0, 1].
    """
    _check_decay("get_ema_avg_fn", decay)
    return lambda averaged, current, count: averaged * decay + current * (1 - decay)


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """``averaged = decay * averaged + (1 - decay) * current``, in place, one native call for all Tensors.

    Raises:
        ValueError: `decay` outside [0, 1].
    """
    _check_decay("get_ema_multi_avg_fn", decay)
    return lambda averaged, current, count: _lerp(averaged, current, 1 - decay)


def get_swa_avg_fn() -> Average:
    """The mean of all models so far, for one Tensor: ``averaged + (current - averaged) / (count + 1)``."""
    return lambda averaged, current, count: averaged + (current - averaged) / (int(count) + 1)


def get_swa_multi_avg_fn() -> MultiAverage:
    """The mean of all models so far, in place, one native call for all Tensors."""
    return lambda averaged, current, count: _lerp(averaged, current, 1 / (int(count) + 1))


class AveragedModel(Module):
    """A copy of a model whose weights are averages of those that the model had.

    The first ``update_parameters`` copies the weights, the others average. Buffers (the statistics of batch
    norm) are copied each time, unless `use_buffers` averages them too; ``update_bn`` measures them anew.

    Args:
        model: copied.
        device: None, or "cpu".
        avg_fn: ``avg_fn(averaged, current, count)`` -> new average of one Tensor.
        multi_avg_fn: ``multi_avg_fn(averaged, current, count)``, lists of Tensors of one dtype, in place;
            default: equal weights (``get_swa_multi_avg_fn()``), unless `avg_fn` is given.
        use_buffers: average the buffers too, default False.

    Attributes:
        module: the averaged model.
        n_averaged: how many models the average holds, an int64 Tensor, part of the state_dict.

    Raises:
        ValueError: both functions are given.
        NotImplementedError: another device.

    Source:
        Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization"; exponential
        averages: Polyak and Juditsky 1992.
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: avg_fn and multi_avg_fn are two ways to say one thing; give one")
        if device is not None and str(device) != "cpu":
            raise NotImplementedError(f"AveragedModel: device must be None or 'cpu', got {device!r}")
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", Tensor(np.array(0, np.int64)))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The averaged model's output."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the present weights of `model` into the average.

        Raises:
            ValueError: a model with other parameters.
        """
        with no_grad():
            own, new = _tensors(self.module, self.use_buffers), _tensors(model, self.use_buffers)
            if [t.shape for t in own] != [t.shape for t in new]:
                raise ValueError(
                    "AveragedModel: the model has other parameters than the one that was averaged so far"
                )
            count = int(self.n_averaged.array)
            if count == 0:
                _assign(own, new)
            elif self.avg_fn is not None:
                _assign(own, [self.avg_fn(a, b, count) for a, b in zip(own, new, strict=True)])
            else:
                average = self.multi_avg_fn or get_swa_multi_avg_fn()
                for dtype in dict.fromkeys(t.dtype for t in own):
                    chosen = [i for i, t in enumerate(own) if t.dtype == dtype]
                    average([own[i] for i in chosen], [new[i] for i in chosen], count)
            if not self.use_buffers:
                _assign(list(self.module.buffers()), list(model.buffers()))
            write(self.n_averaged, count + 1)


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Measure the statistics of all batch norms of `model` anew, as means over the batches of `loader`.

    Args:
        loader: batches, or tuples and lists whose first entry is passed to the model.
        model: run in training mode, without gradients; its mode is put back.
        device: None, or "cpu".

    Raises:
        NotImplementedError: another device.
    """
    if device is not None and str(device) != "cpu":
        raise NotImplementedError(f"update_bn: device must be None or 'cpu', got {device!r}")
    norms = [module for module in model.modules() if isinstance(module, (BatchNorm1d, BatchNorm2d))]
    if not norms:
        return
    momenta, was_training = [norm.momentum for norm in norms], model.training
    try:
        model.train()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        with no_grad():
            for batch in loader:
                inputs = batch[0] if isinstance(batch, (tuple, list)) else batch
                model(inputs if isinstance(inputs, Tensor) else Tensor(inputs))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """The rate goes from where it is to `swa_lr` within `anneal_epochs` steps and stays there.

    Args:
        optimizer: whose rates are scheduled; its groups get the option ``swa_lr``.
        swa_lr: the last rate, one number or one a group.
        anneal_epochs: steps on the way, at least 0; default 10.
        anneal_strategy: "cos" (default) or "linear".
        last_epoch: default -1, a fresh schedule.

    Raises:
        ValueError: an unknown strategy, `anneal_epochs` below 0 or no int, or as many rates as there are no
            groups.

    Source:
        Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization".
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | Sequence[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"SWALR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        if isinstance(anneal_epochs, bool) or not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"SWALR: anneal_epochs must be an int of at least 0, got {anneal_epochs!r}")
        rates = _one_a_group("SWALR", "swa_lr", optimizer, swa_lr)
        for rate, group in zip(rates, optimizer.param_groups, strict=True):
            check_range("SWALR", "swa_lr", rate)
            group["swa_lr"] = rate
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The mix of the rate at the beginning and `swa_lr`."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            last, end = group["lr"], group["swa_lr"]
            first = end if before == 1 else (last - before * end) / (1 - before)
            rates.append(end * now + first * (1 - now))
        return rates

    def _share(self, step: int) -> float:
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self.anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2


def _check_decay(owner: str, decay: float) -> None:
    if not 0 <= decay <= 1:
        raise ValueError(f"{owner}: decay must be in [0, 1], got {decay}")


def _tensors(model: Module, buffers: bool) -> list[Tensor]:
    return [*model.parameters(), *(model.buffers() if buffers else ())]


def _assign(targets: list[Tensor], values: list[Tensor]) -> None:
    for target, value in zip(targets, values, strict=True):
        write(target, value.array)


def _lerp(averaged: Sequence[Tensor], current: Sequence[Tensor], weight: float) -> None:
    arrays, targets = [t.array for t in averaged], [t.array for t in current]
    before_write()
    if arrays and arrays[0].dtype.kind == "f":
        backend(arrays[0]).lerp(arrays, targets, weight)
    else:
        for array, target in zip(arrays, targets, strict=True):
            array[...] = (array * (1 - weight) + target * weight).astype(array.dtype)
    wrote(*averaged)
