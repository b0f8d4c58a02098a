"""`pynet.save` and `pynet.load`: what goes in comes out, other files and other things are refused."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest

import pynet
from pynet import nn
from pynet.io import load_file


def same(a, b) -> bool:
    """Equal, of equal types, all the way down."""
    if type(a) is not type(b):
        return isinstance(a, nn.Parameter) and type(b) is pynet.Tensor and same(a.detach(), b.detach())
    if isinstance(a, pynet.Tensor):
        return a.dtype == b.dtype and a.requires_grad == b.requires_grad and np.array_equal(a.array, b.array)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


OBJECTS = {
    "tensor": pynet.arange(6).reshape(2, 3),
    "numbers": {
        "epoch": 3,
        "rate": 0.1,
        "best": float("nan"),
        "far": -float("inf"),
        "on": True,
        "none": None,
    },
    "keys": {0: "a", "0": "b", 1.5: [], True: ()},
    "nested": {"a": [pynet.ones(2), (pynet.zeros(()), {"b": np.arange(3, dtype=np.int16)})], "c.d": "text"},
    "gradient": {"w": pynet.ones(2, requires_grad=True)},
    "dtypes": [pynet.zeros(2, dtype=t) for t in (np.float64, np.int8, np.uint8, np.bool_, np.int64)],
    "clashing": {"a.b": pynet.ones(1), "a": {"b": pynet.zeros(1)}, "__metadata__": pynet.ones(1)},
    "scalars": [np.float32(0.5), np.int64(4)],
    "strides": pynet.ones(2, 3, 4, 5).permute(0, 2, 3, 1),
    "empty": pynet.zeros(0, 3),
    "plain": "only text",
}


@pytest.mark.parametrize("name", OBJECTS)
def test_round_trip(name, tmp_path):
    value = OBJECTS[name]
    pynet.save(value, tmp_path / "file")
    assert same(value, pynet.load(tmp_path / "file"))
    buffer = io.BytesIO()
    pynet.save(value, buffer)
    buffer.seek(0)
    assert same(value, pynet.load(buffer, map_location="cpu", weights_only=True))


def test_a_training_run_goes_on(tmp_path):
    def fresh():
        pynet.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
        )
        return model, pynet.optim.Adam(model.parameters(), lr=0.01)

    def step(model, optimizer):
        loss = nn.functional.cross_entropy(model(pynet.ones(2, 1, 8, 8)), pynet.tensor([0, 2]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    model, optimizer = fresh()
    step(model, optimizer)
    pynet.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "run.pt")
    step(model, optimizer)
    again, other = fresh()
    state = pynet.load(tmp_path / "run.pt")
    again.load_state_dict(state["model"])
    other.load_state_dict(state["optimizer"])
    step(again, other)
    for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        np.testing.assert_array_equal(a.array, b.array)


def test_one_tensor_twice_is_one_tensor(tmp_path):
    x = pynet.ones(3)
    pynet.save({"a": x, "b": [x]}, tmp_path / "f")
    loaded = pynet.load(tmp_path / "f")
    assert loaded["a"] is loaded["b"][0]
    loaded["a"].add_(1)  # its own memory, writeable
    assert list(load_file(tmp_path / "f")) == ["a"]


def test_files_of_safetensors_are_read(tmp_path):
    pynet.io.save_file({"w": np.ones(2, np.float32)}, tmp_path / "f", {"any": "thing"})
    loaded = pynet.load(tmp_path / "f")
    assert list(loaded) == ["w"] and loaded["w"].tolist() == [1.0, 1.0]


def test_what_is_refused(tmp_path):
    path = tmp_path / "f"
    pynet.save([1], path)
    with pytest.raises(TypeError, match=r"save: model is a Linear; .*; save its state_dict\(\)"):
        pynet.save({"model": nn.Linear(1, 1)}, path)
    with pytest.raises(TypeError, match=r"save: a\.0 is a function"):
        pynet.save({"a": [print, test_round_trip][1:]}, path)
    with pytest.raises(TypeError, match="the key None in the dict is no str or number"):
        pynet.save({None: 1}, path)
    loop: list = []
    loop.append(loop)
    with pytest.raises(TypeError, match="save: 0 holds itself"):
        pynet.save(loop, path)
    assert pynet.load(path) == [1], "the old file is intact"
    for data, what in ((pickle.dumps({"a": 1}), "a pickle"), (b"PK\x03\x04" + bytes(50), "a PyTorch file")):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"is not a safetensors file .it looks like .*{what}"):
            pynet.load(path)
    with pytest.raises(FileNotFoundError):
        pynet.load(tmp_path / "absent")
