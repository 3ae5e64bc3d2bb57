"""The decoding loop: lanes of a cache that requests join and leave at every step, tools included.

One turn of the loop
    admit     requests take free lanes; what a prefix tree holds of their prompts is copied
    collect   replies that have come are injected
    prefill   prompts and replies go through the model side by side, each seeing its own row of the cache
    decode    every ready lane draws a token; the automata read it; lanes in which something happened are handled;
              the others append their token

The automaton never sees injected tokens; after a reply its state is free text. Where a protocol is constrained only
legal tokens are drawn, and what must follow is said without asking the model.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from typing import TYPE_CHECKING

import torch

from ..models.decode import Decoder
from ..models.graphed import GraphedDecoder
from .calls import Calls
from .lanes import Lane, cut_at, own_text_start
from .prefill import Prefill
from .requests import Finished, Happening, Moment, Request, Said, Stop
from .rows import Bell, Rows
from .stops import StopStrings, cut

if TYPE_CHECKING:
    from .engine import Engine


class Loop:
    """One run of an engine over requests, in the rows of a cache.

    Attributes:
        queue: (number, request) that wait for a lane. lanes: by row.
        heard: what happened since the caller last looked. listening: whether the model's own words are told as well.
        keep: whether the prefix tree takes what lanes leave in the cache.
        unsettled: whether there may be lanes that are free, parked or have tokens to send.
    """

    def __init__(
        self,
        engine: Engine,
        requests: Sequence[tuple[int, Request]],
        decoder: Decoder | GraphedDecoder,
        listening: bool,
        keep: bool,
    ) -> None:
        cache = decoder.cache
        self.engine, self.listening, self.keep = engine, listening, keep
        self.queue = deque(requests)
        self.began = time.monotonic()
        weight = engine.model.embed.weight
        self.rows = Rows(cache, engine.model.spec.num_ids(), weight.dtype, [request for _, request in requests])
        self.lanes: list[Lane | None] = [None] * cache.rows
        self.decoder = decoder
        self.bell = Bell(weight.device)
        self.heard: deque[Happening] = deque()
        strings = sorted({text for _, request in requests for text in request.stop})
        if strings:
            vocabulary = [*engine.tokenizer.vocabulary(), *[None] * len(engine.ends)][: len(engine.ends)]
            self.rows.stops = StopStrings(strings, vocabulary, cache.rows, weight.device)
        self.rows.automaton = engine.automaton
        if engine.automaton is not None:
            self.rows.states = engine.automaton.initial(cache.rows)
        self.calls, self.prefill = Calls(self), Prefill(self)
        self.unsettled = True

    def happenings(self) -> Iterator[Happening]:
        """Run until every request is done; give what happens as it does."""
        while self.unsettled or self.rows.going.any():
            if self.unsettled:
                self.unsettled = False
                self._admit()
                self._collect()
                self.prefill.run()
                self.unsettled |= any(lane and (lane.parked or lane.pending) for lane in self.lanes)
            if self.rows.going.any():
                self._decode()
            if self.listening:
                self._tell()
            while self.heard:
                yield self.heard.popleft()

    def note(self, lane: Lane, kind: str, protocol: str = "") -> None:
        """Add to a lane's events."""
        lane.events.append(Moment(kind, len(lane.tokens), time.monotonic() - self.began, protocol))  # type: ignore[arg-type]

    def _admit(self) -> None:
        for row, lane in enumerate(self.lanes):
            if lane is None and self.queue:
                self._start(row, *self.queue.popleft())
        if not self.queue:
            self._close_ranks()
        self.rows.used = max((row + 1 for row, lane in enumerate(self.lanes) if lane is not None), default=0)

    def _start(self, row: int, number: int, request: Request) -> None:
        lane = self.lanes[row] = self.prefill.place(row, number, request)
        rows = self.rows
        rows.limits[row] = lane.limit
        rows.samplers.put(row, request.sampling, request.prompt)
        if rows.stops is not None:
            rows.stops.put(row, request.stop)
        if rows.automaton is not None and rows.states is not None:
            rows.automaton.start(rows.states, row, self.calls.num_bytes(lane.tokens))
        self.note(lane, "start")
        if not lane.pending:
            self.ready(row, lane)

    def _close_ranks(self) -> None:
        """Move the last lanes into free rows before them, so that steps compute no more rows than there are lanes."""
        last = len(self.lanes) - 1
        for row in range(len(self.lanes)):
            while last > row and self.lanes[last] is None:
                last -= 1
            if last <= row:
                return
            if self.lanes[row] is None:
                self.rows.move(last, row)
                self.lanes[row], self.lanes[last] = self.lanes[last], None

    def _collect(self) -> None:
        """Take the replies that have come; wait for one only if no lane can go on without."""
        parked = {lane.reply: row for row, lane in enumerate(self.lanes) if lane and lane.reply}
        if not parked:
            return
        idle = not self.rows.going.any() and not any(lane and lane.pending and not lane.parked for lane in self.lanes)
        finished, _ = wait(parked, timeout=None if idle else 0, return_when=FIRST_COMPLETED)
        for future in finished:
            self.calls.inject(parked[future], future.result())

    def ready(self, row: int, lane: Lane) -> None:
        """Let a lane whose tokens are all in the cache draw its next."""
        prompt = lane.request.prompt
        if len(lane.tokens) == len(prompt):
            self.note(lane, "first")
            if self.keep and lane.number >= 0 and self.engine.tree is not None:
                self.engine.tree.insert(prompt, self.rows.cache, row, self.rows.logits[row])
        self.rows.go(row, len(lane.tokens))

    def _decode(self) -> None:
        rows, used = self.rows, self.rows.used
        drawn = self._drawn()
        if used == len(self.lanes):
            rows.tokens = drawn
        else:
            rows.tokens[:used] = drawn
        rows.say(rows.tokens)
        rows.samplers.heard(drawn, rows.ready[:used])
        flags = self._flags()
        if self.bell.ring(flags):
            self._attend(flags)
        elif self.bell.lag:
            self._hold(flags)
        if rows.going.any():
            self._step()

    def _drawn(self) -> torch.Tensor:
        """Return the next token int64[n] of each row that the step computes."""
        rows, used = self.rows, self.rows.used
        given = rows.logits if used == len(self.lanes) else rows.logits[:used]
        logits = rows.samplers.adjust(given)
        if self.engine.forces is not None and rows.automaton is not None and rows.states is not None:
            states = rows.states.states[:used]
            logits = rows.automaton.constrain(logits, states)
            if rows.samplers.bans:
                # A ban yields where a call has no other token to go on with.
                stuck = logits.amax(dim=-1, keepdim=True) == -torch.inf
                logits = torch.where(stuck, rows.automaton.constrain(given, states), logits)
        return rows.samplers.sample(logits, rows.lengths[:used])

    def _flags(self) -> torch.Tensor:
        """Let automata read the tokens drawn; return bool[B], the rows that the host must look at."""
        rows, engine = self.rows, self.engine
        effects = stopping = None
        if rows.automaton is not None and rows.states is not None:
            effects, stopping = rows.automaton.advance(rows.states, rows.tokens, rows.ready), engine.stops
            rows.effects = effects if rows.on_host else torch.where(rows.ready, effects, rows.effects)
        hits = None if rows.stops is None else rows.stops.advance(rows.tokens, rows.ready)
        return rows.flags(engine.ends, effects, stopping, engine.forces, hits)

    def _step(self) -> None:
        rows, used = self.rows, self.rows.used
        lengths = rows.length[rows.going]
        longest = min(int(lengths.max()), rows.cache.capacity)
        even = not self.bell.lag and len(lengths) == used and bool((lengths == longest).all())
        logits = self.decoder.step(rows.tokens[:used], rows.ready[:used], longest, even)
        if used == len(self.lanes):
            rows.logits = logits
        else:
            rows.logits[:used] = logits
        stats = self.engine.stats
        stats.steps += 1
        stats.slots += used
        stats.useful += len(lengths)

    def _hold(self, flags: torch.Tensor) -> None:
        """Take flagged rows out of the steps on the device, until the host hears of them."""
        self.rows.flagged |= flags
        self.rows.ready &= ~flags

    def _attend(self, flags: torch.Tensor) -> None:
        """Look at the lanes in which something happened that the device cannot decide."""
        rows = self.rows
        for row in (flags | rows.flagged).nonzero()[:, 0].tolist():
            lane, self.unsettled = self.lanes[row], True
            assert lane is not None
            self._sync(row, lane)
            lane.cached = len(lane.tokens) - 1
            rows.leave(row)
            self.calls.handle(row, lane, 0 if rows.automaton is None else int(rows.effects[row]))
            if self.lanes[row] is lane and not lane.parked and not lane.pending:
                lane.pending = lane.tokens[lane.cached :]

    def _sync(self, row: int, lane: Lane) -> None:
        """Read what the row has said since the host last looked."""
        rows, start, end = self.rows, len(lane.tokens), int(self.rows.lengths[row])
        lane.tokens += rows.said[row, start:end].tolist()
        if rows.logps is not None:
            lane.logprobs += rows.logps[row, start:end].tolist()
        else:
            lane.logprobs += [None] * (end - start)

    def stopped(self, row: int, lane: Lane, last: int | None = None) -> bool:
        """End a lane whose text holds one of its stop strings; return whether it did.

        Of the last token only the first `last` bytes count, if given.
        """
        if not lane.request.stop:
            return False
        tokenizer = self.engine.tokenizer
        start = own_text_start(lane.tokens, lane.read, tokenizer.vocabulary())
        text = tokenizer.text_bytes(lane.tokens[start:])
        if last is not None and start < len(lane.tokens):
            text = text[: len(text) - len(tokenizer.text_bytes(lane.tokens[-1:])) + last]
        offset = cut(text, lane.request.stop)
        if offset is None:
            return False
        lane.cut(*cut_at(lane.tokens, start, offset, tokenizer))
        self.finish(row, "string")
        return True

    def finish(self, row: int, stop: Stop) -> None:
        """End the lane of a row."""
        lane, self.unsettled = self.lanes[row], True
        assert lane is not None
        self.note(lane, "end")
        if self.listening:
            self.tell(lane)
        if self.keep and self.engine.tree is not None:
            held = lane.tokens[: min(lane.cached, lane.limit)]
            self.engine.tree.insert(tuple(held), self.rows.cache, row)
        self.heard.append(Finished(lane.number, lane.transcript(stop)))
        self.lanes[row] = None
        self.rows.leave(row)

    def _tell(self) -> None:
        """Tell the listener what lanes have said that go on; a token that may be cut short is not told yet."""
        flagged = self.rows.flagged.tolist()
        for row, lane in enumerate(self.lanes):
            if lane is not None and self.rows.going[row] and not flagged[row]:
                self._sync(row, lane)
                lane.cached = len(lane.tokens)
                self.tell(lane)

    def tell(self, lane: Lane) -> None:
        """Tell the listener what a lane has said since it was last told."""
        end = min(len(lane.tokens), lane.limit)
        if lane.told < end:
            self.heard.append(Said(lane.number, tuple(lane.tokens[lane.told : end])))
            lane.told = end
