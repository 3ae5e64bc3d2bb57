"""A request while it is continued: what the host knows of it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from attrs import Factory, define

from ..tokenizers.base import Tokenizer
from ..tools.base import Answer
from .requests import Moment, Request, Stop, ToolRecord, Transcript


@define(eq=False)
class Lane:
    """A request in a row of the cache.

    Attributes:
        limit: most tokens that the transcript may have.
        tokens: prompt and continuation, as far as the host has heard.
        cached: tokens that the row of the cache holds. pending: tokens behind them that go in as a chunk.
        read: tokens before those that automata read. told: tokens that a listener has heard of.
        reply: the answer that a parked lane waits for, to the `captures` of a call of `protocol`.
        logprobs: as in the transcript.
    """

    number: int
    request: Request
    limit: int
    tokens: list[int]
    cached: int
    pending: list[int]
    read: int
    told: int
    reply: Future[Answer] | None = None
    protocol: int = -1
    captures: dict[str, bytes] = Factory(dict)
    counts: dict[int, int] = Factory(dict)
    calls: list[ToolRecord] = Factory(list)
    injected: list[tuple[int, int]] = Factory(list)
    logprobs: list[float | None] = Factory(list)
    events: list[Moment] = Factory(list)

    @property
    def parked(self) -> bool:
        """Whether the lane waits for a tool."""
        return self.reply is not None

    def append(self, tokens: list[int]) -> None:
        """Take tokens that the model was not asked for, to be sent through it."""
        self.tokens += tokens
        self.pending += tokens
        self.logprobs += [None] * len(tokens)

    def replace_last(self, kept: list[int]) -> None:
        """Keep only a part of the last token, which the cache does not hold yet."""
        self.tokens[-1:] = kept
        self.logprobs[-1:] = [None] * len(kept)
        self.told = min(self.told, len(self.tokens) - len(kept))

    def cut(self, count: int, kept: list[int]) -> None:
        """Keep the first `count` tokens and then `kept`."""
        self.tokens[count:] = kept
        self.logprobs[count - len(self.request.prompt) :] = [None] * len(kept)
        self.told = len(self.tokens) if self.told > count else self.told
        self.cached = min(self.cached, count)

    def transcript(self, stop: Stop) -> Transcript:
        """Return what became of the request."""
        start = len(self.request.prompt)
        return Transcript(
            tokens=tuple(self.tokens[: self.limit]),
            prompt=start,
            calls=tuple(self.calls),
            injected=tuple(self.injected),
            stop=stop,
            logprobs=tuple(self.logprobs[: self.limit - start]) if self.request.logprobs else (),
            events=tuple(self.events),
        )


def own_text_start(tokens: Sequence[int], start: int, vocabulary: Sequence[bytes | None]) -> int:
    """Return the index behind the last token at or after `start` that is no text."""
    size = len(vocabulary)
    silent = (
        at for at in range(len(tokens) - 1, start - 1, -1) if tokens[at] >= size or vocabulary[tokens[at]] is None
    )
    return next(silent, start - 1) + 1


def cut_at(tokens: list[int], start: int, offset: int, tokenizer: Tokenizer) -> tuple[int, list[int]]:
    """Return how many whole tokens come before byte `offset` of tokens[start:], and tokens of the bytes left over."""
    at = start
    for token in tokens[start:]:
        said = tokenizer.text_bytes([token])
        if len(said) > offset:
            break
        offset -= len(said)
        at += 1
    rest = tokenizer.text_bytes(tokens[at : at + 1])[:offset]
    return at, tokenizer.encode_bytes(rest) if rest else []
