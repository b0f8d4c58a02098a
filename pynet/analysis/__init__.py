"""Looking into networks: what they consist of and what they need; what flows through them, and what is
wrong.
"""

from .activations import ActivationStats, LayerActivations, activation_stats
from .checks import InitialLoss, Overfit, check_initial_loss, overfit_small
from .diagnosis import Diagnosis, Finding, Step, diagnose
from .lr_finder import LRFinder, lr_finder
from .summary import Layer, Summary, summary

__all__ = [
    "ActivationStats",
    "Diagnosis",
    "Finding",
    "InitialLoss",
    "LRFinder",
    "Layer",
    "LayerActivations",
    "Overfit",
    "Step",
    "Summary",
    "activation_stats",
    "check_initial_loss",
    "diagnose",
    "lr_finder",
    "overfit_small",
    "summary",
]
