"""A token automaton on a device: one state per row, advanced by two gathers, without a host round trip."""

from __future__ import annotations

import torch
from torch import Tensor

from .lift import FiredEvent, TokenAutomaton


class DeviceAutomaton:
    """The tables of a token automaton as tensors.

    A word holds the next state and, above it, the index of the events that fire: state + S * events.
    """

    def __init__(self, automaton: TokenAutomaton, device: torch.device) -> None:
        self.event_lists = automaton.event_lists
        self.num_states, self.num_columns = automaton.table.shape
        words = automaton.table + self.num_states * automaton.events
        self.words = torch.from_numpy(words.reshape(-1)).to(device)
        self.columns = torch.from_numpy(automaton.columns).to(device)

    def initial(self, rows: int) -> Tensor:
        """Return start states, int64[B]."""
        return torch.zeros(rows, dtype=torch.int64, device=self.words.device)

    def advance(self, states: Tensor, tokens: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
        """Return next states and event lists, int64[B] each; inactive rows keep their state, without events."""
        words = self.words[states * self.num_columns + self.columns[tokens]]
        moved, events = words % self.num_states, words // self.num_states
        return torch.where(active, moved, states), events * active

    def fired(self, events: int) -> tuple[FiredEvent, ...]:
        """Return the events of a list that `advance` named."""
        return self.event_lists[events]
