"""What an evaluation says in tokens: the special tokens that its texts name must be declared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...spec.diagnostic import Diagnostic
from ...spec.evaluation import AnswersEval, GenerateEval
from ...spec.tokenizer import MARK, ByteTokenizer
from ..resolve.cells import Cell
from ..resolve.world import World
from .places import span_at
from .protocols import data_of

if TYPE_CHECKING:
    from .build import PlanBuilder


def check_marks(builder: PlanBuilder, world: World, cell: Cell, spec: Any) -> None:
    """Record what is wrong with the prompt and the tokens of `sample`.

    LM0609 for an undeclared `<|...|>`, LM0303 for a text that is not one token of a byte tokenizer.
    """
    if not isinstance(spec, GenerateEval | AnswersEval):
        return
    data = data_of(world, cell)
    declared = world.instance(world.evaluator.value(data, "tokenizer").decl)
    tokenizer = builder.nodes[builder.register(world, declared)].spec
    for path, text, single in _texts(spec):
        wrong = _wrong(tokenizer, text, single)
        if wrong is not None:
            code, message, help = wrong
            builder.diagnostics.add(Diagnostic(code, message, span_at(world, cell, path), help=help))


def _wrong(tokenizer: Any, text: str, single: bool) -> tuple[str, str, str] | None:
    """Return code, message and help for a text that the tokenizer cannot say."""
    known = list(map(re.escape, sorted(tokenizer.specials, key=len, reverse=True)))
    marks = re.findall("|".join([*known, MARK]), text)
    undeclared = [mark for mark in marks if mark not in tokenizer.specials]
    if undeclared:
        message = f"`{undeclared[0]}` is no special token of the tokenizer"
        return "LM0609", message, f"declared are {', '.join(tokenizer.specials) or 'none'}"
    count = len(re.sub("|".join(known), "", text).encode() if known else text.encode()) + len(marks)
    if single and isinstance(tokenizer, ByteTokenizer) and count != 1:
        return "LM0303", f'"{text}" is {count} tokens of this tokenizer; one is wanted', "name a token"
    return None


def _texts(spec: Any) -> Iterator[tuple[str, str, bool]]:
    """Yield the path, the text, and whether it must be one token."""
    if isinstance(spec, GenerateEval):
        yield "prompt", spec.prompt, False
    for name, bias in spec.sample.biases.items():
        yield f"sample.{name}.token", bias.token, True
    for text in spec.sample.banned:
        yield "sample.banned", text, True
