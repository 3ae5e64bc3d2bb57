"""A toolkit: the protocols of a generation, their automaton, and the tools that answer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import frozen

from ...spec.automaton import Automata, Nfa
from ...spec.protocol import Reply, SqlProtocol
from ..data.sqlite import Database
from ..data.tokenizer import Tokenizer
from ..protocols.lift import lift
from ..protocols.state import DeviceAutomaton
from ..tools.sql import Answer, Outcome, SqlTool


@frozen(eq=False)
class BoundProtocol:
    """A protocol with the automaton that reads its calls and the tool that answers them."""

    name: str
    spec: SqlProtocol
    call: Nfa
    handover: str | None
    tool: SqlTool


@frozen(eq=False)
class Toolkit:
    """Protocols spoken together."""

    protocols: tuple[BoundProtocol, ...]
    automaton: DeviceAutomaton

    def answer(self, number: int, text: bytes | None, calls_before: int) -> tuple[dict[str, bytes], Answer]:
        """Run a call given by the bytes after `open`, `close` included; None is a hand-over without a call."""
        protocol = self.protocols[number]
        captures = None if text is None else protocol.call.captures(text)
        if captures is None:
            return {}, Answer("malformed")
        if calls_before >= protocol.spec.max_calls:
            return captures, Answer("too_many")
        return captures, protocol.tool.call(captures)

    def reply(self, number: int, answer: Answer, tokenizer: Tokenizer) -> list[int]:
        """Return the tokens that are injected: marked prefix and suffix, the answer as ordinary text."""
        reply = self.protocols[number].spec.reply
        text = answer.text if answer.text is not None else told(reply, answer.outcome)
        return [
            *tokenizer.encode_marked(reply.prefix),
            *tokenizer.encode(text),
            *tokenizer.encode_marked(reply.suffix),
        ]


def told(reply: Reply, outcome: Outcome) -> str:
    """Return what the model is told when a call has no answer."""
    return str(getattr(reply, outcome))


def build_toolkit(
    protocols: Sequence[SqlProtocol],
    automata: Automata,
    tokenizer: Tokenizer,
    databases: Sequence[Database],
    device: torch.device,
) -> Toolkit:
    """Lift compiled automata over a tokenizer and bind each protocol to its database."""
    lifted = lift(automata.monitor, tokenizer.vocabulary(), tokenizer.specials)
    bound = tuple(
        BoundProtocol(name, spec, call, handover, SqlTool(spec, database.path, frozenset(database.tables)))
        for name, spec, call, handover, database in zip(
            automata.names, protocols, automata.calls, automata.handovers, databases, strict=True
        )
    )
    return Toolkit(bound, DeviceAutomaton(lifted, device))
