"""The options of the command line: what may be said after `lmc`, and which numbers are in range."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from itertools import dropwhile
from pathlib import Path
from typing import Any

Verbs = Mapping[str, Callable[[argparse.Namespace], int]]


def build_parser(verbs: Verbs) -> argparse.ArgumentParser:
    """Return the parser of the command line; `verbs` are what the commands do, by name."""
    top = argparse.ArgumentParser(prog="lmc", description="Language-model experiments from one file.")
    top.add_argument("--version", action="version", version=f"lmc {version('lmc')}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, help: str) -> argparse.ArgumentParser:
        found: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
        found.set_defaults(run=verbs[name], refuse=found.error, listed=None)
        return found

    _check(command("check", "find mistakes; writes nothing"))
    _compile(command("compile", "check and write a plan"))
    _run(command("run", "run a plan or a spec: what is done is not done again"))
    _generate(command("generate", "continue prompts with a trained run, or score continuations"))
    _chat(command("chat", "talk with a trained run"))
    _export(command("export", "write a trained run for another library"))
    _add_name(command("profile", "where the time of a training went"), device=False)
    why = command("why", "where a value comes from")
    _add_spec(why)
    why.add_argument("path", help="BLOCK.path or BLOCK.path@RUN, such as fine.model.width")
    _show(command("show", "draw what a block was compiled to"))
    command("explain", "what a diagnostic means").add_argument("code", help="such as LM0203")
    return top


def read_arguments(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what a command line says; what a command lists may stand before, between and behind its options.

    Leaves with a usage error of the command for what it does not know.
    """
    options, rest = parser.parse_known_args(arguments)
    wrong = rest if options.listed is None else list(dropwhile(lambda text: not text.startswith("-"), rest))
    if wrong:
        options.refuse(f"unrecognized arguments: {' '.join(wrong)}")
    if rest:
        setattr(options, options.listed, [*getattr(options, options.listed), *map(options.listed_kind, rest)])
    return options


def _lists(command: argparse.ArgumentParser, name: str, kind: Callable[[str], Any] = str) -> None:
    """Let the words of a command line that argparse leaves over belong to the argument `name`."""
    command.set_defaults(listed=name, listed_kind=kind)


def _check(command: argparse.ArgumentParser) -> None:
    _add_spec(command, many=True)
    _lists(command, "file", Path)
    command.add_argument("--format", choices=("text", "json", "github"), default="text", help="how to print them")


def _compile(command: argparse.ArgumentParser) -> None:
    _add_spec(command)
    command.add_argument("-o", "--output", type=Path, help="plan folder (default: build/NAME)")
    command.add_argument("--emit", choices=("ast", "resolved", "plan"), help="print a stage instead of writing a plan")


def _run(command: argparse.ArgumentParser) -> None:
    target = "plan folder or .lmspec (default: the only plan in build/)"
    command.add_argument("target", nargs="?", type=Path, help=target)
    command.add_argument("blocks", nargs="*", help="blocks or runs (default: grids, and trains that are no one's base)")
    _lists(command, "blocks")
    _add_changes(command)
    _add_store(command)
    _add_device(command)
    command.add_argument("--jobs", type=int, help="workers at a time (default: one per core, one on a GPU)")
    command.add_argument("--replay", action="store_true", help="repeat finished trainings to record new probes")
    command.add_argument("--execution", type=Path, help="pin trainings to an execution record (a node.json)")


def _generate(command: argparse.ArgumentParser) -> None:
    _add_name(command)
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
    _add_sampling(command)
    command.add_argument("--lanes", type=number(1, int), default=64, help="most prompts at a time (default: 64)")


def _chat(command: argparse.ArgumentParser) -> None:
    _add_name(command)
    default = "(default: the special token of that name, if it is declared)"
    command.add_argument("--user", metavar="TEXT", help=f"said before what you type {default}")
    command.add_argument("--assistant", metavar="TEXT", help=f"said behind it {default}")
    _add_sampling(command)


def _export(command: argparse.ArgumentParser) -> None:
    _add_name(command, device=False)
    command.add_argument("--format", choices=("hf",), default="hf", help="hf: a folder that transformers loads")
    command.add_argument("-o", "--output", type=Path, required=True, help="folder to write")


def _show(command: argparse.ArgumentParser) -> None:
    command.add_argument("kind", choices=("protocol",), help="what to show")
    _add_spec(command)
    command.add_argument("names", nargs="*", help="blocks, spoken together (default: all)")
    _lists(command, "names")
    command.add_argument("--tokenizer", help="tokenizer of the file (default: its only one)")
    text = "explain this text token by token; spellings of special tokens are these tokens"
    command.add_argument("--text", help=text)
    command.add_argument("--svg", type=Path, help="write the drawing to this file")
    command.add_argument("--whole", action="store_true", help="draw every state, none folded")


def _add_sampling(command: argparse.ArgumentParser) -> None:
    limits = command.add_argument_group("length")
    limits.add_argument("--max-tokens", type=number(1, int), default=256, help="longest continuation (default: 256)")
    stop = r"end at it, taken as it is: a line end is $'\n' in the shell (repeatable)"
    limits.add_argument("--stop", action="append", default=[], type=_text, metavar="TEXT", help=stop)
    context = "most tokens of prompt and continuation (default: what the run was trained on)"
    limits.add_argument("--context", type=number(2, int), metavar="N", help=context)
    sampling = command.add_argument_group("sampling")
    sampling.add_argument("--temperature", type=number(0, float), default=0.0, help="0 is greedy (default); 1 samples")
    sampling.add_argument("--top-k", type=number(1, int), help="keep the k likeliest tokens")
    sampling.add_argument("--top-p", type=number(0, float, 1, above=True), help="keep the likeliest up to this share")
    sampling.add_argument("--min-p", type=number(0, float, 1), help="drop what is below this share of the likeliest")
    repetition = "divides the logits of tokens that are there already (default: 1)"
    sampling.add_argument("--repetition", type=number(0, float, above=True), default=1.0, help=repetition)
    presence = "is taken off the logit of a token that was generated"
    sampling.add_argument("--presence", type=number(-math.inf, float), default=0.0, help=presence)
    frequency = "is taken off as often as it was"
    sampling.add_argument("--frequency", type=number(-math.inf, float), default=0.0, help=frequency)
    sampling.add_argument("--seed", type=int, default=0, help="seed of sampling (default: 0)")


def _add_name(command: argparse.ArgumentParser, *, device: bool = True) -> None:
    command.add_argument("name", metavar="RUN", help="name or id of a run in the store")
    _add_store(command)
    if device:
        _add_device(command)


def _add_store(command: argparse.ArgumentParser) -> None:
    command.add_argument("--store", type=Path, default=Path("runs"), help="run store (default: runs)")


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: cuda if present)")


def _add_spec(command: argparse.ArgumentParser, *, many: bool = False) -> None:
    command.add_argument("file", type=Path, nargs="+" if many else None, help=".lmspec file")
    _add_changes(command)


def _add_changes(command: argparse.ArgumentParser) -> None:
    command.add_argument("--with", dest="overlays", action="append", default=[], metavar="OVERLAY", help="apply it")
    set_ = {"action": "append", "default": [], "metavar": "BLOCK.PATH=EXPR", "help": "set it"}
    command.add_argument("--set", dest="settings", **set_)  # type: ignore[arg-type]


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


def _text(text: str) -> str:
    """Return a text that is not empty and has only characters of Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError("it is not UTF-8") from error
    if not text:
        raise argparse.ArgumentTypeError("it has no character")
    return text
