"""Cases in which pynet does something else than PyTorch on purpose: the text and why. docs/parity.md lists them."""

from __future__ import annotations

DIFFERENCES: dict[str, str] = {}
