"""The CPU, the one device there is, under the names that code for several devices uses."""

from __future__ import annotations

from typing import Any


class device(str):
    """Where a Tensor lies: ``device("cpu")``; it equals that string.

    Args:
        type: "cpu" or "cpu:0".
        index: None (default) or 0.
    Raises:
        ValueError: another device.
    """

    __slots__ = ()

    def __new__(cls, type: Any = "cpu", index: int | None = None) -> device:
        name = type if index is None else f"{type}:{index}"
        if name not in ("cpu", "cpu:0"):
            raise ValueError(f'device: pynet runs on the CPU, there is no device {name!r}; use "cpu"')
        return super().__new__(cls, name)

    @property
    def type(self) -> str:
        """ "cpu"."""
        return "cpu"

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """0 for "cpu:0", else None."""
        return 0 if self.endswith(":0") else None

    def __repr__(self) -> str:
        return "device(type='cpu')" if self.index is None else "device(type='cpu', index=0)"


CPU = device("cpu")


_KINDS = ("cpu", "cuda", "gpu", "hpu", "ipu", "meta", "mps", "mtia", "tpu", "xla", "xpu")


def names_device(value: Any) -> bool:
    """Whether a string names a device, the CPU or another, and not a dtype."""
    return isinstance(value, str) and value.split(":")[0] in _KINDS


def on_cpu(owner: str, name: Any) -> None:
    """Raise ValueError for a device that is not the CPU; None is the CPU."""
    if name is not None and name not in ("cpu", "cpu:0"):
        raise ValueError(f'{owner}: pynet runs on the CPU, there is no device {name!r}; use "cpu"')
