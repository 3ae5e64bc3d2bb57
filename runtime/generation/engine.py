"""The decoding loop: lanes of a cache that requests join and leave, tools included.

One turn of the loop
    admit     requests take free lanes; their prompts, and replies that have come, go through the model as chunks
    sample    every ready lane draws a token; the automaton reads it; one transfer tells which lanes need the host
    handle    lanes that end leave; lanes that call park until their reply is there and hold nobody
    step      the other lanes append their token

The automaton never sees injected tokens; after a reply its state is free text. Where a protocol is constrained only
legal tokens are drawn, and what must follow is said without asking the model.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from attrs import Factory, define, frozen
from torch import Tensor

from ..models.decode import Decoder
from ..models.layout import SequenceLayout
from ..models.transformer import TransformerModel
from ..protocols.lift import FiredEvent, TokenAutomaton
from ..protocols.state import DeviceAutomaton
from ..tokenizers.base import Tokenizer
from ..tools.base import Answer, Outcome
from .sampling import Samplers, Sampling
from .toolkit import Toolkit

Stop = Literal["end", "length", "unterminated"]


@frozen
class Request:
    """A prompt to continue by at most `max_tokens` tokens, tool replies included.

    Raises ValueError for an empty prompt and for less than one token.
    """

    prompt: tuple[int, ...]
    max_tokens: int = 256
    sampling: Sampling = Sampling()

    def __attrs_post_init__(self) -> None:
        if not self.prompt:
            raise ValueError("a prompt needs at least one token")
        if self.max_tokens < 1:
            raise ValueError("a continuation has at least one token")


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
        stop: `end`: a special token that no protocol names; `unterminated`: one inside a call; `length`.
    """

    tokens: tuple[int, ...]
    prompt: int
    calls: tuple[ToolRecord, ...]
    injected: tuple[tuple[int, int], ...]
    stop: Stop


@define
class Lane:
    """A request in a row of the cache.

    Attributes:
        pending: tokens that are not in the cache yet. read: tokens before those that the automaton reads.
        reply: the answer that a parked lane waits for, to the `captures` of a call of `protocol`.
    """

    number: int
    request: Request
    tokens: list[int]
    pending: list[int]
    read: int
    reply: Future[Answer] | None = None
    protocol: int = -1
    captures: dict[str, bytes] = Factory(dict)
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
        num_ids = max(model.spec.num_ids(), tokenizer.vocab_size)
        named = toolkit.automata.monitor.specials if toolkit else ()
        ends = [number for spelling, number in tokenizer.specials.items() if spelling not in named]
        self.ends = torch.zeros(num_ids, dtype=torch.bool, device=self.device)
        self.ends[ends] = True
        self.automaton = DeviceAutomaton(toolkit.lifted.padded(num_ids), self.device) if toolkit else None
        forced = toolkit.forced if toolkit else None
        self.forces = None if forced is None else torch.from_numpy(forced.forces).to(self.device)
        self.stops = torch.from_numpy(_stops(toolkit.lifted)).to(self.device) if toolkit else None

    @torch.inference_mode()
    def run(self, requests: Sequence[Request]) -> list[Transcript]:
        """Return the transcripts of the requests, in their order.

        Raises LmcError (LM0902) if a tool's database vanishes.
        """
        if not requests:
            return []
        return _Run(self, requests).run()


def _stops(automaton: TokenAutomaton) -> npt.NDArray[np.bool_]:
    """Return bool[E]: the effects that a lane cannot go on after without the host."""
    kinds = [{fired.event.kind for fired in listed} for listed in automaton.events]
    return np.array([bool(kind & {"handover", "malformed", "abort"}) for kind in kinds])


class _Run:
    """The state of one run: lanes by row, and per row the logits of its next token.

    Sampled tokens stay on the device, in `said`, until a lane needs the host; `length` and `going` are what the host
    knows of lengths and of lanes that are ready without asking.
    """

    def __init__(self, engine: Engine, requests: Sequence[Request]) -> None:
        self.engine, self.model, self.automaton = engine, engine.model, engine.automaton
        self.rows = min(engine.lanes, len(requests))
        self.queue = deque(enumerate(requests))
        self.done: dict[int, Transcript] = {}
        self.lanes: list[Lane | None] = [None] * self.rows
        capacity = max(len(r.prompt) + r.max_tokens for r in requests)
        self.cache = self.model.new_cache(self.rows, capacity)
        self.decoder = Decoder(self.model, self.cache)
        weight = self.model.embed.weight
        self.logits = torch.zeros(self.rows, self.model.spec.num_ids(), device=weight.device, dtype=weight.dtype)
        self.ready = torch.zeros(self.rows, dtype=torch.bool, device=weight.device)
        self.lengths = torch.zeros(self.rows, dtype=torch.int64, device=weight.device)
        self.limits = torch.zeros_like(self.lengths)
        self.said = torch.zeros(self.rows, capacity + 1, dtype=torch.int64, device=weight.device)
        self.length = np.zeros(self.rows, dtype=np.int64)
        self.going = np.zeros(self.rows, dtype=np.bool_)
        self.samplers = Samplers.of([Sampling()] * self.rows, weight.device)
        self.states = self.automaton.initial(self.rows) if self.automaton else None

    def run(self) -> list[Transcript]:
        while self.queue or any(self.lanes):
            self._admit()
            self._collect()
            self._prefill()
            if self.going.any():
                self._decode()
        return [self.done[number] for number in sorted(self.done)]

    def _admit(self) -> None:
        for row, lane in enumerate(self.lanes):
            if lane is None and self.queue:
                number, request = self.queue.popleft()
                prompt = list(request.prompt)
                lane = self.lanes[row] = Lane(number, request, prompt, prompt.copy(), len(prompt))
                self.cache.reset(row)
                self.limits[row] = lane.limit
                self.samplers = self.samplers.replaced(row, request.sampling, len(prompt))
                if self.automaton is not None and self.states is not None:
                    self.automaton.start(self.states, row, self._num_bytes(prompt))

    def _collect(self) -> None:
        """Take the replies that have come; wait for one only if no lane can go on without."""
        parked = {lane.reply: row for row, lane in enumerate(self.lanes) if lane and lane.reply}
        if not parked:
            return
        idle = not self.going.any() and not any(lane and lane.pending and not lane.reply for lane in self.lanes)
        finished, _ = wait(parked, timeout=None if idle else 0, return_when=FIRST_COMPLETED)
        for future in finished:
            self._inject(parked[future], future.result())

    def _num_bytes(self, tokens: Sequence[int]) -> int:
        return len(self.engine.tokenizer.text_bytes(tokens))

    def _inject(self, row: int, answer: Answer) -> None:
        lane, toolkit = self.lanes[row], self.engine.toolkit
        assert lane is not None
        assert toolkit is not None
        assert self.automaton is not None
        assert self.states is not None
        reply = toolkit.reply(lane.protocol, answer)
        at = len(lane.tokens)
        decoded = {name: text.decode(errors="replace") for name, text in lane.captures.items()}
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
        lane.read = len(lane.tokens)
        self.automaton.resume(self.states, row, self._num_bytes(lane.tokens))

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
        part = self.cache.select(where)
        hidden = self.model.hidden(tokens, SequenceLayout.chunk(counts, part.lengths, width), part)
        self.logits[where] = self.model.head(hidden[torch.arange(len(rows), device=device), counts - 1])
        lengths = [len(self.lanes[row].tokens) for row in rows]  # type: ignore[union-attr]
        self.ready[where], self.going[rows] = True, True
        self.lengths[where], self.length[rows] = torch.tensor(lengths, device=device), lengths
        for row in rows:
            self.lanes[row].pending = []  # type: ignore[union-attr]

    def _decode(self) -> None:
        tokens = self._sample()
        at = torch.where(self.ready, self.lengths, self.cache.capacity)
        self.said.scatter_(1, at[:, None], tokens[:, None])
        self.lengths += self.ready
        self.length += self.going
        flags = self.engine.ends[tokens] | (self.lengths >= self.limits)
        effects = None
        if self.automaton is not None and self.states is not None:
            effects = self.automaton.advance(self.states, tokens, self.ready)
            flags |= self.engine.stops[effects]  # type: ignore[index]
            if self.engine.forces is not None:
                flags |= self.engine.forces[self.states.states]
        flags &= self.ready
        if bool(flags.any()):
            self._attend(flags.nonzero()[:, 0].tolist(), tokens, effects)
        if self.going.any():
            lengths = self.length[self.going]
            longest = int(lengths.max())
            self.logits = self.decoder.step(tokens, self.ready, longest, bool((lengths == longest).all()))

    def _attend(self, rows: list[int], tokens: Tensor, effects: Tensor | None) -> None:
        """Look at the lanes in which something happened that the device cannot decide."""
        for row in rows:
            lane = self.lanes[row]
            assert lane is not None
            lane.tokens += self.said[row, len(lane.tokens) : int(self.length[row])].tolist()
            token, effect = lane.tokens[-1], 0 if effects is None else int(effects[row])
            ending = bool(self.engine.ends[token]) or len(lane.tokens) >= lane.limit
            if effect or ending:
                self._handle(row, token, effect, ending)
            forced = self.engine.forces is not None and self._goes_on(row, lane)
            if forced and self.states is not None and bool(self.engine.forces[self.states.states[row]]):  # type: ignore[index]
                self._force(row, token)

    def _leave(self, row: int) -> None:
        """Take a lane out of the step."""
        self.ready[row], self.going[row] = False, False

    def _goes_on(self, row: int, lane: Lane) -> bool:
        return self.lanes[row] is lane and lane.reply is None

    def _force(self, row: int, last: int) -> None:
        """Say what must follow the last token, to be sent through the model as one chunk."""
        lane, toolkit = self.lanes[row], self.engine.toolkit
        assert lane is not None
        assert toolkit is not None
        assert toolkit.forced is not None
        assert self.automaton is not None
        assert self.states is not None
        alone = torch.zeros_like(self.ready)
        alone[row] = True
        for token in toolkit.forced.run(int(self.states.states[row]), lane.tokens):
            lane.pending = [*(lane.pending or [last]), token]
            lane.tokens.append(token)
            self._leave(row)
            effect = int(self.automaton.advance(self.states, torch.full_like(self.lengths, token), alone)[row])
            ending = len(lane.tokens) >= lane.limit
            if effect or ending:
                self._handle(row, token, effect, ending)
            if not self._goes_on(row, lane):
                return

    def _sample(self) -> Tensor:
        logits = self.logits
        if self.engine.forces is not None and self.automaton is not None and self.states is not None:
            logits = self.automaton.constrain(logits, self.states.states)
        return self.samplers.sample(logits, self.lengths)

    def _handle(self, row: int, token: int, effect: int, ending: bool) -> None:
        aborted = False
        for event in self.automaton.fired(effect) if self.automaton else ():
            if event.event.kind in ("handover", "malformed"):
                self._park(row, token, event)
                return
            aborted = aborted or event.event.kind == "abort"
        if ending:
            special = bool(self.engine.ends[token])
            self._finish(row, "unterminated" if aborted and special else "end" if special else "length")

    def _park(self, row: int, token: int, event: FiredEvent) -> None:
        """Give the turn away: keep the token's bytes up to the event, ask the tool, wait in the lane."""
        lane, toolkit = self.lanes[row], self.engine.toolkit
        assert lane is not None
        assert toolkit is not None
        assert self.states is not None
        said, protocol = self.engine.tokenizer.text_bytes([token]), event.event.protocol
        inside = event.offset < len(said)
        kept = self.engine.tokenizer.encode_bytes(said[: event.offset]) if inside else [token]
        lane.tokens[-1:], lane.pending[-1:] = kept, kept
        captures = None
        if event.event.kind == "handover":
            text = self.engine.tokenizer.text_bytes(lane.tokens)
            registers = toolkit.read(lane.tokens, lane.read) if inside else self.states.registers[row].tolist()
            captures = toolkit.automata.captures(protocol, registers, text)
        lane.protocol, lane.captures = protocol, captures or {}
        lane.reply = toolkit.executor.submit(protocol, captures, lane.counts.get(protocol, 0))
        self._leave(row)

    def _finish(self, row: int, stop: Stop) -> None:
        lane = self.lanes[row]
        assert lane is not None
        self.done[lane.number] = Transcript(
            tuple(lane.tokens[: lane.limit]), len(lane.request.prompt), tuple(lane.calls), tuple(lane.injected), stop
        )
        self.lanes[row] = None
        self._leave(row)
