"""Protocols of one list to automata, with every check that needs no vocabulary.

In:  literals with spans (`ProtocolSource`) and the tokenizer's special tokens.
Out: `Automata` for the plan, or None once every mistake has been recorded.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import pairwise

from attrs import frozen

from ...spec.automaton import Automata, Nfa, NfaEdge
from ...spec.diagnostic import Diagnostics, Label
from ...spec.span import Span
from ..syntax.tree import String
from .monitor import build_monitor
from .nfa import TooLarge, build_nfa
from .pattern import Alternate, Capture, Concat, Pattern, Repeat, parse_pattern

PARAMETER = re.compile(r":([A-Za-z_][A-Za-z0-9_]*)")
SPLICE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@frozen
class ProtocolSource:
    """The literals of one protocol as they were written.

    Attributes:
        query: the statement, with `:name` and `{splice}`. allow: names that have an allow list.
        handover: spelling of the special token, or None. span: the block, for what has no better place.
    """

    name: str
    open: String
    body: String
    close: String
    handover: str | None
    query: String
    allow: Collection[str]
    span: Span


def compile_protocols(
    protocols: Sequence[ProtocolSource], specials: Sequence[str], diagnostics: Diagnostics
) -> Automata | None:
    """Return the automata of protocols that are spoken together, or None after recording what is wrong."""
    before = len(diagnostics.items)
    for protocol in protocols:
        _check_specials(protocol, specials, diagnostics)
    parts = [_nfas(protocol, diagnostics) for protocol in protocols]
    if len(diagnostics.items) > before or any(part is None for part in parts):
        return None
    nfas = [part for part in parts if part is not None]
    for protocol, (_, close, _, body) in zip(protocols, nfas, strict=True):
        if contains(body, close):
            diagnostics.error(
                "LM0606",
                protocol.body.span,
                "`body` can contain `close`",
                labels=(Label(protocol.close.span, "the first of these ends the call"),),
                help="exclude the first character of `close` from the body's classes",
            )
    _check_opens(protocols, diagnostics)
    if len(diagnostics.items) > before:
        return None
    opens, closes, calls, _ = zip(*nfas, strict=True)
    handovers = tuple(protocol.handover for protocol in protocols)
    try:
        monitor = build_monitor(opens, closes, calls, handovers)
    except TooLarge:
        diagnostics.error("LM0613", protocols[0].span, "the protocol's automaton has too many states")
        return None
    return Automata(tuple(protocol.name for protocol in protocols), monitor, calls, handovers)


def _nfas(protocol: ProtocolSource, diagnostics: Diagnostics) -> tuple[Nfa, Nfa, Nfa, Nfa] | None:
    parsed = [parse_pattern(literal, diagnostics) for literal in (protocol.open, protocol.body, protocol.close)]
    if any(pattern is None for pattern in parsed):
        return None
    start, body, close = (pattern for pattern in parsed if pattern is not None)
    _check_names(protocol, captures(body), diagnostics)
    try:
        nfas = build_nfa(start), build_nfa(close), build_nfa(Concat((body, close))), build_nfa(body)
    except TooLarge:
        diagnostics.error("LM0613", protocol.body.span, "the pattern needs too many states; lower its bounds")
        return None
    for literal, nfa in ((protocol.open, nfas[0]), (protocol.close, nfas[1])):
        if nfa.start in nfa.final:
            diagnostics.error("LM0601", literal.span, "a delimiter cannot be empty")
            return None
    if ambiguous(nfas[2]):
        diagnostics.error(
            "LM0607",
            protocol.body.span,
            "the same text can be captured in two ways",
            help="keep what separates two captures out of their classes",
        )
        return None
    return nfas


def captures(pattern: Pattern) -> list[str]:
    """Return the names of the captures of a pattern, in order."""
    if isinstance(pattern, Capture):
        return [pattern.name, *captures(pattern.item)]
    if isinstance(pattern, Concat | Alternate):
        return [name for item in pattern.items for name in captures(item)]
    return captures(pattern.item) if isinstance(pattern, Repeat) else []


def _check_names(protocol: ProtocolSource, names: list[str], diagnostics: Diagnostics) -> None:
    listed = ", ".join(names) or "none"
    for match in PARAMETER.finditer(protocol.query.value):
        if match.group(1) not in names:
            message = f"`:{match.group(1)}` is bound to no capture of `body`"
            diagnostics.error("LM0611", protocol.query.span, message, help=f"captures are {listed}")
    for match in SPLICE.finditer(protocol.query.value):
        if match.group(1) not in names:
            message = f"`{{{match.group(1)}}}` is no capture of `body`"
            diagnostics.error("LM0611", protocol.query.span, message, help=f"captures are {listed}")
        elif match.group(1) not in protocol.allow:
            message = f"`{{{match.group(1)}}}` is spliced into the query without an allow list"
            help = f"add allow {{ {match.group(1)} = [...] }}, or bind it as :{match.group(1)}"
            diagnostics.error("LM0610", protocol.query.span, message, help=help)


def _check_specials(protocol: ProtocolSource, specials: Sequence[str], diagnostics: Diagnostics) -> None:
    if protocol.handover is not None and protocol.handover not in specials:
        message = f"`{protocol.handover}` is no special token of the tokenizer"
        diagnostics.error("LM0609", protocol.span, message, help=f"declared are {', '.join(specials) or 'none'}")
    for literal in (protocol.open, protocol.close):
        if literal.value in specials:
            message = f"`{literal.value}` is a special token; `open` and `close` match text"
            diagnostics.error("LM0612", literal.span, message, help="use other text, or make it the `handover`")


def _check_opens(protocols: Sequence[ProtocolSource], diagnostics: Diagnostics) -> None:
    for first in protocols:
        for second in protocols:
            if first is not second and first.open.prefix != "re" and second.open.value.startswith(first.open.value):
                diagnostics.error(
                    "LM0608",
                    first.open.span,
                    f"the `open` of `{first.name}` begins the `open` of `{second.name}`",
                    labels=(Label(second.open.span, "this one could never be read"),),
                )


def contains(body: Nfa, close: Nfa) -> bool:
    """Whether some text of `body` has a text of `close` in it, by a search in their product."""
    alive = _co_accessible(body)
    stack = [(body.start, frozenset({close.start}))] if body.start in alive else []
    seen = set(stack)
    while stack:
        state, searching = stack.pop()
        for edge in body.edges[state]:
            if edge.target not in alive:
                continue
            for low, high in _cuts(edge.low, edge.high, [e for s in searching for e in close.edges[s]]):
                reached = {e.target for s in searching for e in close.edges[s] if e.low <= low and high <= e.high}
                if any(s in close.final for s in reached):
                    return True
                found = (edge.target, frozenset(reached | {close.start}))
                if found not in seen:
                    seen.add(found)
                    stack.append(found)
    return False


def ambiguous(nfa: Nfa) -> bool:
    """Whether two runs over one text tell different captures, by a search among pairs of states."""
    alive = _co_accessible(nfa)
    stack = [(nfa.start, nfa.start, False)]
    seen = set(stack)
    while stack:
        left, right, differ = stack.pop()
        if left in nfa.final and right in nfa.final and (differ or nfa.final[left] != nfa.final[right]):
            return True
        for one in nfa.edges[left]:
            for two in nfa.edges[right]:
                if max(one.low, two.low) > min(one.high, two.high) or not {one.target, two.target} <= alive:
                    continue
                low, high = min(one.target, two.target), max(one.target, two.target)
                found = (low, high, differ or one.tags != two.tags)
                if found not in seen:
                    seen.add(found)
                    stack.append(found)
    return False


def _co_accessible(nfa: Nfa) -> set[int]:
    into: dict[int, list[int]] = {}
    for state, edges in enumerate(nfa.edges):
        for edge in edges:
            into.setdefault(edge.target, []).append(state)
    alive = set(nfa.final)
    stack = list(alive)
    while stack:
        for state in into.get(stack.pop(), ()):
            if state not in alive:
                alive.add(state)
                stack.append(state)
    return alive


def _cuts(low: int, high: int, edges: Sequence[NfaEdge]) -> list[tuple[int, int]]:
    """Return [low, high] cut where any of the edges begins or ends."""
    points = {low, high + 1}
    for edge in edges:
        points |= {p for p in (edge.low, edge.high + 1) if low < p <= high}
    ordered = sorted(points)
    return [(a, b - 1) for a, b in pairwise(ordered)]
