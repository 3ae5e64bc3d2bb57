"""A toolkit: the protocols of a generation, their automaton over its tokens, and the tools that answer."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from ...spec.automaton import Automata, SpokenProtocol
from ...spec.diagnostic import Diagnostic, LmcError
from ..protocols.cache import lifted_once
from ..protocols.forced import ForcedRuns, forced_runs
from ..protocols.lift import TokenAutomaton, cannot_go_on
from ..protocols.vocabulary import Vocabulary
from ..tokenizers.base import Tokenizer
from ..tools.base import Answer
from ..tools.executor import ToolExecutor


@frozen(eq=False)
class Toolkit:
    """Protocols spoken together.

    Attributes:
        automata: how they are recognised, in bytes. lifted: in tokens.
        forced: what must be said where a protocol is constrained; None if none is.
        executor: answers calls.
    """

    automata: Automata
    lifted: TokenAutomaton
    forced: ForcedRuns | None
    executor: ToolExecutor
    tokenizer: Tokenizer

    @property
    def protocols(self) -> tuple[SpokenProtocol, ...]:
        """The protocols by number."""
        return self.automata.protocols

    def read(self, tokens: Sequence[int], start: int) -> list[int]:
        """Return the registers after `tokens`, read from free text at index `start`.

        For what the rest of a token that is cut short has already overwritten.
        """
        monitor, vocabulary = self.automata.monitor, self.tokenizer.vocabulary()
        spellings = {number: spelling for spelling, number in self.tokenizer.specials.items()}
        state, registers, position = 0, [-1] * monitor.num_registers, len(self.tokenizer.text_bytes(tokens[:start]))
        for token in tokens[start:]:
            special = spellings.get(token)
            symbols = (
                [monitor.classes[b] for b in vocabulary[token] or b""] if special is None else [monitor.symbol(special)]
            )
            for symbol in symbols:
                position += special is None
                state, effect = monitor.step(state, symbol)
                registers = monitor.write(registers, effect, position)
        return registers

    def reply(self, number: int, answer: Answer) -> list[int]:
        """Return the tokens that are injected: marked prefix and suffix, the answer as ordinary text."""
        reply = self.executor.protocols[number].reply
        text = self.executor.answer_text(number, answer)
        pieces = [*self.tokenizer.pieces(reply.prefix), text, *self.tokenizer.pieces(reply.suffix)]
        return self.tokenizer.encode_pieces(pieces, start=False)


def build_toolkit(automata: Automata, tokenizer: Tokenizer, executor: ToolExecutor) -> Toolkit:
    """Lift compiled automata over a tokenizer.

    Raises LmcError (LM0615) if a constrained call could not be finished with the tokenizer's vocabulary.
    """
    vocabulary = Vocabulary(tokenizer.vocabulary(), tokenizer.specials)
    lifted = lifted_once(automata.monitor, vocabulary)
    if not automata.constrained:
        return Toolkit(automata, lifted, None, executor, tokenizer)
    stuck = cannot_go_on(lifted)
    if stuck is not None:
        raise _unfinished(automata, stuck)
    forced = forced_runs(automata.monitor, lifted, vocabulary, tokenizer.encode_bytes)
    return Toolkit(automata, lifted, forced, executor, tokenizer)


def _unfinished(automata: Automata, state: int) -> LmcError:
    protocol = automata.protocols[automata.monitor.owner(state)]
    message = f"a call of `{protocol.name}` can come to a place where no token of the vocabulary can follow"
    help = "its pattern asks for bytes that the tokenizer cannot write; use others, or another tokenizer"
    return LmcError(Diagnostic("LM0615", message, None, help=help), protocol.place)
