"""idx files: what is read back, and every way in which one can be damaged."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from pynet.data.idx import read_idx, write_idx

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)


@pytest.mark.parametrize("name", ["images-idx3-ubyte", "images-idx3-ubyte.gz"])
@pytest.mark.parametrize("dtype", ["u1", "i1", ">i2", "i4", "f4", ">f8"])
def test_round_trip(tmp_path, name, dtype):
    array = (IMAGES // 2).astype(dtype)
    write_idx(tmp_path / name, array)
    read = read_idx(tmp_path / name)
    assert (
        np.array_equal(read, array) and read.dtype == array.dtype.newbyteorder("=") and read.flags.writeable
    )


def test_the_bytes_are_those_of_the_format(tmp_path):
    write_idx(tmp_path / "labels", np.array([7, 9], np.uint8))
    assert (tmp_path / "labels").read_bytes() == bytes.fromhex("00000801 00000002 0709")


def test_truncated_at_every_byte(tmp_path):
    path = tmp_path / "images"
    write_idx(path, IMAGES)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="images: truncated idx file"):
            read_idx(path)


def test_a_gzip_file_truncated_at_every_byte(tmp_path):
    path = tmp_path / "images.gz"
    write_idx(path, IMAGES)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"images\.gz: (truncated|not an idx)"):
            read_idx(path)


def test_a_flipped_bit_in_a_gzip_file(tmp_path):
    path = tmp_path / "images.gz"
    write_idx(path, IMAGES)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 4
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"images\.gz"):
        read_idx(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("89504e47 0d0a1a0a", "not an idx file, it begins with 89 50 4e 47"),
        ("00000f01 00000001 00", "not an idx file"),
        ("00000800", "not an idx file"),
        ("00000801 00000001 0000", "bytes follow the 1 of shape"),
        ("00000803 ffffffff ffffffff ffffffff", r"needs 79228162458924105385300197375 bytes"),
        ("00000801 ffffffff 00", "needs 4294967295 bytes"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_wrong_headers(tmp_path, content, message, zipped):
    path = tmp_path / "file"
    raw = bytes.fromhex(content)
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    with pytest.raises(ValueError, match=f"file: .*{message}"):
        read_idx(path)


def test_no_samples_and_no_file(tmp_path):
    write_idx(tmp_path / "none", np.zeros((0, 28, 28), np.uint8))
    assert read_idx(tmp_path / "none").shape == (0, 28, 28)
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "missing")
    with pytest.raises(TypeError, match="no idx type for dtype complex128"):
        write_idx(tmp_path / "bad", np.zeros(2, complex))
