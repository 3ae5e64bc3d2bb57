"""An engine: a model, a tokenizer and tools that continue prompts, many at a time."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from attrs import define

from ..models.decode import Decoder, StepWeights
from ..models.graphed import GraphedDecoder
from ..models.transformer import TransformerModel
from ..placement import free_bytes
from ..protocols.lift import TokenAutomaton
from ..protocols.state import DeviceAutomaton
from ..tokenizers.base import Tokenizer
from .loop import Loop
from .prefix_tree import PrefixTree
from .requests import Finished, Happening, Request, Transcript
from .stops import MOST_STRINGS
from .toolkit import Toolkit

LEAST_CAPACITY = 256
"""A cache that is kept between runs grows in powers of two from here."""


@define
class Stats:
    """What an engine has done since they were set.

    Attributes:
        steps: decode steps. slots: rows that these computed. useful: rows of these that had a token to append.
        prefilled: tokens that went through the model as chunks: prompts, and what tools or automata said.
        seconds: time spent.
    """

    steps: int = 0
    slots: int = 0
    useful: int = 0
    prefilled: int = 0
    seconds: float = 0.0


class Engine:
    """Continues prompts with a model that must not change meanwhile, `lanes` at a time.

    Attributes:
        context: most tokens of a transcript, at most the positions that the model knows; None for no limit but memory.
        tree: what is kept of prompts and dialogues between runs; None for nothing.
        note: told what people should know, such as a slower way that had to be taken.
    """

    def __init__(
        self,
        model: TransformerModel,
        tokenizer: Tokenizer,
        toolkit: Toolkit | None = None,
        lanes: int = 64,
        *,
        context: int | None = None,
        tree: PrefixTree | None = None,
        note: Callable[[str], None] = warnings.warn,
    ) -> None:
        self.model, self.tokenizer, self.toolkit, self.lanes = model, tokenizer, toolkit, lanes
        limits = [limit for limit in (context, model.spec.longest) if limit is not None]
        self.context, self.tree, self.note = min(limits, default=None), tree, note
        self.stats = Stats()
        self.device = model.embed.weight.device
        self.weights = StepWeights.of(model)
        self._bytes = model.cache_bytes(1, 0), model.cache_bytes(1, 1)
        self.decoder: Decoder | GraphedDecoder | None = None
        num_ids = max(model.spec.num_ids(), tokenizer.vocab_size)
        named = toolkit.automata.monitor.specials if toolkit else ()
        ends = [number for spelling, number in tokenizer.specials.items() if spelling not in named]
        self.ends = torch.zeros(num_ids, dtype=torch.bool, device=self.device)
        self.ends[ends] = True
        self.automaton = DeviceAutomaton(toolkit.lifted.padded(num_ids), self.device) if toolkit else None
        forced = toolkit.forced if toolkit else None
        self.forces = None if forced is None else torch.from_numpy(forced.forces).to(self.device)
        self.stops = torch.from_numpy(_stops(toolkit.lifted)).to(self.device) if toolkit else None

    def run(self, requests: Sequence[Request], *, share: bool = False) -> list[Transcript]:
        """Return the transcripts of the requests, in their order; see `stream`."""
        found = {
            happening.number: happening.transcript
            for happening in self.stream(requests, share=share, listening=False)
            if isinstance(happening, Finished)
        }
        return [found[number] for number in range(len(requests))]

    @torch.inference_mode()
    def stream(
        self, requests: Sequence[Request], *, share: bool = False, keep: bool = False, listening: bool = True
    ) -> Iterator[Happening]:
        """Continue the requests and give what happens as it does; a request's number is its index.

        A request that cannot be continued is refused, with the reason in its transcript; the others are unharmed.

        Args:
            requests: what to continue.
            share: whether beginnings that prompts share are computed once; needs a prefix tree.
            keep: whether the prefix tree keeps these dialogues for later runs.
            listening: whether the model's words and calls are told as they come, or only what is finished.

        Raises LmcError (LM0902) if a tool's database vanishes.
        """
        began = time.monotonic()
        accepted: list[tuple[int, Request]] = []
        strings: set[str] = set()
        free = self._room()
        for number, request in enumerate(requests):
            error = self._refusal(request, free)
            if len(strings | set(request.stop)) > MOST_STRINGS:
                error = error or f"the requests of one run have at most {MOST_STRINGS} distinct stop strings"
            if error is None:
                strings |= set(request.stop)
                accepted.append((number, request))
            else:
                yield Finished(number, Transcript(request.prompt, len(request.prompt), (), (), "refused", error=error))
        if not accepted:
            return
        decoder, self.decoder = self._decoder_for([request for _, request in accepted], free), None
        try:
            loop = Loop(self, accepted, decoder, listening, keep)
            if share and self.tree is not None:
                loop.prefill.share([request.prompt for _, request in accepted])
            yield from loop.happenings()
        finally:
            self.decoder = decoder
            self.stats.seconds += time.monotonic() - began

    def limit(self, request: Request) -> int:
        """Return the most tokens that a request's transcript may have."""
        wanted = len(request.prompt) + request.max_tokens
        return wanted if self.context is None else min(wanted, self.context)

    def refusal(self, request: Request) -> str | None:
        """Return why a request cannot be continued, if it cannot."""
        return self._refusal(request, self._room())

    def _refusal(self, request: Request, free: int) -> str | None:
        prompt, known = request.prompt, self.model.spec.num_ids()
        if not prompt:
            return "the prompt is empty; begin with a special token or a word"
        if min(prompt) < 0 or max(prompt) >= known:
            unknown = next(token for token in prompt if not 0 <= token < known)
            return f"token {unknown} is not in the model's vocabulary of {known:,}"
        sampling = request.sampling
        named = [*(token for token, _ in sampling.bias), *sampling.banned]
        if any(not 0 <= token < known for token in named):
            return f"sampling biases or bans token {max(named, key=abs)}; the model's vocabulary has {known:,}"
        if self.context is not None and len(prompt) >= self.context:
            return f"the prompt has {len(prompt):,} tokens; the context of {self.context:,} has no room for another"
        needed = self._row_bytes(self.limit(request))
        if needed > free:
            size = f"{self.limit(request):,} tokens need {needed / 2**30:,.1f} GiB of cache"
            return f"{size}, {free / 2**30:,.1f} GiB are free; ask for fewer tokens"
        return None

    def _room(self) -> int:
        """Return the bytes that a cache may take; the one that is kept would be given back first."""
        cache = None if self.decoder is None else self.decoder.cache
        return free_bytes(self.device) + (0 if cache is None else cache.rows * self._row_bytes(cache.capacity))

    def _row_bytes(self, capacity: int) -> int:
        """Return the bytes of a row of the cache: so many for any length, and so many for each position."""
        return self._bytes[0] + capacity * (self._bytes[1] - self._bytes[0])

    def _decoder_for(self, requests: Sequence[Request], free: int) -> Decoder | GraphedDecoder:
        """Return a decoder over a cache for the requests: what is kept, or new with as many lanes as fit."""
        capacity, rows = max(map(self.limit, requests)), min(self.lanes, len(requests))
        kept = None if self.decoder is None else self.decoder.cache
        if self.decoder and kept and rows <= kept.rows <= 2 * rows and kept.capacity >= capacity:
            return self.decoder
        self.decoder = kept = None
        rows = max(1, min(rows, free // self._row_bytes(capacity)))
        rounded = max(LEAST_CAPACITY, 1 << (capacity - 1).bit_length())
        if rows * self._row_bytes(rounded) <= free // 2:
            capacity = rounded
        decoder = Decoder(self.weights, self.model.new_cache(rows, capacity))
        graphs = decoder.blocks and self.device.type == "cuda"
        return GraphedDecoder(decoder, self.note) if graphs else decoder


def _stops(automaton: TokenAutomaton) -> npt.NDArray[np.bool_]:
    """Return bool[E]: the effects that a lane cannot go on after without the host."""
    kinds = [{fired.event.kind for fired in listed} for listed in automaton.events]
    return np.array([bool(kind & {"handover", "malformed", "abort"}) for kind in kinds])
