"""Weights in files: values survive, and a file that is damaged or foreign is refused in one sentence."""

from __future__ import annotations

import io
import json
import pickle
import struct
import time

import numpy as np
import pytest
from safetensors.numpy import load_file as peer_load
from safetensors.numpy import save_file as peer_save

from pynet.io import safetensors


def packed(header: object, payload: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + payload


def entry(start: int = 0, stop: int = 4, dtype: str = "F32", shape: tuple = (1,)) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


def sample() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"conv.weight": rng.normal(size=(3, 2, 3, 3)).astype(np.float32), "n": np.array(7, np.int64)}


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"])
def test_values_survive_for_every_dtype(tmp_path, dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    safetensors.save_file({"x": array}, tmp_path / "a", {"k": [1, None]})
    tensors, metadata = safetensors.read_file(tmp_path / "a")
    assert tensors["x"].dtype == array.dtype
    assert np.array_equal(tensors["x"], array)
    assert metadata == {"k": [1, None]}


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x.transpose(0, 3, 1, 2),
        lambda x: x[::-1, :, ::2],
        lambda x: np.broadcast_to(x[:1], x.shape),
        np.asfortranarray,
        lambda x: x.astype(">f4"),
        lambda x: x[:0],
        lambda x: x[0, 0, 0, 0],
    ],
)
def test_any_memory_order_keeps_values(tmp_path, make):
    array = make(np.random.default_rng(1).normal(size=(2, 3, 4, 5)).astype(np.float32))
    safetensors.save_file({"x": array}, tmp_path / "a")
    for loaded in (safetensors.load_file(tmp_path / "a")["x"], peer_load(tmp_path / "a")["x"]):
        assert loaded.shape == array.shape
        assert np.array_equal(loaded, array)


def test_loaded_arrays_can_be_written(tmp_path):
    safetensors.save_file(sample(), tmp_path / "a")
    safetensors.load_file(tmp_path / "a")["conv.weight"][...] = 0


def test_a_file_of_another_program_loads(tmp_path):
    peer_save(sample(), tmp_path / "a", {"by": "someone"})
    tensors, metadata = safetensors.read_file(tmp_path / "a")
    assert np.array_equal(tensors["conv.weight"], sample()["conv.weight"])
    assert metadata == {"by": "someone"}


def test_bfloat16_is_widened(tmp_path):
    data = packed({"x": entry(dtype="BF16", shape=(2,))}, struct.pack("<2H", 0x3FC0, 0xC000))
    loaded = safetensors.from_bytes(data)
    assert loaded.tensors["x"].dtype == np.float32
    assert loaded.tensors["x"].tolist() == [1.5, -2.0]


def test_truncation_at_every_byte_is_refused():
    data = safetensors.to_bytes(sample(), {"a": 1})
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"w is not a safetensors file|damaged"):
            safetensors.from_bytes(data[:length], "w")


def test_every_flipped_byte_is_refused_or_harmless():
    data = safetensors.to_bytes(sample(), {"a": 1})
    header_end = 8 + struct.unpack("<Q", data[:8])[0]
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0x20
        try:
            loaded = safetensors.from_bytes(bytes(damaged), "w")
        except ValueError:
            continue
        # JSON ignores white space, and a renamed checksum entry leaves nothing to compare with.
        assert place < header_end
        assert all(np.array_equal(loaded.tensors[key], value) for key, value in sample().items())


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "not a safetensors file"),
        (packed(b""), "not a safetensors file"),
        (struct.pack("<Q", 2**63) + b"{}", "not a safetensors file"),
        (struct.pack("<Q", 100_000_001) + b"{}" * 10, "not a safetensors file"),
        (packed(b"\xff\xfe{}"), "header cannot be read"),
        (packed(b"{nonsense}"), "header cannot be read"),
        (packed(b"[" * 100_000 + b"]" * 100_000), "not a safetensors file"),
        (packed(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "not a safetensors file"),
        (packed([1, 2]), "no table of names"),
        (packed({"__metadata__": {"a": 1}}), "no table of names"),
        (packed({"a": entry(0, 4), "b": entry(2, 6)}, b"\0" * 6), "not a safetensors file"),
        (packed({"a": entry(0, 4), "b": entry(8, 12)}, b"\0" * 12), "not a safetensors file"),
        (packed({"a": entry()}, b"\0" * 5), "not a safetensors file"),
        (packed({"a": entry(shape=(2**62, 2**62))}, b"\0" * 4), "not a safetensors file"),
        (packed({"a": entry(dtype="F99")}, b"\0" * 4), "not a safetensors file"),
        (packed({"a": entry(dtype="F8_E4M3", shape=(4,))}, b"\0" * 4), "dtype F8_E4M3"),
        (b'H\0\0\0\0\0\0\0{"a":1,"a":2}' + b" " * 59, "occurs twice"),
    ],
)
def test_malformed_files_are_refused(data, match):
    with pytest.raises(ValueError, match=match):
        safetensors.from_bytes(data, "w")


def test_doubled_names_are_refused():
    inner = json.dumps(entry())
    with pytest.raises(ValueError, match="'a' occurs twice"):
        safetensors.from_bytes(packed(f'{{"a":{inner},"a":{inner}}}'.encode(), b"\0" * 4))


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=np.ones(3))
    return stream.getvalue()


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (pickle.dumps(Bomb()), "a pickle"),
        (npz(), "zip archive"),
        (b"<!DOCTYPE html><html>not found</html>", "HTML"),
    ],
)
def test_foreign_files_are_named(tmp_path, data, what):
    (tmp_path / "w").write_bytes(data)
    with pytest.raises(ValueError, match=f"w is not a safetensors file .*{what}"):
        safetensors.load_file(tmp_path / "w")


def test_a_name_is_data_and_no_path(tmp_path):
    safetensors.save_file({"../../x": np.ones(2, np.float32)}, tmp_path / "a")
    assert list(safetensors.load_file(tmp_path / "a")) == ["../../x"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_many_tensors_and_a_huge_name_take_bounded_time():
    many = {f"layer.{i}": np.zeros(1, np.float32) for i in range(50_000)} | {
        "n" * 2**20: np.zeros(1, np.float32)
    }
    begin = time.perf_counter()
    assert len(safetensors.from_bytes(safetensors.to_bytes(many)).tensors) == 50_001
    assert time.perf_counter() - begin < 20


@pytest.mark.parametrize(
    ("tensors", "match"),
    [
        ({"x": np.array(["a"])}, "dtype <U1"),
        ({"x": np.array([None])}, "dtype object"),
        ({"x": np.ones(2, np.complex64)}, "complex64"),
        ({3: np.ones(2)}, "3 cannot name a tensor"),
        ({"__metadata__": np.ones(2)}, "cannot name a tensor"),
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path, tensors, match):
    with pytest.raises(TypeError, match=match):
        safetensors.save_file(tensors, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_saving_over_a_mapped_file_leaves_the_mapping_alone(tmp_path):
    path = tmp_path / "a"
    safetensors.save_file({"x": np.ones(1000, np.float32)}, path)
    mapped = np.memmap(path, np.uint8, "r")
    before = mapped.tobytes()
    safetensors.save_file({"x": np.zeros(10, np.float32)}, path)
    assert mapped.tobytes() == before
