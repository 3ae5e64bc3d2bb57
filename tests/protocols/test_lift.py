"""The table over tokens equals a walk over bytes for every state and token: states, events, writes and masks."""

import subprocess
import sys

import numpy as np
import pytest
from support.protocols import (
    AT_HAND,
    FIND,
    PATTERNS,
    SPECIALS,
    anchored,
    compiled,
    named,
    protocol,
    random_bpe,
    vocabulary,
)

from lmc.runtime.protocols.cache import lifted_once
from lmc.runtime.protocols.lift import TokenAutomaton, lift
from lmc.runtime.protocols.vocabulary import Vocabulary
from lmc.spec.automaton import Automata

PROTOCOLS = {
    **{key: anchored(pattern) for key, pattern in PATTERNS.items()},
    "m": protocol(handover=None),
    "find": protocol(FIND, allow={"attribute": ["birth_date", "town"]}, constrained=True),
    "loop": protocol(r"(?:(?<k>[a-z]+)\n)*(?<last>[A-Z é]*)", "```", "\\n+`", None, regex=["close"]),
}


class Walk:
    """A walk over bytes from every state at once, and the comparison of a column of the table with it."""

    def __init__(self, automata: Automata, automaton: TokenAutomaton, words: Vocabulary) -> None:
        self.monitor, self.automaton, self.words = automata.monitor, automaton, words
        self.table = np.array(self.monitor.table)
        self.fired = np.zeros_like(self.table)
        for state, moves in enumerate(self.monitor.moves):
            for symbol, effect in moves:
                self.fired[state, symbol] = effect
        self.specials = {number: spelling for spelling, number in words.specials.items()}

    def check_all(self) -> None:
        for number in range(len(self.words.texts)):
            self.check(number)

    def check(self, number: int) -> None:
        monitor, automaton = self.monitor, self.automaton
        states = np.arange(len(self.table))
        next_states, effects = automaton.advance(states, np.full_like(states, number))
        want, fired = self.walk(number)
        assert (next_states == want).all()
        assert set(np.flatnonzero(effects)) <= fired.keys()
        legal = np.array(monitor.live)[want] & (bool(self.words.texts[number]) or number in self.specials)
        for state, listed in fired.items():
            legal[state] &= all(monitor.legal[effect] for effect, _ in listed)
            events = [(e, at - e.back) for effect, at in listed for e in monitor.effects[effect].events]
            assert [(e.event, e.offset) for e in automaton.events[int(effects[state])]] == events
            registers = [1000 * (r + 1) for r in range(monitor.num_registers)]
            after = registers
            for effect, at in listed:
                after = monitor.write(after, monitor.effects[effect], 7 + at)
            assert automaton.write(registers, int(effects[state]), 7) == after
        assert (automaton.allowed[automaton.table[:, automaton.columns[number]]] == legal).all()

    def walk(self, number: int) -> tuple[np.ndarray, dict[int, list[tuple[int, int]]]]:
        """The state that each state goes to on a token, and the effects on the way with the bytes read by then."""
        spelling = self.specials.get(number)
        text = self.words.texts[number] or b""
        symbols = [self.monitor.symbol(spelling)] if spelling else [self.monitor.classes[byte] for byte in text]
        states = np.arange(len(self.table))
        effects: dict[int, list[tuple[int, int]]] = {}
        for offset, symbol in enumerate(symbols, 0 if spelling else 1):
            for start in np.flatnonzero(self.fired[states, symbol]):
                effects.setdefault(int(start), []).append((int(self.fired[states[start], symbol]), offset))
            states = self.table[states, symbol]
        return states, effects


@pytest.mark.parametrize("base", ["byte", "bpe", *AT_HAND])
@pytest.mark.parametrize("key", PROTOCOLS)
def test_every_state_and_token(key: str, base: str) -> None:
    words = named(base)
    automata = compiled(PROTOCOLS[key])
    Walk(automata, lift(automata.monitor, words), words).check_all()


def test_several_random_vocabularies() -> None:
    for seed in range(2, 12):
        words = random_bpe(seed, 400)
        for key in ("find", "loop", "m"):
            automata = compiled(PROTOCOLS[key])
            Walk(automata, lift(automata.monitor, words), words).check_all()


def test_a_bounded_repeat_grows_in_proportion() -> None:
    sizes = [len(compiled(anchored(rf"[^`]{{0,{bound}}}")).monitor.table) for bound in (50, 100, 200, 400)]
    steps = np.diff(sizes) / np.array([50, 100, 200])
    assert steps.max() == steps.min()
    words = random_bpe(1)
    assert lift(compiled(anchored(r"[^`]{0,1000}")).monitor, words).nbytes < 3_000_000


@pytest.mark.slow
def test_many_moves_need_wider_numbers() -> None:
    words = vocabulary([b"ab", b"b" * 20])
    automata = compiled(anchored(r"(?:(?<k>a)|b){0,7000}", constrained=False))
    automaton = lift(automata.monitor, words)
    assert automaton.table.dtype == np.int32
    walk = Walk(automata, automaton, words)
    for number in (97, 98, 256, words.specials["<|end|>"]):
        walk.check(number)


def test_a_lift_is_kept_and_found_again(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    words, monitor = random_bpe(1), compiled(PROTOCOLS["find"]).monitor
    first = lifted_once(monitor, words)
    (path,) = (tmp_path / "lmc" / "lifted").iterdir()
    before = path.stat().st_mtime_ns
    again = lifted_once(monitor, Vocabulary(list(words.texts), dict(words.specials)))
    assert path.stat().st_mtime_ns == before
    for name in ("columns", "table", "next_states", "effects", "allowed", "sources", "added", "lengths"):
        assert (getattr(first, name) == getattr(again, name)).all()
        assert getattr(first, name).dtype == getattr(again, name).dtype
    assert first.events == again.events
    path.write_bytes(path.read_bytes()[:-100])
    assert (lifted_once(monitor, words).table == first.table).all()
    lifted_once(monitor, random_bpe(2))
    lifted_once(compiled(PROTOCOLS["m"]).monitor, words)
    assert len(list((tmp_path / "lmc" / "lifted").iterdir())) == 3


def test_the_lift_needs_no_torch() -> None:
    program = "import sys, lmc.runtime.protocols.lift; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_special_tokens_have_columns_of_their_own() -> None:
    words = vocabulary()
    automaton = lift(compiled(PROTOCOLS["find"]).monitor, words)
    columns = [int(automaton.columns[words.specials[s]]) for s in SPECIALS]
    named_column = columns[SPECIALS.index("<|database|>")]
    assert columns.count(named_column) == 1
    assert len(set(columns)) == 2
