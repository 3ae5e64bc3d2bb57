"""Protocols of one list to automata, with every check that needs no vocabulary.

In:  literals with spans (`ProtocolSource`) and the tokenizer's special tokens.
Out: `Automata` for the plan, or None once every mistake has been recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import Factory, frozen

from ...spec.automaton import Automata, Slot, SpokenProtocol
from ...spec.diagnostic import Diagnostics
from ...spec.span import Span
from ..syntax.tree import String
from .checks import Text, check_allowed, check_delimiters, check_searched, check_specials, check_template
from .dfa import byte_classes, determinise
from .monitor import CompiledProtocol, Delimiter, build_monitor, can_be_called
from .nfa import ANY_TEXT, Nfa, TooLarge, build_nfa
from .pattern import Alternate, Pattern, parse_pattern
from .tagged import Ambiguous, CallAutomaton, CallNfa, determinise_call, goes_on_behind, join
from .trees import groups, limited, named_body, sizes, text_pattern

HOME = 2
"""The first register of a capture."""


@frozen
class ProtocolSource:
    """A protocol as it was written.

    Attributes:
        body: None for any text up to `close`. handover: None if the end of `close` gives the turn away.
        match: how delimiters that spell a special token are matched. longest: whether a longer `open` wins.
        template: what captures are filled into, with `:name` and `{splice}`; None if there is nothing to fill.
        allow: by capture, the values it may take, or "read_only". constrained: whether sampling keeps to the pattern.
        span: the block, for what has no better place. allow_spans: where the lists of `allow` are.
        told: what is written around a reply, with the spellings of special tokens.
    """

    name: str
    open: String
    body: String | None
    close: String
    handover: String | None
    template: String | None
    allow: Mapping[str, Sequence[str] | Literal["read_only"]]
    span: Span
    match: Literal["text", "special", "both"] | None = None
    longest: bool = False
    constrained: bool = False
    allow_spans: Mapping[str, Span] = Factory(dict)
    told: Sequence[String] = ()

    @property
    def content(self) -> tuple[Any, ...]:
        """What automata are made of: everything but the places."""
        literals = (self.open, self.body, self.close, self.handover, self.template, *self.told)
        texts = tuple(None if literal is None else (literal.prefix, literal.value) for literal in literals)
        allowed = tuple((name, tuple(values)) for name, values in sorted(self.allow.items()))
        return (self.name, texts, allowed, self.match, self.longest, self.constrained)


@frozen
class _Parts:
    """The patterns of a protocol and their NFAs."""

    source: ProtocolSource
    body: Pattern | None
    names: tuple[str, ...]
    open: Delimiter
    close: Delimiter
    handover: Delimiter | None
    call: CallNfa
    strict: CallNfa | None

    @property
    def nfas(self) -> list[Nfa]:
        """Everything that the monitor reads."""
        texts = [self.open.text, self.close.text, self.handover.text if self.handover else None]
        return [*(nfa for nfa in texts if nfa is not None), self.call.nfa, *([self.strict.nfa] if self.strict else [])]

    @property
    def texts(self) -> list[Text]:
        """What free text is searched for."""
        found = [Text(self.source, "open", self.open, self.close)]
        return found if self.handover is None else [*found, Text(self.source, "handover", self.handover, self.close)]

    @property
    def num_home(self) -> int:
        """Registers that belong to captures and to the body as a whole."""
        return HOME + 2 * len(self.names)


def compile_protocols(
    protocols: Sequence[ProtocolSource], specials: Sequence[str], diagnostics: Diagnostics
) -> Automata | None:
    """Return the automata of protocols that are spoken together, or None after recording what is wrong."""
    own = Diagnostics()
    automata = _compiled(protocols, specials, own)
    for diagnostic in own.items:
        diagnostics.add(diagnostic)
    return automata


def _compiled(
    protocols: Sequence[ProtocolSource], specials: Sequence[str], diagnostics: Diagnostics
) -> Automata | None:
    parts = [_parts(protocol, specials, diagnostics) for protocol in protocols]
    found = [part for part in parts if part is not None]
    if diagnostics.failed or len(found) < len(parts):
        return None
    classes = byte_classes(nfa for part in found for nfa in part.nfas)
    check_searched([text for part in found for text in part.texts], classes, diagnostics)
    compiled = [_protocol(part, classes, diagnostics) for part in found]
    ready = [protocol for protocol in compiled if protocol is not None]
    if diagnostics.failed or len(ready) < len(compiled):
        return None
    automata = [call for protocol in ready for call in (protocol.call, protocol.strict) if call is not None]
    num_registers = max([*(part.num_home for part in found), *map(_registers, automata)])
    try:
        monitor = build_monitor(ready, classes, num_registers)
    except TooLarge:
        diagnostics.error("LM0613", protocols[0].span, "the protocols' automaton has too many states")
        return None
    for number, part in enumerate(found):
        if not can_be_called(monitor, number):
            _never(part.source, diagnostics)
    if diagnostics.failed:
        return None
    return Automata(tuple(_spoken(part) for part in found), monitor)


def _never(protocol: ProtocolSource, diagnostics: Diagnostics) -> None:
    span = (protocol.body or protocol.open).span
    message = f"no call of `{protocol.name}` can ever be well formed"
    help = "let `body` match a text that is allowed and that the first `close` does not cut"
    diagnostics.error("LM0616", span, message, help=help)


def _registers(call: CallAutomaton) -> int:
    used = [write.register for row in call.rows for _, writes in row.values() for write in writes]
    return max(used, default=0) + 1


def _spoken(part: _Parts) -> SpokenProtocol:
    slots = tuple(Slot(name, HOME + 2 * i, HOME + 2 * i + 1) for i, name in enumerate(part.names))
    literal = part.source.body or part.source.open
    span = literal.span
    place = (span.source.path, span.line, span.column, span.text.split("\n")[0])
    handover = part.handover.special if part.handover else None
    constrained = part.source.constrained
    return SpokenProtocol(part.source.name, slots or (Slot("body", 0, 1),), handover, constrained, place)


def _parts(protocol: ProtocolSource, specials: Sequence[str], diagnostics: Diagnostics) -> _Parts | None:
    check_specials(protocol, specials, diagnostics)
    check_delimiters(protocol, specials, diagnostics)
    literals = (protocol.open, protocol.close, protocol.body)
    parsed = [None if literal is None else parse_pattern(literal, diagnostics) for literal in literals]
    opening, closing, body = parsed
    if opening is None or closing is None or (body is None) != (protocol.body is None):
        return None
    names = tuple(dict.fromkeys(group.name for group in groups(body))) if body is not None else ()
    check_template(protocol, names or ("body",), diagnostics)
    check_allowed(protocol, body, names, diagnostics)
    try:
        delimiters = [
            _delimiter(literal, pattern, protocol.match, specials, diagnostics)
            for literal, pattern in ((protocol.open, opening), (protocol.close, closing))
        ]
        if any(delimiter is None for delimiter in delimiters):
            return None
        start, close = (delimiter for delimiter in delimiters if delimiter is not None)
        handover = _handover(protocol, diagnostics)
        registers = {name: HOME + 2 * number for number, name in enumerate(names)}
        call, strict = _calls(protocol, body, close, sizes(closing), registers)
    except TooLarge:
        _too_large(protocol, diagnostics)
        return None
    return _Parts(protocol, body, names, start, close, handover, call, strict)


def _too_large(protocol: ProtocolSource, diagnostics: Diagnostics) -> None:
    span = (protocol.body or protocol.open).span
    diagnostics.error("LM0613", span, "the pattern needs too many states", help="lower the bounds of repetitions")


def _calls(
    protocol: ProtocolSource,
    body: Pattern | None,
    close: Delimiter,
    close_sizes: tuple[int, int | None],
    registers: Mapping[str, int],
) -> tuple[CallNfa, CallNfa | None]:
    back = close_sizes[0] if close_sizes[0] == close_sizes[1] else None
    by_special = close.special is not None
    whole = not registers
    call = join(ANY_TEXT if body is None else build_nfa(body, registers), close.text, back, by_special, whole)
    captures = registers or ("body",)
    lists = {name: values for name, values in protocol.allow.items() if values != "read_only" and name in captures}
    if not protocol.constrained or not lists:
        return call, None
    named = named_body(body, tuple(registers))
    strict = limited(named, lists) if named is not None else Alternate(tuple(map(text_pattern, lists["body"])))
    return call, join(build_nfa(strict), close.text, back, by_special, whole)


def _delimiter(
    literal: String, pattern: Pattern, match: str | None, specials: Sequence[str], diagnostics: Diagnostics
) -> Delimiter | None:
    """Return how `open` or `close` is recognised."""
    special = literal.value if literal.prefix != "re" and literal.value in specials and match != "text" else None
    if special is not None and match == "special":
        return Delimiter(None, special, None, 0)
    nfa = build_nfa(pattern)
    if nfa.start in nfa.final:
        diagnostics.error("LM0601", literal.span, "a delimiter cannot be empty")
        return None
    text = None if literal.prefix == "re" else literal.value.encode()
    return Delimiter(nfa, special, text, sizes(pattern)[0])


def _handover(protocol: ProtocolSource, diagnostics: Diagnostics) -> Delimiter | None:
    literal = protocol.handover
    if literal is None:
        return None
    if protocol.match not in ("text", "both"):
        return Delimiter(None, literal.value, None, 0)
    pattern = parse_pattern(literal, diagnostics)
    assert pattern is not None
    text = literal.value.encode()
    return Delimiter(build_nfa(pattern), literal.value if protocol.match == "both" else None, text, len(text))


def _protocol(part: _Parts, classes: tuple[int, ...], diagnostics: Diagnostics) -> CompiledProtocol | None:
    source = part.source
    try:
        search = determinise(part.close.text, classes, search=True) if part.close.text is not None else None
        call = determinise_call(part.call, classes, part.num_home, prefer=part.body is None)
        strict = determinise_call(part.strict, classes, HOME, prefer=True) if part.strict is not None else None
    except TooLarge:
        _too_large(source, diagnostics)
        return None
    except Ambiguous:
        assert source.body is not None
        message = "the same text can be captured in two ways"
        help = "keep what separates two captures out of their classes"
        diagnostics.error("LM0607", source.body.span, message, help=help)
        return None
    if search is not None and source.body is not None and goes_on_behind(call, search):
        diagnostics.error(
            "LM0606",
            source.body.span,
            "`body` can contain `close`",
            label="some text of it goes on behind a `close`",
            help="exclude the first character of `close` from its classes, or leave `body` out to take any text",
        )
        return None
    return CompiledProtocol(
        source.name,
        part.open,
        part.close.special,
        search,
        call,
        strict,
        part.handover,
        source.constrained,
        source.longest,
    )
