"""Training: the Trainer, its callbacks and metrics, checkpoints, and the folder that a run leaves."""

from __future__ import annotations

from .callback import Callback, LambdaCallback
from .callbacks import (
    CSVLogger,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
    ProgressBar,
    StochasticWeightAveraging,
    TensorBoard,
    TerminateOnNaN,
    TimeLimit,
    WeightAveraging,
)
from .checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from .history import History
from .metrics import Accuracy, Mean, Metric, TopK, confusion_matrix
from .run import Run
from .snapshots import SnapshotEnsemble
from .trainer import Trainer

__all__ = [
    "Accuracy",
    "CSVLogger",
    "Callback",
    "CheckpointError",
    "EMAWeightAveraging",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "Mean",
    "Metric",
    "ModelCheckpoint",
    "ProgressBar",
    "Run",
    "SnapshotEnsemble",
    "StochasticWeightAveraging",
    "TensorBoard",
    "TerminateOnNaN",
    "TimeLimit",
    "TopK",
    "Trainer",
    "WeightAveraging",
    "confusion_matrix",
    "load_checkpoint",
    "save_checkpoint",
]
