"""Downloading a file once, into a cache, with its SHA-256 checked."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pynet.data.extras import require


def cache_folder() -> Path:
    """Where downloads are kept: `PYNET_DATA`, else the user's cache folder."""
    chosen = os.environ.get("PYNET_DATA")
    return Path(chosen).expanduser() if chosen else Path(require("pooch", "downloading").os_cache("pynet"))


def fetch(
    name: str, folder: str, mirrors: Sequence[str], sha256: str, way_out: str, timeout: float = 30.0
) -> Path:
    """The path of a file in the cache, downloaded when it is not there yet.

    Args:
        name: the file's name, appended to each mirror's address.
        folder: the subfolder of the cache.
        mirrors: addresses that end in "/", tried in turn.
        sha256: what the file must hash to; a cached file is checked too.
        way_out: what to do without a network, for the error.
        timeout: seconds without an answer after which the next mirror is tried.
    Raises:
        ImportError: pooch is missing. OSError: no mirror gave the file, or the cache cannot be written.
            ValueError: the mirrors that answered gave other content.
    """
    pooch = require("pooch", f"downloading {name}")
    target = cache_folder() / folder
    failures: list[str] = []
    mismatched = False
    for mirror in mirrors:
        address = mirror + name
        downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=timeout)
        try:
            found = pooch.retrieve(
                address, known_hash=f"sha256:{sha256}", fname=name, path=target, downloader=downloader
            )
            return Path(found)
        except PermissionError:
            raise  # the cache, which no other mirror cures
        except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong hash is a ValueError
            mismatched = mismatched or isinstance(error, ValueError)
            failures.append(
                f"{address}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
            )
    message = f"could not download {name} ({'; '.join(failures)}). {way_out}"
    raise ValueError(message) if mismatched else OSError(message)
