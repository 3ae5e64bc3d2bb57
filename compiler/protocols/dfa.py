"""Pass: a byte NFA becomes a deterministic automaton over byte classes, trimmed and minimal.

Belongs here: determinisation, minimisation, byte classes and the questions about a pair of automata. Does not: events.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from functools import cache

from attrs import frozen

from .nfa import Edge, Nfa, Tags, TooLarge

MAX_STATES = 32_000
Row = dict[int, int]


@frozen
class Dfa:
    """A deterministic automaton over byte classes; state 0 is the start.

    Attributes:
        rows: per state, the next state by class. A class that is missing leads where no match can follow, or, in a
            search, back to the start.
        final: states in which a match is complete. A search stops there: they have no successors.
    """

    rows: tuple[Row, ...]
    final: frozenset[int]

    def step(self, state: int, byte_class: int) -> int:
        """Return the next state; -1 once no match can follow."""
        return self.rows[state].get(byte_class, -1) if state >= 0 else -1


def byte_classes(nfas: Iterable[Nfa]) -> tuple[int, ...]:
    """Return the class of each byte; the bytes of a class are in the same ranges of every edge."""
    ranges = {(low, high) for nfa in nfas for edges in nfa.edges for low, high, _, _ in edges}
    toggled = [0] * 257
    for number, (low, high) in enumerate(sorted(ranges)):
        toggled[low] ^= 1 << number
        toggled[high + 1] ^= 1 << number
    known: dict[int, int] = {}
    classes, inside = [], 0
    for byte in range(256):
        inside ^= toggled[byte]
        classes.append(known.setdefault(inside, len(known)))
    return tuple(classes)


def determinise(nfa: Nfa, classes: tuple[int, ...], search: bool = False) -> Dfa:
    """Return the minimal automaton of whole matches, or of the search for the first end of a match.

    Raises TooLarge.
    """
    moves = [{c: {t for t, _ in found} for c, found in row.items()} for row in expand(nfa.edges, classes)]
    start = frozenset({nfa.start})
    numbers = {start: 0}
    queue = [start]
    rows: list[Row] = []
    final = set()
    for states in queue:
        merged: dict[int, set[int]] = {}
        if not states.isdisjoint(nfa.final):
            final.add(len(rows))
        if not (search and len(rows) in final):
            for state in states:
                for byte_class, targets in moves[state].items():
                    merged.setdefault(byte_class, set()).update(targets)
        row = {}
        for byte_class, targets in merged.items():
            found = frozenset(targets | start) if search else frozenset(targets)
            if found not in numbers:
                numbers[found] = len(numbers)
                queue.append(found)
            row[byte_class] = numbers[found]
        if len(numbers) > MAX_STATES:
            raise TooLarge
        rows.append(row)
    return _minimal(rows, final, search)


def expand(
    edges: Sequence[Sequence[Edge]], classes: tuple[int, ...], alive: Collection[int] | None = None
) -> list[dict[int, list[tuple[int, Tags]]]]:
    """Return the (target, tags) of edges by state and class, in their order; `alive` are the targets that count."""
    rows = []
    for found in edges:
        row: dict[int, list[tuple[int, Tags]]] = {}
        for low, high, target, tags in found:
            if alive is None or target in alive:
                for byte_class in _classes_between(classes, low, high):
                    row.setdefault(byte_class, []).append((target, tags))
        rows.append(row)
    return rows


@cache
def _classes_between(classes: tuple[int, ...], low: int, high: int) -> frozenset[int]:
    return frozenset(classes[low : high + 1])


def _minimal(rows: list[Row], final: set[int], search: bool) -> Dfa:
    if search:
        rows = [{c: t for c, t in row.items() if t != 0} for row in rows]
    else:
        alive = co_accessible(rows, final) | {0}
        rows = [{c: t for c, t in row.items() if t in alive} if s in alive else {} for s, row in enumerate(rows)]
    blocks = minimise(rows, [state in final for state in range(len(rows))])
    numbers: dict[int, int] = {blocks[0]: 0}
    kept: list[Row] = []
    queue = [0]
    for state in queue:
        kept.append(row := {})
        for byte_class, target in rows[state].items():
            if blocks[target] not in numbers:
                numbers[blocks[target]] = len(numbers)
                queue.append(target)
            row[byte_class] = numbers[blocks[target]]
    return Dfa(tuple(kept), frozenset(numbers[blocks[s]] for s in final if blocks[s] in numbers))


def co_accessible(rows: Sequence[Row], final: Iterable[int]) -> set[int]:
    """Return the states from which a final state can be reached."""
    into: list[list[int]] = [[] for _ in rows]
    for state, row in enumerate(rows):
        for target in row.values():
            into[target].append(state)
    alive = set(final)
    stack = list(alive)
    while stack:
        for state in into[stack.pop()]:
            if state not in alive:
                alive.add(state)
                stack.append(state)
    return alive


def minimise(rows: Sequence[Row], labels: Sequence[Hashable]) -> list[int]:
    """Return the block of each state: states of a block have equal labels, now and after whatever is read.

    A symbol that is missing in a row leads to one implied state, which differs from all others. Source: Hopcroft 1971,
    for partial automata (Valmari and Lehtinen 2008).
    """
    into: list[list[tuple[int, int]]] = [[] for _ in rows]
    for state, row in enumerate(rows):
        for symbol, target in row.items():
            into[target].append((symbol, state))
    names: dict[Hashable, int] = {}
    block_of = [names.setdefault(label, len(names)) for label in labels]
    blocks: list[set[int]] = [set() for _ in names]
    for state, block in enumerate(block_of):
        blocks[block].add(state)
    waiting = set(range(len(blocks)))
    while waiting:
        sources: dict[int, list[int]] = {}
        for state in blocks[waiting.pop()]:
            for symbol, source in into[state]:
                sources.setdefault(symbol, []).append(source)
        for found in sources.values():
            for block, part in _parts(found, block_of).items():
                if len(part) < len(blocks[block]):
                    rest = blocks[block].difference(part)
                    small, large = (set(part), rest) if len(part) <= len(rest) else (rest, set(part))
                    blocks[block] = large
                    blocks.append(small)
                    for state in small:
                        block_of[state] = len(blocks) - 1
                    waiting.add(len(blocks) - 1)
    return block_of


def _parts(states: list[int], block_of: list[int]) -> dict[int, list[int]]:
    parts: dict[int, list[int]] = {}
    for state in states:
        parts.setdefault(block_of[state], []).append(state)
    return parts


def meetings(reader: Dfa, search: Dfa) -> Iterator[int]:
    """Yield the states of `reader` in which `search` finds what it looks for, once each pair."""
    stack = [(0, 0)]
    seen = set(stack)
    while stack:
        state, at = stack.pop()
        for byte_class, target in reader.rows[state].items():
            found = (target, search.rows[at].get(byte_class, 0))
            if found in seen:
                continue
            seen.add(found)
            if found[1] in search.final:
                yield target
            else:
                stack.append(found)


def begins(first: Dfa, second: Dfa) -> bool:
    """Whether some match of `first` is the beginning of a match of `second`, or all of it."""
    stack = [(0, 0)]
    seen = set(stack)
    while stack:
        left, right = stack.pop()
        if left in first.final:
            return True
        for byte_class, target in first.rows[left].items():
            found = (target, second.step(right, byte_class))
            if found[1] >= 0 and found not in seen:
                seen.add(found)
                stack.append(found)
    return False
