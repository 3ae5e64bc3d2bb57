"""The command line. Only here are results printed and exit codes chosen.

0 clean, 1 diagnostics, 2 usage, 3 a run failed, 75 a run stopped and can go on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..spec.diagnostic import Diagnostic, Diagnostics, LmcError
from ..spec.span import Source, Span
from .diagnostics.render import render_github, render_json, render_text

BUILD = Path("build")
EXIT_DIAGNOSTICS = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        return code
    except LmcError as error:
        show([error.diagnostic], "text")
        return EXIT_DIAGNOSTICS
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception:
        import traceback

        traceback.print_exc()
        print(f"\ninternal error of lmc {version('lmc')}: please report the lines above and the file", file=sys.stderr)
        return EXIT_DIAGNOSTICS


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="lmc", description="Language-model experiments from one file.")
    top.add_argument("--version", action="version", version=f"lmc {version('lmc')}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    command = _command(commands, "check", check, "find mistakes; writes nothing")
    _add_spec(command, many=True)
    command.add_argument("--format", choices=("text", "json", "github"), default="text", help="how to print them")
    command = _command(commands, "compile", compile_, "check and write a plan")
    _add_spec(command)
    command.add_argument("-o", "--output", type=Path, help="plan folder (default: build/NAME)")
    command.add_argument("--emit", choices=("ast", "resolved", "plan"), help="print a stage instead of writing a plan")
    command = _command(commands, "run", run, "run a plan or a spec: what is done is not done again")
    command.add_argument(
        "target", nargs="?", type=Path, help="plan folder or .lmspec (default: the only plan in build/)"
    )
    command.add_argument("blocks", nargs="*", help="blocks to run (default: grids, and trains that are no one's base)")
    _add_changes(command)
    command.add_argument("--store", type=Path, default=Path("runs"), help="run store (default: runs)")
    command.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: cuda if present)")
    command.add_argument("--jobs", type=int, help="workers at a time (default: one per core, one on a GPU)")
    command.add_argument("--replay", action="store_true", help="repeat finished trainings to record new probes")
    command.add_argument("--execution", type=Path, help="pin trainings to an execution record (a node.json)")
    command = _command(commands, "generate", generate, "continue a prompt with a trained run")
    command.add_argument("name", metavar="RUN", help="name or id of a run in the store")
    command.add_argument("--prompt", required=True, help="text; the spelling of a declared special is that special")
    command.add_argument(
        "--max-tokens", type=_at_least(1, int), default=256, help="longest continuation (default: 256)"
    )
    command.add_argument("--temperature", type=_at_least(0, float), default=0.0, help="0 is greedy (default)")
    command.add_argument("--top-k", type=_at_least(1, int), help="keep the k likeliest tokens")
    command.add_argument("--top-p", type=_at_least(0, float, 1), help="keep the likeliest tokens up to this share")
    command.add_argument("--seed", type=int, default=0, help="seed of sampling")
    command.add_argument("--store", type=Path, default=Path("runs"), help="run store (default: runs)")
    command.add_argument("--device", help="cpu, cuda ... (default: cuda if present)")
    command = _command(commands, "export", export, "write a trained run for another library")
    command.add_argument("name", metavar="RUN", help="name or id of a run in the store")
    command.add_argument("--format", choices=("hf",), default="hf", help="hf: a folder that transformers loads")
    command.add_argument("-o", "--output", type=Path, required=True, help="folder to write")
    command.add_argument("--store", type=Path, default=Path("runs"), help="run store (default: runs)")
    command = _command(commands, "why", why, "where a value comes from")
    _add_spec(command)
    command.add_argument("path", help="BLOCK.path or BLOCK.path@RUN, such as fine.model.width")
    command = _command(commands, "show", show_, "draw what a block was compiled to")
    command.add_argument("kind", choices=("protocol",), help="what to show")
    _add_spec(command)
    command.add_argument("names", nargs="*", help="blocks, spoken together (default: all)")
    command.add_argument("--tokenizer", help="tokenizer of the file (default: its only one)")
    command.add_argument(
        "--text", help="explain this text token by token; spellings of special tokens are these tokens"
    )
    command.add_argument("--svg", type=Path, help="write the drawing to this file")
    command.add_argument("--whole", action="store_true", help="draw every state, none folded")
    command = _command(commands, "explain", explain, "what a diagnostic means")
    command.add_argument("code", help="such as LM0203")
    return top


def _at_least(low: float, kind: Callable[[str], Any], high: float = float("inf")) -> Callable[[str], Any]:
    """Return a reader of numbers from `low` to `high` for an option."""

    def read(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high:
            bounds = f"at least {low:g}" if high == float("inf") else f"from {low:g} to {high:g}"
            raise argparse.ArgumentTypeError(f"{text} is not {bounds}")
        return value

    read.__name__ = "number"
    return read


def _command(commands: Any, name: str, function: Any, help: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
    command.set_defaults(run=function)
    return command


def _add_spec(command: argparse.ArgumentParser, *, many: bool = False) -> None:
    command.add_argument("file", type=Path, nargs="+" if many else None, help=".lmspec file")
    _add_changes(command)


def _add_changes(command: argparse.ArgumentParser) -> None:
    command.add_argument("--with", dest="overlays", action="append", default=[], metavar="OVERLAY", help="apply it")
    command.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="BLOCK.PATH=EXPR", help="set it"
    )


def show(found: Sequence[Diagnostic], format_: str) -> None:
    """Print diagnostics, text on standard error and machine formats on standard output."""
    if format_ == "json":
        print(render_json(found))
    elif format_ == "github":
        print(render_github(found))
    elif found:
        print(render_text(found, color=sys.stderr.isatty()), file=sys.stderr, end="")


def _compile(path: Path, options: argparse.Namespace, format_: str = "text") -> Any:
    from .pipeline import compile_spec

    compiled = compile_spec(path, options.overlays, options.settings)
    show(compiled.diagnostics.items, format_)
    return compiled


def check(options: argparse.Namespace) -> int:
    """`lmc check`."""
    codes = [_compile(path, options, options.format).plan is None for path in options.file]
    return EXIT_DIAGNOSTICS if any(codes) else 0


def compile_(options: argparse.Namespace) -> int:
    """`lmc compile`."""
    if options.emit == "ast":
        return _emit_tree(options.file)
    compiled = _compile(options.file, options)
    if compiled.plan is None:
        return EXIT_DIAGNOSTICS
    plan = compiled.plan
    if options.emit:
        from ..spec.plan_text import plan_lines

        for line in plan_lines(plan) if options.emit == "plan" else compiled.sourcemap():
            print(line)
        return 0
    folder = options.output or BUILD / plan.header.name
    _write(compiled, folder)
    default = {t.name for t in plan.targets if t.default}
    points = [point for point in plan.points if point.grid in default]
    runs = len({point.run for point in points})
    print(f"{folder}: {runs:,} {'run' if runs == 1 else 'runs'}, {len(plan.nodes):,} nodes")
    return 0


def _write(compiled: Any, folder: Path) -> None:
    from .plan.write import write_plan

    write_plan(compiled.plan, compiled.sourcemap(), folder)


def _emit_tree(path: Path) -> int:
    from .syntax.parse import parse, read_source
    from .syntax.printer import to_text

    diagnostics = Diagnostics()
    source = read_source(path, str(path), diagnostics)
    file = None if source is None else parse(source, diagnostics)
    show(diagnostics.items, "text")
    if file is None or diagnostics.failed:
        return EXIT_DIAGNOSTICS
    print(to_text(file), end="")
    return 0


def run(options: argparse.Namespace) -> int:
    """`lmc run`."""
    folder = _plan_folder(options)
    if folder is None:
        return EXIT_DIAGNOSTICS
    from ..runtime.launch import RunOptions, run_plan

    return run_plan(
        folder,
        RunOptions(
            store=options.store,
            blocks=options.blocks,
            device=options.device,
            jobs=options.jobs,
            replay=options.replay,
            execution=options.execution,
        ),
        render_failure,
    )


def _plan_folder(options: argparse.Namespace) -> Path | None:
    """Return the plan to run, compiled if a spec is named or a source has changed; None after diagnostics."""
    target: Path = options.target
    if options.target is None:
        plans = sorted(path.parent for path in BUILD.glob("*/plan.jsonl"))
        if len(plans) != 1:
            named = f"plans are {', '.join(map(str, plans))}" if plans else "there is none under build/"
            raise LmcError(Diagnostic("LM0803", f"say which plan to run: {named}", None, help="lmc run PLAN"))
        target = plans[0]
    if target.suffix != ".lmspec" and not target.is_file():
        return _fresh(target, options)
    compiled = _compile(target, options)
    if compiled.plan is None:
        return None
    folder: Path = BUILD / compiled.plan.header.name
    _write(compiled, folder)
    return folder


def _fresh(folder: Path, options: argparse.Namespace) -> Path | None:
    """Return the plan folder, compiled again if one of its sources has changed or changes are asked for."""
    from hashlib import sha256

    from ..runtime.store.plan_files import read_header

    header = read_header(folder)
    changed = [
        s.path
        for s in header.sources
        if Path(s.path).is_file() and sha256(Path(s.path).read_bytes()).hexdigest() != s.sha256
    ]
    if not changed and not options.overlays and not options.settings:
        return folder
    if changed:
        print(f"{', '.join(changed)} changed since the plan was compiled; compiling it again")
    options.overlays = [*header.overlays, *options.overlays]
    options.settings = [*header.settings, *options.settings]
    compiled = _compile(Path(header.sources[0].path), options)
    if compiled.plan is None:
        return None
    _write(compiled, folder)
    return folder


def render_failure(data: dict[str, Any]) -> str:
    """Return the text of a node's failure, at the declaration of its block."""
    span = None
    if data.get("place"):
        path, line, column, text = data["place"]
        try:
            source = Source(path, Path(path).read_text(encoding="utf-8"))
            start = source.line_starts[line - 1] + column - 1
            span = Span(source, start, start + len(text))
        except (OSError, ValueError, IndexError):
            span = None
    return render_text([Diagnostic(data["code"], data["message"], span, help=data["help"])], color=sys.stderr.isatty())


def generate(options: argparse.Namespace) -> int:
    """`lmc generate`."""
    from ..runtime.complete import complete

    print(
        complete(
            options.store,
            options.name,
            options.prompt,
            max_tokens=options.max_tokens,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            seed=options.seed,
            device=options.device,
        )
    )
    return 0


def export(options: argparse.Namespace) -> int:
    """`lmc export`."""
    from ..runtime.weights.export import export_hf

    for line in export_hf(options.store, options.name, options.output):
        print(line)
    return 0


def why(options: argparse.Namespace) -> int:
    """`lmc why`."""
    from .plan.why import explain_value

    compiled = _compile(options.file, options)
    if compiled.plan is None:
        return EXIT_DIAGNOSTICS
    for line in explain_value(compiled, options.path):
        print(line)
    return 0


def show_(options: argparse.Namespace) -> int:
    """`lmc show`."""
    from .plan.show import shown_protocols
    from .protocols.draw import as_text, draw
    from .protocols.svg import as_svg

    compiled = _compile(options.file, options)
    if compiled.plan is None:
        return EXIT_DIAGNOSTICS
    automata, tokenizer = shown_protocols(compiled.builder, options.names, options.tokenizer)
    drawing = draw(automata, options.whole)
    if options.text is not None:
        from ..runtime.protocols.show import explain_text

        root = Path(compiled.plan.header.root)
        print(explain_text(automata, tokenizer, root, options.text, drawing.labels()), end="")
    elif options.svg is not None:
        try:
            options.svg.write_text(as_svg(drawing), encoding="utf-8")
        except OSError as error:
            message = f"`{options.svg}` cannot be written: {error.strerror}"
            raise LmcError(Diagnostic("LM0804", message, None)) from error
        print(options.svg)
    else:
        print(as_text(drawing), end="")
    return 0


def explain(options: argparse.Namespace) -> int:
    """`lmc explain`."""
    from .diagnostics.codes import CODES

    code = CODES.get(options.code.upper())
    if code is None:
        print(f"there is no code {options.code}; codes are {', '.join(CODES)}", file=sys.stderr)
        return 2
    print(f"{code.code}: {code.title}\n\n{code.explanation}")
    if code.how:
        print(f"\nFor example: {code.how}.")
    examples = code.examples()
    if examples is not None:
        print(f"\nWrong:\n\n{_indented(examples[0])}\nRight:\n\n{_indented(examples[1])}", end="")
    return 0


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.strip().splitlines())


if __name__ == "__main__":
    sys.exit(main())
