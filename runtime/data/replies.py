"""Replies in dialogues: calls are read as a generation reads them, and the tools that it would ask are asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from attrs import Factory, define, field, frozen

from ..generation.toolkit import Toolkit
from ..protocols.lift import FiredEvent
from ..tools.base import Answer
from ..tools.executor import ToolExecutor


@frozen
class Call:
    """A call: the number of its protocol, what it captured, and how many calls of that protocol came before.

    `captures` is None where the turn was given away without a well-formed call.
    """

    protocol: int
    captures: Mapping[str, bytes] | None
    before: int


class CallReader:
    """Reads the tokens of one dialogue by the automaton of its protocols; replies are not read.

    Behind a call the automaton is in free text, as it is behind the reply.
    """

    def __init__(self, toolkit: Toolkit) -> None:
        self.toolkit = toolkit
        self.state = 0
        self.registers = [-1] * toolkit.lifted.num_registers
        self.text = bytearray()
        self.counts: Counter[int] = Counter()

    def read(self, tokens: Sequence[int]) -> Call | None:
        """Read what is said next; return the call that ends with the last of the tokens, if one does."""
        lifted, vocabulary = self.toolkit.lifted, self.toolkit.tokenizer.vocabulary()
        call = None
        for token in tokens:
            move = lifted.table[self.state, lifted.columns[token]]
            effect = int(lifted.effects[move])
            self.state = int(lifted.next_states[move])
            if effect:
                self.registers = lifted.write(self.registers, effect, len(self.text))
            self.text += vocabulary[token] or b""
            call = self._called(lifted.events[effect], int(lifted.lengths[token])) if effect else None
        return call

    def forget(self) -> None:
        """Count calls from here: those before belong to the question."""
        self.counts.clear()

    def _called(self, events: Sequence[FiredEvent], length: int) -> Call | None:
        found, automata = None, self.toolkit.automata
        for fired in events:
            number = fired.event.protocol
            if fired.event.kind not in ("handover", "malformed"):
                continue
            if fired.offset == length:
                well_formed = fired.event.kind == "handover"
                captures = automata.captures(number, self.registers, bytes(self.text)) if well_formed else None
                found = Call(number, captures, self.counts[number])
            self.counts[number] += 1
        return found


@define
class Asked:
    """The calls of a data set and their answers: tools work at once, and are asked the same thing once."""

    executor: ToolExecutor
    answers: dict[tuple[object, ...], Future[Answer]] = field(init=False, default=Factory(dict))

    def answer(self, call: Call) -> Future[Answer]:
        """Return the answer that a well-formed call has or will have."""
        assert call.captures is not None
        number = call.protocol
        if call.before >= self.executor.protocols[number].max_calls:
            return self.executor.submit(number, call.captures, call.before)
        key = (number, *sorted(call.captures.items()))
        if key not in self.answers:
            self.answers[key] = self.executor.submit(number, call.captures, call.before)
        return self.answers[key]
