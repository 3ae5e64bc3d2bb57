"""A finished run with everything that generation needs: model, tokenizer, tools, engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import evolve, frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.model import Rope
from ..components.trainer import TrainerNode
from ..finished import open_run
from ..generation.engine import Engine
from ..generation.prefix_tree import PrefixTree
from ..generation.requests import Request, Transcript
from ..generation.sampling import Sampling
from ..generation.score import score
from ..generation.session import Session as Dialogue
from ..generation.session import one_or_more
from ..generation.toolkit import Toolkit
from ..models.transformer import TransformerModel
from ..tokenizers.base import Tokenizer
from .spoken import toolkit_of

GREEDY = Sampling()
"""Always the likeliest token."""


@frozen(eq=False, repr=False)
class LoadedRun:
    """A run that can be talked with.

    Attributes:
        name: what it was asked for as.
        toolkit: the protocols that its data, or the part of it that was asked for, speaks; None if it speaks none.
        engine: continues prompts; what it has read is kept in its prefix tree.
    """

    name: str
    model: TransformerModel
    tokenizer: Tokenizer
    toolkit: Toolkit | None
    engine: Engine

    def __repr__(self) -> str:
        """Return its name and its size."""
        count = sum(parameter.numel() for parameter in self.model.parameters())
        tools = [] if self.toolkit is None else [protocol.name for protocol in self.toolkit.protocols]
        return f"LoadedRun({self.name!r}, parameters={count:,}, context={self.context:,}, tools={tools})"

    @property
    def context(self) -> int:
        """Most tokens of a prompt and its continuation."""
        assert self.engine.context is not None
        return self.engine.context

    def session(self, sampling: Sampling = GREEDY, stop: Sequence[str] = ()) -> Dialogue:
        """Return a new dialogue that ends at the texts of `stop`; a string is one such text."""
        return Dialogue(self.engine, sampling, stop)

    def generate(
        self,
        prompts: Sequence[str],
        max_tokens: int = 256,
        sampling: Sampling = GREEDY,
        stop: Sequence[str] = (),
        logprobs: bool = False,
        samples: int = 1,
    ) -> list[Transcript]:
        """Return the continuations of prompts, in their order; what prompts share is read once.

        A prompt that cannot be continued, for one because of an undeclared special token, has `stop` "refused" and the
        reason in `error`; the others are unharmed.

        Args:
            prompts: texts in which the spelling of a declared special token is that token; a string is one prompt.
            max_tokens: most tokens of a continuation, tool replies included.
            sampling: how they are drawn; by default the likeliest is taken.
            stop: texts that end a continuation; a string is one such text.
            logprobs: whether transcripts tell the log-probabilities of what the model said.
            samples: continuations of each prompt, one behind the other, with seeds that count up.
        """
        if samples < 1:
            raise ValueError(f"a prompt has at least one sample, not {samples}")
        seeds = [evolve(sampling, seed=sampling.seed + number) for number in range(samples)]
        requests: list[Request] = []
        refused: list[Transcript | None] = []
        for tokens in map(self._tokens, one_or_more(prompts)):
            if isinstance(tokens, Transcript):
                refused += [tokens] * samples
            else:
                refused += [None] * samples
                requests += [Request(tokens, max_tokens, each, one_or_more(stop), logprobs) for each in seeds]
        done = iter(self.engine.run(requests, share=len(requests) > 1))
        return [transcript or next(done) for transcript in refused]

    def _tokens(self, prompt: str) -> tuple[int, ...] | Transcript:
        """Return the tokens of a prompt, or a refusal for an undeclared special token."""
        try:
            return tuple(self.tokenizer.encode_marked(prompt))
        except LmcError as error:
            return Transcript((), 0, (), (), "refused", error=error.diagnostic.message)

    def text(self, transcript: Transcript) -> str:
        """Return what follows the prompt: tool replies included, special tokens as spelled; "" if it was refused."""
        return self.tokenizer.decode(transcript.tokens[transcript.prompt :])

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, ...]]:
        """Return the log-probability in nats of each token of each continuation, for pairs (prompt, continuation).

        Raises ValueError for what is no pair or has an empty prompt, LmcError (LM0609) for an undeclared special token.
        """
        for pair in pairs:
            if isinstance(pair, str) or len(pair) != 2:
                raise ValueError(f"what is scored are pairs (prompt, continuation), not {pair!r}")
        encode = self.tokenizer.encode_marked
        return score(self.model, [(encode(prompt), self.encode_next(text)) for prompt, text in pairs])

    def encode_next(self, text: str) -> tuple[int, ...]:
        """Return the tokens of text that goes on. Raises LmcError (LM0609) for an undeclared special token."""
        return tuple(self.tokenizer.encode_pieces(self.tokenizer.pieces(text), start=False))


def load_run(
    store: Path, name: str, device: str | None, *, part: str | None, context: int | None, lanes: int, memory: int
) -> LoadedRun:
    """Load a run of a store; see `lmc.runtime.load`."""
    found = open_run(store, name, device)
    session, run = found.session, found.run
    tokenizer: Tokenizer = session.product(run.data.tokenizer)
    model = run.load(session, found.folder, run.loading(session))
    toolkit = toolkit_of(session, run, part)
    longest = trained_length(run, found.folder, model) if context is None else context
    if model.spec.longest is not None and longest > model.spec.longest:
        message = f"the model has learned {model.spec.longest:,} positions; a context of {longest:,} is more"
        help = "lower --context, or train with a larger positions.length"
        raise LmcError(Diagnostic("LM0810", message, None, help=help))
    engine = Engine(model, tokenizer, toolkit, lanes, context=longest, tree=PrefixTree(memory))
    return LoadedRun(name, model, tokenizer, toolkit, engine)


def trained_length(run: TrainerNode, folder: Path, model: TransformerModel) -> int:
    """Return the most tokens that a run was trained on, by itself or in the weights that it started from."""
    own, positions = run.longest(folder), model.spec.positions
    return max(own, positions.reach) if model.spec.weights is not None and isinstance(positions, Rope) else own
