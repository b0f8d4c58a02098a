"""Step 3: what flows through the network before training, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from ... import optim
from ...nn import Module
from ..activations import ActivationStats, LayerActivations, watch
from ..pictures import draw_activations
from ..samples import duplicate, train_losses, untouched_randomness
from .case import Case, planned_rate
from .findings import Step

DEAD = (
    0.5  # share of a layer's units; a usual initialisation leaves below 10 % without an answer to any sample
)
SATURATED = 0.5  # share of a layer's numbers; Xavier's initialisation gives below 10 %
# Length of the first layer's gradient over the last's. Layers that keep lengths stay near 1, three sigmoid
# layers give 1e-2; beyond a thousand, one rate cannot serve both.
GRADIENTS_APART = 1e-3
COLLAPSED = 1e-2  # deviation from sample to sample of the last hidden activation over the first's


def check_signals(case: Case) -> Step:
    """Step 3."""
    stats, pairs = watch(case.model, case.x[:256], case.y[:256], case.loss)
    step = Step("Activations and gradients", draw=partial(draw_activations, stats))
    step.evidence.append(f"one batch of {stats.layers[0].shape[0] if stats.layers else 0}, layer by layer")
    step.table, step.text_columns = stats.rows(), 2
    case.linear = len(stats.layers) == 1
    _frozen(case, step)
    _equal_units(case, step)
    _dead(stats, step)
    hidden = stats.layers[:-1]  # an output may well be saturated
    saturated = next((layer for layer in hidden if layer.saturated > SATURATED), None)
    if saturated is not None:
        evidence = f"{100 * saturated.saturated:.0f} % of its outputs lie in the outer 3 % of the range"
        step.add("saturated", evidence, layer=saturated.name)
    for before, after in pairs:
        evidence = "what the first gives reaches the second through linear functions only"
        step.add("missing_activation", evidence, before=before, after=after)
    # Equal or dead units pass no gradient, and equal samples give equal activations: said already.
    if not {"zero_init", "dead_relu", "constant_input"} & (case.codes | {f.code for f in step.findings}):
        _depth(stats, step)
    return step


def _dead(stats: ActivationStats, step: Step) -> None:
    for layer in stats.layers:
        if layer.dead >= DEAD:
            step.add(
                "dead_relu",
                f"output {layer.shape}, mean {layer.mean:.3g}, looked at with {layer.shape[0]} samples",
                "error" if layer.dead == 1 else None,
                share=f"{100 * layer.dead:.0f} %",
                layer=layer.name,
            )
            return


def _depth(stats: ActivationStats, step: Step) -> None:
    """Signals that shrink or grow from layer to layer."""
    hidden = [layer for layer in stats.layers[:-1] if layer.is_activation]
    if len(hidden) > 1 and hidden[-1].spread < COLLAPSED * hidden[0].spread:
        first, last = hidden[0], hidden[-1]
        evidence = (
            f"from sample to sample {first.spread:.3g} in {first.name}, {last.spread:.3g} in {last.name}"
        )
        step.add("activations_collapse", evidence)
    weighted = [layer for layer in stats.layers if not layer.is_activation and not math.isnan(layer.grad_std)]
    if len(weighted) < 2:
        return
    begin, end = (_length(layer) for layer in (weighted[0], weighted[-1]))
    evidence = f"its length is {begin:.2e} in {weighted[0].name}, {end:.2e} in {weighted[-1].name}"
    if begin < GRADIENTS_APART * end:
        step.add("vanishing_gradients", evidence)
    elif not math.isfinite(begin) or begin * GRADIENTS_APART > end:
        step.add("exploding_gradients", evidence)


def _length(layer: LayerActivations) -> float:
    """Of the whole gradient: its single numbers shrink with the size of a map, whatever the layer."""
    return math.hypot(layer.grad_mean, layer.grad_std) * math.sqrt(math.prod(layer.shape))


def _frozen(case: Case, step: Step) -> None:
    """Weights that no step can change."""
    named = dict(case.model.named_parameters())
    if isinstance(case.optimizer, optim.Optimizer):
        held = {id(p) for group in case.optimizer.param_groups for p in group["params"]}
        forgotten = [name for name, p in named.items() if p.requires_grad and id(p) not in held]
        if forgotten:
            few = len(forgotten) < sum(p.requires_grad for p in named.values())
            what = (
                "the optimizer does not hold all weights"
                if few
                else "the optimizer holds none of the weights"
            )
            step.add("frozen_layer", f"missing: {_list(forgotten)}", None if few else "error", what=what)
        idle = {
            id(p)
            for group in case.optimizer.param_groups
            if planned_rate(group) == 0
            for p in group["params"]
        }
        still = [name for name, p in named.items() if p.requires_grad and id(p) in idle]
        if still:
            step.add("frozen_layer", _list(still), what="weights have the learning rate 0")
    frozen = [name for name, p in named.items() if not p.requires_grad]
    fresh = [name for name in frozen if named[name].array.ndim > 1 and still_random(named[name].array)]
    if fresh:
        evidence = f"requires_grad is False, and the values are spread evenly, as drawn: {_list(fresh)}"
        step.add("frozen_layer", evidence, what="weights are frozen at their random start")
    elif frozen:
        step.add("frozen", _list(frozen), count=f"{len(frozen)} of {len(named)}")


def still_random(weights: np.ndarray) -> bool:
    """Whether weights look as layers draw them, from a uniform distribution: the largest is at most 1.8
    deviations from 0. There it is sqrt(3) = 1.73; training makes tails, of a thousand weights beyond 3.
    """
    return weights.size >= 64 and float(np.abs(weights).max()) < 1.8 * float(weights.std())


def _equal_units(case: Case, step: Step) -> None:
    """Units that begin equal and stay so, since each gets the same gradient. (A last layer, or the last of a
    residual branch, may begin with zeros: it learns.)
    """
    suspects = _equal_layers(case.model)
    if not suspects:
        return
    with untouched_randomness():
        copied = duplicate(case.model, dropout=False)
        weights = [p for p in copied.parameters() if p.requires_grad]
        train_losses(copied, optim.Adam(weights, lr=1e-3), case.loss, case.x[:256], case.y[:256], 5, 64)
    equal = [name for name in suspects if name in _equal_layers(copied)]
    if equal:
        step.add("zero_init", f"after 5 steps all units are still the same in {_list(equal)}")


def _equal_layers(model: Module) -> list[str]:
    """Names of trainable weights with several units, all of them equal."""
    matrices = {name: p.array for name, p in model.named_parameters() if p.requires_grad and p.array.ndim > 1}
    return [name for name, array in matrices.items() if len(array) > 1 and bool((array == array[:1]).all())]


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
