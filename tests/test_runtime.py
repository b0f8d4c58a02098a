"""Levels, threads, forks, memory: what the core does to the process it lives in."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import pynet
from pynet import _core, runtime


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "PYNET_ISA")}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env | environment, timeout=120
    )


# --- levels
# ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", _core.isa_levels())
def test_forced_level_runs(level):
    code = "import pynet; t = pynet.ones((40, 40)); print(pynet.runtime.isa(), float((t @ t).sum()))"
    result = run(code, PYNET_ISA=level)
    assert result.stdout.split() == [level, "64000.0"], result.stderr


def test_unknown_level_lists_the_levels():
    result = run("import pynet", PYNET_ISA="v9")
    assert result.returncode != 0
    assert '"v9" is not a level' in result.stderr and _core.isa_levels()[-1] in result.stderr


# --- threads
# ---------------------------------------------------------------------------------------------------------

COUNT = "import pynet; print(pynet.runtime.get_num_threads(), '|', pynet.runtime.thread_choice())"


def test_affinity_bounds_the_count():
    cpu = min(os.sched_getaffinity(0))
    result = run(f"import os; os.sched_setaffinity(0, [{cpu}]); {COUNT}")
    assert result.stdout.startswith("1 | 1 physical core in the affinity mask"), result.stderr


def test_omp_num_threads_lowers_the_count():
    assert run(COUNT, OMP_NUM_THREADS="1").stdout.startswith("1 |")


@pytest.mark.parametrize("garbage", ["many", "-3", "0", "2x", "99999999999999999999"])
def test_omp_num_threads_garbage_warns_and_falls_back(garbage):
    result = run(COUNT, OMP_NUM_THREADS=garbage)
    assert result.returncode == 0
    assert "RuntimeWarning" in result.stderr and garbage in result.stderr
    assert result.stdout.split()[0] == run(COUNT).stdout.split()[0]


def test_set_num_threads_refuses_nonsense():
    for bad, error in [
        (0, ValueError),
        (-1, ValueError),
        (5000, ValueError),
        (1.5, TypeError),
        (True, TypeError),
    ]:
        with pytest.raises(error, match="set_num_threads"):
            runtime.set_num_threads(bad)


def test_more_threads_than_cores_give_the_same_bits():
    before = runtime.get_num_threads()
    a = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
    try:
        runtime.set_num_threads(1)
        want = _core.matmul(a, a)
        runtime.set_num_threads(16)
        np.testing.assert_array_equal(_core.matmul(a, a), want)
    finally:
        runtime.set_num_threads(before)


@pytest.mark.parametrize("threads", [2, 3, 5, 16])
def test_every_chunk_runs_once(threads):
    """Ranges of chunks that are emptied from the front and by others from the back: each element counts up by
    one a call, whoever had it, with several callers too."""
    sizes = (40_000, 333_333, 1_000_001)
    before, wrong = runtime.get_num_threads(), []

    def count():
        for size in sizes:
            total, one = np.zeros(size, np.float32), np.ones(size, np.float32)
            for _ in range(60):
                _core.accumulate(total, one)
            if not (total == 60).all():
                wrong.append(size)

    try:
        runtime.set_num_threads(threads)
        callers = [threading.Thread(target=count) for _ in range(2)]
        for caller in callers:
            caller.start()
        count()
        for caller in callers:
            caller.join()
    finally:
        runtime.set_num_threads(before)
    assert not wrong


def test_concurrent_callers_get_the_same_bits():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 16, 20, 20)).astype(np.float32)
    w = rng.standard_normal((32, 16, 3, 3)).astype(np.float32)
    arguments = (x, w, None, (1, 1), (1, 1), (1, 1), 1, "relu", 0.0, "auto")
    want = _core.conv2d_forward(*arguments)
    wrong = []

    def work():
        for _ in range(10):
            if _core.conv2d_forward(*arguments).tobytes() != want.tobytes():
                wrong.append(threading.get_ident())

    workers = [threading.Thread(target=work) for _ in range(8)]
    for w_ in workers:
        w_.start()
    for w_ in workers:
        w_.join()
    assert not wrong


FORK = """
import os, threading, numpy as np, pynet
from pynet import _core
a = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
_core.set_num_threads(2)
want = _core.matmul(a, a)                      # a parallel region has run
stop = False
def allocate():
    while not stop:
        _core.empty([1000])
worker = threading.Thread(target=allocate); worker.start()
try:
    for _ in range(40):
        pid = os.fork()
        if pid == 0:
            ok = _core.matmul(a, a).tobytes() == want.tobytes() and _core.get_num_threads() == 1
            os._exit(0 if ok else 1)
        assert os.waitpid(pid, 0)[1] == 0
finally:
    stop = True
    worker.join()
print("forks survived")
"""


def test_fork_after_use():
    result = run(FORK)
    assert result.stdout.strip() == "forks survived", result.stderr


def test_flush_to_zero_is_restored():
    tiny = np.float32(1e-39)
    _core.matmul(np.ones((200, 200), np.float32), np.ones((200, 200), np.float32))
    assert tiny * np.float32(0.5) != 0


# --- memory ---------------------------------------------------------------------------------------


def test_pool_reuses_and_empties():
    a = _core.empty([1 << 20])
    before = runtime.memory_stats()["system_allocations"]
    for _ in range(10):
        del a
        a = _core.empty([1 << 20])
    assert runtime.memory_stats()["system_allocations"] == before
    del a
    assert runtime.memory_stats()["cached_bytes"] >= 1 << 22
    runtime.empty_cache()
    assert runtime.memory_stats()["cached_bytes"] == 0


def test_arrays_are_aligned_and_writable():
    for count in (0, 1, 3, 1000, 1 << 19, (1 << 21) + 5):
        a = _core.empty([count])
        assert a.shape == (count,) and a.flags.writeable
        assert a.__array_interface__["data"][0] % 64 == 0
        a[:] = 1
        assert a.sum() == count


def test_impossible_sizes():
    with pytest.raises(ValueError, match="larger than the address space"):
        _core.empty([1 << 40, 1 << 40])
    with pytest.raises(ValueError, match="negative"):
        _core.empty([-1])
    with pytest.raises(MemoryError):
        _core.empty([1 << 44])


def test_out_of_memory_leaves_the_process_usable():
    code = """
import resource, numpy as np, pynet
from pynet import _core
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
try:
    _core.empty([1 << 30])
except MemoryError:
    print(float(_core.matmul(np.ones((4, 4), np.float32), np.ones((4, 4), np.float32)).sum()))
"""
    assert run(code).stdout.strip() == "64.0"


def test_import_is_quick(tmp_path):
    """With bytecode, as an installed package has it; else compiling the sources takes most of the time."""
    code = "import time, numpy; s = time.perf_counter(); import pynet; print(time.perf_counter() - s)"
    bytecode = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    best = min(float(run(code, **bytecode).stdout) for _ in range(5))
    assert best < 0.2, f"import pynet took {best:.2f} s beyond NumPy"


def test_import_leaves_heavy_libraries_alone():
    heavy = "('matplotlib', 'PIL', 'sklearn', 'scipy', 'torch')"
    code = f"import sys, pynet; print([m for m in {heavy} if m in sys.modules])"
    assert run(code).stdout.strip() == "[]"


def test_peak_is_measured():
    start = time.perf_counter()
    assert _core.measure_peak(1) > 0.1
    assert time.perf_counter() - start < 30
    assert pynet.runtime.build_info()["compiled_levels"]


@pytest.mark.parametrize(
    "index", [np.s_[:], np.s_[::-1], np.s_[1:3, ::-2], np.s_[:0], np.s_[2:3, 3:4], np.s_[::2, 1:]]
)
def test_byte_bounds_hold_every_element(index):
    a = np.arange(20, dtype=np.float32).reshape(4, 5)
    view = a[index]
    start = a.__array_interface__["data"][0]
    low, high = _core._byte_bounds(view)
    if view.size:
        assert (low, high) == (start + 4 * int(view.min()), start + 4 * int(view.max()) + 4)
    else:
        assert low == high


def test_workers_get_no_signals():
    """What a program does about SIGINT happens in its own threads."""
    script = """
import os, numpy as np
from pynet import _core
_core.set_num_threads(3)
a = np.ones((400, 400), np.float32)
for _ in range(20): _core.matmul(a, a)
blocked = []
for task in os.listdir("/proc/self/task"):
    if int(task) != os.getpid():
        mask = next(l for l in open(f"/proc/self/task/{task}/status") if l.startswith("SigBlk"))
        blocked.append(int(mask.split()[1], 16) >> 1 & 1)
print(sum(blocked) >= 2)
"""
    assert run(script).stdout.strip() == "True"
