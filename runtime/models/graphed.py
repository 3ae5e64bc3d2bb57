"""The decoding step as CUDA graphs: one launch instead of one per operation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from attrs import frozen
from torch import Tensor

from .decode import Decoder

SPAN = 128
"""A graph reads this many positions, or a multiple of it, so that growing rows need few graphs."""


@frozen(eq=False)
class Captured:
    """A graph and the memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    tokens: Tensor
    active: Tensor
    logits: Tensor


class GraphedDecoder:
    """Steps of a decoder by replay; a graph is captured for each number of rows and positions that is met.

    The first step that cannot be captured says so, and steps are launched one operation at a time from then on.
    """

    def __init__(self, decoder: Decoder, note: Callable[[str], None]) -> None:
        self.decoder, self.cache, self.note = decoder, decoder.cache, note
        self.captured: dict[tuple[int, int], Captured] = {}
        self.failed = False

    def step(self, tokens: Tensor, active: Tensor, live: int, even: bool) -> Tensor:
        """Do what `Decoder.step` does; the logits are overwritten by the next step."""
        if self.failed:
            return self.decoder.step(tokens, active, live, even)
        cache, rows = self.cache, len(tokens)
        key = min(cache.rows, 1 << (rows - 1).bit_length()), min(cache.capacity, -(-live // SPAN) * SPAN)
        if key not in self.captured:
            try:
                self.captured[key] = self._capture(*key)
            except RuntimeError as error:
                self.failed = True
                reason = str(error).splitlines()[0]
                self.note(f"decoding steps are not captured as CUDA graphs and will be slower: {reason}")
                return self.decoder.step(tokens, active, live, even)
        captured = self.captured[key]
        captured.active.zero_()
        captured.tokens[:rows], captured.active[:rows] = tokens, active
        captured.graph.replay()
        return captured.logits[:rows]

    def _capture(self, rows: int, live: int) -> Captured:
        """Capture a step; no row is active meanwhile, so the cache stays as it is."""
        device = self.decoder.cache.lengths.device
        tokens = torch.zeros(rows, dtype=torch.int64, device=device)
        active = torch.zeros(rows, dtype=torch.bool, device=device)
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                self.decoder.step(tokens, active, live, False)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = self.decoder.step(tokens, active, live, False)
        return Captured(graph, tokens, active, logits)
