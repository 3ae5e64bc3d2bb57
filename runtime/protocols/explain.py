"""What an automaton makes of a text, token by token: for people, and for tests to compare with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from attrs import Factory, define, frozen

from ...spec.automaton import Automata
from .lift import FiredEvent, TokenAutomaton


@frozen
class Step:
    """One token and what followed.

    Attributes:
        token: its id. text: its bytes, or the spelling of a special token.
        position: bytes before the token. size: its bytes; special tokens have none. state: the state after it.
        events: in order, with offsets in the token. captures: of the calls that it hands over, in order.
        allowed: whether a constrained decoding may have sampled it. choices: how many tokens it may sample next.
    """

    token: int
    text: bytes
    position: int
    size: int
    state: int
    events: tuple[FiredEvent, ...]
    captures: tuple[dict[str, bytes], ...]
    allowed: bool
    choices: int


def explain(
    automata: Automata,
    lifted: TokenAutomaton,
    texts: Sequence[bytes | None],
    spellings: dict[int, str],
    tokens: Sequence[int],
) -> Iterator[Step]:
    """Yield a step per token, read from free text.

    Args:
        automata: what was compiled.
        lifted: the same over the vocabulary.
        texts: bytes by id.
        spellings: special tokens by id.
        tokens: what is read.
    """
    state, reader = 0, _ByteReader(automata)
    for token in tokens:
        position = len(reader.read)
        move = lifted.table[state, lifted.columns[token]]
        said, spelling = texts[token] or b"", spellings.get(token)
        captures = tuple(reader.follow(said, spelling))
        state = int(lifted.next_states[move])
        yield Step(
            token=token,
            text=said if spelling is None else spelling.encode(),
            position=position,
            size=len(said) if spelling is None else 0,
            state=state,
            events=lifted.events[int(lifted.effects[move])],
            captures=captures,
            allowed=bool(lifted.allowed[move]),
            choices=int(lifted.mask(np.array([state])).sum()),
        )


@define
class _ByteReader:
    """Reads a text byte by byte: a token that goes on behind a call has overwritten where that call was."""

    automata: Automata
    state: int = 0
    read: bytearray = Factory(bytearray)
    registers: list[int] = Factory(lambda self: [-1] * self.automata.monitor.num_registers, takes_self=True)

    def follow(self, said: bytes, special: str | None) -> Iterator[dict[str, bytes]]:
        """Read a token; yield the captures of each call that it hands over."""
        monitor = self.automata.monitor
        symbols = [monitor.classes[byte] for byte in said] if special is None else [monitor.symbol(special)]
        for number, symbol in enumerate(symbols):
            if special is None:
                self.read.append(said[number])
            self.state, effect = monitor.step(self.state, symbol)
            self.registers = monitor.write(self.registers, effect, len(self.read))
            for event in effect.events:
                if event.kind == "handover":
                    yield self.automata.captures(event.protocol, self.registers, bytes(self.read))


def as_table(automata: Automata, steps: Sequence[Step], labels: Sequence[str]) -> str:
    """Return steps as a table of text; `labels` are what the states are called."""
    rows = [("token", "text", "bytes", "state", "happens", "next" if automata.constrained else "")]
    for step in steps:
        happens = [_event(automata, event, step.position) for event in step.events]
        happens += [f"{name} = {_quoted(value)}" for found in step.captures for name, value in found.items()]
        happens += [] if step.allowed or not automata.constrained else ["not legal"]
        span = f"{step.position}-{step.position + step.size}" if step.size else str(step.position)
        choices = f"{step.choices:,} {'token' if step.choices == 1 else 'tokens'}" if automata.constrained else ""
        rows.append((str(step.token), _quoted(step.text), span, labels[step.state], "; ".join(happens), choices))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def _event(automata: Automata, event: FiredEvent, position: int) -> str:
    name = automata.protocols[event.event.protocol].name
    return f"{event.event.kind} {name} at {position + event.offset}"


def _quoted(text: bytes) -> str:
    return (
        '"'
        + text.decode(errors="backslashreplace").replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
        + '"'
    )
