"""Dialogues with a model that can be forked and taken back; what was read once is not read again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import evolve

from ...spec.diagnostic import Diagnostic, LmcError
from .engine import Engine
from .prefix_tree import Node, PrefixTree
from .requests import Finished, Happening, Request, Transcript
from .sampling import Sampling
from .score import score

GREEDY = Sampling()


class Pin:
    """Keeps a node of a prefix tree, and so what a session has read, while anybody holds this."""

    def __init__(self, tree: PrefixTree, node: Node) -> None:
        self.tree, self.node = tree, node
        tree.pin(node)

    def __del__(self) -> None:
        """Let go of the node."""
        self.tree.unpin(self.node)


class Session:
    """A dialogue: text is said, the model goes on, a fork parts from it.

    Forking copies nothing: what both have read lies in the engine's prefix tree, and a row that goes on copies it.

    Attributes:
        engine: what continues; it must have a prefix tree.
        tokens: the dialogue so far. sampling, stop: how the model goes on, and at which texts it ends.

    A `stop` that is a string is one such text.
    """

    def __init__(self, engine: Engine, sampling: Sampling = GREEDY, stop: Sequence[str] = ()) -> None:
        if engine.tree is None:
            raise ValueError("sessions need an engine with a prefix tree")
        self.engine, self.sampling, self.stop = engine, sampling, one_or_more(stop)
        self.tokens: tuple[int, ...] = ()
        self._before: tuple[tuple[int, ...], ...] = ()
        self._pin: Pin | None = None

    def __repr__(self) -> str:
        """Return how long it is, how it ends, and how it goes on."""
        end = self.engine.tokenizer.decode(self.tokens[-20:])
        how = f"temperature={self.sampling.temperature:g}, seed={self.sampling.seed}"
        return f"Session(tokens={len(self.tokens)}, end={end!r}, {how})"

    @property
    def text(self) -> str:
        """The dialogue so far, special tokens as spelled."""
        return self.engine.tokenizer.decode(self.tokens)

    def say(self, text: str) -> Session:
        """Append text; the spelling of a declared special token is that token. Raises LmcError (LM0609) for others."""
        tokenizer = self.engine.tokenizer
        return self.append(tokenizer.encode_pieces(tokenizer.pieces(text), start=not self.tokens))

    def append(self, tokens: Sequence[int]) -> Session:
        """Append tokens."""
        self._before = (*self._before, self.tokens)
        self.tokens = (*self.tokens, *tokens)
        return self

    def generate(self, max_tokens: int = 256, *, logprobs: bool = False) -> Transcript:
        """Let the model go on, tools included. Raises LmcError (LM0810) if the dialogue cannot be continued."""
        (finished,) = self.stream(max_tokens, logprobs=logprobs, listening=False)
        assert isinstance(finished, Finished)
        return finished.transcript

    def stream(self, max_tokens: int = 256, *, logprobs: bool = False, listening: bool = True) -> Iterator[Happening]:
        """Let the model go on and give what happens as it does; raises as `generate` does."""
        request = self.request(max_tokens, logprobs=logprobs)
        for happening in self.engine.stream([request], keep=True, listening=listening):
            if isinstance(happening, Finished):
                self._take(happening.transcript)
            yield happening

    def request(self, max_tokens: int, *, logprobs: bool = False) -> Request:
        """Return the request that goes on with the dialogue."""
        return Request(self.tokens, max_tokens, self.sampling, self.stop, logprobs)

    def _take(self, transcript: Transcript) -> None:
        if transcript.stop == "refused":
            raise LmcError(Diagnostic("LM0810", transcript.error, None))
        self.append(transcript.tokens[transcript.prompt :])
        tree = self.engine.tree
        assert tree is not None
        self._pin = Pin(tree, tree.match(self.tokens).node)

    def fork(self, *, seed: int | None = None) -> Session:
        """Return a dialogue that goes on from here by itself; with the same seed it says the same."""
        other = Session.__new__(Session)
        other.__dict__.update(self.__dict__)
        if seed is not None:
            other.reseed(seed)
        return other

    def reseed(self, seed: int) -> None:
        """Sample with another seed from here on."""
        self.sampling = evolve(self.sampling, seed=seed)

    def back(self) -> None:
        """Take back what was said or generated last. Raises IndexError at the beginning."""
        if not self._before:
            raise IndexError("nothing has been said")
        self._before, self.tokens = self._before[:-1], self._before[-1]

    def score(self, text: str) -> tuple[float, ...]:
        """Return the log-probability in nats of each token of a text that would go on here; the session stays.

        Raises LmcError (LM0810) at the beginning.
        """
        if not self.tokens:
            raise LmcError(Diagnostic("LM0810", "a text is scored behind another; say something first", None))
        tokenizer = self.engine.tokenizer
        tokens = tokenizer.encode_pieces(tokenizer.pieces(text), start=False)
        return score(self.engine.model, [(self.tokens, tokens)])[0]


def one_or_more(texts: str | Sequence[str]) -> tuple[str, ...]:
    """Return texts; a string is one of them, not its characters."""
    return (texts,) if isinstance(texts, str) else tuple(texts)


def generate_all(sessions: Sequence[Session], max_tokens: int = 256) -> list[Transcript]:
    """Let the model go on with several dialogues of one engine at once, what they share read once.

    Raises LmcError (LM0810) for the first that cannot be continued; the others have gone on.
    """
    if not sessions:
        return []
    engine = sessions[0].engine
    requests = [session.request(max_tokens) for session in sessions]
    found = {
        happening.number: happening.transcript
        for happening in engine.stream(requests, share=True, keep=True, listening=False)
        if isinstance(happening, Finished)
    }
    refused: LmcError | None = None
    for number, session in enumerate(sessions):
        try:
            session._take(found[number])
        except LmcError as error:
            refused = refused or error
    if refused is not None:
        raise refused
    return [found[number] for number in range(len(sessions))]
