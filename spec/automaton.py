"""Automata of tool protocols: what the compiler makes of `open`, `body`, `close` and the runtime lifts to tokens.

A `ByteAutomaton` is the monitor of a list of protocols: total, never dead. It reads symbols: byte classes, then the
declared hand-over specials, then any other special. Events fire on transitions, after the symbol that fires them.
A `Nfa` per protocol finds the captures in the bytes between `open` and the end of `close`.
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen

EventKind = Literal["open", "close", "rejected", "handover", "malformed", "abort"]


@frozen
class Event:
    """One thing that happens on a transition, to protocol number `protocol`.

    open        the last byte of `open` was read
    close       the first `close` was read and the body is well formed
    rejected    the first `close` was read and the body is not
    handover    the turn is given away after a well-formed call: run it
    malformed   the turn is given away without one
    abort       another special token ended a call that was open
    """

    kind: EventKind
    protocol: int


@frozen
class ByteAutomaton:
    """A total deterministic automaton over byte classes and special tokens.

    Attributes:
        classes: length 256; the class of each byte, 0..C-1.
        num_classes: C. Symbol C + i is `specials[i]`; the last symbol is any other special.
        specials: hand-over tokens.
        table: per state, the next state by symbol (C + len(specials) + 1 of them). State 0 is the start.
        events: of the same shape; an index into `event_lists`.
        event_lists: events in firing order; entry 0 is empty.
    """

    classes: tuple[int, ...]
    num_classes: int
    specials: tuple[str, ...]
    table: tuple[tuple[int, ...], ...]
    events: tuple[tuple[int, ...], ...]
    event_lists: tuple[tuple[Event, ...], ...]


@frozen
class Tag:
    """A capture begins, or ends, before the byte of the edge that carries the tag."""

    name: str
    ends: bool


@frozen
class NfaEdge:
    """Read a byte in [low, high] and go to `target`; `tags` happen before it."""

    low: int
    high: int
    target: int
    tags: tuple[Tag, ...]


@frozen
class Nfa:
    """A byte automaton without empty moves whose runs tell captures.

    Attributes:
        edges: per state. start: initial state.
        final: accepting states, with the tags that happen at the end.
    """

    edges: tuple[tuple[NfaEdge, ...], ...]
    start: int
    final: dict[int, tuple[Tag, ...]]

    def captures(self, text: bytes) -> dict[str, bytes] | None:
        """Return the captures of a whole match of `text`, or None if it does not match."""
        states: dict[int, tuple[tuple[Tag, int], ...]] = {self.start: ()}
        for at, byte in enumerate(text):
            reached: dict[int, tuple[tuple[Tag, int], ...]] = {}
            for state, marks in states.items():
                for edge in self.edges[state]:
                    if edge.low <= byte <= edge.high and edge.target not in reached:
                        reached[edge.target] = (*marks, *((tag, at) for tag in edge.tags))
            states = reached
        for state, marks in states.items():
            if state in self.final:
                return _cut(text, (*marks, *((tag, len(text)) for tag in self.final[state])))
        return None


def _cut(text: bytes, marks: tuple[tuple[Tag, int], ...]) -> dict[str, bytes]:
    begins = {tag.name: at for tag, at in marks if not tag.ends}
    return {tag.name: text[begins[tag.name] : at] for tag, at in marks if tag.ends}


@frozen
class Automata:
    """What a list of protocols compiles to: one monitor, and by protocol how to read a call."""

    names: tuple[str, ...]
    monitor: ByteAutomaton
    calls: tuple[Nfa, ...]
    handovers: tuple[str | None, ...]
