"""Which tools answer in a run: those of the protocols that its data speaks, or a part of its data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...spec.data import Mixture
from ...spec.diagnostic import Diagnostic, LmcError
from ..components.base import Component
from ..components.tools import AutomatonNode
from ..components.trainer import TrainerNode
from ..generation.toolkit import Toolkit
from ..session import Session


def toolkit_of(session: Session, run: TrainerNode, part: str | None) -> Toolkit | None:
    """Return the tools of a part of a run's data, or of the whole where all that speaks has the same; None without.

    Raises LmcError (LM0810) for a part that there is not, and where parts have different tools and none is named.
    """
    spoken = {name: _automaton(session, data) for name, data in _parts(run)}
    if part is not None and part not in spoken:
        message = f"the data of `{run.node.name}` has no part `{part}`"
        raise LmcError(Diagnostic("LM0810", message, None, help=f"parts are {', '.join(spoken)}"))
    if part is not None:
        chosen = spoken[part]
    else:
        distinct = {automaton.node.id: automaton for automaton in spoken.values() if automaton is not None}
        if len(distinct) > 1:
            raise _ambiguous(run, spoken)
        chosen = next(iter(distinct.values()), None)
    return None if chosen is None else session.product(chosen)


def _parts(run: TrainerNode) -> Iterator[tuple[str, Component[Any]]]:
    """Yield the data that a run reads, in all stages, by name; that of a mixture by the names of its parts."""
    for data in (run.data, *run.staged_data):
        yield from _inside(data.node.name, data)


def _inside(name: str, data: Component[Any]) -> Iterator[tuple[str, Component[Any]]]:
    if not isinstance(data.spec, Mixture):
        yield name, data
        return
    read: tuple[Component[Any], ...] = getattr(data, "read", ())
    for own, part in zip(sorted(data.spec.parts), read, strict=True):
        yield from _inside(own, part)


def _automaton(session: Session, data: Component[Any]) -> AutomatonNode | None:
    protocols = getattr(data.spec, "protocols", ())
    automata = [found for found in session.components.values() if isinstance(found, AutomatonNode)]
    same = [found for found in automata if found.spec.protocols == protocols]
    return next((found for found in same if found.spec.tokenizer == data.spec.tokenizer), None)


def _ambiguous(run: TrainerNode, spoken: dict[str, AutomatonNode | None]) -> LmcError:
    told = [f"`{n}` speaks {', '.join(p.node.name for p in a.protocols)}" for n, a in spoken.items() if a is not None]
    message = f"parts of the data of `{run.node.name}` have different tools: {'; '.join(told)}"
    first = next(name for name, automaton in spoken.items() if automaton is not None)
    return LmcError(Diagnostic("LM0810", message, None, help=f"name the one that is meant: --part {first}"))
