"""Tools in the loop: what the events of the automaton mean for a lane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ..protocols.lift import FiredEvent
from ..tools.base import Answer, decoded
from .lanes import Lane
from .requests import Called, Replied, ToolRecord
from .toolkit import Toolkit

if TYPE_CHECKING:
    from .loop import Loop


class Calls:
    """Parks the lanes of a loop that call, injects the replies, and says what must follow."""

    def __init__(self, loop: Loop) -> None:
        self.loop, self.engine, self.rows = loop, loop.engine, loop.rows

    @property
    def toolkit(self) -> Toolkit:
        """The engine's toolkit, where it has one."""
        assert self.engine.toolkit is not None
        return self.engine.toolkit

    def num_bytes(self, tokens: Sequence[int]) -> int:
        """Return the bytes of tokens, special ones not counted."""
        return len(self.engine.tokenizer.text_bytes(tokens))

    def handle(self, row: int, lane: Lane, effect: int) -> None:
        """Do what the last token of a lane asks for: park, end, or say what must follow."""
        self._react(row, lane, effect)
        if self.engine.forces is None or self.rows.states is None or not self._goes_on(row, lane):
            return
        if bool(self.engine.forces[self.rows.states.states[row]]):
            self._force(row, lane)

    def _react(self, row: int, lane: Lane, effect: int) -> None:
        aborted = False
        for fired in self.rows.automaton.fired(effect) if self.rows.automaton else ():
            if fired.event.kind in ("handover", "malformed"):
                if not self.loop.stopped(row, lane, fired.offset):
                    self._park(row, lane, fired)
                return
            if fired.event.kind == "abort":
                aborted = True
                self.loop.note(lane, "abort", self.toolkit.protocols[fired.event.protocol].name)
        special = bool(self.engine.ends[lane.tokens[-1]])
        if self.loop.stopped(row, lane):
            return
        if special or len(lane.tokens) >= lane.limit:
            self.loop.finish(row, "unterminated" if aborted and special else "end" if special else "length")

    def _goes_on(self, row: int, lane: Lane) -> bool:
        return self.loop.lanes[row] is lane and not lane.parked

    def _force(self, row: int, lane: Lane) -> None:
        """Say what must follow the last token, to be sent through the model as one chunk."""
        automaton, states = self.rows.automaton, self.rows.states
        assert self.toolkit.forced is not None
        assert automaton is not None
        assert states is not None
        alone = torch.zeros_like(self.rows.ready)
        alone[row] = True
        lane.pending = lane.tokens[lane.cached :]
        for token in self.toolkit.forced.run(int(states.states[row]), lane.tokens):
            lane.append([token])
            tokens = torch.full_like(self.rows.tokens, token)
            self.rows.samplers.seen(row, [token])
            if self.rows.stops is not None:
                self.rows.stops.advance(tokens, alone)
            effect = int(automaton.advance(states, tokens, alone)[row])
            if effect or len(lane.tokens) >= lane.limit or lane.request.stop:
                self._react(row, lane, effect)
            if not self._goes_on(row, lane):
                return

    def _park(self, row: int, lane: Lane, fired: FiredEvent) -> None:
        """Give the turn away: keep the token's bytes up to the event, ask the tool, wait in the lane."""
        assert self.rows.states is not None
        toolkit, tokenizer = self.toolkit, self.engine.tokenizer
        said, protocol = tokenizer.text_bytes([lane.tokens[-1]]), fired.event.protocol
        inside = fired.offset < len(said)
        if inside:
            cut = lane.tokens[-1]
            lane.replace_last(tokenizer.encode_bytes(said[: fired.offset]))
            self.rows.samplers.unheard(row, cut, lane.tokens)
        lane.pending = lane.tokens[lane.cached :]
        captures = None
        if fired.event.kind == "handover":
            text = tokenizer.text_bytes(lane.tokens)
            registers = toolkit.read(lane.tokens, lane.read) if inside else self.rows.states.registers[row].tolist()
            captures = toolkit.automata.captures(protocol, registers, text)
        lane.protocol, lane.captures = protocol, captures or {}
        name = toolkit.protocols[protocol].name
        self.loop.note(lane, "malformed" if captures is None else "call", name)
        if self.loop.listening:
            self.loop.tell(lane)
            self.loop.heard.append(Called(lane.number, name, None if captures is None else decoded(captures)))
        lane.reply = toolkit.executor.submit(protocol, captures, lane.counts.get(protocol, 0))

    def inject(self, row: int, answer: Answer) -> None:
        """Put a tool's answer into its lane, whose automata read free text from there on."""
        lane, rows, toolkit = self.loop.lanes[row], self.rows, self.toolkit
        assert lane is not None
        reply, at = toolkit.reply(lane.protocol, answer), len(lane.tokens)
        name = toolkit.protocols[lane.protocol].name
        text = self.engine.tokenizer.decode(reply)
        lane.calls.append(ToolRecord(name, decoded(lane.captures), answer.outcome, text, at, answer.detail))
        lane.reply = None
        lane.counts[lane.protocol] = lane.counts.get(lane.protocol, 0) + 1
        self.loop.note(lane, "reply", name)
        if at + len(reply) >= lane.limit:
            self.loop.finish(row, "length")
            return
        lane.append(reply)
        lane.injected.append((at, at + len(reply)))
        lane.read = lane.told = len(lane.tokens)
        rows.samplers.seen(row, reply)
        if self.loop.listening:
            self.loop.heard.append(Replied(lane.number, lane.calls[-1], tuple(reply)))
        if rows.stops is not None:
            rows.stops.restart(row)
        if rows.automaton is not None and rows.states is not None:
            rows.automaton.resume(rows.states, row, self.num_bytes(lane.tokens))
