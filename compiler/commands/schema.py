"""`lmc schema`: JSON Schema of what `lmc export` writes, or of one kind of block."""

from __future__ import annotations

import argparse
import difflib
import json
import sys

from .common import EXIT_USAGE

HELP = "JSON Schema of resolved runs, or of one kind of block"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc schema`."""
    what = "such as train or model.transformer (default: the document that `lmc export FILE` writes)"
    command.add_argument("block", nargs="?", metavar="KIND[.VARIANT]", help=what)


def run(options: argparse.Namespace) -> int:
    """`lmc schema`."""
    from ... import spec  # noqa: F401  (registers every variant)
    from ...spec.json_schema import block_schema, document_schema, known_blocks

    if options.block is None:
        print(json.dumps(document_schema(), indent=2, ensure_ascii=False))
        return 0
    kind, dot, variant = options.block.partition(".")
    try:
        schema = block_schema(kind, variant if dot else None)
    except KeyError:
        known = dict.fromkeys(part for name in known_blocks() for part in (name.partition(".")[0], name))
        near = difflib.get_close_matches(options.block, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        print(f"lmc schema: there is no block {options.block}; {hint}", file=sys.stderr)
        return EXIT_USAGE
    print(json.dumps(schema, indent=2, ensure_ascii=False))
    return 0
