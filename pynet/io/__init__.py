"""Files: weights as safetensors, and writing that leaves the old file or the new one."""

from __future__ import annotations

from . import safetensors
from .safetensors import load_file, save_file

__all__ = ["load_file", "safetensors", "save_file"]
