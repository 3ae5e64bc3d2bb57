"""Pass: body and `close` become one deterministic automaton whose moves write positions into registers.

A state is a list of threads, an NFA state and the registers that hold the thread's tags. A move reads one byte for all
threads; a tag takes its own register if no other thread keeps one there, else scratch. Two threads that would meet with
different registers mean that one text has two readings. Source: Laurikari 2000, with the lookahead of Trofimovich 2017.
"""

from __future__ import annotations

from attrs import Factory, define, frozen

from ...spec.automaton import POSITION, UNSET, Write
from .dfa import MAX_STATES, Dfa, co_accessible, expand
from .nfa import Nfa, Tags, TooLarge

BODY_END = 1
Held = tuple[tuple[int, int], ...]
"""By tag, the register that holds its position; tags that have not happened are missing."""
Thread = tuple[int, Held]
Writes = tuple[Write, ...]


class Ambiguous(Exception):
    """One text has two readings."""


@frozen
class CallNfa:
    """A body, and behind it the text of `close` if `close` is text.

    Attributes:
        nfa: its first `body_states` states are the body's.
        text_final: where `close` is complete. special_final: where the body is, for a `close` that is a special token.
        back: bytes between the end of the body and the end of `close`, where the tags of `text_final` happened.
    """

    nfa: Nfa
    body_states: int
    text_final: dict[int, Tags]
    special_final: dict[int, Tags]
    back: int


@frozen
class CallAutomaton:
    """A deterministic automaton over byte classes with writes. State 0 is the start; a missing class is the end.

    Attributes:
        rows: per state and class, the next state and the writes.
        text_final: writes at the end of a `close` that is text, by state. special_final: likewise for a special token.
        in_body: per state, whether what was read can still be part of a body.
    """

    rows: tuple[dict[int, tuple[int, Writes]], ...]
    text_final: dict[int, Writes]
    special_final: dict[int, Writes]
    in_body: tuple[bool, ...]


def join(body: Nfa, close: Nfa | None, back: int | None, by_special: bool, whole: bool) -> CallNfa:
    """Return the NFA of a call.

    Args:
        body: the body.
        close: the text of `close`, if it can be text.
        back: the length of every such text in bytes, or None if they differ.
        by_special: whether a special token can be the `close`.
        whole: whether the end of the body is a tag of its own, for a body that names no captures.
    """
    edges = [list(found) for found in body.edges]
    last: Tags = (BODY_END,) if whole else ()
    special_final = {state: tags + last for state, tags in body.final.items()} if by_special else {}
    text_final: dict[int, Tags] = {}
    copies: dict[Tags, int] = {}
    for state, tags in body.final.items() if close is not None else ():
        assert close is not None
        ended = tags + last
        late, early = (ended, ()) if back is not None else ((), ended)
        if late not in copies:
            offset = copies[late] = len(edges)
            edges += [[(low, high, target + offset, own) for low, high, target, own in e] for e in close.edges]
            text_final |= {final + offset: late for final in close.final}
        offset = copies[late]
        leave = [(low, high, target + offset, early) for low, high, target, _ in close.edges[close.start]]
        edges[state] = leave + edges[state]
    nfa = Nfa(tuple(map(tuple, edges)), body.start, {}, body.ambiguous)
    return CallNfa(nfa, len(body.edges), text_final, special_final, back or 0)


def determinise_call(call: CallNfa, classes: tuple[int, ...], num_home: int, prefer: bool) -> CallAutomaton:
    """Return the deterministic automaton of a call.

    Args:
        call: what to read.
        classes: the class of each byte.
        num_home: registers that belong to tags; those from there on are scratch.
        prefer: of two readings, take the one that leaves the body first, instead of refusing both.

    Raises Ambiguous and TooLarge.
    """
    if call.nfa.ambiguous:
        raise Ambiguous
    builder = _Builder(call, num_home, prefer)
    builder.moves = expand(call.nfa.edges, classes, _alive(call))
    start: tuple[Thread, ...] = ((call.nfa.start, ()),)
    builder.numbers[start] = 0
    builder.queue.append(start)
    for threads in builder.queue:
        builder.rows.append(builder.row(threads))
        if len(builder.queue) > MAX_STATES:
            raise TooLarge
    text_final = builder.finals(call.text_final, call.back)
    special_final = builder.finals(call.special_final, 0)
    in_body = tuple(any(state < call.body_states for state, _ in threads) for threads in builder.queue)
    return CallAutomaton(tuple(builder.rows), text_final, special_final, in_body)


def _alive(call: CallNfa) -> set[int]:
    rows = [dict(enumerate(target for _, _, target, _ in edges)) for edges in call.nfa.edges]
    return co_accessible(rows, [*call.text_final, *call.special_final])


@define
class _Builder:
    call: CallNfa
    num_home: int
    prefer: bool
    moves: list[dict[int, list[tuple[int, Tags]]]] = Factory(list)
    numbers: dict[tuple[Thread, ...], int] = Factory(dict)
    shapes: dict[tuple[tuple[int, tuple[int, ...]], ...], list[int]] = Factory(dict)
    queue: list[tuple[Thread, ...]] = Factory(list)
    rows: list[dict[int, tuple[int, Writes]]] = Factory(list)

    def row(self, threads: tuple[Thread, ...]) -> dict[int, tuple[int, Writes]]:
        """Return the moves of a state."""
        merged: dict[int, list[tuple[int, Held, Tags]]] = {}
        for state, held in threads:
            for byte_class, edges in self.moves[state].items():
                merged.setdefault(byte_class, []).extend([(target, held, tags) for target, tags in edges])
        same: dict[tuple[tuple[int, Held, Tags], ...], tuple[int, Writes]] = {}
        row = {}
        for byte_class, steps in merged.items():
            key = tuple(steps)
            if key not in same:
                same[key] = self._move(key)
            row[byte_class] = same[key]
        return row

    def _move(self, steps: tuple[tuple[int, Held, Tags], ...]) -> tuple[int, Writes]:
        """Return the state and writes of what the threads do on one byte, the preferred ones first."""
        reached: dict[int, tuple[Held, Tags]] = {}
        for target, before, tags in steps:
            held = tuple(pair for pair in before if pair[0] not in tags) if tags else before
            if target not in reached:
                reached[target] = (held, tags)
            elif reached[target] != (held, tags) and not self.prefer:
                raise Ambiguous
        order = reached if self.prefer else sorted(reached)
        if not any(held or tags for held, tags in reached.values()):
            return self._number(tuple((target, ()) for target in order)), ()
        kept = {register for held, tags in reached.values() for tag, register in held if tag not in tags}
        fresh: dict[int, int] = {}
        threads = []
        for target in order:
            held, tags = reached[target]
            now = dict(held)
            for tag in tags:
                if tag not in fresh:
                    fresh[tag] = tag if tag not in kept else self._scratch({*kept, *fresh.values()})
                now[tag] = fresh[tag]
            threads.append((target, tuple(sorted(now.items()))))
        writes = {register: Write(register, POSITION, -1) for register in fresh.values()}
        return self._known(tuple(threads), writes)

    def _scratch(self, taken: set[int]) -> int:
        return next(r for r in range(self.num_home, self.num_home + len(taken) + 1) if r not in taken)

    def _known(self, threads: tuple[Thread, ...], writes: dict[int, Write]) -> tuple[int, Writes]:
        """Return the number of a state, or of one that differs in the names of its registers, with copies."""
        shape = tuple((state, tuple(tag for tag, _ in held)) for state, held in threads)
        alike = self.shapes.setdefault(shape, [])
        for number in alike if threads not in self.numbers else ():
            names = _renamed(threads, self.queue[number])
            if names is not None:
                moved = {new: writes.get(old, Write(new, old)) for new, old in names.items()}
                return number, tuple(
                    Write(new, write.source, write.add) for new, write in sorted(moved.items()) if write.source != new
                )
        if threads not in self.numbers:
            alike.append(len(self.queue))
        return self._number(threads), tuple(write for _, write in sorted(writes.items()))

    def _number(self, threads: tuple[Thread, ...]) -> int:
        if threads not in self.numbers:
            self.numbers[threads] = len(self.queue)
            self.queue.append(threads)
        return self.numbers[threads]

    def finals(self, finals: dict[int, Tags], back: int) -> dict[int, Writes]:
        """Return the writes that end a call, by state."""
        found = {number: self.final(threads, finals, back) for number, threads in enumerate(self.queue)}
        return {number: writes for number, writes in found.items() if writes is not None}

    def final(self, threads: tuple[Thread, ...], finals: dict[int, Tags], back: int) -> Writes | None:
        """Return the writes that end a call in a state, after which home registers hold the tags; None if none ends."""
        ways = [(dict(held), finals[state]) for state, held in threads if state in finals]
        if not ways:
            return None
        if ways[1:] != ways[:-1] and not self.prefer:
            raise Ambiguous
        held, tags = ways[0]
        writes = []
        for register in range(BODY_END, self.num_home):
            source = POSITION if register in tags else held.get(register, UNSET)
            if source != register:
                writes.append(Write(register, source, -back if source == POSITION else 0))
        return tuple(writes)


def _renamed(threads: tuple[Thread, ...], others: tuple[Thread, ...]) -> dict[int, int] | None:
    """Return, for registers of `others`, those that `threads` have in their place; None if they do not correspond."""
    names: dict[int, int] = {}
    for (_, held), (_, other) in zip(threads, others, strict=True):
        for (_, old), (_, new) in zip(held, other, strict=True):
            if names.setdefault(new, old) != old:
                return None
    return names if len(set(names.values())) == len(names) else None


def goes_on_behind(call: CallAutomaton, search: Dfa) -> bool:
    """Whether some text of the body has a text in it that `search` finds."""
    stack = [(0, 0)]
    seen = set(stack)
    while stack:
        state, at = stack.pop()
        for byte_class, (target, _) in call.rows[state].items():
            found = (target, search.rows[at].get(byte_class, 0))
            if found in seen:
                continue
            seen.add(found)
            if found[1] not in search.final:
                stack.append(found)
            elif call.in_body[target]:
                return True
    return False
