"""A RUN folder: everything that a finished training leaves, enough to evaluate, apply and continue it.

model.safetensors   the weights
preprocessing.safetensors   what was learnt from the training images before
run.json            architecture, classes, data, settings, command, versions, figures
history.json, .csv  the figures of each epoch
curves.png, confusion.png
checkpoints/        last.safetensors and previous.safetensors, for ``resume``
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

from .. import models
from ..data.preprocess import Preprocessor
from ..io.atomic import prepare_folder, write_atomically
from ..io.safetensors import load_file, read_file, save_file
from ..nn import Module
from . import plots
from .callback import Callback, Logs
from .history import History

FORMAT = "pynet-run"
VERSION = 1
_PREPROCESSING = "preprocessing.safetensors"


class Run:
    """A RUN folder and what its ``run.json`` says.

    Args:
        path: the folder.
        description: the content of ``run.json``.

    Attributes:
        description: a dict of JSON values; ``save`` writes it.
    """

    def __init__(self, path: str | os.PathLike[str], description: dict[str, Any]) -> None:
        self.path = Path(path)
        self.description = description

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        model: str,
        arguments: dict[str, Any],
        preprocessing: Preprocessor,
        classes: list[str],
        data: dict[str, Any],
        settings: dict[str, Any],
        command: str = "",
    ) -> Run:
        """Make the folder and its ``run.json``.

        Args:
            path: the folder; what is in it is overwritten file by file.
            model: name of the architecture. arguments: what ``models.create`` gets.
            preprocessing: fitted.
            classes: a name for each output.
            data: what was learnt from. settings: how. command: the command line, if there was one.

        Raises:
            OSError: the folder cannot be written.
        """
        folder = prepare_folder(path)
        description = {
            "format": FORMAT,
            "version": VERSION,
            "status": "training",
            "model": {"name": model, "arguments": arguments},
            "preprocessing": type(preprocessing).__name__,
            "classes": list(classes),
            "data": data,
            "settings": settings,
            "command": command,
            "versions": versions(),
            "figures": {},
        }
        run = cls(folder, description)
        state = preprocessing.state_dict()
        arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
        rest = {key: value for key, value in state.items() if key not in arrays}
        save_file(arrays, folder / _PREPROCESSING, rest)
        run.save()
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Run:
        """Read the folder `path`.

        Raises:
            FileNotFoundError: it is no RUN folder.
            ValueError: its ``run.json`` is damaged or of a newer format.
        """
        file = Path(path) / "run.json"
        if not file.is_file():
            raise FileNotFoundError(
                f"{path} is no RUN folder: it has no run.json; `pynet train --out {path}` makes one"
            )
        try:
            description = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            raise ValueError(f"{file} is damaged: it is no JSON") from None
        if not isinstance(description, dict) or description.get("format") != FORMAT:
            raise ValueError(f"{file} does not describe a run of pynet")
        if description.get("version", 0) > VERSION:
            raise ValueError(
                f"{file} has format {description['version']}, and this pynet reads formats up to {VERSION}; "
                "use a newer pynet"
            )
        missing = [
            key for key in ("model", "preprocessing", "classes", "data", "settings") if key not in description
        ]
        if missing:
            raise ValueError(f"{file} is damaged: {', '.join(missing)} missing")
        return cls(path, description)

    def save(self) -> None:
        """Write ``run.json``, atomically."""
        write_atomically(
            self.path / "run.json", json.dumps(self.description, indent=1, ensure_ascii=False) + "\n"
        )

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def classes(self) -> list[str]:
        """The class names."""
        return self.description["classes"]

    @property
    def preprocessing(self) -> Preprocessor:
        """What an image passes before the network.

        Raises:
            FileNotFoundError, ValueError: its file is missing or damaged.
        """
        contents = read_file(self.path / _PREPROCESSING)
        return Preprocessor.from_state_dict({**contents.metadata, **contents.tensors})

    def create_model(self) -> Module:
        """Return the architecture with fresh weights."""
        return models.create(self.description["model"]["name"], **self.description["model"]["arguments"])

    def load_model(self) -> Module:
        """Return the network with its weights, in eval mode.

        Raises:
            FileNotFoundError: the run has no weights yet.
            ValueError: the weights are damaged or of another architecture.
        """
        file = self.path / "model.safetensors"
        if not file.exists():
            raise FileNotFoundError(
                f"{self.path} has no weights yet; finish it with `pynet train --resume {self.path}`"
            )
        weights = load_file(file)
        model = self.create_model()
        model.load_state_dict(weights)
        model.eval()
        return model

    def save_model(self, model: Module) -> None:
        """Write the weights, atomically."""
        save_file(model.state_dict(), self.path / "model.safetensors", {"model": self.description["model"]})

    def save_history(self, history: History) -> None:
        """Write ``history.json`` and ``history.csv``, atomically."""
        history.save(self.path / "history.json")
        history.save(self.path / "history.csv")

    def save_pictures(self, history: History, matrix: np.ndarray | None = None) -> str | None:
        """Draw ``curves.png`` and ``confusion.png``; without matplotlib return the sentence that says so."""
        name = f"{self.description['model']['name']} on {self.description['data']['name']}"
        try:
            if len(history):
                plots.plot_curves(history, self.path / "curves.png", name)
            if matrix is not None:
                plots.plot_confusion(
                    matrix, self.classes, self.path / "confusion.png", f"{name}, test images"
                )
        except ImportError as error:
            return f"no pictures: {error}"
        return None


class RunHistory(Callback):
    """Writes a run's history after every epoch.

    Args:
        run: whose folder.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write the files."""
        self.run.save_history(self.trainer.history)


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    from .. import __version__

    return {"pynet": __version__, "numpy": np.__version__, "python": platform.python_version()}
