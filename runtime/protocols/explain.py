"""What an automaton makes of a text, token by token: for people, and for tests to compare with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from attrs import frozen

from ...spec.automaton import Automata
from .lift import FiredEvent, TokenAutomaton


@frozen
class Step:
    """One token and what followed.

    Attributes:
        token: its id. text: its bytes, or the spelling of a special token.
        position: bytes before the token. size: its bytes; special tokens have none. state: the state after it.
        events: in order, with offsets in the token. captures: of the call that it hands over.
        allowed: whether a constrained decoding may have sampled it. choices: how many tokens it may sample next.
    """

    token: int
    text: bytes
    position: int
    size: int
    state: int
    events: tuple[FiredEvent, ...]
    captures: dict[str, bytes]
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
    state, position, read = 0, 0, b""
    registers = [-1] * lifted.num_registers
    for token in tokens:
        allowed = bool(lifted.allowed[lifted.table[state, lifted.columns[token]]])
        states, effects = lifted.advance(np.array([state]), np.array([token]))
        events = lifted.events[int(effects[0])]
        registers = lifted.write(registers, int(effects[0]), position)
        said = texts[token] or b""
        read += said
        state = int(states[0])
        called = next((e.event.protocol for e in events if e.event.kind == "handover"), None)
        captures = {} if called is None else _captures(automata, called, registers, read)
        choices = int(lifted.mask(np.array([state])).sum())
        text = spellings[token].encode() if token in spellings else said
        yield Step(token, text, position, len(said), state, events, captures, allowed, choices)
        position += len(said)


def _captures(automata: Automata, number: int, registers: Sequence[int], text: bytes) -> dict[str, bytes]:
    slots = automata.protocols[number].captures
    return {s.name: text[registers[s.begin] : registers[s.end]] for s in slots if registers[s.end] >= 0}


def as_table(automata: Automata, steps: Sequence[Step], labels: Sequence[str]) -> str:
    """Return steps as a table of text; `labels` are what the states are called."""
    rows = [("token", "text", "bytes", "state", "happens", "next" if automata.constrained else "")]
    for step in steps:
        happens = [_event(automata, event, step.position) for event in step.events]
        happens += [f"{name} = {_quoted(value)}" for name, value in step.captures.items()]
        happens += [] if step.allowed or not automata.constrained else ["not legal"]
        span = f"{step.position}-{step.position + step.size}" if step.size else str(step.position)
        choices = f"{step.choices:,} tokens" if automata.constrained else ""
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
