"""The commands. Only here are results printed and exit codes chosen.

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
from .console import explanation, hang_up, render_failure, show, typed, written
from .options import build_parser, read_arguments

BUILD = Path("build")
EXIT_DIAGNOSTICS, EXIT_USAGE = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    options = read_arguments(parser(), arguments)
    try:
        code: int = options.run(options)
        return code
    except LmcError as error:
        show([error.diagnostic], "text")
        return EXIT_DIAGNOSTICS
    except BrokenPipeError:
        hang_up()
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
    return build_parser(
        {
            "check": check,
            "compile": compile_,
            "run": run,
            "generate": generate,
            "chat": chat,
            "export": export,
            "profile": profile,
            "why": why,
            "show": show_,
            "explain": explain,
        }
    )


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
    open_ = len({point.run for point in points if plan.nodes[point.run].spec.steps is None})
    counting = f"; {open_:,} will count {'its' if open_ == 1 else 'their'} steps" if open_ else ""
    print(f"{folder}: {runs:,} {'run' if runs == 1 else 'runs'}, {len(plan.nodes):,} nodes{counting}")
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


def generate(options: argparse.Namespace) -> int:
    """`lmc generate`."""
    piped = None
    if not options.prompt and not options.file:
        if sys.stdin.isatty():
            print("lmc generate: nothing to continue: name --prompt or --file, or pipe a text in", file=sys.stderr)
            return EXIT_USAGE
        piped = sys.stdin.buffer.read()
    from ..runtime.generation.sampling import Sampling
    from ..runtime.talk.complete import Completion
    from ..runtime.talk.prompts import read_prompts
    from ..runtime.talk.visible import visible, visible_json

    prompts = read_prompts(options.prompt, options.file, piped)
    completion = Completion(
        sampling=_sampling(options, Sampling),
        max_tokens=options.max_tokens,
        stop=tuple(options.stop),
        samples=options.samples,
        logprobs=options.logprobs,
        jsonl=options.jsonl or options.logprobs or any(path.suffix == ".jsonl" for path in options.file),
        stream=options.stream or sys.stdout.isatty(),
        context_said=options.context is not None,
    )
    write = written(visible_json if completion.jsonl else visible)
    whole = completion.run(_loaded(options, lanes=options.lanes), prompts, write, lambda d: show([d], "text"))
    return 0 if whole else EXIT_DIAGNOSTICS


def chat(options: argparse.Namespace) -> int:
    """`lmc chat`."""
    from ..runtime.generation.sampling import Sampling
    from ..runtime.talk.chat import Chat
    from ..runtime.talk.greedy import greedy_hint

    loaded, sampling = _loaded(options), _sampling(options, Sampling)
    show([hint] if (hint := greedy_hint([sampling])) else [], "text")
    talk = Chat(
        loaded,
        loaded.session(sampling, options.stop),
        user=options.user,
        assistant=options.assistant,
        max_tokens=options.max_tokens,
        write=written(),
        note=lambda text: print(text, file=sys.stderr, flush=True),
        terminal=sys.stdout.isatty(),
    )
    talk.run(typed(talk))
    return 0


def _loaded(options: argparse.Namespace, **more: Any) -> Any:
    from ..runtime import load

    return load(options.name, store=options.store, device=options.device, context=options.context, **more)


def _sampling(options: argparse.Namespace, kind: Callable[..., Any]) -> Any:
    names = ("temperature", "top_k", "top_p", "min_p", "repetition", "presence", "frequency", "seed")
    return kind(**{name: getattr(options, name) for name in names})


def export(options: argparse.Namespace) -> int:
    """`lmc export`."""
    from ..runtime.weights.export import export_hf

    for line in export_hf(options.store, options.name, options.output):
        print(line)
    return 0


def profile(options: argparse.Namespace) -> int:
    """`lmc profile`."""
    from ..runtime.training.profile_report import report, run_folder

    print(report(run_folder(options.store, options.name)), end="")
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
        return EXIT_USAGE
    print(explanation(code), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
