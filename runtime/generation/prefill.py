"""Prefill: prompts and replies go through the model side by side, each seeing its own row of the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ..models.layout import SequenceLayout
from .lanes import Lane
from .prefix_tree import branches
from .requests import Request

if TYPE_CHECKING:
    from .loop import Loop

PACK_TOKENS = 2048
"""Tokens of one prefill pass: more gains nothing on a CPU and costs memory."""
TURN_TOKENS = 8192
"""Tokens that are prefilled before lanes that can go on do."""


class Prefill:
    """Fills rows of the cache of a loop with what its lanes have to read."""

    def __init__(self, loop: Loop) -> None:
        self.loop, self.engine, self.rows = loop, loop.engine, loop.rows

    def share(self, prompts: Sequence[Sequence[int]]) -> None:
        """Compute and keep the beginnings that prompts share, each once, so that none is computed with its row."""
        tree = self.engine.tree
        assert tree is not None
        waiting = branches(prompts)
        while waiting:
            wave: list[tuple[int, ...]] = []
            later: list[tuple[int, ...]] = []
            for prefix in waiting:
                full = len(wave) == len(self.loop.lanes)
                (later if full or any(prefix[: len(p)] == p for p in wave) else wave).append(prefix)
            for row, prefix in enumerate(wave):
                self.loop.lanes[row] = self.place(row, -1, Request(prefix))
            while any(lane and lane.pending for lane in self.loop.lanes):
                self.run()
            for row, prefix in enumerate(wave):
                tree.insert(prefix, self.rows.cache, row, self.rows.logits[row])
                self.loop.lanes[row] = None
                self.rows.leave(row)
            waiting = later

    def place(self, row: int, number: int, request: Request) -> Lane:
        """Give a row to a request, with as much of its prompt as the prefix tree holds."""
        prompt, rows, held = list(request.prompt), self.rows, 0
        rows.cache.reset(row)
        lane = Lane(number, request, self.engine.limit(request), prompt, 0, prompt.copy(), len(prompt), len(prompt))
        if self.engine.tree is not None:
            match = self.engine.tree.match(request.prompt)
            if match.length == len(prompt) and match.logits is None:
                match = self.engine.tree.match(request.prompt[:-1])
            held = match.length
            match.copy_to(rows.cache, row)
            if held == len(prompt) and match.logits is not None:
                rows.logits[row] = match.logits
        lane.cached, lane.pending = held, prompt[held:]
        return lane

    def run(self) -> None:
        """Send pending tokens of all lanes that are not parked through the model."""
        sent = 0
        while sent < TURN_TOKENS or not self.rows.going.any():
            waiting = [
                (row, lane) for row, lane in enumerate(self.loop.lanes) if lane and lane.pending and not lane.parked
            ]
            if not waiting:
                return
            sent += self._pass(_packed(waiting))

    def _pass(self, chosen: Sequence[int]) -> int:
        """Send pending tokens of some lanes, side by side, through the model; return how many."""
        rows, model = self.rows, self.engine.model
        lanes = [lane for row in chosen if (lane := self.loop.lanes[row]) is not None]
        chunks = [lane.pending[:PACK_TOKENS] for lane in lanes]
        device = rows.logits.device
        counts = [len(chunk) for chunk in chunks]
        tokens = torch.tensor([[token for chunk in chunks for token in chunk]], device=device)
        where = torch.tensor(chosen, device=device)
        layout = SequenceLayout.packed_chunk(counts, [lane.cached for lane in lanes], device)
        hidden = model.hidden(tokens, layout, rows.cache.select(where))
        ends = layout.lengths.cumsum(0) - 1
        rows.logits[where] = model.head(hidden[0].index_select(0, ends))
        for row, lane, count in zip(chosen, lanes, counts, strict=True):
            lane.cached += count
            lane.pending = lane.pending[count:]
            if not lane.pending:
                self.loop.ready(row, lane)
        self.engine.stats.prefilled += sum(counts)
        return sum(counts)


def _packed(waiting: Sequence[tuple[int, Lane]]) -> list[int]:
    """Return the rows whose pending tokens go through the model together: prompts or what follows, of like length."""
    ordered = sorted(waiting, key=lambda item: (item[1].cached > 0, len(item[1].pending)))
    chosen: list[int] = []
    slots, fresh = 0, ordered[0][1].cached == 0
    for row, lane in ordered:
        slots += len(lane.pending)
        if chosen and (slots > PACK_TOKENS or (lane.cached == 0) != fresh):
            break
        chosen.append(row)
    return chosen
