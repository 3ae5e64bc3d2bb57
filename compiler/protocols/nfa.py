"""Pass: a pattern tree becomes a byte NFA without empty moves; edges say which captures begin or end before them.

Code points are UTF-8: a class of characters is an alternative of short byte sequences.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import Factory, define

from ...spec.automaton import Nfa, NfaEdge, Tag
from .pattern import Alternate, Capture, Chars, Concat, Pattern, Range, Repeat

SURROGATES = (0xD800, 0xDFFF)
MAX_STATES = 50_000


class TooLarge(Exception):
    """The pattern needs more states than an automaton may have."""


@define
class _Draft:
    """An NFA in the making: byte edges, and empty moves with at most one tag."""

    bytes: list[list[tuple[int, int, int]]] = Factory(list)
    empty: list[list[tuple[Tag | None, int]]] = Factory(list)

    def state(self) -> int:
        if len(self.bytes) >= MAX_STATES:
            raise TooLarge
        self.bytes.append([])
        self.empty.append([])
        return len(self.bytes) - 1


def build_nfa(pattern: Pattern) -> Nfa:
    """Return the NFA of a whole pattern. Raises TooLarge."""
    draft = _Draft()
    start = draft.state()
    end = _add(draft, pattern, start)
    return _without_empty_moves(draft, start, end)


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
        begin, end = draft.state(), draft.state()
        draft.empty[start].append((Tag(pattern.name, False), begin))
        draft.empty[_add(draft, pattern.item, begin)].append((Tag(pattern.name, True), end))
        return end
    return _add_repeat(draft, pattern, start)


def _add_repeat(draft: _Draft, pattern: Repeat, start: int) -> int:
    for _ in range(pattern.low):
        start = _add(draft, pattern.item, start)
    end = draft.state()
    if pattern.high is None:
        loop = draft.state()
        draft.empty[start].append((None, loop))
        draft.empty[_add(draft, pattern.item, loop)].append((None, loop))
        draft.empty[loop].append((None, end))
        return end
    for _ in range(pattern.high - pattern.low):
        draft.empty[start].append((None, end))
        start = _add(draft, pattern.item, start)
    draft.empty[start].append((None, end))
    return end


def _add_chars(draft: _Draft, ranges: tuple[Range, ...], start: int) -> int:
    """Add one character; byte sequences share their continuation states."""
    end = draft.state()
    shared: dict[tuple[tuple[int, int], ...], int] = {(): end}
    for low, high in ranges:
        for sequence in utf8_ranges(low, high):
            for at in range(len(sequence) - 1, 0, -1):
                tail = sequence[at:]
                if tail not in shared:
                    state = draft.state()
                    draft.bytes[state].append((*tail[0], shared[tail[1:]]))
                    shared[tail] = state
            draft.bytes[start].append((*sequence[0], shared[sequence[1:]]))
    return end


def utf8_ranges(low: int, high: int) -> Iterator[tuple[tuple[int, int], ...]]:
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
    closures = [_closure(draft, state) for state in range(len(draft.bytes))]
    edges = tuple(
        tuple(
            NfaEdge(low, high, target, tags)
            for reached, tags in closures[state]
            for low, high, target in draft.bytes[reached]
        )
        for state in range(len(draft.bytes))
    )
    final = {
        state: tags
        for state in range(len(draft.bytes))
        for reached, tags in reversed(closures[state])
        if reached == end
    }
    return Nfa(edges, start, final)


def _closure(draft: _Draft, state: int) -> list[tuple[int, tuple[Tag, ...]]]:
    """Return the states reached without reading, each with the tags of the first path to it."""
    found: list[tuple[int, tuple[Tag, ...]]] = []
    seen: set[int] = set()
    stack: list[tuple[int, tuple[Tag, ...]]] = [(state, ())]
    while stack:
        at, tags = stack.pop()
        if at in seen:
            continue
        seen.add(at)
        found.append((at, tags))
        for tag, target in reversed(draft.empty[at]):
            stack.append((target, tags if tag is None else (*tags, tag)))
    return found
