"""`lmc show protocol`: the automata of protocols of a file, over the special tokens of one of its tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...spec.automaton import Automata
from ...spec.diagnostic import Diagnostic, LmcError
from ..resolve.declare import Decl
from .build import PlanBuilder
from .protocols import compile_together


def shown_protocols(builder: PlanBuilder, names: Sequence[str], tokenizer: str | None) -> tuple[Automata, Any]:
    """Return the automata of the named protocols spoken together, all of the file if none is named, and a tokenizer.

    Raises LmcError: LM0807 for unknown names, and where several tokenizers are declared and none is named; LM06 where
    these protocols cannot be spoken together, or not with this tokenizer.
    """
    protocols = _named(builder, "protocol", names)
    if not protocols:
        raise _unknown("the file declares no protocol", "")
    declared = _named(builder, "tokenizer", [tokenizer] if tokenizer else ())
    if len(declared) != 1:
        listed = ", ".join(decl.name for decl in declared) or "none"
        raise _unknown("say whose special tokens: --tokenizer NAME", f"tokenizers of the file are {listed}")
    world = builder.null
    spec = world.spec(world.instance(declared[0]))
    before = len(builder.diagnostics.items)
    automata = compile_together(builder, world, [world.instance(decl) for decl in protocols], spec.specials)
    if automata is None:
        raise LmcError(builder.diagnostics.items[before])
    return automata, spec


def _named(builder: PlanBuilder, kind: str, names: Sequence[str]) -> list[Decl]:
    declared = {decl.name: decl for decl in builder.program.main.decls if decl.kind == kind}
    for name in names:
        if name not in declared:
            raise _unknown(f"the file has no {kind} `{name}`", f"it has {', '.join(declared) or 'none'}")
    return [declared[name] for name in names] if names else list(declared.values())


def _unknown(message: str, help: str) -> LmcError:
    return LmcError(Diagnostic("LM0807", message, None, help=help))
