"""Pass: the moves of a monitor become its smallest automaton, which knows where a constrained decoding may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from attrs import Factory, define

from ...spec.automaton import ByteAutomaton, Effect
from .dfa import minimise


@define
class Moves:
    """A monitor as it was found, by state.

    Attributes:
        classes: the class of each byte. specials: tokens with a symbol of their own.
        table: next states by symbol. fired: by symbol, the number of an effect other than 0.
        bound: whether a constrained call is open.
    """

    classes: tuple[int, ...]
    specials: tuple[str, ...]
    table: list[list[int]] = Factory(list)
    fired: list[dict[int, int]] = Factory(list)
    bound: list[bool] = Factory(list)


def minimal(moves: Moves, effects: Sequence[tuple[Effect, bool]], num_registers: int) -> ByteAutomaton:
    """Return the automaton in which states, then classes of bytes, that nothing tells apart are one.

    Args:
        moves: state 0 is the start.
        effects: by number, what happens and whether a constrained decoding may do it.
        num_registers: registers that the effects write.
    """
    legal = [allowed for _, allowed in effects]
    live = _live(moves, legal)
    kept, numbers = _merged(moves, live)
    rows = [[numbers[target] for target in moves.table[state]] for state in kept]
    fired = [moves.fired[state] for state in kept]
    columns = _columns(rows, fired, max(moves.classes) + 1)
    num_columns = max(columns) + 1
    symbols = [*map(columns.index, range(num_columns)), *range(len(columns), len(rows[0]))]
    return ByteAutomaton(
        classes=tuple(columns[byte_class] for byte_class in moves.classes),
        num_classes=num_columns,
        specials=moves.specials,
        table=tuple(tuple(row[symbol] for symbol in symbols) for row in rows),
        moves=tuple(tuple((at, own[s]) for at, s in enumerate(symbols) if s in own) for own in fired),
        effects=tuple(effect for effect, _ in effects),
        live=tuple(live[state] for state in kept),
        legal=tuple(legal),
        num_registers=num_registers,
    )


def _live(moves: Moves, legal: Sequence[bool]) -> list[bool]:
    """Return, per state, whether it is free of constraints or legal moves lead to where it is."""
    live = [not bound for bound in moves.bound]
    into: dict[int, list[int]] = {}
    for state, row in enumerate(moves.table):
        if moves.bound[state]:
            own = moves.fired[state]
            for target in {t for symbol, t in enumerate(row) if symbol not in own or legal[own[symbol]]}:
                into.setdefault(target, []).append(state)
    stack = [state for state, alive in enumerate(live) if alive]
    while stack:
        for state in into.get(stack.pop(), ()):
            if not live[state]:
                live[state] = True
                stack.append(state)
    return live


def _merged(moves: Moves, live: Sequence[bool]) -> tuple[list[int], list[int]]:
    """Return one state of each block, in the order of a walk from the start, and the block's number for every state.

    Moves to the commonest target are left out of the partition: they tell no two states apart that others do not.
    """
    labels = [(live[state], tuple(sorted(own.items()))) for state, own in enumerate(moves.fired)]
    sink, _ = Counter(target for row in moves.table for target in row).most_common(1)[0]
    rows = [{symbol: target for symbol, target in enumerate(row) if target != sink} for row in moves.table]
    blocks = minimise(rows, labels)
    numbers = {blocks[0]: 0}
    kept: list[int] = []
    queue = [0]
    for state in queue:
        kept.append(state)
        for target in moves.table[state]:
            if blocks[target] not in numbers:
                numbers[blocks[target]] = len(numbers)
                queue.append(target)
    return kept, [numbers.get(block, 0) for block in blocks]


def _columns(rows: Sequence[Sequence[int]], fired: Sequence[dict[int, int]], num_classes: int) -> list[int]:
    """Return, by class of bytes, the number of those that move alike in every state."""
    firing: list[list[tuple[int, int]]] = [[] for _ in rows[0]]
    for number, own in enumerate(fired):
        for symbol, effect in own.items():
            firing[symbol].append((number, effect))
    known: dict[object, int] = {}
    columns = zip(zip(*rows, strict=True), firing, range(num_classes), strict=False)
    return [known.setdefault((targets, tuple(own)), len(known)) for targets, own, _ in columns]
