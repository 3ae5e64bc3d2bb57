"""Libraries that come with an extra of the package."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ..spec.diagnostic import Diagnostic, LmcError
from ..spec.extras import install_extra
from ..spec.plan import Node
from ..spec.tracking import library_of
from ..spec.train import Train


def library(name: str, extra: str, purpose: str) -> Any:
    """Return an optional library. Raises LmcError (LM0709), which names the extra, if it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        message = f"{purpose} needs the library `{name.split('.')[0]}`"
        raise LmcError(Diagnostic("LM0709", message, None, help=install_extra(extra))) from error


def check_trackers(nodes: Iterable[Node]) -> None:
    """Raise LmcError (LM0709) for a training whose tracker needs a library that is not installed; loads none."""
    for node in nodes:
        name = library_of(node.spec.track) if isinstance(node.spec, Train) else None
        if name is not None and find_spec(name) is None:
            message = f"`track : {type(node.spec.track).lmc_variant}` needs the library `{name}`"
            help = f"{install_extra('track')}; or leave `track` out"
            raise LmcError(Diagnostic("LM0709", message, None, help=help))
