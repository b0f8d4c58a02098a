"""Loads the native core and answers questions about it: ISA level, threads, memory, build."""

from __future__ import annotations

from pynet import _core


def isa() -> str:
    """The ISA level whose kernels run: "v4", "v3", "v2" on x86-64, "base" elsewhere."""
    return _core.isa()


def isa_levels() -> list[str]:
    """The levels that this build has and this CPU runs, best first."""
    return _core.isa_levels()


def get_num_threads() -> int:
    """How many threads kernels use; 1 in a forked child of a process that had used its threads."""
    return _core.get_num_threads()


def set_num_threads(n: int) -> None:
    """Use `n` threads from now on; results have the same bits at every count.

    Raises:
        TypeError: n is not an int.
        ValueError: n is not in 1 .. 4096.
    """
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"set_num_threads: n must be an int, got {type(n).__name__}")
    if not 1 <= n <= 4096:
        raise ValueError(f"set_num_threads: {n} is not in 1 .. 4096")
    _core.set_num_threads(n)


def thread_choice() -> str:
    """What decided the thread count: the affinity mask, the cgroup quota, OMP_NUM_THREADS or a call."""
    return _core.thread_choice()


def memory_stats() -> dict[str, int]:
    """Bytes in use, cached, at the peak and allowed in the cache, and the counts of allocations."""
    return _core.memory_stats()


def reset_peak_memory() -> None:
    """Start a new high-water mark: `memory_stats()["peak_bytes"]` becomes what is in use now."""
    _core.reset_peak_memory()


def empty_cache() -> None:
    """Give the pool's free blocks back to the system."""
    _core.empty_cache()


def build_info() -> dict[str, object]:
    """Compiler, build type, compiled levels and pybind11 version of the native core."""
    return _core.build_info()
