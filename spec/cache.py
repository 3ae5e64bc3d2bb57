"""The user's cache folder: what is made once and can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return `LMC_CACHE`, else `lmc` in `XDG_CACHE_HOME` or `~/.cache`; it may not exist yet.

    Without a home it goes with the machine's temporary files.
    """
    own, shared = os.environ.get("LMC_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own)
    try:
        home = Path(shared) if shared else Path.home() / ".cache"
    except RuntimeError:
        import tempfile

        home = Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"
    return home / "lmc"
