"""The built-in callbacks, one concept a file."""

from __future__ import annotations

from .averaging import EMAWeightAveraging, StochasticWeightAveraging, WeightAveraging
from .csv_logger import CSVLogger
from .early_stopping import EarlyStopping
from .model_checkpoint import ModelCheckpoint, folder_of
from .nan import TerminateOnNaN
from .progress import ProgressBar, format_logs
from .tensorboard import TensorBoard
from .time_limit import TimeLimit

__all__ = [
    "CSVLogger",
    "EMAWeightAveraging",
    "EarlyStopping",
    "ModelCheckpoint",
    "ProgressBar",
    "StochasticWeightAveraging",
    "TensorBoard",
    "TerminateOnNaN",
    "TimeLimit",
    "WeightAveraging",
    "folder_of",
    "format_logs",
]
