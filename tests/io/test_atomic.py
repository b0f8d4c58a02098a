"""Atomic writing: the old file or the new one, no leftovers, and a clear error before any harm."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from pynet.io import atomic


def test_replaces_the_content_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "a"
    atomic.write_atomically(target, "old")
    atomic.write_atomically(target, b"new")
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


def test_a_failure_before_the_rename_keeps_the_old_file(tmp_path):
    target = tmp_path / "a"
    target.write_text("old")

    def fail():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        atomic.write_atomically(target, "new", before_replace=fail)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_full_disk_keeps_the_old_file(tmp_path):
    target = tmp_path / "a"
    target.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            atomic.write_atomically(target, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_leftovers_of_dead_processes_are_removed(tmp_path):
    host = atomic._HOST
    dead = tmp_path / f".last.safetensors.{host}-{dead_process()}-0123abcd.tmp"
    own = (
        tmp_path / f".last.safetensors.{host}-{os.getpid()}-0123abcd.tmp"
    )  # an earlier process of the same id
    alive = tmp_path / f".last.safetensors.{host}-{os.getppid()}-0123abcd.tmp"
    elsewhere = tmp_path / f".last.safetensors.00000000-{dead_process()}-0123abcd.tmp"
    others = tmp_path / ".mine.tmp"
    for path in (dead, own, alive, elsewhere, others):
        path.write_text("x")
    with atomic.temporary_sibling(tmp_path / "b") as writing:
        writing.write_text("x")
        atomic.prepare_folder(tmp_path)
        assert {path for path in tmp_path.iterdir()} == {alive, elsewhere, others, writing}


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=r"cannot be written.*file/sub"):
        atomic.prepare_folder(tmp_path / "file" / "sub")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path):
    (tmp_path / "shut").mkdir(mode=0o500)
    with pytest.raises(PermissionError, match="cannot be written"):
        atomic.prepare_folder(tmp_path / "shut")
