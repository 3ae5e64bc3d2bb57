"""A token automaton on a device: a state, a position and registers per row, advanced without a host round trip."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from attrs import define
from torch import Tensor

from .lift import FiredEvent, TokenAutomaton
from .mask import MaskRows

Tables = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


@define(eq=False)
class AutomatonState:
    """Where the rows of a batch are.

    Attributes:
        states: int64[B]. positions: int64[B], bytes so far, injected ones included.
        registers: int64[B, R], positions of calls and captures; -1 is unset.
        history: int64[B, W + 1, 2 + R], what was before each of the last W tokens of a row, and a place to write to
            where a row reads none; W is 0 without it. count: int64[B], tokens of a row.
    """

    states: Tensor
    positions: Tensor
    registers: Tensor
    history: Tensor
    count: Tensor

    @property
    def window(self) -> int:
        """How many tokens can be taken back."""
        return max(0, self.history.shape[1] - 1)


class DeviceAutomaton:
    """The tables of a token automaton as tensors, and the functions on states."""

    def __init__(self, automaton: TokenAutomaton, device: torch.device) -> None:
        self.automaton = automaton
        self.device = device
        self.num_states, self.num_columns = automaton.table.shape
        self.nothing = len(automaton.columns) - 1
        self.num_registers = automaton.num_registers
        self.masks = MaskRows(automaton)
        tables = (
            automaton.columns.astype(np.int64),
            automaton.table.reshape(-1).astype(np.int32),
            automaton.next_states,
            automaton.effects,
            automaton.lengths,
            automaton.sources,
            automaton.added,
        )
        self.tables: Tables = tuple(torch.from_numpy(table).to(device) for table in tables)  # type: ignore[assignment]
        self.allowed = torch.from_numpy(automaton.allowed).to(device)
        self._advance: Any = _advance if device.type == "cpu" else torch.compile(_advance, dynamic=True)

    def initial(self, rows: int, window: int = 0) -> AutomatonState:
        """Return rows in free text at position 0; `window` tokens of each can be taken back."""
        zeros = torch.zeros(rows, dtype=torch.int64, device=self.device)
        registers = zeros[:, None].repeat(1, self.num_registers) - 1
        history = zeros[:, None, None].repeat(1, window + 1 if window else 0, 2 + self.num_registers)
        return AutomatonState(zeros, zeros.clone(), registers, history, zeros.clone())

    def advance(self, state: AutomatonState, tokens: Tensor, active: Tensor) -> Tensor:
        """Read one token per row, in place; return int64[B] effects, 0 where nothing happened.

        Args:
            state: the rows.
            tokens: int64[B].
            active: bool[B]; other rows, parked or finished, stay as they are.

        One gather follows another and nothing waits for the device: it is compiled to a few kernels there, and a CUDA
        graph can hold it.
        """
        fields = (state.states, state.positions, state.registers, state.history, state.count)
        return self._advance(self.tables, self.num_columns, self.nothing, *fields, tokens, active)  # type: ignore[no-any-return]

    def rollback(self, state: AutomatonState, back: Tensor) -> None:
        """Take back the last `back` tokens of each row, int64[B] from 0 to the window, in place.

        Raises ValueError for a state without a window.
        """
        if not state.window:
            raise ValueError("this state keeps no history; make it with initial(rows, window)")
        count = state.count - back
        at = (count % state.history.shape[1])[:, None, None].expand(-1, 1, state.history.shape[2])
        then = state.history.gather(1, at)[:, 0]
        moved = back > 0
        state.states.copy_(torch.where(moved, then[:, 0], state.states))
        state.positions.copy_(torch.where(moved, then[:, 1], state.positions))
        state.registers.copy_(torch.where(moved[:, None], then[:, 2:], state.registers))
        state.count.copy_(count)

    def resume(self, state: AutomatonState, row: int, position: int) -> None:
        """Put a row into free text at a position, as after an injected reply; its history stays."""
        state.states[row] = 0
        state.positions[row] = position

    def start(self, state: AutomatonState, row: int, position: int) -> None:
        """Put a row at the beginning of another text."""
        self.resume(state, row, position)
        state.registers[row] = -1
        state.count[row] = 0

    def mask(self, states: Tensor) -> Tensor:
        """Return bool[B, V]: the tokens that a constrained decoding may sample in int64[B] states."""
        moves = self.tables[1].view(self.num_states, self.num_columns)[states]
        return self.allowed[moves].index_select(1, self.tables[0][:-1])

    def constrain(self, logits: Tensor, states: Tensor) -> Tensor:
        """Return float[B, V] logits with -inf where a token may not be sampled in int64[B] states."""
        if logits.device.type == "cpu":
            return self.masks.apply(logits, states)
        return torch.where(self.mask(states), logits, -torch.inf)

    def fired(self, effect: int) -> tuple[FiredEvent, ...]:
        """Return the events of an effect that `advance` gave."""
        return self.automaton.events[effect]


def _advance(
    tables: Tables,
    num_columns: int,
    nothing: int,
    states: Tensor,
    positions: Tensor,
    registers: Tensor,
    history: Tensor,
    count: Tensor,
    tokens: Tensor,
    active: Tensor,
) -> Tensor:
    columns, table, next_states, effects, lengths, sources, added = tables
    if history.shape[1]:
        before = torch.cat((states[:, None], positions[:, None], registers), dim=1)
        at = (count % history.shape[1])[:, None, None].expand(-1, 1, before.shape[1])
        history.scatter_(1, at, before[:, None])
        count.add_(active)
    read = torch.where(active, tokens, nothing)
    moves = table.index_select(0, torch.add(columns.index_select(0, read), states, alpha=num_columns))
    happened = effects.index_select(0, moves)
    if torch.compiler.is_compiling() or states.device.type != "cpu" or bool(happened.any()):
        held = torch.cat((positions[:, None], registers, torch.zeros_like(positions)[:, None]), dim=1)
        registers.copy_(held.gather(1, sources.index_select(0, happened)) + added.index_select(0, happened))
    states.copy_(next_states.index_select(0, moves))
    positions.add_(lengths.index_select(0, read))
    return happened
