"""Statistics of timings: medians, quartiles, ratios. No clock is read here, so that it can be tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of `values` lies, interpolated linearly between neighbours.

    Raises:
        ValueError: `values` is empty.
    """
    if not values:
        raise ValueError("quantile: no values were measured")
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


@dataclass(frozen=True)
class Summary:
    """Median and quartiles of all samples, in seconds; `rounds` holds each round's median."""

    median: float
    low: float
    high: float
    rounds: tuple[float, ...]


@dataclass(frozen=True)
class Ratio:
    """How many times faster pynet is: above 1, pynet wins; `low` and `high` are quartiles over rounds."""

    value: float
    low: float
    high: float


def summarise(rounds: Sequence[Sequence[float]]) -> Summary:
    """Summary of the samples of several rounds.

    Raises:
        ValueError: no round, or a round without samples.
    """
    samples = [sample for samples in rounds for sample in samples]
    medians = tuple(quantile(samples, 0.5) for samples in rounds)
    return Summary(quantile(samples, 0.5), quantile(samples, 0.25), quantile(samples, 0.75), medians)


def best(peers: Mapping[str, Summary]) -> str | None:
    """The mode with the smallest median; None where none was measured."""
    return min(peers, key=lambda mode: peers[mode].median, default=None)


def ratio(ours: Summary, peer: Summary) -> Ratio:
    """Ratio of the medians; its spread comes from the rounds, each a pair measured within one second or so.

    Pairing matters on a shared machine: a slow minute hits both sides of its rounds and cancels.
    """
    pairs = [theirs / mine for theirs, mine in zip(peer.rounds, ours.rounds, strict=True)]
    return Ratio(peer.median / ours.median, quantile(pairs, 0.25), quantile(pairs, 0.75))


def geometric_mean(values: Sequence[float]) -> float:
    """The mean fit for ratios.

    Raises:
        ValueError: `values` is empty.
    """
    if not values:
        raise ValueError("geometric_mean: no values")
    product = 1.0
    for value in values:
        product *= value ** (1.0 / len(values))
    return product
