"""Automata of tool protocols: what the compiler makes of `open`, `body`, `close` and the runtime lifts to tokens.

A `ByteAutomaton` reads symbols: byte classes, then the special tokens that protocols name, then any other special.
It is total and never dead: as a monitor it follows whatever a model says. As a constraint the same states are used and
a symbol is legal if its move neither ends in a state that is not live nor fires what a constrained protocol forbids.

Positions count bytes; special tokens have none. Registers hold positions: 0 and 1 are where the call's body begins and
ends, 2 + 2i and 3 + 2i are where capture i does, the rest is scratch. -1 is unset.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import frozen

from .shown import Shown

EventKind = Literal["open", "close", "rejected", "handover", "malformed", "abort"]
POSITION = -1
UNSET = -2


@frozen(repr=False)
class Event(Shown):
    """One thing that happens on a move, to protocol number `protocol`; `back` bytes before the end of the symbol.

    open        the last byte of `open` was read
    close       the first `close` was read and the body is well formed
    rejected    the first `close` was read and the body is not
    handover    the turn is given away after a well-formed call: run it
    malformed   the turn is given away without one
    abort       another special token ended a call that was open
    """

    kind: EventKind
    protocol: int
    back: int = 0


@frozen(repr=False)
class Write(Shown):
    """A register takes the value of another (`source` >= 0), the position (POSITION), or none (UNSET); then `add`.

    The position is the one after the symbol. The writes of a move all read what was there before it.
    """

    register: int
    source: int
    add: int = 0


@frozen(repr=False)
class Effect(Shown):
    """What a move does besides changing the state: events in firing order, and writes."""

    events: tuple[Event, ...] = ()
    writes: tuple[Write, ...] = ()


@frozen(repr=False)
class ByteAutomaton(Shown):
    """A total deterministic automaton over byte classes and special tokens; state 0 is free text.

    Attributes:
        classes: length 256; the class of each byte, 0..C-1.
        num_classes: C. Symbol C + i is `specials[i]`; the last symbol is any other special.
        specials: special tokens that a protocol names.
        table: per state, the next state by symbol (C + len(specials) + 1 of them).
        moves: per state, the (symbol, index into `effects`) of the moves that do more than change the state.
        effects: entry 0 does nothing.
        live: per state, whether a constrained decoding may be there.
        legal: per effect, whether a constrained decoding may fire it.
        num_registers: at least 2.
    """

    classes: tuple[int, ...]
    num_classes: int
    specials: tuple[str, ...]
    table: tuple[tuple[int, ...], ...]
    moves: tuple[tuple[tuple[int, int], ...], ...]
    effects: tuple[Effect, ...]
    live: tuple[bool, ...]
    legal: tuple[bool, ...]
    num_registers: int

    def step(self, state: int, symbol: int) -> tuple[int, Effect]:
        """Return the next state and what the move does."""
        effect = next((effect for at, effect in self.moves[state] if at == symbol), 0)
        return self.table[state][symbol], self.effects[effect]

    def owner(self, state: int) -> int:
        """Return the protocol whose call is open, or waits for its hand-over, in a state; that of free text is 0."""
        owners: dict[int, int] = {0: 0}
        queue = [0]
        for at in queue:
            for symbol, target in enumerate(self.table[at]):
                if target not in owners:
                    events = self.step(at, symbol)[1].events
                    owners[target] = events[-1].protocol if events else owners[at]
                    queue.append(target)
        return owners[state]

    def symbol(self, special: str) -> int:
        """Return the symbol of a special token."""
        listed = self.specials.index(special) if special in self.specials else len(self.specials)
        return self.num_classes + listed

    def write(self, registers: list[int], effect: Effect, position: int) -> list[int]:
        """Return the registers after an effect at a position."""
        after = list(registers)
        for write in effect.writes:
            source = {POSITION: position, UNSET: -1}.get(write.source)
            after[write.register] = (registers[write.source] if source is None else source) + write.add
        return after


@frozen(repr=False)
class Slot(Shown):
    """A capture and the registers that hold where it begins and ends."""

    name: str
    begin: int
    end: int


@frozen(repr=False)
class SpokenProtocol(Shown):
    """What the runtime must know of a protocol besides the automaton.

    Attributes:
        captures: what a call gives; the whole `body` if the pattern names nothing.
        handover: the special token that gives the turn away, if one does.
        place: path, line and column of the literal that messages about its states point at.
    """

    name: str
    captures: tuple[Slot, ...]
    handover: str | None
    constrained: bool = False
    place: tuple[str, int, int, str] | None = None


@frozen(repr=False)
class Automata(Shown):
    """What a list of protocols compiles to."""

    protocols: tuple[SpokenProtocol, ...]
    monitor: ByteAutomaton

    def captures(self, protocol: int, registers: Sequence[int], text: bytes) -> dict[str, bytes]:
        """Return the captures of a call whose positions in `text` the registers hold; those not taken are left out."""
        slots = self.protocols[protocol].captures
        return {s.name: text[registers[s.begin] : registers[s.end]] for s in slots if registers[s.end] >= 0}

    @property
    def constrained(self) -> bool:
        """Whether any protocol limits what may be sampled."""
        return any(protocol.constrained for protocol in self.protocols)
