"""An automaton for people: states that look alike folded into one, moves by bytes in words, as text.

0 free text
"`"             -> 1
else            -> 0
<|database|>    -> 0    malformed
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from attrs import frozen

from ...spec.automaton import Automata, ByteAutomaton, Effect

FEW = 8
"""States that look alike are drawn one by one if they are no more than this."""

ELSE = 128
"""Sets of more bytes than this are told by what they lack."""


@frozen
class Edge:
    """A move of a drawing: what is read, where it leads, and what it does."""

    label: str
    target: int
    does: str


@frozen
class Node:
    """States that are drawn as one.

    Attributes:
        phase: free text, inside a call, or waiting for the hand-over. states: those that it stands for.
        live: whether a constrained decoding may be there.
    """

    phase: str
    states: tuple[int, ...]
    live: bool
    edges: tuple[Edge, ...]


@frozen
class Drawing:
    """A folded automaton; node 0 is the start. `node_of` tells the node of each state."""

    title: str
    nodes: tuple[Node, ...]
    node_of: tuple[int, ...]

    def labels(self) -> list[str]:
        """Return, per state, the number and phase of its node."""
        return [f"{number} {self.nodes[number].phase}" for number in self.node_of]


def draw(automata: Automata, whole: bool = False) -> Drawing:
    """Return the drawing of an automaton; `whole` draws every state by itself."""
    monitor = automata.monitor
    phases = _phases(automata)
    groups = list(range(len(monitor.table))) if whole else _folded(monitor, phases)
    members: dict[int, list[int]] = {}
    for state, group in enumerate(groups):
        members.setdefault(group, []).append(state)
    numbers = {group: number for number, group in enumerate(_reached(monitor, groups))}
    node_of = tuple(numbers[group] for group in groups)
    nodes = [
        Node(
            phases[members[group][0]],
            tuple(members[group]),
            monitor.live[members[group][0]],
            tuple(_edges(automata, members[group], node_of)),
        )
        for group in numbers
    ]
    names = ", ".join(protocol.name for protocol in automata.protocols)
    folded = "" if len(nodes) == len(groups) else f", drawn as {len(nodes)}"
    title = f"{names}: {len(groups)} states over {monitor.num_classes} classes of bytes{folded}"
    return Drawing(title, tuple(nodes), node_of)


def _phases(automata: Automata) -> list[str]:
    """Return what each state is, followed from free text by the events on the way."""
    monitor = automata.monitor
    phases: dict[int, str] = {0: "free text"}
    queue = [0]
    for state in queue:
        for symbol, target in enumerate(monitor.table[state]):
            if target not in phases:
                phases[target] = _phase(automata, phases[state], monitor.step(state, symbol)[1])
                queue.append(target)
    return [phases[state] for state in range(len(monitor.table))]


def _phase(automata: Automata, phase: str, effect: Effect) -> str:
    for event in effect.events:
        name = automata.protocols[event.protocol].name
        if event.kind == "open":
            phase = f"inside {name}"
        elif event.kind in ("close", "rejected"):
            phase = f"{'call' if event.kind == 'close' else 'malformed call'} of {name} waits"
        else:
            phase = "free text"
    return phase


def _folded(monitor: ByteAutomaton, phases: Sequence[str]) -> list[int]:
    """Return the group of each state.

    States of a group do the same for two symbols, whichever they are, and the same can still happen before the phase
    ends; only what counts far, such as `{1,64}`, has enough of these to be folded. The states inside a character are
    folded too.
    """
    ahead = _ahead(monitor, phases)
    groups = _numbered([(phases[s], monitor.live[s], ahead[s], moves) for s, moves in enumerate(monitor.moves)])
    for _ in range(2):
        groups = _numbered([(groups[s], tuple(groups[t] for t in row)) for s, row in enumerate(monitor.table)])
    sizes = Counter(groups)
    keys: list[object] = [(group, -1 if sizes[group] > FEW else state) for state, group in enumerate(groups)]
    for state in _inside_characters(monitor, phases, ahead):
        keys[state] = (phases[state], monitor.live[state], ahead[state], "inside a character")
    return _numbered(keys)


def _inside_characters(monitor: ByteAutomaton, phases: Sequence[str], ahead: Sequence[int]) -> Iterator[int]:
    """Yield the states in which a call goes on with the further bytes of a character only."""
    closes = sum(1 << n for n, effect in enumerate(monitor.effects) if any(e.kind == "close" for e in effect.events))
    hopeful = [phase.startswith("inside") and bool(ahead[state] & closes) for state, phase in enumerate(phases)]
    for state, row in enumerate(monitor.table):
        goes_on = {byte for byte in range(256) if hopeful[row[monitor.classes[byte]]]}
        if hopeful[state] and goes_on and min(goes_on) > 0x7F and max(goes_on) < 0xC0:
            yield state


def _ahead(monitor: ByteAutomaton, phases: Sequence[str]) -> list[int]:
    """Return, per state, the set (as bits) of effects that can happen before the phase changes."""
    ahead = [sum({1 << effect for _, effect in moves}) for moves in monitor.moves]
    into: list[set[int]] = [set() for _ in phases]
    for state, row in enumerate(monitor.table):
        for target in row:
            if phases[target] == phases[state]:
                into[target].add(state)
    stack = list(range(len(phases)))
    while stack:
        state = stack.pop()
        for before in into[state]:
            if ahead[before] | ahead[state] != ahead[before]:
                ahead[before] |= ahead[state]
                stack.append(before)
    return ahead


def _numbered(keys: Sequence[object]) -> list[int]:
    known: dict[object, int] = {}
    return [known.setdefault(key, len(known)) for key in keys]


def _reached(monitor: ByteAutomaton, groups: Sequence[int]) -> list[int]:
    """Return the groups in the order in which a walk from free text meets them."""
    found = {groups[0]: None}
    queue, seen = [0], {0}
    for state in queue:
        for target in monitor.table[state]:
            if target not in seen:
                seen.add(target)
                queue.append(target)
                found.setdefault(groups[target])
    return list(found)


def _edges(automata: Automata, states: Sequence[int], numbers: Sequence[int]) -> Iterator[Edge]:
    monitor = automata.monitor
    bytes_of: dict[tuple[int, str], set[int]] = {}
    specials: dict[tuple[int, str], list[str]] = {}
    spelled = (*monitor.specials, "other special")
    for state in states:
        fired = dict(monitor.moves[state])
        for byte, byte_class in enumerate(monitor.classes):
            key = (numbers[monitor.table[state][byte_class]], does(automata, monitor.effects[fired.get(byte_class, 0)]))
            bytes_of.setdefault(key, set()).add(byte)
        for at, spelling in enumerate(spelled, monitor.num_classes):
            key = (numbers[monitor.table[state][at]], does(automata, monitor.effects[fired.get(at, 0)]))
            if spelling not in specials.setdefault(key, []):
                specials[key].append(spelling)
    for (target, done), found in sorted(bytes_of.items(), key=lambda item: (len(item[1]), min(item[1]))):
        yield Edge(byte_set(found), target, done)
    for (target, done), listed in specials.items():
        yield Edge(", ".join(listed), target, done)


def does(automata: Automata, effect: Effect) -> str:
    """Return what an effect does, in words."""
    several = len(automata.protocols) > 1
    parts = [e.kind + (f" {automata.protocols[e.protocol].name}" if several else "") for e in effect.events]
    if not effect.events:
        parts = [name for write in effect.writes for name in _written(automata, write.register)]
    return ", ".join(dict.fromkeys(parts))


def _written(automata: Automata, register: int) -> Iterator[str]:
    for protocol in automata.protocols:
        for slot in protocol.captures:
            if register == slot.begin:
                yield f"{slot.name} begins"
            elif register == slot.end:
                yield f"{slot.name} ends"


def byte_set(found: Collection[int]) -> str:
    """Return a set of bytes as a reader would write it."""
    if len(found) == 256:
        return "any byte"
    if len(found) > ELSE:
        return f"any but {byte_set(set(range(256)) - set(found))}"
    ranges: list[list[int]] = []
    for byte in sorted(found):
        if ranges and ranges[-1][1] == byte - 1:
            ranges[-1][1] = byte
        else:
            ranges.append([byte, byte])
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return f'"{_shown(ranges[0][0])}"'
    return "[" + "".join(_range(low, high) for low, high in ranges) + "]"


def _range(low: int, high: int) -> str:
    if high - low < 2:
        return "".join(map(_shown, range(low, high + 1)))
    return f"{_shown(low)}-{_shown(high)}"


def _shown(byte: int) -> str:
    named = {9: r"\t", 10: r"\n", 13: r"\r", 32: " ", 34: r"\"", 92: r"\\"}
    return named.get(byte) or (chr(byte) if 32 < byte < 127 else f"\\x{byte:02x}")


def as_text(drawing: Drawing) -> str:
    """Return a drawing as text."""
    lines = [drawing.title]
    width = min(40, max((len(edge.label) for node in drawing.nodes for edge in node.edges), default=0))
    for number, node in enumerate(drawing.nodes):
        count = f" ({len(node.states)} states)" if len(node.states) > 1 else ""
        lines.append(f"{number:>4} {node.phase}{count}{'' if node.live else ', never sampled'}")
        for edge in node.edges:
            lines.append(f"         {edge.label:<{width}}  -> {edge.target:<3} {edge.does}".rstrip())
    return "\n".join(lines) + "\n"
