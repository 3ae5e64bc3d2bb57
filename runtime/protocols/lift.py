"""The lift: a byte automaton and a vocabulary become tables over token ids. Needs numpy only.

Two tokens behave alike if they move every state to the same state with the same effects at the same offsets, so the
table has one column per behaviour and a vector gives each token's column. Behaviours are found level by level along
the trie of the vocabulary: a child's depends on its parent's and on its byte alone, and on its depth where an effect
happens (the quotient lift).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import Factory, define, evolve, frozen

from ...spec.automaton import POSITION, ByteAutomaton, Event, Write
from .vocabulary import Ints, Vocabulary

Bools = npt.NDArray[np.bool_]
Done = tuple[tuple[int, int], ...]
"""Byte effects and the number of bytes of the token that had been read when each was done."""


@frozen
class FiredEvent:
    """An event and how many bytes of its token had been read when it happened; below 0, in tokens before."""

    event: Event
    offset: int


@frozen(eq=False)
class TokenAutomaton:
    """A monitor over token ids. State 0 is free text.

    Attributes:
        columns: int16 or int32[V + 1], the column of each id; the last entry is of no token and does nothing.
        table: int16 or int32[S, C], the move of a state on a column.
        next_states: int64[M]. effects: int64[M], 0 is none. allowed: bool[M], whether a constrained decoding may.
        events: by effect, what happens.
        sources: int64[E, R], by effect and register, which of (position, registers, 0) it becomes, the position being
            the one before the token. added: int64[E, R], what is added to it.
        lengths: int64[V + 1], bytes of each id.
    """

    columns: npt.NDArray[Any]
    table: npt.NDArray[Any]
    next_states: Ints
    effects: Ints
    allowed: Bools
    events: tuple[tuple[FiredEvent, ...], ...]
    sources: Ints
    added: Ints
    lengths: Ints

    @property
    def num_registers(self) -> int:
        """How many positions a row keeps."""
        return int(self.sources.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of the tables; lengths are the vocabulary's."""
        tables = (self.columns, self.table, self.next_states, self.effects, self.allowed, self.sources, self.added)
        return sum(array.nbytes for array in tables)

    def padded(self, num_ids: int) -> TokenAutomaton:
        """Return the automaton for `num_ids` ids, no fewer than it has; those beyond are unused."""
        more = num_ids + 1 - len(self.columns)
        columns = np.append(self.columns, np.repeat(self.columns[-1:], more))
        return evolve(self, columns=columns, lengths=np.append(self.lengths, np.zeros(more, np.int64)))

    def advance(self, states: Ints, tokens: Ints) -> tuple[Ints, Ints]:
        """Return the next states and the effects, int64[B] each, of reading one token in each state."""
        moves = self.table[states, self.columns[tokens]]
        return self.next_states[moves], self.effects[moves]

    def write(self, registers: list[int], effect: int, position: int) -> list[int]:
        """Return the registers after an effect of a token that began at a position."""
        held = [position, *registers, 0]
        return [held[source] + added for source, added in zip(self.sources[effect], self.added[effect], strict=True)]

    def mask(self, states: Ints) -> Bools:
        """Return bool[B, V]: the tokens that a constrained decoding may sample next."""
        allowed: Bools = self.allowed[self.table[states]][:, self.columns[:-1]]
        return allowed


@define
class _Lifter:
    """The behaviours found so far, one a row: next states and effect sequences by state.

    Attributes:
        table: int16 or int32[S * symbols], next states. fired: int32[S, symbols], effects of bytes and specials.
        firing: bool[symbols], whether a symbol has an effect in any state.
    """

    automaton: ByteAutomaton
    table: npt.NDArray[Any]
    fired: Ints
    firing: Bools
    states: npt.NDArray[Any]
    effects: npt.NDArray[np.int32]
    count: int = 0
    known: dict[bytes, int] = Factory(dict)
    sequences: dict[Done, int] = Factory(lambda: {(): 0})
    listed: list[Done] = Factory(lambda: [()])

    def moves(self, behaviours: Ints, symbols: Ints, offset: int) -> tuple[Ints, Bools]:
        """Return the behaviours of reading one more symbol, and which of them depend on the offset."""
        cells = self.states[behaviours].astype(np.int32)
        cells *= self.fired.shape[1]
        cells += symbols[:, None].astype(np.int32)
        effects = self.effects[behaviours]
        dependent = self.firing[symbols]
        if dependent.any():
            fired = self.fired.reshape(-1).take(cells[dependent])
            effects[dependent] = self._append(effects[dependent], fired, offset)
            dependent[dependent] = fired.any(axis=1)
        return self._number(self.table.take(cells), effects), dependent

    def _append(self, sequences: npt.NDArray[np.int32], fired: Ints, offset: int) -> npt.NDArray[np.int32]:
        """Return the sequences with an effect, where there is one, done after `offset` bytes."""
        rows, columns = np.nonzero(fired)
        pairs = sequences[rows, columns].astype(np.int64) << 32 | fired[rows, columns]
        found, inverse = np.unique(pairs, return_inverse=True)
        longer = [self.longer(pair >> 32, pair & 0xFFFFFFFF, offset) for pair in found.tolist()]
        sequences[rows, columns] = np.array(longer, dtype=np.int32)[inverse]
        return sequences

    def longer(self, sequence: int, effect: int, offset: int) -> int:
        """Return the number of a sequence with one more effect."""
        longer = (*self.listed[sequence], (effect, offset))
        if longer not in self.sequences:
            self.sequences[longer] = len(self.listed)
            self.listed.append(longer)
        return self.sequences[longer]

    def _number(self, states: npt.NDArray[Any], effects: npt.NDArray[np.int32]) -> Ints:
        """Return the numbers of behaviours; new ones are kept."""
        numbers = np.empty(len(states), dtype=np.int64)
        fresh: list[int] = []
        some: list[bool] = np.asarray(effects.any(axis=1)).tolist()
        for at, happens in enumerate(some):
            key = states[at].tobytes() + effects[at].tobytes() if happens else states[at].tobytes()
            number = self.known.get(key)
            if number is None:
                number = self.known[key] = self.count + len(fresh)
                fresh.append(at)
            numbers[at] = number
        if fresh:
            room = len(self.states)
            while room < self.count + len(fresh):
                room *= 2
            if room > len(self.states):
                self.states = np.resize(self.states, (room, self.states.shape[1]))
                self.effects = np.resize(self.effects, (room, self.effects.shape[1]))
            self.states[self.count : self.count + len(fresh)] = states[fresh]
            self.effects[self.count : self.count + len(fresh)] = effects[fresh]
            self.count += len(fresh)
        return numbers


def lift(automaton: ByteAutomaton, vocabulary: Vocabulary) -> TokenAutomaton:
    """Return the token automaton of a byte automaton; ids without bytes do nothing and are never allowed."""
    lifter = _lifter(automaton)
    levels, ends = vocabulary.trie
    classes = np.array(automaton.classes, dtype=np.int64)
    num_classes = automaton.num_classes
    nodes = [np.zeros(1, dtype=np.int64)]
    memo = np.full((64, num_classes), -1, dtype=np.int64)
    for depth, level in enumerate(levels, 1):
        pairs = nodes[-1].take(level.parents)
        pairs *= num_classes
        pairs += classes.take(level.bytes)
        if lifter.count > len(memo):
            memo = np.concatenate([memo, np.full((2 * lifter.count - len(memo), num_classes), -1, dtype=np.int64)])
        flat = memo.reshape(-1)
        seen = np.zeros(lifter.count * num_classes, dtype=np.bool_)
        seen[pairs] = True
        present = np.flatnonzero(seen)
        needed = present[flat[present] < 0]
        if len(needed):
            flat[needed], dependent = lifter.moves(needed // num_classes, needed % num_classes, depth)
        nodes.append(flat.take(pairs))
        if len(needed):
            flat[needed[dependent]] = -1
    behaviours = np.concatenate(nodes).take(ends)
    present = np.zeros(lifter.count, dtype=np.bool_)
    present[behaviours] = True
    columns = (np.cumsum(present) - 1).take(behaviours)
    return _finish(lifter, vocabulary, np.flatnonzero(present), columns)


def _lifter(automaton: ByteAutomaton) -> _Lifter:
    fired = np.zeros((len(automaton.table), len(automaton.table[0])), dtype=np.int64)
    for state, moves in enumerate(automaton.moves):
        for symbol, effect in moves:
            fired[state, symbol] = effect
    kind: type[Any] = np.int16 if len(fired) < 2**15 else np.int32
    table = np.array(automaton.table, dtype=kind)
    room = np.zeros((64, len(fired)), dtype=kind)
    lifter = _Lifter(
        automaton, table.reshape(-1), fired, np.asarray(fired.any(axis=0)), room, np.zeros(room.shape, np.int32)
    )
    start = np.arange(len(fired), dtype=kind)[None]
    lifter._number(start, np.zeros(start.shape, dtype=np.int32))
    return lifter


def _finish(lifter: _Lifter, vocabulary: Vocabulary, used: Ints, columns: Ints) -> TokenAutomaton:
    """Return the tables: the columns that tokens use, those of special tokens, and one that does nothing."""
    automaton = lifter.automaton
    states, width = lifter.fired.shape
    symbols = range(automaton.num_classes, width)
    table = lifter.table.reshape(-1, width)
    after = np.concatenate([lifter.states[used], table[:, automaton.num_classes :].T, lifter.states[:1]])
    single = [lifter.longer(0, effect, 0) if effect else 0 for effect in range(len(automaton.effects))]
    special = np.array(single, dtype=np.int32)[lifter.fired[:, automaton.num_classes :]].T
    done = np.concatenate([lifter.effects[used], special, lifter.effects[:1]])
    nothing = len(after) - 1
    all_columns = np.append(np.where(vocabulary.lengths > 0, columns, nothing), nothing)
    for spelling, number in vocabulary.specials.items():
        all_columns[number] = nothing - len(symbols) + automaton.symbol(spelling) - automaton.num_classes
    legal = np.array([all(automaton.legal[effect] for effect, _ in listed) for listed in lifter.listed])
    allowed = np.array(automaton.live)[after] & legal[done]
    allowed[nothing] = False
    keys = after + states * (2 * done.astype(np.int64) + allowed)
    present = np.zeros(states * 2 * len(lifter.listed), dtype=np.bool_)
    present[keys] = True
    moves = np.flatnonzero(present)
    numbers = np.cumsum(present, dtype=np.int64) - 1
    sources, added = _writes(lifter)
    return TokenAutomaton(
        columns=all_columns.astype(np.int16 if nothing < 2**15 else np.int32),
        table=np.ascontiguousarray(numbers.astype(np.int16 if len(moves) < 2**15 else np.int32)[keys].T),
        next_states=moves % states,
        effects=moves // states // 2,
        allowed=moves // states % 2 > 0,
        events=tuple(_events(automaton, listed) for listed in lifter.listed),
        sources=sources,
        added=added,
        lengths=np.append(vocabulary.lengths, 0),
    )


def _events(automaton: ByteAutomaton, listed: Done) -> tuple[FiredEvent, ...]:
    return tuple(
        FiredEvent(event, offset - event.back)
        for effect, offset in listed
        for event in automaton.effects[effect].events
    )


def _writes(lifter: _Lifter) -> tuple[Ints, Ints]:
    """Return, by effect sequence, what each register becomes: (source column, what is added)."""
    count = lifter.automaton.num_registers
    identity = [(1 + register, 0) for register in range(count)]
    found = []
    for listed in lifter.listed:
        held = identity
        for effect, offset in listed:
            before = held
            held = list(before)
            for write in lifter.automaton.effects[effect].writes:
                held[write.register] = _value(before, write, offset, count)
        found.append(held)
    table = np.array(found, dtype=np.int64).reshape(len(found), count, 2)
    return table[:, :, 0], table[:, :, 1]


def _value(before: list[tuple[int, int]], write: Write, offset: int, count: int) -> tuple[int, int]:
    if write.source == POSITION:
        return 0, offset + write.add
    if write.source >= 0:
        source, added = before[write.source]
        return source, added + write.add
    return 1 + count, -1


def cannot_go_on(automaton: TokenAutomaton) -> int | None:
    """Return a state that constrained decoding reaches and from which no tokens lead back to free text, or None."""
    reached, stack = {0}, [0]
    into: dict[int, list[int]] = {}
    while stack:
        state = stack.pop()
        moves = np.unique(automaton.table[state])
        for target in np.unique(automaton.next_states[moves[automaton.allowed[moves]]]).tolist():
            into.setdefault(target, []).append(state)
            if target not in reached:
                reached.add(target)
                stack.append(target)
    returning, stack = {0}, [0]
    while stack:
        fresh = [state for state in into.get(stack.pop(), ()) if state not in returning]
        returning.update(fresh)
        stack += fresh
    return min(reached - returning, default=None)
