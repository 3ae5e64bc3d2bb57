"""What goes into a generation and what comes out of it: requests, events as they happen, transcripts."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from ..tools.base import Outcome
from .sampling import Sampling

Stop = Literal["end", "string", "length", "unterminated", "refused"]
"""Why a continuation ended: a special token that no protocol names; a stop string; as long as it may be; a special
token inside a call; or it never began, for the reason in `Transcript.error`."""


@frozen
class Request:
    """A prompt to continue.

    Attributes:
        prompt: token ids; an engine refuses an empty one, ids that its model lacks, and more than its context holds.
        max_tokens: most tokens of the continuation, tool replies included; at least 1.
        sampling: how its tokens are drawn.
        stop: texts that end it; the first one to be complete does, and is not part of the continuation.
        logprobs: whether the transcript tells the log-probability of each token that the model said.
    """

    prompt: tuple[int, ...]
    max_tokens: int = 256
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    logprobs: bool = False

    def __attrs_post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError("a continuation has at least one token")
        if "" in self.stop:
            raise ValueError("a stop string has at least one character")


@frozen
class ToolRecord:
    """One call: what was captured, what came of it, what was injected, and where in the tokens it was injected.

    `detail` is for people: what went wrong, or the statement that ran.
    """

    protocol: str
    captures: dict[str, str]
    outcome: Outcome
    reply: str
    at: int
    detail: str = ""


@frozen
class Moment:
    """Something that happened to a request, when its transcript had `at` tokens, `seconds` after its run began.

    `start` it took a lane; `first` its first token; `call`, `malformed`: a turn was given away, with or without a
    well-formed call; `abort`: a special token inside a call; `reply`: a tool's answer was injected from `at` on; `end`.
    Times do not count when moments are compared.
    """

    kind: Literal["start", "first", "call", "malformed", "abort", "reply", "end"]
    at: int
    seconds: float = field(eq=False)
    protocol: str = ""


@frozen
class Transcript:
    """A finished continuation.

    Attributes:
        tokens: prompt and continuation. prompt: length of the prompt.
        injected: spans [start, end) of tokens that tools wrote.
        logprobs: per token behind the prompt, in nats, of the model's own distribution before anything filters it;
            None where it was not asked: for what a tool wrote, what had to follow, what is left of a token cut short;
            empty unless asked for.
        events: what happened, in order.
        error: why the request was refused.
    """

    tokens: tuple[int, ...]
    prompt: int
    calls: tuple[ToolRecord, ...]
    injected: tuple[tuple[int, int], ...]
    stop: Stop
    logprobs: tuple[float | None, ...] = ()
    events: tuple[Moment, ...] = ()
    error: str = ""


@frozen
class Said:
    """Tokens that the model said for request `number`; those of a stop string too, which the transcript lacks."""

    number: int
    tokens: tuple[int, ...]


@frozen
class Called:
    """A turn that request `number` gave away; `captures` is None where there was no well-formed call."""

    number: int
    protocol: str
    captures: dict[str, str] | None


@frozen
class Replied:
    """The answer that was injected into request `number`, as tokens."""

    number: int
    record: ToolRecord
    tokens: tuple[int, ...]


@frozen
class Finished:
    """Request `number` is done."""

    number: int
    transcript: Transcript


Happening = Said | Called | Replied | Finished
