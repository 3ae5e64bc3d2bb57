"""Rows of masks on the host: one per distinct set of allowed tokens, made when a state is first constrained."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .lift import TokenAutomaton

MOST_PACKED = 4096
MOST_BIASES = 64
Bytes = npt.NDArray[np.uint8]


class MaskRows:
    """Masks of states of a token automaton; states that allow the same tokens share a row.

    Rows are forgotten when there are too many: they are remade from the tables.
    """

    def __init__(self, automaton: TokenAutomaton) -> None:
        self.automaton = automaton
        self.columns = automaton.columns[:-1].astype(np.int64)
        self.keys: dict[int, bytes] = {}
        self.rows: dict[bytes, Bytes] = {}
        self.biases: dict[tuple[bytes, torch.dtype], Tensor | None] = {}

    def packed(self, states: npt.NDArray[np.int64]) -> Bytes:
        """Return uint8[B, ceil(V / 8)]: bit i of byte j is whether token 8 j + i is allowed."""
        return np.stack([self._row(self._key(state)) for state in states.tolist()])

    def apply(self, logits: Tensor, states: Tensor) -> Tensor:
        """Return float[B, V] logits with -inf where a token is not allowed in int64[B] states."""
        biases = [self._bias(self._key(state), logits.dtype) for state in states.tolist()]
        if all(bias is None for bias in biases):
            return logits
        found = logits.clone()
        for row, bias in enumerate(biases):
            if bias is not None:
                found[row].add_(bias[: logits.shape[1]])
        return found

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

    def _bias(self, key: bytes, dtype: torch.dtype) -> Tensor | None:
        """Return 0 for allowed tokens and -inf for others, float[V]; None if all are allowed."""
        if (key, dtype) not in self.biases:
            if len(self.biases) >= MOST_BIASES:
                self.biases.clear()
            allowed = np.unpackbits(self._row(key), count=len(self.columns), bitorder="little")
            values = torch.zeros(len(allowed), dtype=dtype).masked_fill_(torch.from_numpy(allowed == 0), -torch.inf)
            self.biases[key, dtype] = None if allowed.all() else values
        return self.biases[key, dtype]
