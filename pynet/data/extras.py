"""Importing the libraries of the `data` extra where they are used, with an error that says what to
install."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(module: str, what_for: str) -> ModuleType:
    """Imports `module`.

    Raises:
        ImportError: it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{what_for} needs {module.partition('.')[0]}, which is not installed: pip install pynet-nn[data]"
        ) from error
