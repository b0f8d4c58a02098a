"""The benchmark suite itself: statistics, alternation, the report, and that every kernel family has cases."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # bench/ is not part of the installed package

from bench import __main__ as command  # noqa: E402
from bench import conditions, gate, nets, plot, processes, report, runner, timing, worker  # noqa: E402

# Families whose kernels are timed in another family's file; None: nothing to compare with.
MEASURED_IN = {
    "dropout": "random",
    "softmax": "loss",
    "runtime": None,  # memory and threads
    "profile": None,
    "tape": "overhead",
    "walk": "overhead",
    "group_norm": "norm",
    "curve": "activation",
    "reduce": "elementwise",
}


def test_quantile_interpolates_between_neighbours():
    assert timing.quantile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.5
    assert timing.quantile([0.0, 10.0, 20.0], 0.25) == 5.0
    assert timing.quantile([7.0], 0.75) == 7.0
    with pytest.raises(ValueError, match="no values"):
        timing.quantile([], 0.5)


def test_ratio_pairs_the_rounds_so_that_a_slow_round_cancels():
    ours = timing.summarise([[1.0, 1.0], [10.0, 10.0], [1.0, 1.0]])
    peer = timing.summarise([[3.0, 3.0], [30.0, 30.0], [3.0, 3.0]])
    assert timing.ratio(ours, peer) == timing.Ratio(3.0, 3.0, 3.0)


def test_ratio_above_one_means_that_pynet_is_faster():
    ours, peer = timing.summarise([[1.0], [2.0]]), timing.summarise([[4.0], [4.0]])
    found = timing.ratio(ours, peer)
    assert found.value == pytest.approx(4.0 / 1.5)
    assert (found.low, found.high) == (2.5, 3.5)


def test_best_mode_has_the_smallest_median_not_the_smallest_sample():
    peers = {"eager": timing.summarise([[1.0, 9.0, 9.0]]), "compile": timing.summarise([[5.0, 5.0, 6.0]])}
    assert timing.best(peers) == "compile"
    assert timing.best({}) is None


def test_geometric_mean():
    assert timing.geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


def test_measure_block_leaves_out_the_first_call_and_batches_short_ones():
    now, calls = [0.0], [0]

    def run() -> None:
        now[0] += 5.0 if calls[0] == 0 else 1e-5
        calls[0] += 1

    samples = worker.measure_block(run, seconds=0.01, estimate=1e-5, clock=lambda: now[0])
    assert samples == pytest.approx([1e-5] * len(samples))
    assert calls[0] == 1 + 50 * len(samples)  # half a millisecond a sample
    assert 18 <= len(samples) <= 22


def test_measure_block_takes_two_samples_of_a_long_step():
    now = [0.0]

    def run() -> None:
        now[0] += 3.0

    assert worker.measure_block(run, seconds=0.1, estimate=3.0, clock=lambda: now[0]) == [3.0, 3.0]


class FakeWorker:
    """Answers "time" with fixed figures and writes down when it was asked."""

    def __init__(self, name: str, seconds: float, log: list[str]) -> None:
        self.name, self.seconds, self.log = name, seconds, log

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        self.log.append(self.name)
        return {"samples": [self.seconds, self.seconds * 2, self.seconds * 3]}


def test_workers_take_turns_and_the_order_turns_round():
    log: list[str] = []
    workers = {"pynet": FakeWorker("pynet", 1.0, log), "eager": FakeWorker("eager", 4.0, log)}
    times = runner.measure_in_turn(workers, "forward", rounds=3, seconds=0.0, settle=0.0)
    assert log == ["pynet", "eager", "eager", "pynet", "pynet", "eager"]
    assert times["pynet"].median == 2.0 and times["eager"].rounds == (8.0, 8.0, 8.0)


def test_row_has_ratio_gflops_and_share_of_the_peak():
    times = {
        "pynet": timing.summarise([[1e-3]]),
        "eager": timing.summarise([[4e-3]]),
        "channels_last": timing.summarise([[2e-3]]),
    }
    row = runner.make_row("case", "forward", times, flops=1e8, peak=200.0)
    assert row["best"] == "channels_last" and row["ratio"]["value"] == pytest.approx(2.0)
    assert row["gflops"] == pytest.approx(100.0) and row["share"] == pytest.approx(0.5)
    alone = runner.make_row("case", "forward", {"pynet": times["pynet"]}, flops=None, peak=None)
    assert alone["best"] is None and "ratio" not in alone


def test_worker_environment_sets_threads_and_drops_waiting_policies():
    environment = {"PATH": "/bin", "OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "1", "OMP_NUM_THREADS": "9"}
    found = processes.worker_environment(2, environment)
    assert found["OMP_NUM_THREADS"] == found["MKL_NUM_THREADS"] == "2" and found["PATH"] == "/bin"
    assert "OMP_WAIT_POLICY" not in found and "GOMP_SPINCOUNT" not in found


def test_a_worker_that_cannot_start_says_why():
    with pytest.raises(processes.WorkerError, match="KeyError: 'tensorknow'"):
        processes.Worker(sys.executable, "tensorknow", "eager", 1)
    with pytest.raises(processes.WorkerError, match="/no/python cannot be started"):
        processes.Worker("/no/python", "torch", "eager", 1)


def test_a_worker_that_does_not_answer_is_ended(tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setattr(processes, "ANSWER_SECONDS", 0.2)
    with pytest.raises(processes.WorkerError, match="no answer within"):
        processes.Worker(str(script), "torch", "eager", 1)


def test_a_run_that_is_ended_takes_its_workers_along():
    command = [sys.executable, "-m", "bench", "gemm", "--threads", "1", "--quick", "--torch-python", "none"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
        deadline = time.monotonic() + 60
        while not (found := children.read_text().split()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert found, "no worker was started"
        run.terminate()
        assert run.wait(60) == 128 + signal.SIGTERM
    while any(Path(f"/proc/{pid}").exists() for pid in found) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in found)


def test_without_pytorch_the_reason_is_noted_once(monkeypatch, capsys):
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: None)
    python, reason = processes.find_torch(None, {})
    assert python is None and "--torch-python" in reason
    session = processes.Session(processes.Settings(python, reason), threads=1)
    assert session.worker("eager") is None and session.worker("channels_last") is None
    assert session.notes == [reason] and capsys.readouterr().out.count(reason) == 1
    assert processes.find_torch(None, {"PYNET_TORCH_PYTHON": "/opt/python"}) == ("/opt/python", "")
    assert processes.find_torch("/a", {"PYNET_TORCH_PYTHON": "/b"}) == ("/a", "")


def result(bench: str = "gemm", threads: int = 1, ours: float = 1e-3) -> dict[str, Any]:
    """A result as run_bench returns it."""
    times = {"pynet": timing.summarise([[ours]]), "eager": timing.summarise([[3e-3]])}
    return {
        "bench": bench,
        "title": bench.upper(),
        "about": "What is measured.",
        "threads": threads,
        "date": "2030-01-02T03:04",
        "versions": {"pynet": "pynet 1.2.3, isa v4", "torch": "torch 9.9"},
        "quick": False,
        "partial": False,
        "rounds": 7,
        "peak_gflops": 250.0,
        "others": [0.01, 0.02],
        "notes": ["something to know"],
        "rows": [runner.make_row("8 x 8", "multiply", times, flops=1e8, peak=250.0)],
    }


def test_report_replaces_its_section_and_keeps_the_others(tmp_path):
    path = tmp_path / "RESULTS.md"
    for each in (result("optim"), result("gemm", 2), result("gemm", 1)):
        report.update(path, each)
    before = path.read_text()
    report.update(path, result("gemm", 1, ours=0.5e-3))
    after = path.read_text()
    assert re.findall(r"<!-- begin (.+?) -->", after) == [
        "gemm, threads=1",
        "gemm, threads=2",
        "optim, threads=1",
    ]
    assert before.count("3.00 (3.00-3.00)") == 3
    assert after.count("3.00 (3.00-3.00)") == 2 and after.count("6.00 (6.00-6.00)") == 1
    stored = json.loads((tmp_path / "results.json").read_text())
    assert sorted(stored) == ["gemm, threads=1", "gemm, threads=2", "optim, threads=1"]
    assert stored["gemm, threads=1"]["rows"][0]["ratio"]["value"] == pytest.approx(6.0)
    assert stored["gemm, threads=1"]["machine"]["model"]
    assert len((tmp_path / "results.json").read_text().splitlines()) == 2 + 3 * 3  # a line a row


def test_a_run_of_some_cases_replaces_their_rows_alone(tmp_path):
    def row(case: int, seconds: float) -> dict[str, Any]:
        label = importlib.import_module("bench.bench_gemm").CASES[case].label
        return runner.make_row(label, "multiply", {"pynet": timing.summarise([[seconds]])}, None, None)

    path = tmp_path / "RESULTS.md"
    old = {**row(0, 9e-3), "case": "a case of former days"}
    report.update(path, {**result(), "rows": [row(0, 1e-3), row(1, 2e-3), old]})
    report.update(path, {**result(), "partial": True, "date": "2030-05-05T05:05", "rows": [row(1, 7e-3)]})
    rows = json.loads((tmp_path / "results.json").read_text())["gemm, threads=1"]["rows"]
    assert [(r["case"], r["times"]["pynet"]["median"]) for r in rows] == [
        (row(0, 0)["case"], 1e-3),
        (row(1, 0)["case"], 7e-3),
    ]
    assert rows[0]["date"] == "2030-01-02T03:04"
    report.update(path, {**result(), "partial": True, "rows": [{**row(1, 7e-3), "date": "2030-05-05T05:05"}]})
    lines = [line for line in path.read_text().splitlines() if line.startswith("|")]
    assert lines[0].endswith("| measured |") and lines[2].endswith("| 2030-01-02T03:04 |")
    assert lines[3].endswith("| 7.00 | 2030-05-05T05:05 |")


def test_a_condition_has_its_own_section_and_its_environment(tmp_path):
    path = tmp_path / "RESULTS.md"
    report.update(path, result())
    report.update(path, {**result(ours=2e-3), "condition": "avx2"})
    text = path.read_text()
    assert "begin gemm, threads=1 -->" in text and "begin gemm, threads=1, avx2 -->" in text
    assert "1 thread, no AVX-512" in text and "ONEDNN_MAX_CPU_ISA=AVX2" in text


def test_the_neighbour_is_busy_while_the_block_runs_and_gone_afterwards(monkeypatch):
    started = []
    popen = conditions.subprocess.Popen

    def start(*arguments: Any) -> Any:
        started.append(popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        return started[-1]

    monkeypatch.setattr(conditions.subprocess, "Popen", start)
    with conditions.neighbour(conditions.CONDITIONS[""]):
        assert not started
    with conditions.neighbour(conditions.CONDITIONS["neighbour"]):
        assert started[0].poll() is None
    assert started[0].poll() is not None


def test_peers_are_left_out_with_the_variable_that_would_name_them(capsys):
    session = processes.Session(processes.Settings("/x"), threads=1)
    assert session.worker("jax") is None and session.worker("openvino") is None
    assert any("PYNET_KERAS_PYTHON" in note for note in session.notes)
    assert any("PYNET_ONNX_PYTHON" in note for note in session.notes)


class FakeSession:
    """A session whose worker answers "peak" with the figures one after the other."""

    def __init__(self, figures: list[float]) -> None:
        self.figures, self.notes = figures, []

    def worker(self, mode: str) -> FakeSession:
        return self

    def ask(self, command: str) -> dict[str, float]:
        return {"gflops": self.figures.pop(0) if len(self.figures) > 1 else self.figures[0]}

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_the_peak_is_the_best_of_tries_on_idle_cores(monkeypatch):
    monkeypatch.setattr(runner, "busy_share", lambda seconds: 0.0)
    assert runner.measure_peak(FakeSession([90.0, 100.0, 99.0, 120.0, 119.0, 80.0, 118.0, 500.0])) == 120.0
    monkeypatch.setattr(runner, "busy_share", lambda seconds: 0.9)
    busy = FakeSession([90.0, 100.0])
    assert runner.measure_peak(busy) == 100.0 and "too low" in busy.notes[0]


def test_the_gate_names_what_fell_below_its_margin():
    floors = {"a": 2.0, "b": 2.0}
    assert gate.judge({"a": 1.81, "b": 3.0, "new": 0.1}, floors, 0.1, True) == []
    (sentence,) = gate.judge({"a": 1.79, "b": 3.0}, floors, 0.1, True)
    assert sentence.startswith("a: 1.79") and "1.8" in sentence
    assert gate.judge({"a": 2.05}, floors, 0.03, False) == []
    assert len(gate.judge({"a": 2.07}, floors, 0.03, False)) == 1


def test_the_gate_reads_perf_and_knows_when_it_counts_nothing():
    assert gate.parse_count("123456,,instructions:u,99,100.00,,\n") == 123456
    assert gate.parse_count("<not supported>,,instructions:u,0,100.00,,\n") is None
    assert gate.parse_count("") is None


def test_the_gate_counts_the_instructions_of_a_step(monkeypatch):
    def perf(*program: str, **environment: str) -> int:
        return 100 if program == ("true",) else 1000 + 7 * int(program[-1])

    monkeypatch.setattr(gate, "perf", perf)
    assert gate.instructions("mlp") == 7.0
    monkeypatch.setattr(gate, "perf", lambda *program, **environment: None)
    assert gate.instructions("mlp") is None


def test_the_gate_measures_a_fallen_net_twice_and_fails(tmp_path, monkeypatch, capsys):
    found = {"MLP": [1.0, 1.1], "LeNet": [2.0, 2.0, 2.0]}
    cases = [shapes_case(name) for name in found]
    monkeypatch.setattr(gate.bench_steps, "CASES", cases)
    monkeypatch.setattr(gate, "level", lambda session: "v4")
    monkeypatch.setattr(gate, "instructions", lambda net: None)
    monkeypatch.setattr(gate, "measure", lambda session, index: found[cases[index].label].pop(0))
    path = tmp_path / "floors.json"
    settings = processes.Settings("/x")
    assert gate.main(settings, [1], True, path) == 0
    assert json.loads(path.read_text()) == {"ratios, v4, threads=1": {"LeNet": 2.0, "MLP": 1.0}}
    path.write_text(json.dumps({"ratios, v4, threads=1": {"LeNet": 2.0, "MLP": 1.5}}))
    found["MLP"] = [1.0, 1.1]
    assert gate.main(settings, [1], False, path) == 1
    assert "FAILED MLP: 1.1" in capsys.readouterr().out and found["MLP"] == []
    found["MLP"] = [1.4]
    assert gate.main(settings, [1], False, path) == 0
    monkeypatch.setattr(gate, "measure", lambda session, index: None)
    assert gate.main(settings, [1], False, path) == 1


def shapes_case(label: str) -> Any:
    return importlib.import_module("bench.shapes").Case(label, {})


def test_pictures_are_drawn_from_the_stored_results(tmp_path):
    pytest.importorskip("matplotlib")
    assert plot.main(folder=tmp_path / "figures") == 0
    first = {p.name: p.read_bytes() for p in (tmp_path / "figures").iterdir()}
    assert {"steps.svg", "gemm.svg"} <= set(first)
    assert plot.main(folder=tmp_path / "figures") == 0
    assert first == {p.name: p.read_bytes() for p in (tmp_path / "figures").iterdir()}
    assert plot.main(tmp_path / "none.json", tmp_path / "figures") == 1


def test_report_writing_twice_changes_nothing(tmp_path):
    path = tmp_path / "RESULTS.md"
    report.update(path, result())
    once = path.read_text()
    report.update(path, result())
    assert path.read_text() == once


def test_section_names_date_machine_versions_notes_and_marks_the_best_mode():
    text = report.section({**result(), "machine": report.machine()})
    for part in (
        "2030-01-02T03:04",
        "pynet 1.2.3",
        "torch 9.9",
        "something to know",
        "250 GFLOP/s",
        "1 thread\n",
    ):
        assert part in text
    assert "| 8 x 8 | multiply | 1.00 | **3.00** | 3.00 (3.00-3.00) | 100 | 40% |" in text
    assert "quick run" not in text
    assert "quick run" in report.section({**result(), "quick": True, "machine": report.machine()})


def test_slow_ratios_of_the_sweep_are_measured_again_and_the_second_result_counts(monkeypatch):
    asked: list[int] = []

    def measure(workers, name, rounds, seconds):
        asked.append(rounds)
        ours = 2.0 if len(asked) == 1 else 0.5
        return {"pynet": timing.summarise([[ours]]), "eager": timing.summarise([[1.0]])}

    class FakeSession:
        settings = processes.Settings(rounds=3)

        def build(self, *arguments: Any) -> dict[str, float]:
            return {"forward": 1.0}

        def worker(self, mode: str) -> str:
            return mode

    monkeypatch.setattr(runner, "measure_in_turn", measure)
    (row,) = runner.run_case(FakeSession(), "sweep", 0, peak=None)
    sweep = importlib.import_module("bench.bench_sweep")
    assert asked == [3, sweep.AGAIN_ROUNDS]
    assert row["first_ratio"] == 0.5 and row["ratio"]["value"] == 2.0
    asked.clear()
    (row,) = runner.run_case(FakeSession(), "conv2d", 0, peak=None)
    assert asked == [3] and row["ratio"]["value"] == 0.5 and "first_ratio" not in row


def test_sweep_summary_has_means_of_kinds_and_passes_and_the_worst_first():
    sweep = importlib.import_module("bench.bench_sweep")

    def row(case: str, name: str, ratio: float) -> dict[str, Any]:
        times = {"pynet": timing.summarise([[1e-3]]), "eager": timing.summarise([[ratio * 1e-3]])}
        return runner.make_row(case, name, times, flops=1e8, peak=None)

    rows = [row("1x1: a", "forward", 2.0), row("1x1: b", "forward", 0.5), row("3x3: c", "backward data", 8.0)]
    text = sweep.summary(rows)
    assert "| 1x1 | 2 | 1.00 (0.50) | - | - | 1.00 (0.50) |" in text
    assert "| **all** | 3 | 1.00 (0.50) | 8.00 (8.00) | - | 2.00 (0.50) |" in text
    assert "1 stayed below 0.95" in text
    assert text.index("1x1: b") < text.index("1x1: a") < text.index("3x3: c")


def test_table_without_a_peer_has_no_ratio():
    row = runner.make_row("8 x 8", "multiply", {"pynet": timing.summarise([[1e-3]])}, None, None)
    assert report.table([row]).splitlines() == [
        "| case | pass | pynet |",
        "| --- | --- | ---: |",
        "| 8 x 8 | multiply | 1.00 |",
    ]


@pytest.mark.parametrize("name", runner.NAMES)
def test_every_benchmark_has_distinct_cases_that_its_functions_accept(name):
    module = importlib.import_module(f"bench.bench_{name}")
    labels = [case.label for case in module.CASES]
    assert labels and len(set(labels)) == len(labels)
    assert module.TITLE and module.__doc__ and (module.MODES or name == "algorithms")
    signature = inspect.signature(module.prepare)
    for case in module.CASES:
        signature.bind(None, **case.params)
        if hasattr(module, "flops"):
            assert all(value > 0 for value in module.flops(**case.params).values())


def test_every_benchmark_file_is_listed():
    files = {path.stem.removeprefix("bench_") for path in (ROOT / "bench").glob("bench_*.py")}
    assert files == set(runner.NAMES)


def test_every_kernel_family_is_measured():
    text = (ROOT / "csrc" / "bindings" / "families.def").read_text()
    families = re.findall(r"^FAMILY\((\w+)\)", text, re.MULTILINE)
    assert families
    missing = [f for f in families if MEASURED_IN.get(f, f) not in (*runner.NAMES, None)]
    assert not missing, f"add bench/bench_<family>.py, or name the file that measures it here: {missing}"


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("mlp", 235_146),
        ("lenet5", 61_706),
        ("vgg_small", 814_122),
        ("resnet20", 272_474),
        ("resnet18", 11_173_962),
    ],
)
def test_networks_have_the_parameters_of_their_papers(name, count):
    from pynet import nn
    from pynet.nn import functional

    model = nets.NETS[name].build(nn, functional)
    assert sum(math.prod(parameter.shape) for parameter in model.parameters()) == count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gem"], "no benchmark is called gem"),
        (["--threads", "0"], "at least 1"),
        (["--rounds", "0"], "at least 1"),
    ],
)
def test_command_line_refuses_nonsense(arguments, message, capsys):
    with pytest.raises(SystemExit):
        command.parse(arguments)
    assert message in capsys.readouterr().err


def test_quick_runs_are_short_and_leave_torch_compile_out():
    settings = command.settings_of(command.parse(["--quick", "--torch-python", "/x"]))
    assert settings.torch_python == "/x" and settings.rounds == 2 and settings.compile_seconds == 0
    steps = importlib.import_module("bench.bench_steps")
    assert "compile" not in runner.modes_of(steps, settings)
    assert "compile" in runner.modes_of(steps, command.settings_of(command.parse(["--torch-python", "/x"])))
