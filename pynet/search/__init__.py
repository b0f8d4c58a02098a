"""Search of hyper-parameters on supervised processes: at random, and by successive halving."""

from __future__ import annotations

from .result import SearchResult
from .search import random_search, successive_halving
from .space import Distribution, choice, integer, loguniform, uniform
from .trial import Record, Trial

__all__ = [
    "Distribution",
    "Record",
    "SearchResult",
    "Trial",
    "choice",
    "integer",
    "loguniform",
    "random_search",
    "successive_halving",
    "uniform",
]
