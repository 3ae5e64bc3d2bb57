"""`lmc show`: draw what a block was compiled to."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...spec.diagnostic import Diagnostic, LmcError
from .common import EXIT_DIAGNOSTICS, add_spec, compiled_spec, lists

HELP = "draw what a block was compiled to"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc show`."""
    command.add_argument("kind", choices=("protocol",), help="what to show")
    add_spec(command)
    command.add_argument("names", nargs="*", help="blocks, spoken together (default: all)")
    lists(command, "names")
    command.add_argument("--tokenizer", help="tokenizer of the file (default: its only one)")
    text = "explain this text token by token; spellings of special tokens are these tokens"
    command.add_argument("--text", help=text)
    command.add_argument("--svg", type=Path, help="write the drawing to this file")
    command.add_argument("--whole", action="store_true", help="draw every state, none folded")


def run(options: argparse.Namespace) -> int:
    """`lmc show`."""
    from ..plan.show import shown_protocols
    from ..protocols.draw import as_text, draw
    from ..protocols.svg import as_svg

    compiled = compiled_spec(options.file, options)
    if compiled.plan is None:
        return EXIT_DIAGNOSTICS
    automata, tokenizer = shown_protocols(compiled.builder, options.names, options.tokenizer)
    drawing = draw(automata, options.whole)
    if options.text is not None:
        from ...runtime.protocols.show import explain_text

        root = Path(compiled.plan.header.root)
        print(explain_text(automata, tokenizer, root, options.text, drawing.labels()), end="")
    elif options.svg is not None:
        try:
            options.svg.write_text(as_svg(drawing), encoding="utf-8")
        except OSError as error:
            message = f"`{options.svg}` cannot be written: {error.strerror}"
            raise LmcError(Diagnostic("LM0804", message, None, help="choose another file")) from error
        print(options.svg)
    else:
        print(as_text(drawing), end="")
    return 0
