"""CIFAR-10 from folders, archives and a mirror, in files of the real format."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile

import numpy as np
import pytest

from pynet.data import CIFAR10

TRAIN = [f"data_batch_{number}.bin" for number in range(1, 6)]


def records(seed, count=4):
    made = np.random.default_rng(seed).integers(0, 256, (count, 3073), dtype=np.uint8)
    made[:, 0] %= 10
    return made


CONTENTS = {name: records(seed).tobytes() for seed, name in enumerate([*TRAIN, "test_batch.bin"])}


def write_folder(folder):
    folder.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    return folder


def write_archive(path, contents=None, prefix="cifar-10-batches-bin/"):
    members = list((CONTENTS if contents is None else contents).items())
    with tarfile.open(path, "w:gz") as archive:
        for name, content in [("batches.meta.txt", b"airplane\n"), *members]:
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(params=["folder", "subfolder", "archive", "folder with archive"])
def root(request, tmp_path):
    if request.param == "folder":
        return write_folder(tmp_path / "data")
    if request.param == "subfolder":
        return write_folder(tmp_path / "data" / "cifar-10-batches-bin").parent
    archive = write_archive(tmp_path / "cifar-10-binary.tar.gz")
    return archive if request.param == "archive" else archive.parent


def test_pixels_and_labels(root):
    train, test = CIFAR10(root=root), CIFAR10(train=False, root=root)
    expected = np.concatenate([records(seed) for seed in range(5)])
    assert train.images.shape == (20, 3, 32, 32) and test.images.shape == (4, 3, 32, 32)
    assert np.array_equal(train.labels, expected[:, 0]) and train.labels.dtype == np.int64
    # Row 1, column 2 of the green plane.
    assert np.array_equal(train.images[:, 1, 1, 2], expected[:, 1 + 1024 + 32 + 2])
    assert np.array_equal(train.images.reshape(20, -1), expected[:, 1:])
    assert train.images.transpose(0, 2, 3, 1).flags.c_contiguous
    assert train.classes[3] == "cat" and train.train is True and test.train is False


def test_nothing_is_extracted(tmp_path):
    archive = write_archive(tmp_path / "cifar-10-binary.tar.gz", prefix="../../outside/")
    assert len(CIFAR10(root=archive)) == 20
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-binary.tar.gz"]
    assert not (tmp_path.parent.parent / "outside").exists()


def test_download(tmp_path, monkeypatch, serve):
    pytest.importorskip("pooch")
    archive = write_archive(tmp_path / "cifar-10-binary.tar.gz")
    monkeypatch.setenv("PYNET_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(CIFAR10, "MIRRORS", (serve(tmp_path)[0],))
    with pytest.raises(ValueError, match=r"SHA256 hash.*put cifar-10-binary\.tar\.gz"):
        CIFAR10()
    monkeypatch.setattr(CIFAR10, "SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    assert len(CIFAR10()) == 20


def test_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither cifar-10-binary\.tar\.gz nor data_batch_1.bin"):
        CIFAR10(root=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"download=False.*the binary version, not the Python one"):
        CIFAR10(download=False)


@pytest.mark.parametrize("content", [b"", b"\x01" * 3072, b"\x01" * 3074, b"\x01" * (3073 * 10_001)])
def test_a_file_that_is_no_whole_number_of_records(tmp_path, content):
    folder = write_folder(tmp_path / "data")
    (folder / "data_batch_4.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"data_batch_4\.bin: truncated or no CIFAR-10 file"):
        CIFAR10(root=folder)


def test_a_label_without_a_class(tmp_path):
    folder = write_folder(tmp_path / "data")
    (folder / "test_batch.bin").write_bytes(b"\x0a" + bytes(3072))
    with pytest.raises(ValueError, match=r"test_batch\.bin: labels must be below 10, got 10"):
        CIFAR10(train=False, root=folder)


def test_a_truncated_archive(tmp_path):
    path = write_archive(tmp_path / "cifar-10-binary.tar.gz")
    whole = path.read_bytes()
    for length in [*range(0, len(whole), len(whole) // 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cifar-10-binary\.tar\.gz: "):
            CIFAR10(root=path)


def test_a_flipped_bit_in_an_archive(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    whole = bytearray(write_archive(path).read_bytes())
    whole[-8] ^= 1  # gzip's checksum
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"CRC check failed"):
        CIFAR10(root=path)
    path.write_bytes(write_archive(path).read_bytes() + gzip.compress(bytes(2**21)))
    with pytest.raises(ValueError, match=r"data follow its end"):
        CIFAR10(root=path)


def test_archives_of_another_kind(tmp_path):
    path = tmp_path / "archive.tar.gz"
    write_archive(path, {name: CONTENTS[name] for name in TRAIN[:-1]})
    with pytest.raises(ValueError, match=r"lacks data_batch_5\.bin"):
        CIFAR10(root=path)
    write_archive(path, {f"{number}": b"" for number in range(100)})
    with pytest.raises(ValueError, match=r"one member too many or too large"):
        CIFAR10(root=path)
    write_archive(path, {"large": bytes(3073 * 10_000 + 1)})
    with pytest.raises(ValueError, match=r"one member too many or too large"):
        CIFAR10(root=path)
    path.write_bytes(b"not an archive at all")
    with pytest.raises(ValueError, match=r"archive\.tar\.gz: truncated or damaged archive"):
        CIFAR10(root=path)


def test_a_member_that_is_a_link_or_doubled(tmp_path):
    path = tmp_path / "archive.tar.gz"
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
        with tarfile.open(path, "w:gz") as archive:
            member = tarfile.TarInfo("test_batch.bin")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        with pytest.raises(ValueError, match=r"is there twice or is no plain file"):
            CIFAR10(train=False, root=path)
    with tarfile.open(path, "w:gz") as archive:
        for folder in ("a/", "b/"):
            member = tarfile.TarInfo(folder + "test_batch.bin")
            member.size = 3073
            archive.addfile(member, io.BytesIO(bytes(3073)))
    with pytest.raises(ValueError, match=r"is there twice"):
        CIFAR10(train=False, root=path)
