"""Libraries that come with an extra of the package."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..spec.diagnostic import Diagnostic, LmcError


def library(name: str, extra: str, purpose: str) -> Any:
    """Return an optional library. Raises LmcError (LM0709), which names the extra, if it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        message = f"{purpose} needs the library `{name.split('.')[0]}`"
        raise LmcError(Diagnostic("LM0709", message, None, help=f"install lmc[{extra}]")) from error
