"""`lmc export`: write what lmc knows in the form that other programs read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...spec.diagnostic import fail
from .common import EXIT_DIAGNOSTICS, EXIT_USAGE, add_changes, add_store, compiled_spec, lists

HELP = "write a spec as YAML or JSON, or a trained run for another library"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc export`."""
    command.add_argument("what", metavar="FILE or RUN", help=".lmspec file, or name, id or folder of a stored run")
    chosen = "of a file: blocks, or names or ids of runs (default: what `lmc run` would run)"
    command.add_argument("names", nargs="*", metavar="BLOCK or RUN", help=chosen)
    lists(command, "names")
    formats = "yaml (default of a file), json: runs, resolved; hf (default of a trained run): a folder for transformers"
    command.add_argument("--format", choices=("yaml", "json", "hf"), help=formats)
    output = "file to write (default: standard output), or the folder of hf"
    command.add_argument("-o", "--output", type=Path, help=output)
    add_changes(command)
    add_store(command)


def run(options: argparse.Namespace) -> int:
    """`lmc export`."""
    is_file = options.what.endswith(".lmspec")
    format_ = options.format or ("yaml" if is_file else "hf")
    wrong = _misuse(options, format_, is_file)
    if wrong:
        print(f"lmc export: {wrong}", file=sys.stderr)
        return EXIT_USAGE
    if format_ == "hf":
        return _export_weights(options)
    return _export_spec(options, format_) if is_file else _export_run(options, format_)


def _misuse(options: argparse.Namespace, format_: str, is_file: bool) -> str:
    """Return what of the options does not fit together; empty if all does."""
    if is_file and format_ == "hf":
        return "a file holds no weights: name a trained run"
    if is_file:
        return ""
    if options.names or options.overlays or options.settings:
        return "blocks, --with and --set are for .lmspec files"
    return "" if options.output or format_ != "hf" else "say where the folder goes: -o FOLDER"


def _export_weights(options: argparse.Namespace) -> int:
    from ...runtime.weights.export import export_hf

    for line in export_hf(options.store, options.what, options.output):
        print(line)
    return 0


def _export_run(options: argparse.Namespace, format_: str) -> int:
    from ...runtime.finished import kept_plan
    from ...runtime.store.index import NODE, read_node
    from ...spec.plan import Point
    from ..interchange.resolved import document

    folder, plan = kept_plan(options.store, options.what)
    told = read_node(folder / NODE)
    point = Point(told.get("made", {}).get("block", ""), told["name"], {}, folder.name.split("-")[0])
    return _write(document(plan, [point]), options, format_)


def _export_spec(options: argparse.Namespace, format_: str) -> int:
    from ..interchange.resolved import chosen_points, document

    compiled = compiled_spec(Path(options.what), options)
    if compiled.plan is None:
        return EXIT_DIAGNOSTICS
    return _write(document(compiled.plan, chosen_points(compiled.plan, options.names)), options, format_)


def _write(found: dict[str, Any], options: argparse.Namespace, format_: str) -> int:
    pieces = _pieces(found, format_)
    if options.output is None:
        sys.stdout.writelines(pieces)
        return 0
    try:
        with options.output.open("w", encoding="utf-8") as file:
            file.writelines(pieces)
    except OSError as error:
        raise fail(
            "LM0804", f"`{options.output}` cannot be written: {error.strerror}", help="choose another file"
        ) from error
    print(f"{options.output}: {_count(len(found['runs']))}")
    return 0


def _pieces(found: dict[str, Any], format_: str) -> Iterator[str]:
    """Yield a document piece by piece: that of a large grid is longer than what one holds at a time."""
    if format_ == "json":
        import json

        yield from json.JSONEncoder(indent=2, ensure_ascii=False, allow_nan=False).iterencode(found)
        yield "\n"
    else:
        from ..interchange.yaml_text import yaml_lines

        yield from (f"{line}\n" for line in yaml_lines(found))


def _count(runs: int) -> str:
    return f"{runs:,} {'run' if runs == 1 else 'runs'}"
