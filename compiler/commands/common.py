"""What several commands share: their options, a compiled spec and where its plan lies."""

from __future__ import annotations

import argparse
import gc
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...spec.diagnostic import fail
from ..console import show

BUILD = Path("build")
EXIT_DIAGNOSTICS, EXIT_USAGE = 1, 2


def compiled_spec(path: Path, options: argparse.Namespace) -> Any:
    """Return a spec compiled as was asked for, after printing what was found in it."""
    compiled = compiled_silently(path, options)
    show(compiled.diagnostics.items, "text")
    return compiled


def compiled_silently(path: Path, options: argparse.Namespace) -> Any:
    """Return a spec compiled with the changes that were asked for; its warnings are errors with `--strict`."""
    with uncollected():
        from ..pipeline import compile_spec

        compiled = compile_spec(path, options.overlays, options.settings)
    return compiled.strictly() if options.strict else compiled


def inputs_are_there(compiled: Any, blocks: Sequence[str] | None = ()) -> bool:
    """Whether the files are there that the named blocks read, or the plan's default ones; says which are not.

    With None for `blocks` all blocks are meant. Raises LmcError (LM0807) for an unknown block.
    """
    from ...runtime.inputs import absent
    from ...runtime.targets import select
    from ...spec.plan import closure
    from ..plan.paths import at_its_name

    plan, program = compiled.plan, compiled.builder.program
    nodes = plan.nodes if blocks is None else closure(plan.nodes, select(plan, blocks))
    found = [
        at_its_name(program, one.told, one.path, plan.nodes[one.node].place, one.near) for one in absent(plan, nodes)
    ]
    show(found, "text")
    return not found


def write_compiled(compiled: Any, folder: Path) -> None:
    """Write plan and source map of what was compiled to a folder."""
    from ..plan.write import write_plan

    with uncollected():
        write_plan(compiled.plan, compiled.sourcemap(), folder)


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile: nearly all that a compilation makes lives on, and looking takes a tenth of it."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def only_plan() -> Path:
    """Return the one plan under `build/`. Raises LmcError (LM0803) where there is none, or several."""
    plans = sorted(path.parent for path in BUILD.glob("*/plan.jsonl"))
    if len(plans) != 1:
        named = f"plans are {', '.join(map(str, plans))}" if plans else "there is none under build/"
        raise fail("LM0803", f"say which plan is meant: {named}", help="name a plan folder, or a .lmspec")
    return plans[0]


def is_spec(target: Path) -> bool:
    """Whether what a command was given is a spec and not a plan folder."""
    return target.suffix == ".lmspec" or target.is_file()


def outdated(folder: Path, options: argparse.Namespace) -> Any:
    """Return the spec of a plan folder compiled again if one of its sources has changed, or changes are asked for.

    `--strict` asks for it too: a plan keeps no warnings. None if the plan is as its sources are. The options have
    then the plan's changes before those of the command line. Raises LmcError as `read_header` does.
    """
    from hashlib import sha256

    from ...runtime.store.plan_files import read_header

    header = read_header(folder)
    changed = [
        source.path
        for source in header.sources
        if Path(source.path).is_file() and sha256(Path(source.path).read_bytes()).hexdigest() != source.sha256
    ]
    if not changed and not options.overlays and not options.settings and not options.strict:
        return None
    if changed:
        print(f"{', '.join(changed)} changed since the plan was compiled; compiling it again", file=sys.stderr)
    options.overlays = [*header.overlays, *options.overlays]
    options.settings = [*header.settings, *options.settings]
    return compiled_spec(Path(header.sources[0].path), options)


def lists(command: argparse.ArgumentParser, name: str, kind: Callable[[str], Any] = str) -> None:
    """Let the words of a command line that argparse leaves over belong to the argument `name`."""
    command.set_defaults(listed=name, listed_kind=kind)


def add_name(command: argparse.ArgumentParser, *, device: bool = True) -> None:
    """Add the name of a run, and its store."""
    command.add_argument("name", metavar="RUN", help="name, id or folder of a run in the store")
    add_store(command)
    if device:
        add_device(command)


def add_store(command: argparse.ArgumentParser) -> None:
    """Add the store of runs."""
    command.add_argument("--store", type=Path, default=Path("runs"), help="run store (default: runs)")


def add_device(command: argparse.ArgumentParser) -> None:
    """Add the device."""
    command.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: cuda if present)")


def add_spec(command: argparse.ArgumentParser, *, many: bool = False) -> None:
    """Add the file of a spec, or several, and changes of it."""
    command.add_argument("file", type=Path, nargs="+" if many else None, metavar="FILE", help=".lmspec file")
    add_changes(command)


def add_changes(command: argparse.ArgumentParser) -> None:
    """Add changes of a spec: overlays and settings."""
    command.add_argument("--with", dest="overlays", action="append", default=[], metavar="OVERLAY", help="apply it")
    set_ = {"action": "append", "default": [], "metavar": "BLOCK.PATH=EXPR", "help": "set it"}
    command.add_argument("--set", dest="settings", **set_)  # type: ignore[arg-type]
    command.set_defaults(strict=False)


def add_strict(command: argparse.ArgumentParser) -> None:
    """Add what makes warnings errors."""
    command.add_argument("--strict", action="store_true", help="take warnings for errors")


def number(
    low: float, kind: Callable[[str], Any], high: float = math.inf, *, above: bool = False
) -> Callable[[str], Any]:
    """Return a reader of finite numbers from `low` to `high` for an option; `above` leaves out `low` itself."""

    def read(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high or (above and value == low) or abs(value) == math.inf:
            least = "a finite number" if low == -math.inf else f"above {low:g}" if above else f"at least {low:g}"
            most = "" if high == math.inf else f" and at most {high:g}"
            raise argparse.ArgumentTypeError(f"{text} is not {least}{most}")
        return value

    read.__name__ = "number"
    return read
