"""The command `pynet`: train, eval, predict and doctor, in processes of their own where that matters."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pynet import cli
from pynet.train import History

image = pytest.importorskip("PIL.Image")
pytest.importorskip("sklearn")

SMALL = ["--data", "digits", "--model", "mlp", "--epochs", "8"]


def pynet(*arguments: object, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pynet", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small"
    assert cli.main(["train", *SMALL, "--out", str(folder)]) == 0
    return folder


def closing(out: str) -> str:
    line = out.splitlines()[-1]
    assert re.fullmatch(r"test accuracy: \d+\.\d %", line)
    return line


def test_digits_reach_98_percent(tmp_path):
    done = pynet("train", "--data", "digits", "--out", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    assert float(closing(done.stdout).split()[2]) >= 98
    assert re.search(r"^time: \d+\.\d s$", done.stdout, re.M)
    assert len(done.stderr.splitlines()) == 31  # a headline and a line an epoch
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"model.safetensors", "run.json", "history.json", "history.csv", "checkpoints"} <= names
    description = json.loads((tmp_path / "demo" / "run.json").read_text())
    assert description["status"] == "finished"
    assert description["figures"]["test_accuracy"] >= 0.98
    assert description["classes"] == list("0123456789")
    assert description["command"].startswith("pynet train --data digits --out")
    again = pynet("eval", tmp_path / "demo")
    assert closing(again.stdout) == closing(done.stdout)


def test_the_same_command_gives_the_same_bits(run, tmp_path):
    assert cli.main(["train", *SMALL, "--threads", "1", "--out", str(tmp_path / "again")]) == 0
    first, second = (folder / "model.safetensors" for folder in (run, tmp_path / "again"))
    assert first.read_bytes() == second.read_bytes()
    assert cli.main(["train", *SMALL, "--seed", "1", "--out", str(tmp_path / "other")]) == 0
    assert first.read_bytes() != (tmp_path / "other" / "model.safetensors").read_bytes()


def test_eval_needs_nothing_but_the_folder(run, tmp_path, capsys):
    moved = tmp_path / "moved"
    run.rename(moved)
    try:
        assert cli.main(["eval", str(moved)]) == 0
    finally:
        moved.rename(run)
    assert "test images: 449" in capsys.readouterr().out


def pictures(folder):
    from sklearn.datasets import load_digits

    digits = load_digits()
    paths = []
    for number in (0, 1, 3):
        pixels = np.rint(digits.images[number] * 255 / 16).astype(np.uint8)
        paths.append(str(folder / f"{digits.target[number]}.png"))
        image.fromarray(pixels).save(paths[-1])
    return paths


def test_predict_names_the_classes(run, tmp_path, capsys):
    paths = pictures(tmp_path)
    assert cli.main(["predict", str(run), *paths]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert captured.err == ""
    for path, line, digit in zip(paths, lines, "013", strict=True):
        assert re.fullmatch(rf"{re.escape(path)}: {digit} \d+\.\d %, \d \d+\.\d %, \d \d+\.\d %", line)
    assert cli.main(["predict", str(run), "--top", "10", paths[0]]) == 0
    shares = re.findall(r"(\d+\.\d) %", capsys.readouterr().out)
    assert sum(map(float, shares)) == pytest.approx(100, abs=0.6)
    assert cli.main(["predict", str(run), "--top", "0", paths[0]]) == 2
    assert "--top must be at least 1" in capsys.readouterr().err


def test_a_colour_image_is_converted_and_that_is_said(run, tmp_path, capsys):
    grey = pictures(tmp_path)[0]
    colour, large, paper = (str(tmp_path / name) for name in ("colour.png", "large.png", "paper.png"))
    with image.open(grey) as source:
        image.merge("RGB", [source, source, source]).save(large)
        tinted = np.stack([np.asarray(source), np.asarray(source), np.zeros((8, 8), np.uint8)], axis=2)
        image.fromarray(tinted).resize((31, 40), image.Resampling.NEAREST).save(colour)
        image.fromarray(255 - np.asarray(source)).save(paper)
    assert cli.main(["predict", str(run), grey, large, colour]) == 0
    captured = capsys.readouterr()
    assert (
        captured.err
        == f"{colour}: a colour image; it was converted to grey, as this network takes 1 channel\n"
    )
    first, second, _ = (line.split(": ")[1] for line in captured.out.splitlines())
    assert first == second
    assert cli.main(["predict", str(run), "--invert", paper]) == 0
    assert capsys.readouterr().out.split(": ")[1].strip() == first


def test_doctor_tells_what_it_found():
    done = pynet("doctor")
    assert done.returncode == 0, done.stderr
    for word in ("pynet", "python", "numpy", "isa", "available", "threads", "pool", "compiler"):
        assert word in done.stdout, word
    assert f"threads{' '}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train"], "train: give --data"),
        (["train", "--data", "cats"], "there is no data set and no folder 'cats'"),
        (
            ["train", "--data", "digits", "--model", "lenet"],
            "no architecture is called 'lenet'; did you mean 'lenet5'",
        ),
        (["train", "--data", "digits", "--model", "lenet5"], "image_size 8 is too small; use at least 12"),
        (["train", "--data", "digits", "--epochs", "0"], "epochs must be at least 1, not 0"),
        (["train", "--data", "digits", "--epochs", "x"], "argument --epochs: invalid int value: 'x'"),
        (["train", "--data", "digits", "--optimizer", "lion"], "no optimizer is called 'lion'"),
        (["train", "--data", "digits", "--threads", "0"], "set_num_threads"),
        (
            ["train", "--data", "digits", "--out", "/dev/null/run"],
            "/dev/null/run: the folder cannot be written",
        ),
        (["train", "--data", "fashion-mnist", "--root", "/nonexistent"], "there is no train-images"),
        (["train", "--resume", "/nonexistent"], "no RUN folder: it has no run.json"),
        (["train", "--resume", "x", "--lr", "1"], "--resume takes all settings from x; leave out --lr"),
        (["eval", "/nonexistent"], "no RUN folder"),
        (["predict", "/nonexistent", "a.png"], "no RUN folder"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_an_error_is_one_sentence_and_exit_code_2(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        code = cli.main(arguments)
    except SystemExit as leave:
        code = leave.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback():
    done = pynet("eval", "--debug", "/nonexistent")
    assert "Traceback" in done.stderr
    assert "Traceback" not in pynet("eval", "/nonexistent").stderr


def test_damaged_files_of_a_run_are_one_sentence(run, tmp_path, capsys):
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    (broken / "model.safetensors").write_bytes(b"<html>")
    assert cli.main(["eval", str(broken)]) == 2
    assert "model.safetensors is not a safetensors file (it looks like HTML" in capsys.readouterr().err
    assert cli.main(["predict", str(run), str(broken / "run.json")]) == 2
    assert "run.json: not an image" in capsys.readouterr().err
    assert cli.main(["predict", str(run), "/nonexistent.png"]) == 2
    assert "/nonexistent.png" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_goes_on_with_the_same_bits(tmp_path, number, code):
    options = ["train", "--data", "digits", "--epochs", "4", "--seed", "3"]
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    command = [sys.executable, "-m", "pynet", *options, "--out", str(stopped)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("epoch 1/4"):
            break
    time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert out == ""
    assert f"{number.name}: stopping after this step" in err
    assert f"continue with: pynet train --resume {stopped}" in err
    assert json.loads((stopped / "run.json").read_text())["status"] == "stopped"
    assert 1 <= len(History.load(stopped / "history.json")) < 4
    done = pynet("train", "--resume", stopped)
    assert done.returncode == 0, done.stderr
    assert pynet(*options, "--out", whole).stdout.splitlines()[-1] == closing(done.stdout)
    assert (stopped / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert len(History.load(stopped / "history.json")) == 4


def test_a_run_that_is_finished_can_be_resumed_without_harm(run, capsys):
    before = (run / "model.safetensors").read_bytes()
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert closing(capsys.readouterr().out)
    assert (run / "model.safetensors").read_bytes() == before


def test_a_damaged_checkpoint_is_refused_and_the_previous_one_named(run, tmp_path, capsys):
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    last = broken / "checkpoints" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-10])
    assert cli.main(["train", "--resume", str(broken)]) == 2
    assert f"resume from {broken}/checkpoints/previous.safetensors" in capsys.readouterr().err


def test_a_folder_of_images(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name, level in (("dark", 60), ("light", 190)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(30):
            pixels = rng.integers(level - 50, level + 50, size=(10, 10, 3)).astype(np.uint8)
            image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    out = str(tmp_path / "run")
    options = ["--image-size", "8", "--epochs", "3", "--batch-size", "8", "--out", out]
    assert cli.main(["train", "--data", str(tmp_path / "data"), *options]) == 0
    assert closing(capsys.readouterr().out) == "test accuracy: 100.0 %"
    assert cli.main(["predict", out, "--top", "1", str(tmp_path / "data" / "light" / "0.png")]) == 0
    assert "0.png: light " in capsys.readouterr().out


def test_help_and_version(capsys):
    for arguments in (["--help"], ["train", "--help"], ["predict", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as leave:
            cli.main(arguments)
        assert leave.value.code == 0
    assert "pynet 0." in capsys.readouterr().out
