"""MNIST and Fashion-MNIST from folders, packages and mirrors, in files of the real format."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pynet.data import MNIST, DataLoader, FashionMNIST
from pynet.data.idx import write_idx


def write_files(folder, suffix=".gz", count=12):
    folder.mkdir(exist_ok=True)
    for part, seed in (("train", 0), ("t10k", 1)):
        images = np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", np.arange(count, dtype=np.uint8) % 10)
    return folder


@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_from_a_folder(tmp_path, suffix, kind):
    root = write_files(tmp_path / "data", suffix)
    train, test = kind(root=root), kind(train=False, root=root)
    assert train.images.shape == (12, 1, 28, 28) and train.images.dtype == np.uint8
    assert train.labels.dtype == np.int64 and train.labels.tolist() == [*range(10), 0, 1]
    assert train.train is True and test.train is False and len(train.classes) == 10
    assert not np.array_equal(train.images, test.images)
    image, label = next(iter(DataLoader(train, 4)))
    assert image.array.dtype == np.float32 and image.array.max() <= 1 and label.array.dtype == np.int64
    assert image.array.transpose(0, 2, 3, 1).flags.c_contiguous


def test_from_a_package_of_the_system(tmp_path, monkeypatch):
    root = write_files(tmp_path / "data")
    monkeypatch.setattr(FashionMNIST, "FOLDERS", (str(tmp_path / "none"), str(root)))
    assert len(FashionMNIST(download=False)) == 12


def test_downloads_from_the_second_mirror_into_the_cache(tmp_path, monkeypatch, serve):
    source = write_files(tmp_path / "data")
    sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in source.iterdir()}
    address, requests = serve(source)
    monkeypatch.setenv("PYNET_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(MNIST, "MIRRORS", (address + "missing/", address))
    monkeypatch.setattr(MNIST, "FILES", sums)
    first = MNIST(train=False)
    served = len(requests)
    assert np.array_equal(first.images, MNIST(train=False, root=source).images)
    assert (tmp_path / "cache" / "mnist" / "t10k-images-idx3-ubyte.gz").is_file()
    assert np.array_equal(MNIST(train=False).images, first.images) and len(requests) == served == 4


def test_not_found(tmp_path, monkeypatch):
    monkeypatch.setattr(FashionMNIST, "FOLDERS", ())
    with pytest.raises(FileNotFoundError, match=r"there is no train-images-idx3-ubyte\.gz"):
        MNIST(root=tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"download=False.*apt install dataset-fashion-mnist.*root=FOLDER"
    ):
        FashionMNIST(download=False)


def test_files_that_do_not_fit(tmp_path):
    root = write_files(tmp_path / "data")
    write_idx(root / "train-labels-idx1-ubyte.gz", np.arange(11, dtype=np.uint8))
    with pytest.raises(
        ValueError, match=r"train-labels-idx1-ubyte.gz: 12 uint8 labels are expected.*\(11,\)"
    ):
        MNIST(root=root)
    write_idx(root / "train-labels-idx1-ubyte.gz", np.full(12, 10, np.uint8))
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte.gz: labels must be below 10, got 10"):
        MNIST(root=root)
    write_idx(root / "train-images-idx3-ubyte.gz", np.zeros(12, np.uint8))
    with pytest.raises(
        ValueError, match=r"train-images-idx3-ubyte.gz: uint8 images \(N, H, W\) are expected"
    ):
        MNIST(root=root)


def test_debians_package_holds_the_images_of_the_mirrors():
    try:
        train, test = FashionMNIST(download=False), FashionMNIST(train=False, download=False)
    except FileNotFoundError:
        pytest.skip("the package dataset-fashion-mnist is not installed")
    assert (len(train), len(test)) == (60000, 10000)
    assert np.bincount(train.labels).tolist() == [6000] * 10
    # The MD5 sum of the unpacked file, t10k-images-idx3-ubyte.
    header = bytes.fromhex("00000803 00002710 0000001c 0000001c")
    assert hashlib.md5(header + test.images.tobytes()).hexdigest() == "8181f5470baa50b63fa0f6fddb340f0a"
