"""The gradient of one optimizer step: summed over the batches of an accumulation, then clipped."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor, before_write, wrote
from ..nn import Module
from ..nn.parameter import kernel_empty
from ..nn.utils import clip_grad_norm_, clip_grad_value_
from .batches import as_array


class Gradient:
    """Accumulates the gradients of losses that are means over a batch, and clips the whole.

    The result is the gradient of the mean over all samples of the accumulated batches, also where these
    differ in size. One batch alone is not scaled, so that it has the bits of a training without accumulation.

    Args:
        accumulate: how many batches are wanted.
        clip_val: bound for the clipping, None for none. clip_algorithm: "norm" or "value".

    Attributes:
        batches: how many are in it.
    """

    def __init__(self, accumulate: int, clip_val: float | None, clip_algorithm: str) -> None:
        if isinstance(accumulate, bool) or not isinstance(accumulate, int) or accumulate < 1:
            raise ValueError(
                f"Trainer: accumulate_grad_batches must be an integer of at least 1, not {accumulate!r}"
            )
        if clip_algorithm not in ("norm", "value"):
            raise ValueError(
                f"Trainer: gradient_clip_algorithm must be 'norm' or 'value', not {clip_algorithm!r}"
            )
        if clip_val is not None and not clip_val > 0:
            raise ValueError(f"Trainer: gradient_clip_val must be greater than 0 or None, not {clip_val!r}")
        self.accumulate, self.clip_val, self.clip_algorithm = accumulate, clip_val, clip_algorithm
        self.clear()

    def clear(self) -> None:
        """Forget what was counted; the next ``add`` forgets the gradients too."""
        self.batches = self.first = self.samples = 0

    @property
    def complete(self) -> bool:
        """Whether all batches that are wanted are in it."""
        return self.batches == self.accumulate

    def add(self, optimizer: Any, loss: Tensor, samples: int) -> None:
        """Add the gradient of `loss`, a mean over `samples` samples, weighted by these."""
        if not self.batches:
            optimizer.zero_grad()
            self.first = samples
        if samples == self.first:
            loss.backward()
        else:  # the weights are relative to the first batch: 1 where all are equal
            loss.backward(Tensor(np.full((), samples / self.first, loss.dtype)))
        self.batches += 1
        self.samples += samples

    def finish(self, parameters: list[Tensor]) -> float | None:
        """Make the sum the mean and clip it; return the norm before the clipping by norm, else None."""
        if self.batches > 1:
            grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
            before_write()
            for grad in grads:
                np.multiply(grad.array, self.first / self.samples, out=grad.array, casting="same_kind")
            wrote(*grads)
        self.clear()
        if self.clip_val is None:
            return None
        if self.clip_algorithm == "value":
            clip_grad_value_(parameters, self.clip_val)
            return None
        return clip_grad_norm_(parameters, self.clip_val).item()

    def state_dict(self, model: Module) -> dict[str, Any] | None:
        """Return an accumulation under way, None where none is; its arrays are not copies."""
        if not self.batches:
            return None
        grads = {
            name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None
        }
        return {"batches": self.batches, "first": self.first, "samples": self.samples, "grads": grads}

    def load_state_dict(self, model: Module, state: dict[str, Any] | None) -> None:
        """Take over what ``state_dict`` returned."""
        self.clear()
        for parameter in model.parameters():
            parameter.grad = None
        if state is None:
            return
        self.batches, self.first, self.samples = state["batches"], state["first"], state["samples"]
        for name, parameter in model.named_parameters():
            if name in state["grads"]:
                # In the parameter's memory order, as backward makes it: a norm is summed in that order.
                values = as_array(state["grads"][name])
                parameter.grad = Tensor(kernel_empty(parameter.shape, parameter.dtype, values))
