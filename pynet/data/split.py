"""Splitting a data set into parts that do not overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pynet.data.dataset import Subset, labels_of
from pynet.data.sampler import draw_seed, host_generator


def random_split(dataset: Any, lengths: Sequence[int | float], generator: Any = None) -> list[Subset]:
    """Splits a data set at random into parts that do not overlap.

    Args:
        dataset: what to split.
        lengths: numbers of samples that add up to `len(dataset)`, or fractions that add up to 1; samples left
            over by rounding fractions down go to the first parts, one each.
        generator: a `pynet.random.Generator` or an int seed; default the one that `pynet.manual_seed` sets.
    Raises:
        ValueError: negative lengths or a wrong sum.
    """
    total, lengths = len(dataset), list(lengths)
    if not lengths or any(not math.isfinite(length) or length < 0 for length in lengths):
        raise ValueError(f"random_split: lengths must not be negative, got {lengths}")
    if all(isinstance(length, (int, np.integer)) for length in lengths):
        counts = [int(length) for length in lengths]
        if sum(counts) != total:
            raise ValueError(
                f"random_split: lengths {lengths} add up to {sum(counts)}, the data set has {total} samples"
            )
    else:
        if abs(sum(lengths) - 1) > 1e-9:
            raise ValueError(
                f"random_split: fractions must add up to 1, got {lengths} with sum {sum(lengths)}"
            )
        counts = [math.floor(total * length) for length in lengths]
        for left_over in range(total - sum(counts)):
            counts[left_over % len(counts)] += 1
    order = host_generator(draw_seed(generator)).permutation(total)
    return [Subset(dataset, part) for part in np.split(order, np.cumsum(counts)[:-1])]


def stratified_split(
    dataset: Any, fraction: float, seed: int = 0, labels: Sequence[int] | np.ndarray | None = None
) -> tuple[Subset, Subset]:
    """Splits off a test part in which every class has its share.

    Args:
        dataset: what to split.
        fraction: the share of the second part, in (0, 1). Its size is `round(fraction * N)`; classes get
            their share rounded down, and those with the largest remainders one more.
        seed: the split is a function of labels, fraction and seed.
        labels: integers (N,); default the data set's own labels.
    Returns:
        (rest, part), both in the order of the data set.
    Raises:
        ValueError: a fraction outside (0, 1), no labels, or a part that would be empty.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"stratified_split: fraction must be between 0 and 1, got {fraction}")
    labels = labels_of(dataset) if labels is None else np.asarray(labels)
    if labels.shape != (len(dataset),):
        raise ValueError(
            f"stratified_split: labels must have shape ({len(dataset)},), one a sample, got {labels.shape}"
        )
    classes, counts = np.unique(labels, return_counts=True)
    size = round(fraction * len(labels))
    if not 0 < size < len(labels):
        raise ValueError(f"stratified_split: {fraction} of {len(labels)} samples leaves one part empty")
    shares = counts * fraction
    taken = np.floor(shares).astype(np.int64)
    # Equal remainders are settled by class order, so that the split depends on nothing else.
    most = np.argsort(-(shares - taken), kind="stable")[: size - int(taken.sum())]
    taken[most] += 1
    rng = host_generator(draw_seed(seed))
    chosen = np.zeros(len(labels), bool)
    for label, count in zip(classes, taken, strict=True):
        chosen[rng.permutation(np.flatnonzero(labels == label))[:count]] = True
    return Subset(dataset, np.flatnonzero(~chosen)), Subset(dataset, np.flatnonzero(chosen))
