"""Rows of masks on the host: one per distinct set of allowed tokens, made when a state is first constrained."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .lift import TokenAutomaton

MOST_PACKED = 4096
MOST_BIASES = 64
FEW_LOGITS = 2**18
"""Logits of a batch up to which one addition to all rows costs less than one for each constrained row."""
UNKNOWN = -1
Bytes = npt.NDArray[np.uint8]


class MaskRows:
    """Masks of states of a token automaton; states that allow the same tokens share a row.

    Rows are forgotten when there are too many: they are remade from the tables.

    Attributes:
        biases: float32[V], 0 for allowed tokens and -inf for others; the first allows all. together: all of them.
        places: int64[S], the place of each state's among them, or UNKNOWN.
    """

    def __init__(self, automaton: TokenAutomaton) -> None:
        self.automaton = automaton
        self.columns = automaton.columns[:-1].astype(np.int64)
        self.keys: dict[int, bytes] = {}
        self.rows: dict[bytes, Bytes] = {}
        self.places = np.full(len(automaton.table), UNKNOWN, dtype=np.int64)
        self.biases: list[Tensor] = []
        self.known: dict[bytes, int] = {}
        self.together: Tensor | None = None

    def packed(self, states: npt.NDArray[np.int64]) -> Bytes:
        """Return uint8[B, ceil(V / 8)]: bit i of byte j is whether token 8 j + i is allowed."""
        return np.stack([self._row(self._key(state)) for state in states.tolist()])

    def apply(self, logits: Tensor, states: Tensor) -> Tensor:
        """Return float[B, V] logits with -inf where a token is not allowed in int64[B] states."""
        numbers = states.numpy()
        places = self.places.take(numbers)
        if (places == UNKNOWN).any():
            places = self._learn(numbers)
        if not places.any():
            return logits
        if logits.numel() <= FEW_LOGITS:
            if self.together is None or self.together.dtype != logits.dtype:
                self.together = torch.stack(self.biases).to(logits.dtype)
            return logits + self.together.index_select(0, torch.from_numpy(places))[:, : logits.shape[1]]
        found = logits.clone()
        for row in places.nonzero()[0].tolist():
            found[row].add_(self.biases[places[row]][: logits.shape[1]])
        return found

    def _learn(self, states: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the places of the biases of some states, made where there are none."""
        if len(self.biases) >= MOST_BIASES:
            self.biases, self.known = [], {}
            self.places[:] = UNKNOWN
        if not self.biases:
            self.biases.append(torch.zeros(len(self.columns)))
        for state in set(states.tolist()):
            if self.places[state] == UNKNOWN:
                self.places[state] = self._place(self._key(state))
        self.together = None
        return self.places.take(states)

    def _place(self, key: bytes) -> int:
        """Return the place of the bias of allowed tokens; 0 if all are."""
        if key not in self.known:
            allowed = np.unpackbits(self._row(key), count=len(self.columns), bitorder="little")
            if allowed.all():
                self.known[key] = 0
            else:
                self.known[key] = len(self.biases)
                self.biases.append(torch.zeros(len(allowed)).masked_fill_(torch.from_numpy(allowed == 0), -torch.inf))
        return self.known[key]

    def _key(self, state: int) -> bytes:
        if state not in self.keys:
            self.keys[state] = self.automaton.allowed[self.automaton.table[state]].tobytes()
        return self.keys[state]

    def _row(self, key: bytes) -> Bytes:
        row = self.rows.get(key)
        if row is None:
            if len(self.rows) >= MOST_PACKED:
                self.rows.clear()
            allowed = np.frombuffer(key, np.bool_).take(self.columns)
            row = self.rows[key] = np.packbits(allowed, bitorder="little")
        return row
