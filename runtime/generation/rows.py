"""The rows of a running batch: what a step reads and writes, as tensors, so that no step asks the host.

On a CPU, where a small operation costs more to start than to do, the same is done in numpy over the same memory.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from torch import Tensor

from ..models.cache import ModelCache
from ..protocols.state import AutomatonState, DeviceAutomaton
from .requests import Request
from .sampling import Samplers
from .stops import StopStrings


class Rows:
    """One row per lane.

    Attributes:
        cache: keys, values and states of the rows.
        used: the rows from 0 on that a step computes.
        logits: float[B, V], of each row's next token. tokens: int64[B], the last ones drawn.
        ready: bool[B], rows that a step advances. flagged: bool[B], rows in which something happened that the device
            cannot decide; they are not ready. effects: int64[B], what automata did there.
        lengths, limits: int64[B], tokens of each row, and the most that it may have.
        said, logps: int64 and float32[B, S + 2], the tokens by position, and their log-probabilities if any row asks.
        length, going: what the host knows of `lengths` (never less) and `ready`; on a CPU these themselves.
    """

    def __init__(self, cache: ModelCache, num_ids: int, dtype: torch.dtype, requests: list[Request]) -> None:
        self.cache = cache
        count, device = cache.rows, cache.lengths.device
        self.used = 0
        self.logits = torch.zeros(count, num_ids, device=device, dtype=dtype)
        self.tokens = torch.zeros(count, dtype=torch.int64, device=device)
        self.ready = torch.zeros(count, dtype=torch.bool, device=device)
        self.flagged = torch.zeros_like(self.ready)
        self.effects = torch.zeros_like(self.tokens)
        self.lengths, self.limits = torch.zeros_like(self.tokens), torch.zeros_like(self.tokens)
        self.said = torch.zeros(count, cache.capacity + 2, dtype=torch.int64, device=device)
        asked = any(request.logprobs for request in requests)
        self.logps = torch.zeros(self.said.shape, device=device) if asked else None
        self.on_host = device.type == "cpu"
        self.length = self.lengths.numpy() if self.on_host else np.zeros(count, dtype=np.int64)
        self.going = self.ready.numpy() if self.on_host else np.zeros(count, dtype=np.bool_)
        self.numbers = np.arange(count)
        self.samplers = Samplers(count, num_ids, device)
        self.stops: StopStrings | None = None
        self.automaton: DeviceAutomaton | None = None
        self.states: AutomatonState | None = None

    def go(self, row: int, length: int) -> None:
        """Let a row of `length` tokens, whose logits are there, take part in steps."""
        self.ready[row], self.going[row] = True, True
        self.lengths[row], self.length[row] = length, length

    def leave(self, row: int) -> None:
        """Take a row out of the steps."""
        self.ready[row], self.flagged[row], self.going[row] = False, False, False

    def say(self, tokens: Tensor) -> None:
        """Write a drawn token int64[B] behind each row that is ready."""
        if self.on_host:
            at = np.where(self.going, self.length, self.said.shape[1] - 1)
            self.said.numpy()[self.numbers, at] = tokens.numpy()
            self._tell(tokens, torch.from_numpy(at))
            self.length += self.going
            return
        places = torch.where(self.ready, self.lengths, self.said.shape[1] - 1)
        self.said.scatter_(1, places[:, None], tokens[:, None])
        self._tell(tokens, places)
        self.lengths += self.ready
        self.length += self.going

    def _tell(self, tokens: Tensor, at: Tensor) -> None:
        if self.logps is not None:
            logps = self.logits.float().log_softmax(dim=-1).gather(1, tokens[:, None])
            self.logps.scatter_(1, at[:, None], logps)

    def flags(
        self,
        ends: Tensor,
        effects: Tensor | None = None,
        stopping: Tensor | None = None,
        forces: Tensor | None = None,
        hits: Tensor | None = None,
    ) -> Tensor:
        """Return bool[B], the ready rows in which something happened with their last token.

        Args:
            ends: bool[V], tokens that end a text.
            effects: int64[B], what automata did.
            stopping: bool[E], which effects the host must see.
            forces: bool[S], in which states of the automata only one token can follow.
            hits: bool[B], rows whose text holds one of their stop strings.
        """
        states = None if self.states is None else self.states.states
        if self.on_host:
            found = ends.numpy().take(self.tokens.numpy())
            found |= self.length >= self.limits.numpy()
            if effects is not None and stopping is not None:
                found |= stopping.numpy().take(effects.numpy())
            if forces is not None and states is not None:
                found |= forces.numpy().take(states.numpy())
            if hits is not None:
                found |= hits.numpy()
            found &= self.going
            return torch.from_numpy(found)
        flags = ends[self.tokens] | (self.lengths >= self.limits)
        if effects is not None and stopping is not None:
            flags |= stopping[effects]
        if forces is not None and states is not None:
            flags |= forces[states]
        if hits is not None:
            flags |= hits
        return flags & self.ready

    def move(self, source: int, target: int) -> None:
        """Make row `target` what row `source` is; `source` is free afterwards."""
        self.cache.fork(source, target)
        tensors = [
            self.logits,
            self.ready,
            self.flagged,
            self.effects,
            self.lengths,
            self.limits,
            self.said,
            self.logps,
        ]
        for tensor in (*tensors, *(() if self.on_host else (self.length, self.going))):
            if tensor is not None:
                tensor[target] = tensor[source]
        self.samplers.move(source, target)
        if self.stops is not None:
            self.stops.move(source, target)
        if self.states is not None:
            self.states.move(source, target)
        self.leave(source)


class Bell:
    """Tells the host that some row is flagged: at once on a CPU, on a GPU when the device gets there.

    There the host runs up to `lag` steps ahead, so no step waits for the device.
    """

    def __init__(self, device: torch.device, lag: int = 2) -> None:
        self.lag = lag if device.type == "cuda" else 0
        self.waiting: deque[tuple[Tensor, torch.cuda.Event]] = deque()

    def ring(self, flags: Tensor) -> bool:
        """Take a step's flags bool[B]; return whether a row was flagged in a step that has been heard of."""
        if not self.lag:
            return bool(flags.numpy().any())
        heard = torch.empty((), dtype=torch.bool, pin_memory=True)
        heard.copy_(flags.any(), non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self.waiting.append((heard, event))
        found = False
        while self.waiting and (len(self.waiting) > self.lag or self._reached()):
            heard, event = self.waiting.popleft()
            event.synchronize()
            found = found or bool(heard)
        return found

    def _reached(self) -> bool:
        """Whether the device has got to the oldest step that the host has not heard of."""
        return bool(self.waiting[0][1].query())  # type: ignore[no-untyped-call]
