"""Pass: the automata of protocols become one total monitor with events and writes.

Inside a call two automata run on the same bytes: one that finds the first `close`, one that knows whether what was read
is a body followed by `close`. Where the first accepts, the second says whether the call is well formed.

    free text --open--> inside (search for close x call [x strict]) --close--> call pending --hand-over--> free text

The strict call is the same pattern with its captures limited to their allow lists; what may be sampled follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from attrs import Factory, define, field, frozen

from ...spec.automaton import POSITION, ByteAutomaton, Effect, Event, EventKind, Write
from .dfa import MAX_STATES, Dfa, expand
from .minimal import Moves, minimal
from .nfa import Nfa, TooLarge
from .tagged import CallAutomaton

DEAD = -1
NOTHING = Effect()


@frozen
class Delimiter:
    """How a delimiter is recognised: as text, as a special token, or as either.

    Attributes:
        literal: the text, if it is no pattern. length: fewest bytes of the text.
    """

    text: Nfa | None
    special: str | None
    literal: bytes | None
    length: int


@frozen
class CompiledProtocol:
    """The parts of a protocol that the monitor is made of.

    Attributes:
        close_search: finds the first `close` that is text. call: body and close. strict: with allow lists, or None.
        handover: None if the end of `close` gives the turn away.
        longest: whether a longer `open` of another protocol wins over this one.
    """

    name: str
    open: Delimiter
    close_special: str | None
    close_search: Dfa | None
    call: CallAutomaton
    strict: CallAutomaton | None
    handover: Delimiter | None
    constrained: bool
    longest: bool


class Key(NamedTuple):
    """A state of the monitor.

    `protocol` is -1 in free text, where `search` are the states that look for an `open` or the text of a hand-over.
    Inside, `close`, `call` and `strict` are states of the protocol's automata, DEAD once no match can follow, and
    `rivals` are longer opens, (protocol, bytes read), that may still win.
    `pending` is the protocol whose call waits for the hand-over, `accepted` if well formed; `expected` counts the bytes
    of the hand-over's text read since, DEAD once it was left.
    """

    protocol: int
    search: frozenset[int] = frozenset()
    close: int = 0
    call: int = 0
    strict: int = DEAD
    rivals: tuple[tuple[int, int], ...] = ()
    pending: int = -1
    accepted: bool = False
    expected: int = 0


Move = tuple[Key, Effect, bool]
"""The next state, what happens, and whether a constrained decoding may do it."""


@define
class _Builder:
    protocols: Sequence[CompiledProtocol]
    classes: tuple[int, ...]
    specials: tuple[str, ...] = field(init=False)
    searched: list[tuple[int, bool, Nfa]] = field(init=False)
    rows: list[list[dict[int, list[tuple[int, tuple[int, ...]]]]]] = field(init=False)
    start: frozenset[int] = field(init=False)
    num_classes: int = field(init=False)
    moved: dict[tuple[frozenset[int], int], frozenset[int]] = Factory(dict)
    lost: dict[tuple[int, int], list[Move]] = Factory(dict)
    special_moves: dict[Any, list[Move]] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        self.num_classes = max(self.classes) + 1
        named = [s for p in self.protocols for s in (p.open.special, p.close_special, _special(p.handover)) if s]
        self.specials = tuple(dict.fromkeys(named))
        texts = [(p, True, protocol.open.text) for p, protocol in enumerate(self.protocols)]
        texts += [(p, False, protocol.handover.text) for p, protocol in enumerate(self.protocols) if protocol.handover]
        self.searched = [(p, opens, nfa) for p, opens, nfa in texts if nfa is not None]
        self.rows = [expand(nfa.edges, self.classes) for _, _, nfa in self.searched]
        self.start = frozenset(which << 24 | nfa.start for which, (_, _, nfa) in enumerate(self.searched))

    def free(self) -> Key:
        return Key(-1, self.start)

    def moves(self, key: Key) -> list[Move]:
        """Return the moves of a state by symbol."""
        if key.protocol >= 0 and not key.rivals:
            return [*self._inside_moves(key), *self._special_moves(key)]
        step = self._free if key.protocol < 0 else self._rival
        moves = [step(key, byte_class) for byte_class in range(self.num_classes)]
        return [*moves, *(self._on_special(key, special) for special in (*self.specials, None))]

    def _inside_moves(self, key: Key) -> list[Move]:
        """Return the moves on bytes: those of a malformed call, but where the call goes on."""
        lost = (key.protocol, key.close)
        if lost not in self.lost:
            hopeless = Key(key.protocol, close=key.close, call=DEAD)
            self.lost[lost] = [self._inside(hopeless, byte_class) for byte_class in range(self.num_classes)]
        moves = self.lost[lost].copy()
        for byte_class in self.protocols[key.protocol].call.rows[key.call] if key.call >= 0 else ():
            moves[byte_class] = self._inside(key, byte_class)
        return moves

    def _special_moves(self, key: Key) -> list[Move]:
        protocol = self.protocols[key.protocol]
        strictly = protocol.strict is not None and key.strict in protocol.strict.special_final
        at = (key.protocol, protocol.call.special_final.get(key.call), strictly)
        if at not in self.special_moves:
            self.special_moves[at] = [self._on_special(key, special) for special in (*self.specials, None)]
        return self.special_moves[at]

    def _free(self, key: Key, byte_class: int) -> Move:
        reached = self._search(key.search, byte_class)
        opened, handed = self._completed(reached)
        pending = self.protocols[key.pending] if key.pending >= 0 else None
        if pending is not None and key.pending in handed:
            return self._hand_over(key, key.expected >= 0)
        if opened:
            best = max(opened, key=lambda p: self.protocols[p].open.length)
            found, effect = self._opened(best)
            return found, effect, not self.is_bound(key)
        if handed:
            return self.free(), Effect((Event("malformed", handed[0]),)), not self.is_bound(key)
        expected = key.expected
        if pending is not None and pending.constrained:
            literal = pending.handover.literal if pending.handover and pending.handover.text else None
            goes_on = literal is not None and expected >= 0 and self.classes[literal[expected]] == byte_class
            expected = expected + 1 if goes_on else DEAD
        return key._replace(search=reached, expected=expected), NOTHING, True

    def is_bound(self, key: Key) -> bool:
        """Whether a constrained call is open, or waits for its hand-over, which alone may follow."""
        owner = key.protocol if key.protocol >= 0 else key.pending
        return owner >= 0 and self.protocols[owner].constrained

    def _search(self, states: frozenset[int], byte_class: int) -> frozenset[int]:
        key = (states, byte_class)
        if key not in self.moved:
            reached = set(self.start)
            for tagged in states:
                which, state = tagged >> 24, tagged & 0xFFFFFF
                reached |= {which << 24 | target for target, _ in self.rows[which][state].get(byte_class, ())}
            self.moved[key] = frozenset(reached)
        return self.moved[key]

    def _completed(self, states: frozenset[int]) -> tuple[list[int], list[int]]:
        """Return the protocols whose `open`, and those whose hand-over as text, has just been read."""
        ended = sorted(t >> 24 for t in states if t & 0xFFFFFF in self.searched[t >> 24][2].final)
        found = [self.searched[which][:2] for which in ended]
        return [p for p, opens in found if opens], [p for p, opens in found if not opens]

    def _opened(self, p: int) -> tuple[Key, Effect]:
        protocol = self.protocols[p]
        strict = 0 if protocol.strict is not None else DEAD
        own = protocol.open.literal
        rivals = tuple(
            (q, len(own))
            for q, other in enumerate(self.protocols)
            if own is not None
            and protocol.longest
            and other.open.literal is not None
            and other.open.text is not None
            and other.open.literal.startswith(own)
            and len(other.open.literal) > len(own)
        )
        events = () if rivals else (Event("open", p),)
        return Key(p, strict=strict, rivals=rivals), Effect(events, (Write(0, POSITION),))

    def _rival(self, key: Key, byte_class: int) -> Move:
        """Read a byte in a call that a longer `open` may still turn into another."""
        own = self.protocols[key.protocol].open.literal or b""
        back = key.rivals[0][1] + 1 - len(own)
        longer = [(q, at + 1) for q, at in key.rivals if self._byte_at(q, at) == byte_class]
        for q, at in longer:
            if at == self.protocols[q].open.length:
                found, effect = self._opened(q)
                return found, effect, True
        found, effect, legal = self._inside(key._replace(rivals=()), byte_class)
        if longer and not effect.events:
            return found._replace(rivals=tuple(longer)), effect, legal
        return found, Effect((Event("open", key.protocol, back), *effect.events), effect.writes), legal

    def _byte_at(self, q: int, at: int) -> int:
        literal = self.protocols[q].open.literal
        assert literal is not None
        return self.classes[literal[at]]

    def _inside(self, key: Key, byte_class: int) -> Move:
        p = key.protocol
        protocol = self.protocols[p]
        call, writes = _follow(protocol.call, key.call, byte_class)
        strict = _follow(protocol.strict, key.strict, byte_class)[0] if protocol.strict else DEAD
        if protocol.close_search is not None:
            close = protocol.close_search.rows[key.close].get(byte_class, 0)
            if close in protocol.close_search.final:
                finals = protocol.call.text_final
                strictly = protocol.strict is None or strict in protocol.strict.text_final
                return self._closed(p, call in finals, writes, finals.get(call, ()), strictly)
        else:
            close = 0
        return Key(p, close=close, call=call, strict=strict), Effect((), writes) if writes else NOTHING, True

    def _closed(
        self, p: int, accepted: bool, before: tuple[Write, ...], last: tuple[Write, ...], strictly: bool
    ) -> Move:
        """Return the move of the last byte, or the special token, of a `close`."""
        protocol = self.protocols[p]
        events = [Event("close" if accepted else "rejected", p)]
        key = self.free()
        if protocol.handover is None:
            events.append(Event("handover" if accepted else "malformed", p))
        else:
            key = key._replace(pending=p, accepted=accepted)
        legal = not protocol.constrained or (accepted and strictly)
        return key, Effect(tuple(events), _compose(before, last) if accepted else ()), legal

    def _hand_over(self, key: Key, at_once: bool) -> Move:
        kind: EventKind = "handover" if key.accepted else "malformed"
        legal = (key.accepted and at_once) or not self.protocols[key.pending].constrained
        return self.free(), Effect((Event(kind, key.pending),)), legal

    def _on_special(self, key: Key, special: str | None) -> Move:
        if key.pending >= 0 and special is not None and _special(self.protocols[key.pending].handover) == special:
            return self._hand_over(key, key.expected == 0)
        p = key.protocol
        tentative: tuple[Event, ...] = ()
        if key.rivals:
            tentative = (Event("open", p, key.rivals[0][1] - len(self.protocols[p].open.literal or b"")),)
        if p >= 0 and special is not None and special == self.protocols[p].close_special:
            protocol = self.protocols[p]
            finals = protocol.call.special_final
            strictly = protocol.strict is None or key.strict in protocol.strict.special_final
            found, effect, legal = self._closed(p, key.call in finals, (), finals.get(key.call, ()), strictly)
            return found, Effect((*tentative, *effect.events), effect.writes), legal
        legal = not self.is_bound(key)
        owners = [q for q, other in enumerate(self.protocols) if special and _special(other.handover) == special]
        if owners:
            owner = p if p in owners else owners[0]
            event = Event("malformed", owner)
            return self.free(), Effect((*tentative, event)), legal
        aborted = () if p < 0 else (*tentative, Event("abort", p))
        opened = next((q for q, other in enumerate(self.protocols) if special and other.open.special == special), None)
        if opened is not None:
            found, effect = self._opened(opened)
            return found._replace(rivals=()), Effect((*aborted, Event("open", opened)), effect.writes), legal
        return self.free(), Effect(aborted), legal


def _special(delimiter: Delimiter | None) -> str | None:
    return delimiter.special if delimiter is not None else None


def _follow(call: CallAutomaton, state: int, byte_class: int) -> tuple[int, tuple[Write, ...]]:
    return call.rows[state].get(byte_class, (DEAD, ())) if state >= 0 else (DEAD, ())


def _compose(first: tuple[Write, ...], then: tuple[Write, ...]) -> tuple[Write, ...]:
    """Return the writes of one move that does what `first` and then `then` do, at one position."""
    before = {write.register: write for write in first}
    after = dict(before)
    for write in then:
        source = before.get(write.source)
        after[write.register] = (
            write if source is None else Write(write.register, source.source, source.add + write.add)
        )
    return tuple(after[register] for register in sorted(after))


def build_monitor(protocols: Sequence[CompiledProtocol], classes: tuple[int, ...], num_registers: int) -> ByteAutomaton:
    """Return the minimal monitor of protocols. Raises TooLarge."""
    builder = _Builder(protocols, classes)
    numbers: dict[Key, int] = {builder.free(): 0}
    queue = [builder.free()]
    effects: dict[tuple[Effect, bool], int] = {(NOTHING, True): 0}
    found = Moves(classes, builder.specials)
    for key in queue:
        row, own = [], {}
        for symbol, (target, effect, legal) in enumerate(builder.moves(key)):
            number = numbers.get(target)
            if number is None:
                number = numbers[target] = len(queue)
                queue.append(target)
            row.append(number)
            if effect.events or effect.writes or not legal:
                own[symbol] = effects.setdefault((effect, legal), len(effects))
        if len(queue) > MAX_STATES:
            raise TooLarge
        found.table.append(row)
        found.fired.append(own)
        found.bound.append(builder.is_bound(key))
    return minimal(found, tuple(effects), num_registers)


def can_be_called(monitor: ByteAutomaton, protocol: int) -> bool:
    """Whether a well-formed call of a protocol can be read, and where it is constrained, be sampled."""
    opened, ended = False, False
    for state, moves in enumerate(monitor.moves):
        for symbol, effect in moves:
            target = monitor.table[state][symbol]
            legal = monitor.live[state] and monitor.live[target] and monitor.legal[effect]
            for event in monitor.effects[effect].events if legal else ():
                opened |= event == Event("open", protocol, event.back)
                ended |= event == Event("handover", protocol)
    return opened and ended
