"""The decoding loop: lanes of a cache that requests join and leave, tools included.

One turn of the loop
    admit     requests take free lanes; their prompts, and replies that have come, go through the model as chunks
    sample    every ready lane draws a token; the automaton reads it; one transfer tells which lanes need the host
    handle    lanes that end leave; lanes that call park until their reply is there and hold nobody
    step      the other lanes append their token

The automaton never sees injected tokens; after a reply its state is free text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Literal

import torch
from attrs import Factory, define, frozen
from torch import Tensor

from ..data.tokenizer import Tokenizer
from ..models.layout import SequenceLayout
from ..models.transformer import TransformerModel
from ..protocols.lift import FiredEvent
from ..tools.sql import Answer, Outcome
from .sampling import Sampling, sample
from .toolkit import Toolkit

Stop = Literal["end", "length", "unterminated"]


@frozen
class Request:
    """A prompt to continue by at most `max_tokens` tokens, tool replies included. Raises ValueError if empty."""

    prompt: tuple[int, ...]
    max_tokens: int = 256
    sampling: Sampling = Sampling()

    def __attrs_post_init__(self) -> None:
        if not self.prompt:
            raise ValueError("a prompt needs at least one token")


@frozen
class ToolRecord:
    """One call: what was captured, what came of it, what was injected, and where in the tokens it was injected."""

    protocol: str
    captures: dict[str, str]
    outcome: Outcome
    reply: str
    at: int


@frozen
class Transcript:
    """A finished continuation.

    Attributes:
        tokens: prompt and continuation. prompt: length of the prompt.
        injected: spans [start, end) of tokens that tools wrote.
        stop: `end`: a special token that is no hand-over; `unterminated`: one inside a call; `length`.
    """

    tokens: tuple[int, ...]
    prompt: int
    calls: tuple[ToolRecord, ...]
    injected: tuple[tuple[int, int], ...]
    stop: Stop


@define
class Lane:
    """A request in a row of the cache. `pending` tokens are not in the cache yet."""

    number: int
    request: Request
    tokens: list[int]
    pending: list[int]
    reply: Future[tuple[dict[str, bytes], Answer]] | None = None
    protocol: int = -1
    opened: tuple[int, int] | None = None
    call: bytes | None = None
    counts: dict[int, int] = Factory(dict)
    calls: list[ToolRecord] = Factory(list)
    injected: list[tuple[int, int]] = Factory(list)

    @property
    def limit(self) -> int:
        """Most tokens that the transcript may have."""
        return len(self.request.prompt) + self.request.max_tokens


class Engine:
    """Continues prompts with a model, `lanes` at a time."""

    def __init__(
        self, model: TransformerModel, tokenizer: Tokenizer, toolkit: Toolkit | None = None, lanes: int = 64
    ) -> None:
        self.model, self.tokenizer, self.toolkit, self.lanes = model, tokenizer, toolkit, lanes
        self.device = model.embed.weight.device
        handovers = {p.handover for p in toolkit.protocols} if toolkit else set()
        ends = [number for spelling, number in tokenizer.specials.items() if spelling not in handovers]
        self.ends = torch.zeros(max(model.spec.vocab, tokenizer.vocab_size), dtype=torch.bool, device=self.device)
        self.ends[ends] = True

    @torch.inference_mode()
    def run(self, requests: Sequence[Request]) -> list[Transcript]:
        """Return the transcripts of the requests, in their order.

        Raises LmcError (LM0902) if a tool's database vanishes.
        """
        if not requests:
            return []
        with ThreadPoolExecutor(max_workers=8) as pool:
            return _Run(self, requests, pool).run()


class _Run:
    """The state of one run: lanes by row, and per row the logits of its next token."""

    def __init__(self, engine: Engine, requests: Sequence[Request], pool: ThreadPoolExecutor) -> None:
        self.engine, self.model, self.pool = engine, engine.model, pool
        self.rows = min(engine.lanes, len(requests))
        self.queue = deque(enumerate(requests))
        self.done: dict[int, Transcript] = {}
        self.lanes: list[Lane | None] = [None] * self.rows
        capacity = max(len(r.prompt) + r.max_tokens for r in requests)
        self.cache = self.model.new_cache(self.rows, capacity)
        weight = self.model.embed.weight
        self.logits = torch.zeros(self.rows, self.model.spec.vocab, device=weight.device, dtype=weight.dtype)
        self.ready = torch.zeros(self.rows, dtype=torch.bool, device=weight.device)
        self.lengths = torch.zeros(self.rows, dtype=torch.int64, device=weight.device)
        self.limits = torch.zeros_like(self.lengths)
        toolkit = engine.toolkit
        self.states = toolkit.automaton.initial(self.rows) if toolkit else None

    def run(self) -> list[Transcript]:
        while self.queue or any(self.lanes):
            self._admit()
            self._collect()
            self._prefill()
            if self.ready.any():
                self._decode()
        return [self.done[number] for number in sorted(self.done)]

    def _admit(self) -> None:
        for row, lane in enumerate(self.lanes):
            if lane is None and self.queue:
                number, request = self.queue.popleft()
                self.lanes[row] = Lane(number, request, list(request.prompt), list(request.prompt))
                self.cache.reset(row)
                self.limits[row] = len(request.prompt) + request.max_tokens
                if self.states is not None:
                    self.states[row] = 0

    def _collect(self) -> None:
        """Take the replies that have come; wait for one only if no lane can go on without."""
        parked = {lane.reply: row for row, lane in enumerate(self.lanes) if lane and lane.reply}
        if not parked:
            return
        idle = not self.ready.any() and not any(lane and lane.pending and not lane.reply for lane in self.lanes)
        finished, _ = wait(parked, timeout=None if idle else 0, return_when=FIRST_COMPLETED)
        for future in finished:
            self._inject(parked[future], *future.result())

    def _inject(self, row: int, captures: dict[str, bytes], answer: Answer) -> None:
        lane, toolkit = self.lanes[row], self.engine.toolkit
        assert lane is not None
        assert toolkit is not None
        reply = toolkit.reply(lane.protocol, answer, self.engine.tokenizer)
        at = len(lane.tokens)
        decoded = {name: text.decode(errors="replace") for name, text in captures.items()}
        name = toolkit.protocols[lane.protocol].name
        record = ToolRecord(name, decoded, answer.outcome, self.engine.tokenizer.decode(reply), at)
        lane.calls.append(record)
        lane.reply = None
        lane.counts[lane.protocol] = lane.counts.get(lane.protocol, 0) + 1
        if at + len(reply) >= lane.limit:
            self._finish(row, "length")
            return
        lane.tokens += reply
        lane.pending += reply
        lane.injected.append((at, at + len(reply)))

    def _prefill(self) -> None:
        """Send pending tokens of all lanes that are not parked through the model, ragged, as one chunk."""
        rows = [row for row, lane in enumerate(self.lanes) if lane and lane.pending and not lane.reply]
        if not rows:
            return
        device = self.logits.device
        chunks = [self.lanes[row].pending for row in rows]  # type: ignore[union-attr]
        counts = torch.tensor([len(chunk) for chunk in chunks], device=device)
        width = int(counts.max())
        tokens = torch.tensor([chunk + [0] * (width - len(chunk)) for chunk in chunks], device=device)
        where = torch.tensor(rows, device=device)
        part = self.cache.take(where)
        hidden = self.model.hidden(tokens, SequenceLayout.chunk(counts, part.lengths, width), part)
        self.cache.put(where, part)
        self.logits[where] = self.model.head(hidden[torch.arange(len(rows), device=device), counts - 1])
        self.ready[where] = True
        for row in rows:
            lane = self.lanes[row]
            assert lane is not None
            lane.pending = []
            self.lengths[row] = len(lane.tokens)

    def _decode(self) -> None:
        tokens = self._sample()
        self.lengths += self.ready
        ends = self.engine.ends[tokens] | (self.lengths >= self.limits)
        events = torch.zeros_like(tokens)
        if self.states is not None:
            assert self.engine.toolkit is not None
            self.states, events = self.engine.toolkit.automaton.advance(self.states, tokens, self.ready)
        host = torch.stack((tokens, events, (ends & self.ready).long(), self.ready.long())).tolist()
        for row, (token, fired, ending, ready) in enumerate(zip(*host, strict=True)):
            if ready:
                lane = self.lanes[row]
                assert lane is not None
                lane.tokens.append(token)
                if fired or ending:
                    self._handle(row, token, fired, bool(ending))
        if self.ready.any():
            logits = self.model.step(tokens, self.cache, self.ready)
            self.logits = torch.where(self.ready[:, None], logits, self.logits)

    def _sample(self) -> Tensor:
        greedy = Sampling()
        settings = [lane.request.sampling if lane else greedy for lane in self.lanes]
        starts = torch.tensor(
            [len(lane.request.prompt) if lane else 0 for lane in self.lanes], device=self.logits.device
        )
        return sample(self.logits, settings, self.lengths - starts)

    def _handle(self, row: int, token: int, fired: int, ending: bool) -> None:
        lane, toolkit = self.lanes[row], self.engine.toolkit
        assert lane is not None
        aborted = False
        for event in toolkit.automaton.fired(fired) if toolkit and fired else ():
            if event.event.kind in ("handover", "malformed"):
                self._park(row, token, event)
                return
            aborted = aborted or event.event.kind == "abort"
            self._follow(lane, event)
        if ending:
            special = bool(self.engine.ends[token])
            self._finish(row, "unterminated" if aborted and special else "end" if special else "length")

    def _follow(self, lane: Lane, event: FiredEvent) -> None:
        """Remember where a call began, and its bytes once it is closed."""
        last = len(lane.tokens) - 1
        if event.event.kind == "open":
            lane.opened, lane.call = (last, event.offset), None
        elif event.event.kind in ("close", "rejected") and lane.opened is not None:
            first, skipped = lane.opened
            decode = self.engine.tokenizer.decode_bytes
            after = len(decode(lane.tokens[last:])) - event.offset
            text = decode(lane.tokens[first:])[skipped:]
            lane.call = text[: len(text) - after] if after else text
            lane.opened = None

    def _park(self, row: int, token: int, event: FiredEvent) -> None:
        """Give the turn away: keep the token's bytes up to the event, ask the tool, wait in the lane."""
        lane, toolkit = self.lanes[row], self.engine.toolkit
        assert lane is not None
        assert toolkit is not None
        lane.pending = [token]
        size = len(self.engine.tokenizer.decode_bytes([token]))
        if 0 < event.offset < size:
            kept = self.engine.tokenizer.decode_bytes([token])[: event.offset]
            lane.tokens.pop()
            lane.pending = self.engine.tokenizer.encode_bytes(kept)
            lane.tokens += lane.pending
        protocol = event.event.protocol
        call = lane.call if event.event.kind == "handover" else None
        lane.protocol, lane.call, lane.opened = protocol, None, None
        lane.reply = self.pool.submit(toolkit.answer, protocol, call, lane.counts.get(protocol, 0))
        self.ready[row] = False
        assert self.states is not None
        self.states[row] = 0

    def _finish(self, row: int, stop: Stop) -> None:
        lane = self.lanes[row]
        assert lane is not None
        self.done[lane.number] = Transcript(
            tuple(lane.tokens), len(lane.request.prompt), tuple(lane.calls), tuple(lane.injected), stop
        )
        self.lanes[row] = None
        self.ready[row] = False
