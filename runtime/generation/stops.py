"""Stop strings: one automaton over token ids that watches all rows of a batch for the strings of each.

The distinct strings of a run become an Aho-Corasick automaton over bytes (Aho & Corasick 1975), which is lifted over
the vocabulary: tokens that do the same to every state share a column, and what they do is found byte by byte for all of
them at once. A row then costs a few gathers per token, whichever strings are its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from attrs import Factory, define, frozen
from torch import Tensor

Ints = npt.NDArray[np.int64]
Tables = tuple[Tensor, Tensor, Tensor, Tensor]
MOST_STRINGS = 63
"""Distinct strings of one automaton, a bit of an int64 each."""


@frozen(eq=False)
class StopAutomaton:
    """Aho-Corasick over token ids. In state 0 no string has begun.

    Attributes:
        columns: int32[V + 1], the column of each id; the last entry is of no token and does nothing.
        table: int32[S, C], the move of a state on a column.
        next_states: int64[M]. hits: int64[M], the strings that are completed anywhere inside the token, a bit each.
    """

    columns: npt.NDArray[np.int32]
    table: npt.NDArray[np.int32]
    next_states: Ints
    hits: Ints

    @property
    def nbytes(self) -> int:
        """Bytes of the tables."""
        return self.columns.nbytes + self.table.nbytes + self.next_states.nbytes + self.hits.nbytes


class StopStrings:
    """The stop strings of the rows of a batch, watched without a host round trip."""

    def __init__(
        self, strings: Sequence[str], vocabulary: Sequence[bytes | None], rows: int, device: torch.device
    ) -> None:
        """Lift the strings over a vocabulary; no row has any until it is `put`.

        Args:
            strings: those of all requests, repeated or not. Raises ValueError for more than 63 distinct ones.
            vocabulary: bytes of every id that is advanced by; None, for special tokens and unused ids, ends what a
                string had begun.
            rows: most rows of a batch.
            device: where tokens are.
        """
        self.bits = {string: bit for bit, string in enumerate(dict.fromkeys(strings))}
        automaton = lift_stops([string.encode() for string in self.bits], vocabulary)
        self.nothing, self.num_columns = len(vocabulary), automaton.table.shape[1]
        self.arrays: tuple[npt.NDArray[Any], ...] = (
            automaton.columns,
            automaton.table.reshape(-1),
            automaton.next_states,
            automaton.hits,
        )
        self.tables: Tables = tuple(torch.from_numpy(array).to(device) for array in self.arrays)  # type: ignore[assignment]
        self.states = torch.zeros(rows, dtype=torch.int64, device=device)
        self.wanted = torch.zeros_like(self.states)
        self.host = (self.states.numpy(), self.wanted.numpy()) if device.type == "cpu" else None

    def put(self, row: int, strings: Sequence[str]) -> None:
        """Give a row to another request, nothing read. Raises KeyError for a string that the automaton lacks."""
        self.states[row] = 0
        self.wanted[row] = sum(1 << bit for bit in {self.bits[string] for string in strings})

    def move(self, source: int, target: int) -> None:
        """Make row `target` what row `source` is."""
        self.states[target], self.wanted[target] = self.states[source], self.wanted[source]

    def restart(self, row: int) -> None:
        """Forget what a row has read, as after an injected reply."""
        self.states[row] = 0

    def advance(self, tokens: Tensor, active: Tensor) -> Tensor:
        """Read a token in each of the first B rows; return bool[B], whether it completed a string of the row's.

        Args:
            tokens: int64[B].
            active: bool[B]; other rows stay as they are and have no hit.
        """
        rows = len(tokens)
        if self.host is not None:
            return self._on_host(tokens.numpy(), active.numpy(), self.host[0][:rows], self.host[1][:rows])
        states, hit = advance_rows(
            self.tables, self.num_columns, self.nothing, self.states[:rows], self.wanted[:rows], tokens, active
        )
        self.states[:rows] = states
        return hit

    def _on_host(self, tokens: Ints, active: npt.NDArray[np.bool_], states: Ints, wanted: Ints) -> Tensor:
        columns, table, next_states, hits = self.arrays
        cells = states * self.num_columns
        cells += columns.take(np.where(active, tokens, self.nothing))
        moves = table.take(cells)
        next_states.take(moves, out=states)
        return torch.from_numpy(hits.take(moves) & wanted != 0)


def advance_rows(
    tables: Tables, num_columns: int, nothing: int, states: Tensor, wanted: Tensor, tokens: Tensor, active: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the next states int64[B] and the hits bool[B]: `StopStrings.advance` in tensors alone."""
    columns, table, next_states, hits = tables
    read = columns.index_select(0, torch.where(active, tokens, nothing))
    moves = table.index_select(0, torch.add(read, states, alpha=num_columns))
    return next_states.index_select(0, moves), hits.index_select(0, moves) & wanted != 0


def cut(data: bytes, strings: Sequence[str]) -> int | None:
    """Return where in `data` the first string to be complete begins, the longest if several are at once, or None."""
    sought = [string.encode() for string in strings]
    found = [(at + len(text), at) for text in sought if (at := data.find(text)) >= 0]
    return min(found)[1] if found else None


def lift_stops(strings: Sequence[bytes], vocabulary: Sequence[bytes | None]) -> StopAutomaton:
    """Return the automaton of distinct strings over a vocabulary; string i is bit i of the hits.

    Raises ValueError for more than 63 strings and for an empty one.
    """
    if len(strings) > MOST_STRINGS:
        raise ValueError(f"{len(strings)} distinct stop strings; one run watches at most {MOST_STRINGS}")
    if b"" in strings:
        raise ValueError("a stop string has at least one character")
    behaviours = _Behaviours.of(*aho_corasick(strings))
    lengths = np.fromiter((len(text) if text else 0 for text in vocabulary), np.int64, len(vocabulary))
    flat = np.frombuffer(b"".join(text or b"" for text in vocabulary), np.uint8)
    offsets = np.cumsum(lengths) - lengths
    found = np.zeros(len(vocabulary) + 1, np.int64)
    alive, depth = np.flatnonzero(lengths), 0
    while len(alive):
        found[alive] = behaviours.after(found[alive], flat[offsets[alive] + depth])
        depth += 1
        alive = alive[lengths[alive] > depth]
    found[:-1][[text is None for text in vocabulary]] = behaviours.reset()
    return behaviours.tables(found)


def aho_corasick(strings: Sequence[bytes]) -> tuple[npt.NDArray[np.int32], Ints]:
    """Return the next states int32[S, 256] and, as a bit each, the strings that end in a state, int64[S].

    Source: Aho & Corasick 1975, algorithms 2 to 4.
    """
    children: list[dict[int, int]] = [{}]
    ends = [0]
    for bit, string in enumerate(strings):
        state = 0
        for byte in string:
            if byte not in children[state]:
                children[state][byte] = len(children)
                children.append({})
                ends.append(0)
            state = children[state][byte]
        ends[state] |= 1 << bit
    table = np.zeros((len(children), 256), np.int32)
    queue = [(0, 0)]
    for state, failure in queue:
        ends[state] |= ends[failure]
        table[state] = table[failure]
        for byte, child in children[state].items():
            queue.append((child, int(table[failure, byte])))
            table[state, byte] = child
    return table, np.array(ends, np.int64)


@define
class _Behaviours:
    """What texts do to every state, each behaviour once; 0 is that of the empty text.

    Attributes:
        moves: int32[S, K] and ends: int64[S], the byte automaton over K classes of bytes that are alike.
        classes: int64[256], the class of each byte.
        states: int32[N, S], where a behaviour leads from each state.
        hits: int64[N, S], strings completed on the way.
        memo: int64[N, K], the behaviour after one more byte; -1 is unknown.
    """

    moves: npt.NDArray[np.int32]
    ends: Ints
    classes: Ints
    states: npt.NDArray[np.int32]
    hits: Ints
    memo: Ints
    known: dict[bytes, int] = Factory(dict)

    @staticmethod
    def of(table: npt.NDArray[np.int32], ends: Ints) -> _Behaviours:
        """Return the behaviour of the empty text in a byte automaton."""
        moves, classes = np.unique(table, axis=1, return_inverse=True)
        identity, none = np.arange(len(table), dtype=np.int32)[None], np.zeros((1, len(table)), np.int64)
        memo = np.full((1, moves.shape[1]), -1, np.int64)
        known = {identity.tobytes() + none.tobytes(): 0}
        return _Behaviours(moves, ends, classes.reshape(-1), identity, none, memo, known=known)

    def after(self, behaviours: Ints, symbols: npt.NDArray[np.uint8]) -> Ints:
        """Return the behaviours int64[T] after one more byte each."""
        kinds = self.memo.shape[1]
        pairs = behaviours * kinds + self.classes[symbols]
        seen = np.zeros(self.memo.size, np.bool_)
        seen[pairs] = True
        needed = np.flatnonzero(seen & (self.memo.reshape(-1) < 0))
        if len(needed):
            states = self.moves[self.states[needed // kinds], (needed % kinds)[:, None]]
            numbers = self._number(states, self.hits[needed // kinds] | self.ends[states])
            self.memo.reshape(-1)[needed] = numbers
        after: Ints = self.memo.reshape(-1).take(pairs)
        return after

    def reset(self) -> int:
        """Return the behaviour that leads to state 0 from everywhere and completes nothing."""
        return int(self._number(np.zeros_like(self.states[:1]), np.zeros_like(self.hits[:1]))[0])

    def _number(self, states: npt.NDArray[np.int32], hits: Ints) -> Ints:
        """Return the numbers int64[n] of behaviours; new ones are kept."""
        numbers = np.empty(len(states), np.int64)
        fresh: list[int] = []
        for at in range(len(states)):
            key = states[at].tobytes() + hits[at].tobytes()
            numbers[at] = self.known.setdefault(key, len(self.known))
            if numbers[at] == len(self.states) + len(fresh):
                fresh.append(at)
        self.states = np.concatenate([self.states, states[fresh]])
        self.hits = np.concatenate([self.hits, hits[fresh]])
        self.memo = np.concatenate([self.memo, np.full((len(fresh), self.memo.shape[1]), -1, np.int64)])
        return numbers

    def tables(self, found: Ints) -> StopAutomaton:
        """Return the automaton of the behaviours int64[V + 1] of ids."""
        used, columns = np.unique(found, return_inverse=True)
        num_states = len(self.ends)
        bits, which = np.unique(self.hits[used], return_inverse=True)
        keys = which.reshape(len(used), num_states) * num_states + self.states[used]
        moves, cells = np.unique(keys, return_inverse=True)
        return StopAutomaton(
            columns=columns.astype(np.int32),
            table=np.ascontiguousarray(cells.reshape(keys.shape).T.astype(np.int32)),
            next_states=moves % num_states,
            hits=bits[moves // num_states],
        )
