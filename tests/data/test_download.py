"""Downloads: checked, cached, from mirrors, and with an error that says what to do."""

from __future__ import annotations

import hashlib
import socket

import pytest

from pynet.data import extras
from pynet.data.download import cache_folder, fetch

CONTENT = b"the right bytes"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    pytest.importorskip("pooch")
    monkeypatch.setenv("PYNET_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_fetches_once_and_checks_the_cached_file_again(cache, tmp_path, serve):
    (tmp_path / "file").write_bytes(CONTENT)
    address, requests = serve(tmp_path)
    arguments = ("file", "set", [address], SHA256, "way out")
    path = fetch(*arguments)
    assert path == cache / "set" / "file" and path.read_bytes() == CONTENT
    assert fetch(*arguments) == path and len(requests) == 1
    path.write_bytes(b"damaged")
    assert fetch(*arguments).read_bytes() == CONTENT and len(requests) == 2


def test_wrong_content_is_refused_and_not_kept(cache, tmp_path, serve):
    (tmp_path / "file").write_bytes(b"other bytes")
    address, _ = serve(tmp_path)
    with pytest.raises(ValueError, match=r"could not download file .*SHA256 hash.*Do this\."):
        fetch("file", "set", [address], SHA256, "Do this.")
    assert not (cache / "set" / "file").exists()


def test_a_mirror_with_wrong_content_is_passed_over(cache, tmp_path, serve):
    for name, content in (("bad", b"other bytes"), ("good", CONTENT)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(content)
    address, _ = serve(tmp_path)
    assert fetch("file", "set", [address + "bad/", address + "good/"], SHA256, "").read_bytes() == CONTENT


def test_offline(cache):
    address = f"http://127.0.0.1:{closed_port()}/"
    with pytest.raises(OSError, match=rf"could not download file \({address}file: .*Put it into a folder\."):
        fetch("file", "set", [address], SHA256, "Put it into a folder.")


def test_a_mirror_that_never_answers_runs_into_the_timeout(cache):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(OSError, match="could not download file"):
            fetch("file", "set", [address], SHA256, "", timeout=0.2)


def test_cache_folder(cache, monkeypatch):
    assert cache_folder() == cache
    monkeypatch.delenv("PYNET_DATA")
    assert cache_folder().name == "pynet"


def test_a_missing_library_names_the_extra():
    with pytest.raises(
        ImportError, match=r"reading clouds needs no_such_library.*pip install pynet-nn\[data\]"
    ):
        extras.require("no_such_library.part", "reading clouds")
