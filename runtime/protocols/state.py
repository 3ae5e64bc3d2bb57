"""A token automaton on a device: a state, a position and registers per row, advanced without a host round trip.

On a GPU a step is compiled to a few kernels; on the CPU, where an operation costs more to start than to do, it is the
same gathers in numpy over the same memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from attrs import define
from torch import Tensor

from .lift import FiredEvent, TokenAutomaton
from .mask import MaskRows
from .vocabulary import Ints

Tables = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
Step = Callable[..., tuple[Tensor, Tensor, Tensor]]


@define(eq=False, slots=False)
class AutomatonState:
    """Where the rows of a batch are.

    Attributes:
        states: int64[B].
        held: int64[B, R + 2], by row the position, the registers and 0.
        history: int64[B, W + 1, R + 2], state, position and registers before each of the last W tokens of a row, and a
            place to write to where a row reads none; no places without a window.
        count: int64[B], tokens of a row. floor: int64[B], the least count that can be gone back to.
    """

    states: Tensor
    held: Tensor
    history: Tensor
    count: Tensor
    floor: Tensor

    @property
    def positions(self) -> Tensor:
        """int64[B], bytes so far, injected ones included."""
        return self.held[:, 0]

    @property
    def registers(self) -> Tensor:
        """int64[B, R], positions of calls and captures; -1 is unset."""
        return self.held[:, 1:-1]

    @property
    def window(self) -> int:
        """How many tokens can be taken back."""
        return max(0, self.history.shape[1] - 1)

    @cached_property
    def host(self) -> tuple[Ints, Ints, Ints, Ints, Ints]:
        """The same memory as numpy arrays, for rows on the CPU."""
        return tuple(t.numpy() for t in (self.states, self.held, self.history, self.count, self.floor))  # type: ignore[return-value]

    def move(self, source: int, target: int) -> None:
        """Make row `target` what row `source` is."""
        for tensor in (self.states, self.held, self.history, self.count, self.floor):
            tensor[target] = tensor[source]


class DeviceAutomaton:
    """The tables of a token automaton as tensors, and the functions on states."""

    def __init__(self, automaton: TokenAutomaton, device: torch.device) -> None:
        self.automaton = automaton
        self.device = device
        self.num_states, self.num_columns = automaton.table.shape
        self.nothing = len(automaton.columns) - 1
        self.num_registers = automaton.num_registers
        self.masks = MaskRows(automaton)
        self.arrays: tuple[Ints, ...] = (
            automaton.columns.astype(np.int64),
            automaton.table.reshape(-1).astype(np.int64),
            automaton.next_states,
            automaton.effects,
            automaton.lengths,
            np.pad(automaton.sources, ((0, 0), (1, 1)), constant_values=((0, 0), (0, self.num_registers + 1))),
            np.pad(automaton.added, ((0, 0), (1, 1))),
        )
        self.tables: Tables = tuple(torch.from_numpy(table).to(device) for table in self.arrays)  # type: ignore[assignment]
        self.allowed = torch.from_numpy(automaton.allowed).to(device)
        self.compiled: Step | None = None if device.type == "cpu" else torch.compile(advance_rows, dynamic=True)

    def initial(self, rows: int, window: int = 0) -> AutomatonState:
        """Return rows in free text at position 0; `window` tokens of each can be taken back."""
        places = window + 1 if window else 0
        sizes = ((rows,), (rows, self.num_registers + 2), (rows, places, self.num_registers + 2), (rows,), (rows,))
        state = AutomatonState(*(torch.zeros(size, dtype=torch.int64, device=self.device) for size in sizes))
        state.registers.fill_(-1)
        return state

    def advance(self, state: AutomatonState, tokens: Tensor, active: Tensor) -> Tensor:
        """Read one token per row, in place; return int64[B] effects, 0 where nothing happened.

        Args:
            state: the rows.
            tokens: int64[B].
            active: bool[B]; other rows, parked or finished, stay as they are.

        One gather follows another and nothing waits for the device, so a CUDA graph can hold it.
        """
        if self.compiled is None:
            return self._on_host(state, tokens.numpy(), active.numpy())
        fields = (state.states, state.held, state.history, state.count, state.floor)
        states, held, happened = self.compiled(self.tables, self.num_columns, self.nothing, *fields, tokens, active)
        state.states.copy_(states)
        state.held.copy_(held)
        return happened

    def _on_host(self, state: AutomatonState, tokens: Ints, active: Ints) -> Tensor:
        columns, table, next_states, effects, lengths, sources, added = self.arrays
        states, held, history, count, floor = state.host
        if state.window:
            rows, places = history.shape[:2]
            at = count % places
            at += np.arange(0, rows * places, places)
            flat = history.reshape(rows * places, -1)
            flat[at, 0] = states
            flat[at, 1:] = held[:, :-1]
            count += active
            np.maximum(floor, count - state.window, out=floor)
        read = np.where(active, tokens, self.nothing)
        cells = states * self.num_columns
        cells += columns.take(read)
        moves = table.take(cells)
        happened = effects.take(moves)
        if happened.any():
            cells = sources.take(happened, axis=0)
            cells += np.arange(0, held.size, held.shape[1])[:, None]
            held[:] = held.take(cells) + added.take(happened, axis=0)
        next_states.take(moves, out=states)
        held[:, 0] += lengths.take(read)
        return torch.from_numpy(happened)

    def rollback(self, state: AutomatonState, back: Tensor) -> None:
        """Take back the last `back` tokens int64[B] of each row, as far as its window reaches, in place.

        The window holds the last tokens that were read; those that were taken back are gone from it.
        Raises ValueError for a state without a window.
        """
        if not state.window:
            raise ValueError("this state keeps no history; make it with initial(rows, window)")
        count = torch.maximum(state.count - back, state.floor)
        at = (count % state.history.shape[1])[:, None, None].expand(-1, 1, state.history.shape[2])
        then = state.history.gather(1, at)[:, 0]
        moved = count < state.count
        state.states.copy_(torch.where(moved, then[:, 0], state.states))
        state.held[:, :-1] = torch.where(moved[:, None], then[:, 1:], state.held[:, :-1])
        state.count.copy_(count)

    def resume(self, state: AutomatonState, row: int, position: int) -> None:
        """Put a row into free text at a position, as after an injected reply; its history stays."""
        state.states[row] = 0
        state.positions[row] = position

    def start(self, state: AutomatonState, row: int, position: int) -> None:
        """Put a row at the beginning of another text."""
        self.resume(state, row, position)
        state.registers[row] = -1
        state.count[row], state.floor[row] = 0, 0

    def mask(self, states: Tensor) -> Tensor:
        """Return bool[B, V]: the tokens that a constrained decoding may sample in int64[B] states."""
        moves = self.tables[1].view(self.num_states, self.num_columns)[states]
        return self.allowed[moves].index_select(1, self.tables[0][:-1])

    def constrain(self, logits: Tensor, states: Tensor) -> Tensor:
        """Return float[B, V] logits with -inf where a token may not be sampled in int64[B] states."""
        if logits.device.type == "cpu":
            return self.masks.apply(logits, states)
        return torch.where(self.mask(states)[:, : logits.shape[1]], logits, -torch.inf)

    def fired(self, effect: int) -> tuple[FiredEvent, ...]:
        """Return the events of an effect that `advance` gave."""
        return self.automaton.events[effect]


def advance_rows(
    tables: Tables,
    num_columns: int,
    nothing: int,
    states: Tensor,
    held: Tensor,
    history: Tensor,
    count: Tensor,
    floor: Tensor,
    tokens: Tensor,
    active: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `states`, `held` and the effects int64[B] after a token per row; keep what was before in `history`.

    This is `DeviceAutomaton.advance` in tensors alone.
    """
    columns, table, next_states, effects, lengths, sources, added = tables
    places = history.shape[1]
    if places:
        before = torch.cat((states[:, None], held[:, :-1]), dim=1)
        at = (count % places)[:, None, None].expand(-1, 1, before.shape[1])
        history.scatter_(1, at, before[:, None])
        count.add_(active)
        floor.copy_(torch.maximum(floor, count - (places - 1)))
    read = torch.where(active, tokens, nothing)
    moves = table.index_select(0, torch.add(columns.index_select(0, read), states, alpha=num_columns))
    happened = effects.index_select(0, moves)
    read_bytes = lengths.index_select(0, read)[:, None] * (torch.arange(held.shape[1], device=held.device) == 0)
    kept = held.gather(1, sources.index_select(0, happened)) + added.index_select(0, happened)
    return next_states.index_select(0, moves), kept + read_bytes, happened
