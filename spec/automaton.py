"""Byte automata with events: what the compiler makes of a protocol and the runtime lifts to tokens.

A state is an integer; a symbol is a byte (0..255) or, from 256 on, one of the declared special tokens in the
order of `specials`. Events fire on transitions; their offset is *after* the byte that fires them.
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen

EventKind = Literal[
    "open",
    "capture_start",
    "capture_end",
    "close",
    "handover",
    "malformed",
    "stray_handover",
    "abort",
]


@frozen
class Event:
    """One thing that happens on a transition. `slot` numbers the protocol (open, close, ...) or the capture."""

    kind: EventKind
    slot: int


@frozen
class ByteAutomaton:
    """A total deterministic automaton over byte classes with events on transitions.

    Attributes:
        classes: length 256; the class of each byte, 0..C-1.
        num_classes: C. Symbols C, C+1, ... stand for `specials` in order, and the last symbol for any other special.
        specials: spellings of the special tokens that have a column of their own.
        table: S rows of (C + len(specials) + 1) next states; -1 is dead (constraint only, never in a monitor).
        events: S rows of the same width; an index into `event_lists`, 0 = none.
        event_lists: tuples of events in firing order; entry 0 is empty.
        start: initial state.
        accepting: states in which free text may end.
        captures: names of the captures, by slot.
    """

    classes: tuple[int, ...]
    num_classes: int
    specials: tuple[str, ...]
    table: tuple[tuple[int, ...], ...]
    events: tuple[tuple[int, ...], ...]
    event_lists: tuple[tuple[Event, ...], ...]
    start: int
    accepting: frozenset[int]
    captures: tuple[str, ...] = ()
