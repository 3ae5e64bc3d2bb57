"""`lmc generate`: continue prompts with a trained run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..console import show, written
from .common import EXIT_DIAGNOSTICS, EXIT_USAGE, add_name, number
from .sampling import add_sampling, drawn_by, loaded

HELP = "continue prompts with a trained run, or score continuations"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc generate`."""
    add_name(command)
    prompts = command.add_argument_group("prompts", "standard input is one where it is piped and none is named")
    marked = "text; the spelling of a declared special is that special (repeatable)"
    prompts.add_argument("--prompt", action="append", default=[], metavar="TEXT", help=marked)
    files = "a text file is one prompt; .jsonl has one a line, and is answered in JSON lines (repeatable)"
    prompts.add_argument("--file", action="append", default=[], type=Path, metavar="PATH", help=files)
    prompts.add_argument("--samples", type=number(1, int), default=1, help="continuations of each, seeds counting up")
    output = command.add_argument_group("output")
    output.add_argument("--jsonl", action="store_true", help="one JSON object per continuation")
    output.add_argument("--logprobs", action="store_true", help="with the log-probability of each token; JSON lines")
    output.add_argument("--stream", action="store_true", help="print words as they come, not only on a terminal")
    add_sampling(command)
    command.add_argument("--lanes", type=number(1, int), default=64, help="most prompts at a time (default: 64)")


def run(options: argparse.Namespace) -> int:
    """`lmc generate`."""
    piped = None
    if not options.prompt and not options.file:
        if sys.stdin.isatty():
            print("lmc generate: nothing to continue: name --prompt or --file, or pipe a text in", file=sys.stderr)
            return EXIT_USAGE
        piped = sys.stdin.buffer.read()
    from ...runtime.generation.sampling import Sampling
    from ...runtime.talk.complete import Completion
    from ...runtime.talk.prompts import read_prompts
    from ...runtime.talk.visible import visible, visible_json

    prompts = read_prompts(options.prompt, options.file, piped)
    completion = Completion(
        sampling=drawn_by(options, Sampling),
        max_tokens=options.max_tokens,
        stop=tuple(options.stop),
        samples=options.samples,
        logprobs=options.logprobs,
        jsonl=options.jsonl or options.logprobs or any(path.suffix == ".jsonl" for path in options.file),
        stream=options.stream or sys.stdout.isatty(),
        context_said=options.context is not None,
    )
    write = written(visible_json if completion.jsonl else visible)
    whole = completion.run(loaded(options, lanes=options.lanes), prompts, write, lambda d: show([d], "text"))
    return 0 if whole else EXIT_DIAGNOSTICS
