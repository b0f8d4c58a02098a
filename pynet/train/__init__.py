"""Training: the Trainer, its callbacks and metrics, checkpoints, and the folder that a run leaves."""

from __future__ import annotations

from .callback import Callback, LambdaCallback
from .callbacks import (
    CSVLogger,
    EarlyStopping,
    ModelCheckpoint,
    ProgressBar,
    TerminateOnNaN,
)
from .checkpoint import load_checkpoint, save_checkpoint
from .history import History
from .metrics import Accuracy, Mean, Metric, TopK, confusion_matrix
from .run import Run
from .trainer import Trainer

__all__ = [
    "Accuracy",
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "Mean",
    "Metric",
    "ModelCheckpoint",
    "ProgressBar",
    "Run",
    "TerminateOnNaN",
    "TopK",
    "Trainer",
    "confusion_matrix",
    "load_checkpoint",
    "save_checkpoint",
]
