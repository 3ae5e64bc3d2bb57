"""`lmc lsp`: the language server, over standard input and output."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from ...spec.diagnostic import fail
from ...spec.extras import install_extra

HELP = "serve an editor: diagnostics, completion, hover and more over standard input and output"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc lsp`; editors add `--stdio` by themselves."""
    command.add_argument("--stdio", action="store_true", help="speak over standard input and output (always so)")


def run(options: argparse.Namespace) -> int:
    """`lmc lsp`. Raises LmcError (LM0709) without the library that speaks the protocol."""
    if find_spec("pygls") is None:
        raise fail("LM0709", "`lmc lsp` needs the library `pygls`", help=install_extra("lsp"))
    from ..lsp.server import serve

    serve()
    return 0
