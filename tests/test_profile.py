"""The profiler: what it lists, that its times add up, and that it changes nothing."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest

import pynet
from pynet import _core, nn, optim
from pynet.nn import functional as F


def normal(*shape: int, seed: int = 0) -> pynet.Tensor:
    return pynet.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def names(p: pynet.profile) -> list[str]:
    return [r.name for r in p.records]


def test_a_convolution_with_its_algorithm_arithmetic_and_shapes():
    x, w, b = normal(2, 16, 8, 8), normal(16, 16, 3, 3), normal(16)
    w.requires_grad = True
    for algorithm in ("direct", "im2col"):
        with pynet.conv_algorithm(algorithm), pynet.profile() as p:
            F.conv2d(x, w, b, padding=1).array  # noqa: B018
        (r,) = p.records
        assert (r.name, r.algorithm, r.part) == ("conv2d_forward", algorithm, "forward")
        assert r.flop == 2 * 2 * 8 * 8 * 16 * 16 * 9
        assert r.nbytes == x.array.nbytes * 2 + w.array.nbytes + b.array.nbytes
        assert r.shapes == ((2, 16, 8, 8), (16, 16, 3, 3), (16,))
    with pynet.profile() as p:
        F.conv2d(x, w, padding=1).array  # noqa: B018
    assert p.records[0].algorithm in _core.conv2d_algorithms()[1:]  # the one that ran, never "auto"


def test_bytes_count_what_is_updated_in_place_twice():
    a, b = normal(64).array, normal(64, seed=1).array
    with pynet.profile() as p:
        _core.negative(a)
        _core.accumulate(a, b)
        _core.sgd_step([a], [b], None, 0.1, 0.0, 0.0, 0.0, False, False, True)
    assert [r.nbytes for r in p.records] == [512, 768, 768]
    assert p.records[2].shapes == ((1,), (1,)) and p.records[2].part == "update"


def test_passes_are_told_apart_by_the_walk_not_by_the_name():
    x = normal(3, 4)
    x.requires_grad = True
    with pynet.profile() as p:
        y = pynet.exp(x).sum()
        y.backward()
        z = pynet.exp(x)  # after the walk it is forward again
    parts = [(r.name, r.part) for r in p.records]
    assert parts[0] == ("exp", "forward") and parts[-1] == ("exp", "forward") and z.shape == (3, 4)
    assert ("multiply", "backward") in parts


def test_a_failing_backward_leaves_no_mark():
    x = normal(3)
    x.requires_grad = True
    y = pynet.exp(x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()
    with pynet.profile() as p:
        pynet.exp(x)
    assert [r.part for r in p.records] == ["forward"]


def training_step(profiled: bool) -> tuple[list[np.ndarray], list[str]]:
    pynet.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(4, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3), nn.ReLU()
    )
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    x = normal(2, 4, 6, 6)
    x.requires_grad = True
    p = pynet.profile()
    if profiled:
        p.__enter__()
    loss = model(x).sum()
    loss.backward()
    optimizer.step()
    if profiled:
        p.__exit__()
    return [loss.array, x.grad.array, *(w.array for w in model.parameters())], names(p)


def test_fusion_stays_on_and_bits_stay_the_same():
    plain, nothing = training_step(False)
    profiled, found = training_step(True)
    assert nothing == []
    assert found.count("conv2d_forward") == found.count("linear_forward") == 1
    assert "activation_forward" not in found  # both are part of the layer before them
    for a, b in zip(plain, profiled, strict=True):
        assert a.tobytes() == b.tobytes()


def test_times_add_up_to_the_wall():
    x, w = normal(64, 256), normal(256, 256)
    with pynet.profile() as p:
        for _ in range(5):
            F.linear(x, w).array  # noqa: B018
            time.sleep(0.002)
    assert len(p.records) == 5
    end = 0.0
    for r in p.records:
        assert 0 < r.kernel <= r.duration
        assert r.start - r.before == pytest.approx(end, abs=2e-9)  # nothing is lost between two calls
        end = r.start + r.duration
    assert p.core == pytest.approx(sum(r.duration for r in p.records))
    assert 0 < p.kernels <= p.core < p.wall and end <= p.wall
    assert sum(r.before for r in p.records) >= 4 * 0.002


def test_records_of_all_threads_carry_their_thread():
    x = normal(8, 8)
    found = []

    def work() -> None:
        found.append(threading.get_ident())
        pynet.exp(x)

    with pynet.profile() as p:
        other = threading.Thread(target=work)
        other.start()
        other.join()
        pynet.log(pynet.abs(x))
    threads = {r.name: r.thread for r in p.records}
    assert threads["exp"] == found[0] and threads["log"] == p.thread == threading.get_ident()
    assert p.core == pytest.approx(sum(r.duration for r in p.records if r.name != "exp"))
    assert "other Python threads (1)" in p.table()


def test_nested_and_overlapping_blocks_each_get_their_own_window():
    x = normal(4)
    with pynet.profile() as outer:
        pynet.exp(x)
        with pynet.profile() as inner:
            pynet.log(pynet.abs(x))
        pynet.sin(x)
    assert names(inner) == ["abs", "log"]
    assert names(outer) == ["exp", "abs", "log", "sin"]

    first, second = pynet.profile(), pynet.profile()
    first.__enter__()
    pynet.exp(x)
    second.__enter__()
    pynet.sin(x)
    first.__exit__()
    pynet.cos(x)
    second.__exit__()
    assert names(first) == ["exp", "sin"] and names(second) == ["sin", "cos"]
    assert all(r.start >= 0 for r in (*first.records, *second.records))


def test_one_object_may_be_used_again_but_not_twice_at_once():
    x = normal(4)
    p = pynet.profile()
    with p:
        pynet.exp(x)
        with pytest.raises(RuntimeError, match="already recording"), p:
            pass
    with p:
        pynet.sin(x)
    assert names(p) == ["sin"]


def test_an_exception_ends_the_recording():
    x = normal(4)
    with pytest.raises(ZeroDivisionError), pynet.profile() as p:
        pynet.exp(x)
        raise ZeroDivisionError
    pynet.sin(x)
    assert names(p) == ["exp"]
    with pytest.raises(RuntimeError, match="nothing is being recorded"):
        _core._profile_stop(0)


def test_errors_of_operations_are_recorded_and_passed_on():
    with pynet.profile() as p:
        with pytest.raises(ValueError, match="inner sizes"):
            _core.matmul(np.ones((2, 3), np.float32), np.ones((2, 3), np.float32))
        pynet.exp(normal(4))
    assert names(p) == ["matmul", "exp"] and p.records[0].kernel == 0


def test_more_calls_than_the_list_began_with():
    a = normal(2).array
    with pynet.profile() as p:
        for _ in range(20000):
            _core.negative(a)
    assert len(p.records) == 20000 and p.records[-1].shapes == ((2,),)


def test_the_table():
    x, w = normal(2, 16, 8, 8), normal(16, 16, 3, 3)
    w.requires_grad = True
    with pynet.profile() as p:
        for size in (8, 4):
            F.conv2d(x[:, :, :size], w, padding=1).sum().backward()
    text = p.table()
    assert str(p) == text
    lines = [line.split() for line in text.splitlines() if line]
    firsts = [line[0] for line in lines]
    assert firsts.index("forward") < firsts.index("conv2d_forward_statistics") < firsts.index("backward")
    assert firsts.index("backward") < firsts.index("conv2d_backward_weight")
    assert "GFLOP/s" in text and "GB/s" in text and "kernels" in text and "Python" in text
    (row,) = [line for line in text.splitlines() if "conv2d_forward" in line]
    assert row.split()[2] == "2" and "2x16x8x8" not in text
    shapes = p.table(group_by_shape=True)
    rows = [line for line in shapes.splitlines() if "conv2d_forward" in line]
    assert len(rows) == 2 and any("2x16x8x8 16x16x3x3" in row for row in rows)

    def totals(part: str, end: str | None) -> list[float]:
        last = None if end is None else firsts.index(end)
        body = lines[firsts.index(part) + 1 : last]
        return [float(next(w for w in line[1:] if "." in w)) for line in body if line[0] != "wall"]

    assert totals("forward", "backward") == sorted(totals("forward", "backward"), reverse=True)


def test_a_compiled_module_is_one_record():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    x = normal(2, 3, 8, 8)
    compiled = pynet.inference(model, x)
    with pynet.profile() as p:
        compiled(x)
    (r,) = p.records
    assert r.name == "inference_plan" and 0 < r.kernel <= r.duration and r.shapes == ((2, 3, 8, 8),)


def test_an_empty_block_has_a_table():
    with pynet.profile() as p:
        pass
    assert p.records == [] and "wall" in p.table() and p.kernels == 0


def test_the_trace_is_whole_or_absent(tmp_path):
    with pynet.profile() as p:
        F.linear(normal(8, 8), normal(8, 8)).array  # noqa: B018
    path = tmp_path / "trace.json"
    p.save_trace(path)
    (event,) = json.loads(path.read_text())["traceEvents"]
    assert event["name"] == "linear_forward" and event["ph"] == "X" and event["cat"] == "forward"
    assert event["dur"] == pytest.approx(p.records[0].duration * 1e6)
    assert event["args"]["flop"] == 1024 and event["args"]["shapes"] == ["8x8", "8x8"]
    assert list(tmp_path.iterdir()) == [path]  # no temporary file is left
    with pytest.raises(OSError):
        p.save_trace(tmp_path / "missing" / "trace.json")
