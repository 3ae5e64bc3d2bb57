"""Pass: byte NFAs of `open` and of `body close` become one total monitor with events.

Inside a call two automata run on the same bytes: one that finds the first `close`, one that knows whether what was read
is a body followed by `close`. Where the first accepts, the second says whether the call is well formed.

    free text --open--> inside (search for close x body close) --close--> call pending --hand-over--> free text
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from attrs import Factory, define

from ...spec.automaton import ByteAutomaton, Event, Nfa
from .nfa import TooLarge

MAX_STATES = 32_000
Bits = frozenset[int]
DEAD: Bits = frozenset()


class Key(NamedTuple):
    """A state of the monitor.

    `protocol` is -1 in free text; `search` is the set of NFA states that look for an `open` (free) or the `close`
    (inside); `body` follows `body close`; `pending` is the protocol whose call waits for the hand-over, `accepted` if
    well formed.
    """

    protocol: int
    search: Bits
    body: Bits
    pending: int
    accepted: bool


@define
class _Builder:
    opens: Sequence[Nfa]
    closes: Sequence[Nfa]
    calls: Sequence[Nfa]
    handovers: Sequence[str | None]
    specials: tuple[str, ...]
    events: dict[tuple[Event, ...], int] = Factory(lambda: {(): 0})
    moved: dict[tuple[int, Bits, int], Bits] = Factory(dict)

    def free(self, pending: int = -1, accepted: bool = False) -> Key:
        return Key(
            -1, frozenset(self._tag_open(p, nfa.start) for p, nfa in enumerate(self.opens)), DEAD, pending, accepted
        )

    @staticmethod
    def _tag_open(protocol: int, state: int) -> int:
        return protocol << 24 | state

    def on_byte(self, key: Key, byte: int) -> tuple[Key, tuple[Event, ...]]:
        if key.protocol < 0:
            return self._search_open(key, byte)
        p = key.protocol
        search = self._move(self.closes[p], p * 2, key.search, byte) | {self.closes[p].start}
        body = self._move(self.calls[p], p * 2 + 1, key.body, byte)
        if not any(state in self.closes[p].final for state in search):
            return Key(p, search, body, -1, False), ()
        accepted = any(state in self.calls[p].final for state in body)
        closed = Event("close" if accepted else "rejected", p)
        if self.handovers[p] is not None:
            return self.free(p, accepted), (closed,)
        return self.free(), (closed, Event("handover" if accepted else "malformed", p))

    def _search_open(self, key: Key, byte: int) -> tuple[Key, tuple[Event, ...]]:
        reached = set(self.free().search)
        for tagged in key.search:
            p, state = tagged >> 24, tagged & 0xFFFFFF
            reached |= {
                self._tag_open(p, edge.target) for edge in self.opens[p].edges[state] if edge.low <= byte <= edge.high
            }
        for tagged in sorted(reached):
            p, state = tagged >> 24, tagged & 0xFFFFFF
            if state in self.opens[p].final:
                inside = Key(p, frozenset({self.closes[p].start}), frozenset({self.calls[p].start}), -1, False)
                return inside, (Event("open", p),)
        return key._replace(search=frozenset(reached)), ()

    def on_special(self, key: Key, spelling: str | None) -> tuple[Key, tuple[Event, ...]]:
        if spelling is None:
            return self.free(), (() if key.protocol < 0 else (Event("abort", key.protocol),))
        if key.pending >= 0 and self.handovers[key.pending] == spelling:
            return self.free(), (Event("handover" if key.accepted else "malformed", key.pending),)
        owner = key.protocol
        if owner < 0 or self.handovers[owner] != spelling:
            owner = self.handovers.index(spelling)
        return self.free(), (Event("malformed", owner),)

    def _move(self, nfa: Nfa, which: int, states: Bits, byte: int) -> Bits:
        key = (which, states, byte)
        if key not in self.moved:
            self.moved[key] = frozenset(
                edge.target for state in states for edge in nfa.edges[state] if edge.low <= byte <= edge.high
            )
        return self.moved[key]

    def event_list(self, events: tuple[Event, ...]) -> int:
        return self.events.setdefault(events, len(self.events))


def build_monitor(
    opens: Sequence[Nfa], closes: Sequence[Nfa], calls: Sequence[Nfa], handovers: Sequence[str | None]
) -> ByteAutomaton:
    """Return the monitor of protocols given by their `open`, `close` and `body close`. Raises TooLarge."""
    specials = tuple(dict.fromkeys(h for h in handovers if h is not None))
    builder = _Builder(opens, closes, calls, handovers, specials)
    classes, samples = byte_classes([*opens, *closes, *calls])
    numbers: dict[Key, int] = {builder.free(): 0}
    queue = [builder.free()]
    table: list[tuple[int, ...]] = []
    events: list[tuple[int, ...]] = []
    for key in queue:
        moves = [builder.on_byte(key, byte) for byte in samples]
        moves += [builder.on_special(key, spelling) for spelling in (*specials, None)]
        for target, _ in moves:
            if target not in numbers:
                numbers[target] = len(numbers)
                queue.append(target)
        if len(numbers) > MAX_STATES:
            raise TooLarge
        table.append(tuple(numbers[target] for target, _ in moves))
        events.append(tuple(builder.event_list(fired) for _, fired in moves))
    return ByteAutomaton(classes, len(samples), specials, tuple(table), tuple(events), tuple(builder.events))


def byte_classes(nfas: Sequence[Nfa]) -> tuple[tuple[int, ...], list[int]]:
    """Return the class of each byte and one byte of each class; bytes of a class are on the same edges."""
    cuts = {0, 256}
    for nfa in nfas:
        for edges in nfa.edges:
            for edge in edges:
                cuts |= {edge.low, edge.high + 1}
    starts = sorted(cuts)[:-1]
    classes = [0] * 256
    for number, start in enumerate(starts):
        for byte in range(start, starts[number + 1] if number + 1 < len(starts) else 256):
            classes[byte] = number
    return tuple(classes), starts
