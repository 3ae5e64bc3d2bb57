"""What generating commands share: a loaded run and how tokens are drawn."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

from .common import number


def add_sampling(command: argparse.ArgumentParser) -> None:
    """Add whose tools answer, how long continuations are, and how their tokens are drawn."""
    part = "part of its data whose tools answer, where parts of a mixture have different ones"
    command.add_argument("--part", metavar="NAME", help=part)
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


def loaded(options: argparse.Namespace, **more: Any) -> Any:
    """Return the run that is named, loaded for generation."""
    from ...runtime import load

    chosen = {name: getattr(options, name) for name in ("store", "device", "part", "context")}
    return load(options.name, **chosen, **more)


def drawn_by(options: argparse.Namespace, kind: Callable[..., Any]) -> Any:
    """Return how tokens are drawn, as `kind` of the generation package."""
    names = ("temperature", "top_k", "top_p", "min_p", "repetition", "presence", "frequency", "seed")
    return kind(**{name: getattr(options, name) for name in names})


def _text(text: str) -> str:
    """Return a text that is not empty and has only characters of Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError("it is not UTF-8") from error
    if not text:
        raise argparse.ArgumentTypeError("it has no character")
    return text
