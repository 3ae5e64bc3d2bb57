"""Pass: a pattern tree becomes a byte NFA without empty moves; edges say which captures begin or end before them.

Code points are UTF-8: a class of characters is a small deterministic automaton over bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import groupby

from attrs import Factory, define, frozen

from .pattern import Alternate, Capture, Chars, Concat, Pattern, Repeat
from .unicode import Range

SURROGATES = (0xD800, 0xDFFF)
MAX_STATES = 50_000
MAX_EDGES = 400_000
Tags = tuple[int, ...]
"""Registers that take the position at which they stand."""
Edge = tuple[int, int, int, Tags]
"""Read a byte in [low, high] and go to a target; the tags happen before the byte."""
Bytes = tuple[tuple[int, int], ...]
"""A sequence of byte ranges."""


class TooLarge(Exception):
    """The pattern needs more states than an automaton may have."""


@frozen
class Nfa:
    """A byte automaton without empty moves.

    Attributes:
        edges: per state, in order of preference. start: initial state.
        final: accepting states, with the tags that happen at the end.
        ambiguous: whether two ways that read nothing lead to one state with different tags.
    """

    edges: tuple[tuple[Edge, ...], ...]
    start: int
    final: dict[int, Tags]
    ambiguous: bool = False


ANY_TEXT = Nfa((((0, 255, 0, ()),),), 0, {0: ()})
"""Any bytes, UTF-8 or not."""


@define
class _Draft:
    """An NFA in the making: byte edges, and empty moves with at most one tag."""

    registers: Mapping[str, int]
    bytes: list[list[tuple[int, int, int]]] = Factory(list)
    empty: list[list[tuple[int | None, int]]] = Factory(list)
    ambiguous: bool = False

    def state(self) -> int:
        if len(self.bytes) >= MAX_STATES:
            raise TooLarge
        self.bytes.append([])
        self.empty.append([])
        return len(self.bytes) - 1


def build_nfa(pattern: Pattern, registers: Mapping[str, int] | None = None) -> Nfa:
    """Return the NFA of a whole pattern; `registers` tells where a capture begins, its end being the next one.

    Raises TooLarge.
    """
    draft = _Draft(registers or {})
    start = draft.state()
    end = _add(draft, pattern, start)
    return _without_empty_moves(draft, start, end)


def matches(nfa: Nfa, text: bytes) -> bool:
    """Whether an NFA matches the whole of `text`."""
    states = {nfa.start}
    for byte in text:
        states = {target for s in states for low, high, target, _ in nfa.edges[s] if low <= byte <= high}
    return not states.isdisjoint(nfa.final)


def _add(draft: _Draft, pattern: Pattern, start: int) -> int:
    """Add a pattern that begins in `start`; return the state in which it ends."""
    if isinstance(pattern, Chars):
        return _add_chars(draft, pattern.ranges, start)
    if isinstance(pattern, Concat):
        for item in pattern.items:
            start = _add(draft, item, start)
        return start
    if isinstance(pattern, Alternate):
        end = draft.state()
        for item in pattern.items:
            branch = draft.state()
            draft.empty[start].append((None, branch))
            draft.empty[_add(draft, item, branch)].append((None, end))
        return end
    if isinstance(pattern, Capture):
        register = draft.registers.get(pattern.name)
        begin, end = draft.state(), draft.state()
        draft.empty[start].append((register, begin))
        draft.empty[_add(draft, pattern.item, begin)].append((None if register is None else register + 1, end))
        return end
    return _add_repeat(draft, pattern, start)


def _add_repeat(draft: _Draft, pattern: Repeat, start: int) -> int:
    low, item = pattern.low, pattern.item
    while isinstance(item, Repeat) and item.low == 0 and item.high == 1:
        low, item = 0, item.item
    for _ in range(low if pattern.high is not None else low - 1):
        start = _add(draft, item, start)
    end = draft.state()
    if pattern.high is None:
        loop = draft.state()
        draft.empty[start].append((None, loop))
        last = _add(draft, item, loop)
        draft.empty[last] += [(None, loop), (None, end)]
        if low == 0:
            draft.empty[start].append((None, end))
        return end
    for _ in range(pattern.high - low):
        draft.empty[start].append((None, end))
        start = _add(draft, item, start)
    draft.empty[start].append((None, end))
    return end


def _add_chars(draft: _Draft, ranges: tuple[Range, ...], start: int) -> int:
    """Add one character."""
    first, *rest = _char_automaton(ranges)
    states = [start, *(draft.state() for _ in rest), draft.state()]
    for state, edges in zip(states, (first, *rest), strict=False):
        draft.bytes[state] += [(low, high, states[target]) for low, high, target in edges]
    return states[-1]


@cache
def _char_automaton(ranges: tuple[Range, ...]) -> tuple[tuple[tuple[int, int, int], ...], ...]:
    """Return the edges (low, high, target) of the states of a class of characters; -1 is where it ends.

    Sequences that begin alike share the beginning and equal ends are one state.
    """
    states: list[tuple[tuple[int, int, int], ...]] = [()]
    known: dict[tuple[Bytes, ...], int] = {((),): -1}

    def edges(sequences: tuple[Bytes, ...]) -> tuple[tuple[int, int, int], ...]:
        found = []
        for (low, high), group in groupby(sequences, lambda sequence: sequence[0]):
            rest = tuple(sequence[1:] for sequence in group)
            if rest not in known:
                states.append(edges(rest))
                known[rest] = len(states) - 1
            found.append((low, high, known[rest]))
        return tuple(found)

    states[0] = edges(tuple(sorted(sequence for low, high in ranges for sequence in utf8_ranges(low, high))))
    return tuple(states)


def utf8_ranges(low: int, high: int) -> Iterator[Bytes]:
    """Yield sequences of byte ranges that match exactly the UTF-8 of the code points low..high.

    Source: the splitting of Russ Cox's and Andrew Gallant's utf8-ranges.
    """
    if low <= SURROGATES[1] and high >= SURROGATES[0]:
        if low < SURROGATES[0]:
            yield from utf8_ranges(low, SURROGATES[0] - 1)
        if high > SURROGATES[1]:
            yield from utf8_ranges(SURROGATES[1] + 1, high)
        return
    for limit in (0x7F, 0x7FF, 0xFFFF):
        if low <= limit < high:
            yield from utf8_ranges(low, limit)
            yield from utf8_ranges(limit + 1, high)
            return
    if high < 0x80:
        yield ((low, high),)
        return
    for bits in (6, 12, 18):
        mask = (1 << bits) - 1
        if low >> bits != high >> bits:
            if low & mask:
                yield from utf8_ranges(low, low | mask)
                yield from utf8_ranges((low | mask) + 1, high)
                return
            if high & mask != mask:
                yield from utf8_ranges(low, (high & ~mask) - 1)
                yield from utf8_ranges(high & ~mask, high)
                return
    yield tuple(zip(chr(low).encode(), chr(high).encode(), strict=True))


def _without_empty_moves(draft: _Draft, start: int, end: int) -> Nfa:
    edges: list[tuple[Edge, ...]] = []
    final: dict[int, Tags] = {}
    size = 0
    for state in range(len(draft.bytes)):
        found: list[Edge] = []
        for reached, tags in _closure(draft, state) if draft.empty[state] or state == end else ((state, ()),):
            found += [(low, high, target, tags) for low, high, target in draft.bytes[reached]]
            if reached == end:
                final.setdefault(state, tags)
        edges.append(tuple(found))
        size += len(found)
        if size > MAX_EDGES:
            raise TooLarge
    return Nfa(tuple(edges), start, final, draft.ambiguous)


def _closure(draft: _Draft, state: int) -> list[tuple[int, Tags]]:
    """Return the states reached without reading, each with the tags of the first path to it."""
    found: dict[int, Tags] = {}
    stack: list[tuple[int, Tags]] = [(state, ())]
    while stack:
        at, tags = stack.pop()
        if at in found:
            draft.ambiguous |= found[at] != tags
            continue
        found[at] = tags
        for tag, target in reversed(draft.empty[at]):
            stack.append((target, tags if tag is None else (*tags, tag)))
    return list(found.items())
