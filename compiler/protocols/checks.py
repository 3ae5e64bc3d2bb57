"""Checks of protocols as they are written: delimiters, templates and allow lists. No automaton of a call is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...spec.diagnostic import Diagnostics, Label
from ...spec.protocol import PARAMETER, SPLICE
from .dfa import begins, determinise, meetings
from .monitor import Delimiter
from .nfa import Nfa, build_nfa
from .pattern import Pattern
from .trees import groups

if TYPE_CHECKING:
    from .compile import ProtocolSource


def check_delimiters(protocol: ProtocolSource, specials: Sequence[str], diagnostics: Diagnostics) -> None:
    """Record delimiters that spell a special token and say not how they are meant, and undeclared hand-overs."""
    handover = protocol.handover
    declared = ", ".join(specials) or "none"
    if handover is not None and protocol.match != "text" and handover.value not in specials:
        message = f"`{handover.value}` is no special token of the tokenizer"
        diagnostics.error("LM0609", handover.span, message, help=f"declared are {declared}")
    spelt = [
        literal for literal in (protocol.open, protocol.close) if literal.prefix != "re" and literal.value in specials
    ]
    for literal in spelt if protocol.match is None else ():
        diagnostics.error(
            "LM0612",
            literal.span,
            f"`{literal.value}` is a special token; `open` and `close` match text",
            help='say which is meant: match = "special" (the token), "text" (its spelling) or "both"',
        )
    if protocol.match in ("special", "both") and not spelt and (handover is None or handover.value not in specials):
        diagnostics.error(
            "LM0612",
            protocol.open.span,
            f'match = "{protocol.match}" needs a delimiter that is a special token',
            help=f"declared are {declared}",
        )


def check_template(protocol: ProtocolSource, names: Sequence[str], diagnostics: Diagnostics) -> None:
    """Record places of the template that no capture fills, and splices that anything could fill."""
    template = protocol.template
    if template is None:
        return
    listed = ", ".join(names)
    for match in PARAMETER.finditer(template.value):
        if match.group(1) not in names:
            message = f"`:{match.group(1)}` is bound to no capture of `body`"
            diagnostics.error("LM0611", template.span, message, help=f"captures are {listed}")
    for match in SPLICE.finditer(template.value):
        if match.group(1) not in names:
            message = f"`{{{match.group(1)}}}` is no capture of `body`"
            diagnostics.error("LM0611", template.span, message, help=f"captures are {listed}")
        elif match.group(1) not in protocol.allow:
            message = f"`{{{match.group(1)}}}` is spliced into the query without an allow list"
            help = f"add allow {{ {match.group(1)} = [...] }}, or bind it as :{match.group(1)}"
            diagnostics.error("LM0610", template.span, message, help=help)


def check_allowed(
    protocol: ProtocolSource, body: Pattern | None, names: Sequence[str], diagnostics: Diagnostics
) -> None:
    """Record allow lists of no capture, and allowed values that their capture can never be."""
    span = (protocol.body or protocol.open).span
    for name, values in protocol.allow.items():
        if name not in (names or ("body",)):
            message = f"`allow` lists `{name}`, which is no capture of `body`"
            diagnostics.error("LM0611", span, message, help=f"captures are {', '.join(names) or 'body'}")
        elif values != "read_only" and body is not None:
            items = [build_nfa(group.item) for group in groups(body) if group.name == name]
            lost = [value for value in values if not any(matches(item, value.encode()) for item in items)]
            if lost or not values:
                what = f'the allowed value "{lost[0]}" can never be asked for' if lost else "nothing is allowed"
                message = f"{what}: `{name}` does not match it" if lost else f"{what} for `{name}`"
                diagnostics.error("LM0614", span, message, help="widen the capture, or shorten the allow list")


def matches(nfa: Nfa, text: bytes) -> bool:
    """Whether an NFA matches the whole of `text`."""
    states = {nfa.start}
    for byte in text:
        states = {target for s in states for low, high, target, _ in nfa.edges[s] if low <= byte <= high}
    return not states.isdisjoint(nfa.final)


def check_opens(
    protocols: Sequence[tuple[ProtocolSource, Delimiter]], classes: tuple[int, ...], diagnostics: Diagnostics
) -> None:
    """Record an `open` that ends before another could: that other one would never be read."""
    for first, one in protocols:
        for second, two in protocols:
            same = one.special is not None and one.special == two.special
            if first is not second and (same or _hides(first, one, two, classes)):
                diagnostics.error(
                    "LM0608",
                    first.open.span,
                    f"the `open` of `{first.name}` ends inside the `open` of `{second.name}`",
                    labels=(Label(second.open.span, "this one could never be read"),),
                    help='say overlap = "longest" beside the shorter one to prefer the longer, or change one of them',
                )


def _hides(first: ProtocolSource, one: Delimiter, two: Delimiter, classes: tuple[int, ...]) -> bool:
    """Whether the text of one `open` is complete before, or exactly as, that of another."""
    if one.text is None or two.text is None:
        return False
    literal = one.literal is not None and two.literal is not None and one.literal != two.literal
    if first.longest and literal:
        return False
    reader = determinise(two.text, classes)
    found = meetings(reader, determinise(one.text, classes, search=True))
    return begins(determinise(one.text, classes), reader) or any(state not in reader.final for state in found)
