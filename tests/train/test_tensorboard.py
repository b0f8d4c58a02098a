"""What TensorBoard reads back from the files that the callback writes."""

from __future__ import annotations

import sys

import pytest

from pynet.train import LambdaCallback, TensorBoard

pytest.importorskip("tensorboardX", reason="needs tensorboardX: pip install 'pynet-nn[logging]'")
event_accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator",
    reason="needs tensorboard, which reads the files",
)


def read(folder):
    reader = event_accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0})
    return reader.Reload()


def values(reader, tag):
    return [event.value for event in reader.Scalars(tag)]


def test_tensorboard_reads_the_figures_back(setup, tmp_path):
    history = setup().fit(3, callbacks=[TensorBoard(tmp_path / "logs")])
    reader = read(tmp_path / "logs")
    assert set(reader.Tags()["scalars"]) == {
        "loss/train", "loss/validation", "accuracy/train", "accuracy/validation", "lr", "seconds"
    }  # fmt: skip
    for tag, key in (("loss/train", "loss"), ("accuracy/validation", "val_accuracy"), ("lr", "lr")):
        assert values(reader, tag) == pytest.approx(history[key])
    assert [event.step for event in reader.Scalars("lr")] == [8, 16, 24]
    assert reader.Tags()["histograms"] == []


def test_steps_and_histograms_where_they_are_asked_for(setup, tmp_path):
    one, losses = setup(), []
    see = LambdaCallback(on_batch_end=lambda step, logs: losses.append(logs["loss"]))
    one.fit(2, callbacks=[see, TensorBoard(tmp_path, histogram_freq=2, update_freq=3)])
    reader = read(tmp_path)
    assert [event.step for event in reader.Scalars("step/loss")] == [3, 6, 9, 12, 15]
    assert values(reader, "step/loss") == pytest.approx(losses[2::3])
    weights = reader.Histograms("0/weight")
    assert [event.step for event in weights] == [16]
    assert weights[0].histogram_value.num == one.model[0].weight.array.size
    assert weights[0].histogram_value.max == pytest.approx(one.model[0].weight.array.max())


def test_a_resumed_training_hides_what_it_does_again(setup, tmp_path):
    """The first process dies after epoch 3, its last checkpoint is of epoch 2."""
    logs, saved = tmp_path / "logs", tmp_path / "saved"
    setup().fit(2, checkpoint=saved)
    setup().fit(3, callbacks=[TensorBoard(logs)])
    second = setup(seed=3)
    history = second.fit(4, callbacks=[TensorBoard(logs)], resume=saved)
    reader = read(logs)
    assert [event.step for event in reader.Scalars("lr")] == [8, 16, 24, 32]
    assert values(reader, "loss/train") == pytest.approx(history["loss"])


def test_bad_arguments_and_a_missing_package(monkeypatch):
    with pytest.raises(
        ValueError, match="update_freq must be 'epoch', 'batch' or a number of steps, not 'day'"
    ):
        TensorBoard(update_freq="day")
    with pytest.raises(ValueError, match="histogram_freq must be an integer of at least 0, not -1"):
        TensorBoard(histogram_freq=-1)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install 'pynet-nn\[logging\]'"):
        TensorBoard()
