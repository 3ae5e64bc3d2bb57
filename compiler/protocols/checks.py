"""Checks of protocols as they are written: delimiters, templates and allow lists. No automaton of a call is needed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from attrs import frozen

from ...spec.diagnostic import Diagnostics, Edit, Label
from ...spec.protocol import PARAMETER, SPLICE
from ...spec.span import Span
from ...spec.tokenizer import MARK
from ..syntax.tree import String
from .dfa import begins, determinise, meetings
from .monitor import Delimiter
from .nfa import TooLarge, build_nfa, matches
from .pattern import Pattern, inside
from .trees import groups, named_body

if TYPE_CHECKING:
    from .compile import ProtocolSource


def check_specials(protocol: ProtocolSource, specials: Sequence[str], diagnostics: Diagnostics) -> None:
    """Record what is meant to be a special token and is none of the tokenizer's."""
    meant: list[tuple[str, Span]] = []
    if protocol.handover is not None and protocol.match != "text":
        meant.append((protocol.handover.value, protocol.handover.span))
    for literal in (protocol.open, protocol.close) if protocol.match in ("special", "both") else ():
        if literal.prefix != "re" and re.fullmatch(MARK, literal.value):
            meant.append((literal.value, literal.span))
    for literal in protocol.told:
        meant += [(mark.group(), inside(literal, *mark.span())) for mark in re.finditer(MARK, literal.value)]
    for spelling, span in meant:
        if spelling not in specials:
            message = f"`{spelling}` is no special token of the tokenizer"
            near = difflib.get_close_matches(spelling, specials, 1, 0.8)
            help = f"write one of {', '.join(specials)}, or declare it in `specials` of the tokenizer"
            help = help if specials else "declare it in `specials` of the tokenizer"
            edits = (Edit(span, span.text.replace(spelling, near[0])),) if near else ()
            diagnostics.error("LM0609", span, message, help=f"did you mean `{near[0]}`?" if near else help, edits=edits)


def check_delimiters(protocol: ProtocolSource, specials: Sequence[str], diagnostics: Diagnostics) -> None:
    """Record delimiters that have a special token in them and say not how it is meant, and empty hand-overs."""
    handover, delimiters = protocol.handover, (protocol.open, protocol.close)
    if handover is not None and not handover.value and protocol.match == "text":
        diagnostics.error("LM0601", handover.span, "a delimiter cannot be empty")
    spelt = [literal for literal in delimiters if literal.prefix != "re" and literal.value in specials]
    for literal in delimiters if protocol.match != "text" else ():
        written = literal.value.replace("\\", "") if literal.prefix == "re" else literal.value
        part = next((spelling for spelling in specials if spelling in written), None)
        if literal in spelt and protocol.match is None:
            message = f"`{literal.value}` is a special token; `open` and `close` match text"
            help = 'say which is meant: match = "special" (the token), "text" (its spelling) or "both"'
            diagnostics.error("LM0612", literal.span, message, help=help)
        elif literal not in spelt and part is not None:
            message = f"`{part}` is a special token; a delimiter is one special token, or text"
            help = 'make it the token alone with match = "special", or say match = "text" for its spelling'
            diagnostics.error("LM0612", literal.span, message, help=help)
    named = [literal.value for literal in (*delimiters, handover) if literal is not None]
    special = any(value in specials or re.fullmatch(MARK, value) for value in named)
    if protocol.match in ("special", "both") and not special:
        message = f'match = "{protocol.match}" needs a delimiter that is a special token'
        help = f"declared are {', '.join(specials) or 'none'}"
        diagnostics.error("LM0612", protocol.open.span, message, help=help)


def check_template(protocol: ProtocolSource, names: Sequence[str], diagnostics: Diagnostics) -> None:
    """Record places of the template that no capture fills, and splices that anything could fill."""
    template = protocol.template
    if template is None:
        return
    for match in PARAMETER.finditer(template.value):
        if match.group(1) not in names:
            message = f"`:{match.group(1)}` is bound to no capture of `body`"
            _no_capture(inside(template, *match.span()), message, match.group(1), names, diagnostics)
    for match in SPLICE.finditer(template.value):
        if match.group(1) not in names:
            message = f"`{{{match.group(1)}}}` is no capture of `body`"
            _no_capture(inside(template, *match.span()), message, match.group(1), names, diagnostics)
        elif match.group(1) not in protocol.allow and set(protocol.allow) <= set(names):
            message = f"`{{{match.group(1)}}}` is spliced into the query without an allow list"
            help = f"add allow {{ {match.group(1)} = [...] }}, or bind it as :{match.group(1)}"
            diagnostics.error("LM0610", inside(template, *match.span()), message, help=help)


def _no_capture(span: Span, message: str, name: str, names: Sequence[str], diagnostics: Diagnostics) -> None:
    near = difflib.get_close_matches(name, names, 1)
    help = f"did you mean `{near[0]}`?" if near else f"name a capture: {', '.join(names)}"
    edits = (Edit(span, span.text.replace(name, near[0])),) if near else ()
    diagnostics.error("LM0611", span, message, help=help, edits=edits)


def check_allowed(
    protocol: ProtocolSource, body: Pattern | None, names: Sequence[str], diagnostics: Diagnostics
) -> None:
    """Record allow lists of no capture, and allowed values that their capture can never be."""
    body = named_body(body, names)
    for name, values in protocol.allow.items():
        span = protocol.allow_spans.get(name, (protocol.body or protocol.open).span)
        if name not in (names or ("body",)):
            if protocol.template is not None and re.search(rf"[:{{]{name}\b", protocol.template.value):
                continue  # told of the template
            message = f"`allow` lists `{name}`, which is no capture of `body`"
            _no_capture(span, message, name, names or ("body",), diagnostics)
        elif values != "read_only" and body is not None:
            items = [build_nfa(group.item) for group in groups(body) if group.name == name]
            lost = [value for value in values if not any(matches(item, value.encode()) for item in items)]
            if lost or not values:
                what = f'the allowed value "{lost[0]}" can never be asked for' if lost else "nothing is allowed"
                message = f"{what}: `{name}` does not match it" if lost else f"{what} for `{name}`"
                diagnostics.error("LM0614", span, message, help="widen the capture, or shorten the allow list")


@frozen
class Text:
    """A text that free text is searched for: an `open`, or a hand-over.

    Attributes:
        source: the protocol that it belongs to. what: `open` or `handover`. close: how the call behind an `open` ends.
    """

    source: ProtocolSource
    what: Literal["open", "handover"]
    delimiter: Delimiter
    close: Delimiter

    @property
    def literal(self) -> String:
        """Where it was written."""
        found = self.source.open if self.what == "open" else self.source.handover
        assert found is not None
        return found


def check_searched(texts: Sequence[Text], classes: tuple[int, ...], diagnostics: Diagnostics) -> None:
    """Record an `open` or hand-over that is complete before another could be: that other one would never be read."""
    for first in texts:
        for second in texts:
            one, two = first.delimiter, second.delimiter
            same = first.what == second.what == "open" and one.special is not None and one.special == two.special
            shared = first.what == second.what == "handover" and one.literal == two.literal
            try:
                hidden = first is not second and not shared and (same or _hides(first, second, classes))
            except TooLarge:
                diagnostics.error("LM0613", first.literal.span, "the pattern needs too many states")
                continue
            mirrored = any(d.code == "LM0608" and d.span == second.literal.span for d in diagnostics.items)
            if hidden and not mirrored:
                diagnostics.error(
                    "LM0608",
                    first.literal.span,
                    f"the {_named(first)} ends inside the {_named(second)}",
                    labels=(Label(second.literal.span, "this one could never be read"),),
                    help=LONGEST if first.what == second.what == "open" else "change one of them",
                )


LONGEST = 'say overlap = "longest" beside the shorter one to prefer the longer, or change one of them'


def _named(text: Text) -> str:
    return f"{'`open`' if text.what == 'open' else 'hand-over'} of `{text.source.name}`"


def _hides(first: Text, second: Text, classes: tuple[int, ...]) -> bool:
    """Whether one text is complete before, or exactly as, another."""
    one, two = first.delimiter, second.delimiter
    if one.text is None or two.text is None:
        return False
    if first.source.longest and first.what == second.what == "open" and _is_longer(first, two, classes):
        return False
    reader = determinise(two.text, classes)
    found = meetings(reader, determinise(one.text, classes, search=True))
    return begins(determinise(one.text, classes), reader) or any(state not in reader.final for state in found)


def _is_longer(first: Text, two: Delimiter, classes: tuple[int, ...]) -> bool:
    """Whether an `open` goes on where a shorter one ends, and is complete before a call of the shorter one is."""
    one = first.delimiter
    if one.literal is None or two.literal is None:
        return False
    if one.literal == two.literal or not two.literal.startswith(one.literal):
        return False
    if first.close.text is None:
        return True
    search, state = determinise(first.close.text, classes, search=True), 0
    for byte in two.literal[len(one.literal) : -1]:
        state = search.rows[state].get(classes[byte], 0)
        if state in search.final:
            return False
    return True
