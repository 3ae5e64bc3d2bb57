"""The lift: a byte automaton and a vocabulary become tables over token ids. Needs numpy only.

Two tokens behave alike if they move every state to the same state with the same events at the same offsets, so the
table has one column per behaviour and a vector gives each token's column. Columns are found along the trie of the
vocabulary: a prefix's behaviour is looked up once (the quotient lift).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from attrs import Factory, define, frozen

from ...spec.automaton import ByteAutomaton, Event

Ints = npt.NDArray[np.int64]


@frozen
class FiredEvent:
    """An event and how many bytes of its token had been read when it fired."""

    event: Event
    offset: int


@frozen(eq=False)
class TokenAutomaton:
    """A monitor over token ids. State 0 is the start.

    Attributes:
        columns: int64[V], the column of each id. table: int64[S, C], next states.
        events: int64[S, C], index into `event_lists`; 0 is none.
    """

    columns: Ints
    table: Ints
    events: Ints
    event_lists: tuple[tuple[FiredEvent, ...], ...]

    def advance(self, states: Ints, tokens: Ints) -> tuple[Ints, Ints]:
        """Return the next states and event lists, int64[B] each, of reading one token in each state."""
        columns = self.columns[tokens]
        return self.table[states, columns], self.events[states, columns]


@define
class _Lifter:
    automaton: ByteAutomaton
    table: Ints
    fired: Ints
    lists: dict[tuple[tuple[int, int], ...], int] = Factory(lambda: {(): 0})
    behaviours: dict[bytes, int] = Factory(dict)
    maps: list[tuple[Ints, Ints]] = Factory(list)
    known: dict[tuple[int, int, int], int] = Factory(dict)

    def behaviour(self, states: Ints, events: Ints) -> int:
        key = states.tobytes() + events.tobytes()
        if key not in self.behaviours:
            self.behaviours[key] = len(self.maps)
            self.maps.append((states, events))
        return self.behaviours[key]

    def extend(self, behaviour: int, symbol: int, offset: int) -> int:
        """Return the behaviour of reading one more symbol, the `offset`-th of the token."""
        states, events = self.maps[behaviour]
        fired = self.fired[states, symbol]
        key = (behaviour, symbol, offset if fired.any() else 0)
        if key not in self.known:
            after = events.copy()
            for state in np.flatnonzero(fired):
                after[state] = self._append(int(events[state]), int(fired[state]), offset)
            self.known[key] = self.behaviour(self.table[states, symbol], after)
        return self.known[key]

    def _append(self, events: int, fired: int, offset: int) -> int:
        before = list(self.lists)[events]
        return self.lists.setdefault((*before, (fired, offset)), len(self.lists))


def lift(
    automaton: ByteAutomaton,
    vocabulary: Sequence[bytes | None],
    specials: Mapping[str, int],
    num_ids: int | None = None,
) -> TokenAutomaton:
    """Return the token automaton of a byte automaton.

    Args:
        automaton: the monitor to lift.
        vocabulary: bytes of each id; None for special tokens and unused ids. Empty bytes and unused ids do nothing.
        specials: id of each special token by spelling.
        num_ids: number of ids, at least len(vocabulary); ids beyond it are unused.
    """
    table = np.array(automaton.table, dtype=np.int64)
    lifter = _Lifter(automaton, table, np.array(automaton.events, dtype=np.int64))
    nothing = lifter.behaviour(np.arange(len(table)), np.zeros(len(table), dtype=np.int64))
    columns = np.full(num_ids or len(vocabulary), nothing, dtype=np.int64)
    prefixes: dict[bytes, int] = {b"": nothing}
    for number, text in enumerate(vocabulary):
        if text:
            columns[number] = _walk(lifter, text, prefixes)
    other = automaton.num_classes + len(automaton.specials)
    for spelling, number in specials.items():
        known = spelling in automaton.specials
        symbol = automaton.num_classes + automaton.specials.index(spelling) if known else other
        columns[number] = lifter.extend(nothing, symbol, 0)
    lists = tuple(
        tuple(FiredEvent(event, offset) for fired, offset in listed for event in automaton.event_lists[fired])
        for listed in lifter.lists
    )
    tables = np.stack([states for states, _ in lifter.maps], axis=1)
    return TokenAutomaton(columns, tables, np.stack([events for _, events in lifter.maps], axis=1), lists)


def _walk(lifter: _Lifter, text: bytes, prefixes: dict[bytes, int]) -> int:
    """Return the behaviour of a token, going on from the longest prefix that is known."""
    known = len(text)
    while text[:known] not in prefixes:
        known -= 1
    behaviour = prefixes[text[:known]]
    for offset in range(known + 1, len(text) + 1):
        behaviour = lifter.extend(behaviour, lifter.automaton.classes[text[offset - 1]], offset)
        prefixes[text[:offset]] = behaviour
    return behaviour
