"""Files from an address, downloaded once and known by their digest."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from http.client import HTTPException
from pathlib import Path

from ...spec.cache import cache_folder
from ...spec.diagnostic import Diagnostic, LmcError
from ..store.digest import file_sha256
from .cached import exclusive

BLOCK = 1 << 20
TIMEOUT_SECONDS = 60.0
"""How long a server may say nothing."""


def fetched(at: str, sha256: str) -> Path:
    """Return the file in the user's cache that has this digest, downloaded from `at` if it is not there or damaged.

    Raises LmcError: LM0717 if the address gives nothing, LM0702 if it gives other bytes.
    """
    path = cache_folder() / "downloads" / sha256
    if _whole(path, sha256):
        return path
    with exclusive(path):
        if not _whole(path, sha256):
            _download(at, sha256, path)
    return path


def _whole(path: Path, sha256: str) -> bool:
    return path.is_file() and file_sha256(path) == sha256


def _download(at: str, sha256: str, path: Path) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(at, timeout=TIMEOUT_SECONDS) as answer, open(partial, "wb") as file:
            while block := answer.read(BLOCK):
                digest.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != sha256:
            message = f"`{at}` gives a file with the SHA-256 {digest.hexdigest()}, not {sha256}"
            help = "the file has changed or was cut short: try again, or write the digest of the file that you mean"
            raise LmcError(Diagnostic("LM0702", message, None, help=help))
        os.replace(partial, path)
    except (OSError, ValueError, HTTPException) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        help = f"check the address and the connection, or put the file at {path}"
        raise LmcError(Diagnostic("LM0717", f"`{at}` cannot be downloaded: {reason}", None, help=help)) from error
    finally:
        partial.unlink(missing_ok=True)
