"""Files: weights as safetensors, nested objects beside them, and writing that leaves the old file or the new
one."""

from __future__ import annotations

from . import safetensors
from .objects import load, save
from .safetensors import load_file, save_file

__all__ = ["load", "load_file", "safetensors", "save", "save_file"]
