"""Several models as one: averages of what they say, or of their weights."""

from __future__ import annotations

import copy
import functools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import ops
from .autograd import Tensor, no_grad, tensor
from .io import safetensors
from .nn import Module, ModuleList
from .optim.swa_utils import AveragedModel, update_bn

AVERAGES = ("probabilities", "logits")
_FORMAT = "pynet-ensemble"


class Ensemble(Module):
    """Averages the outputs of several models; a module like any other, for a Trainer or ``pynet.inference``.

    With "probabilities" the output is the logarithm of the mean of the models' softmax over dimension 1: it
    can stand wherever logits can (argmax, softmax, CrossEntropyLoss), and its softmax is the mean. With
    "logits" it is the mean of the outputs, also right for regression.

    Args:
        models: at least one, each taking the same inputs and giving (N, C, ...) logits of the same classes.
        average: "probabilities" (default) or "logits".
        weights: how much each model counts, greater than 0; scaled to the sum 1; default all the same.

    Attributes:
        models: the models, a ModuleList. weights: float32 (number of models,), a buffer, sum 1.

    Raises:
        TypeError: a model is no Module.
        ValueError: no model, an unknown average, weights that are not as many or not greater than 0.

    Source:
        Hansen and Salamon 1990, "Neural Network Ensembles"; Lakshminarayanan et al. 2017, "Simple and
        Scalable Predictive Uncertainty Estimation using Deep Ensembles".
    """

    weights: Tensor

    def __init__(
        self,
        models: Iterable[Module],
        average: str = "probabilities",
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.models = ModuleList(models)
        if not len(self.models):
            raise ValueError("Ensemble: there is no model to average; give at least one")
        if average not in AVERAGES:
            raise ValueError(f"Ensemble: average must be 'probabilities' or 'logits', not {average!r}")
        self.average = average
        self.register_buffer("weights", tensor(_shares(weights, len(self.models)), dtype="float32"))

    @classmethod
    def from_states(
        cls, model: Module, states: Iterable[Mapping[str, Any]], average: str = "probabilities"
    ) -> Ensemble:
        """The ensemble of copies of `model`, one with each of the state_dicts."""
        members = []
        for state in states:
            members.append(copy.deepcopy(model))
            members[-1].load_state_dict(state)
        return cls(members, average)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The average for these inputs, (N, C, ...); models in training mode draw dropout as ever."""
        outputs = [model(*args, **kwargs) for model in self.models]
        shares = self.weights.tolist()
        if self.average == "logits":
            return _mean(outputs, shares)
        logarithms = [ops.log_softmax(out, 1) for out in outputs]
        largest = functools.reduce(ops.maximum, logarithms).detach()
        return largest + ops.log(_mean([ops.exp(value - largest) for value in logarithms], shares))

    def __len__(self) -> int:
        return len(self.models)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.models)

    def averaged(self, loader: Iterable[Any] | None = None) -> Module:
        """One model whose weights are the mean of the models' weights: the cost of one for what they know.

        It makes sense for models of one descent (late snapshots, or fine-tuned from the same weights); of
        models that were trained apart the mean is worth nothing, since their neurons do not correspond.

        Args:
            loader: training batches, on which the statistics of batch norm are measured anew; needed where
                there is batch norm, whose statistics are otherwise the last model's.

        Raises:
            ValueError: the models have different parameters.

        Source:
            Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization".
        """
        shares = self.weights.tolist()

        def mean(averaged: Tensor, current: Tensor, count: int) -> Tensor:
            return averaged + (current - averaged) * (shares[count] / sum(shares[: count + 1]))

        average = AveragedModel(self.models[0], avg_fn=mean)
        for model in self.models:
            average.update_parameters(model)
        if loader is not None:
            update_bn(loader, average.module)
        return average.module

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all models into one safetensors file, ``models.0.…`` and so on, which any program reads.

        Raises:
            OSError: the file cannot be written; the old one is intact.
        """
        about = {"format": _FORMAT, "models": len(self), "average": self.average}
        safetensors.save_file(self.state_dict(), path, about)

    @classmethod
    def load(cls, path: str | os.PathLike[str], make: Callable[[], Module]) -> Ensemble:
        """The ensemble that ``save`` wrote, in eval mode.

        Args:
            path: the file.
            make: makes one model, such as ``lambda: models.create("lenet5")``; called once a model.

        Raises:
            ValueError: no such file of an ensemble, or the models that `make` makes do not fit.
            OSError: the file cannot be read.
        """
        arrays, about = safetensors.read_file(path)
        if not isinstance(about, dict) or about.get("format") != _FORMAT:
            raise ValueError(f"Ensemble.load: {path} holds no ensemble; load it into a model instead")
        with no_grad():
            ensemble = cls([make() for _ in range(about["models"])], about["average"])
            ensemble.load_state_dict(arrays)
        return ensemble.eval()

    def extra_repr(self) -> str:
        """The average."""
        return f"average={self.average!r}"


def _mean(values: list[Tensor], shares: list[float]) -> Tensor:
    return functools.reduce(ops.add, [value * share for value, share in zip(values, shares, strict=True)])


def _shares(weights: Sequence[float] | None, count: int) -> list[float]:
    given = [1.0] * count if weights is None else [float(weight) for weight in weights]
    if len(given) != count:
        raise ValueError(f"Ensemble: there are {count} models but {len(given)} weights; give one each")
    if not all(math.isfinite(weight) and weight > 0 for weight in given):
        raise ValueError(f"Ensemble: weights must be greater than 0, got {given}; leave a model out instead")
    return [weight / sum(given) for weight in given]
