"""Twenty-five hard cases, each for the byte vocabulary, a random BPE, and real vocabularies where they are at hand.

P is free text; OPEN "```sql\\n"; the capture is the shortest content; CLOSE "\\n```"; the special token DB hands over.
Positions are absolute and count bytes. A token in the text of a case is added to a vocabulary that has none like it.
"""

import itertools
import random
from functools import cache

import numpy as np
import pytest
import torch
from support.protocols import (
    AT_HAND,
    DB,
    FIND,
    PATTERNS,
    REAL,
    SPECIALS,
    Fired,
    Reader,
    anchored,
    captures,
    compiled,
    cut,
    ids_of,
    named,
    protocol,
    refused,
    vocabulary,
)

from lmc.runtime.protocols.forced import forced_runs
from lmc.runtime.protocols.lift import cannot_go_on, lift
from lmc.runtime.protocols.state import DeviceAutomaton
from lmc.runtime.protocols.vocabulary import Vocabulary
from lmc.spec.automaton import Automata

CPU = torch.device("cpu")
Piece = bytes | str


@pytest.fixture(params=["byte", "bpe", *AT_HAND])
def base(request: pytest.FixtureRequest) -> Vocabulary:
    return named(request.param)


@pytest.mark.parametrize("name", REAL)
def test_the_real_vocabularies_are_at_hand(name: str) -> None:
    if name not in AT_HAND:
        pytest.skip(f"{REAL[name]} names no .tiktoken file; every case of this file runs for two vocabularies only")
    assert len(named(name).texts) > 100_000


def with_words(base: Vocabulary, pieces: list[Piece]) -> Vocabulary:
    """The vocabulary with the pieces that it lacks, behind its own ids."""
    known = ids_of(base)
    missing = [p for p in dict.fromkeys(pieces) if isinstance(p, bytes) and p not in known]
    return Vocabulary([*base.texts, *missing], base.specials) if missing else base


def read(automata: Automata, base: Vocabulary, pieces: list[Piece]) -> Reader:
    words = with_words(base, pieces)
    ids = ids_of(words)
    return Reader(lift(automata.monitor, words)).read(ids[piece] for piece in pieces)


def content(automata: Automata, reader: Reader, pieces: list[Piece]) -> bytes:
    text = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    return captures(automata, 0, reader.registers, text)["body"]


@cache
def plain() -> Automata:
    return compiled(protocol())


@cache
def free() -> Automata:
    return compiled(protocol(handover=None))


HI: list[Piece] = [b"Hi", b" ```", b"sql", b"\n", b"F", b"IND", b" a", b" FOR", b" B", b"\n", b"```", DB]
HI_EVENTS: Fired = [("open", 0, 10), ("close", 0, 26), ("handover", 0, 26)]


def test_01_a_canonical_call(base: Vocabulary) -> None:
    reader = read(plain(), base, HI)
    assert reader.events == HI_EVENTS
    assert reader.registers[:2] == [10, 22]
    assert content(plain(), reader, HI) == b"FIND a FOR B"


def test_02_every_tokenization_of_it(base: Vocabulary) -> None:
    text = b"".join(piece for piece in HI if isinstance(piece, bytes))
    automaton, ids = lift(plain().monitor, base), ids_of(base)
    bytewise = [ids[bytes((byte,))] for byte in text]
    for tokens in (bytewise, *(cut(text, ids, random.Random(seed)) for seed in range(200))):
        reader = Reader(automaton).read([*tokens, ids[DB]])
        assert reader.events == HI_EVENTS
        assert reader.registers[:2] == [10, 22]


def test_03_close_inside_a_token(base: Vocabulary) -> None:
    pieces: list[Piece] = [b"```sql\n", b"A", b" B", b"\n", b"``", b"`\n\n"]
    reader = read(plain(), base, pieces)
    assert reader.events == [("open", 0, 7), ("close", 0, 14)]
    assert content(plain(), reader, pieces) == b"A B"
    assert reader.position - reader.events[-1][2] == 2
    words = with_words(base, pieces)
    ids = ids_of(words)
    for handover, allowed in ((DB, False), (None, True)):
        strict = compiled(protocol(handover=handover, constrained=True))
        inside = Reader(lift(strict.monitor, words)).read(ids[piece] for piece in pieces[:-1])
        assert bool(inside.allowed()[ids[b"`\n\n"]]) is allowed


def test_04_capture_starts_inside_a_token(base: Vocabulary) -> None:
    pieces: list[Piece] = [b"```", b"sql", b"\n\n", b"F", b"\n", b"```"]
    reader = read(plain(), base, pieces)
    assert reader.events == [("open", 0, 7), ("close", 0, 13)]
    assert content(plain(), reader, pieces) == b"\nF"


def test_05_an_empty_capture(base: Vocabulary) -> None:
    pieces: list[Piece] = [b"```", b"sql", b"\n\n", b"```"]
    reader = read(plain(), base, pieces)
    assert reader.registers[:2] == [7, 7]
    assert content(plain(), reader, pieces) == b""


def test_06_the_line_end_belongs_to_open(base: Vocabulary) -> None:
    reader = read(plain(), base, [b"```", b"sql", b"\n", b"```"])
    assert reader.events == [("open", 0, 7)]
    assert reader.registers[:2] == [7, -1]


@pytest.mark.parametrize("said", [b"a\n", b"a\n``", b"a\n`\n``"])
def test_07_false_starts_of_close(base: Vocabulary, said: bytes) -> None:
    text = b"```sql\n" + said + b"\n```"
    reader = Reader(lift(plain().monitor, base)).read(cut(text, ids_of(base), random.Random(3)))
    assert captures(plain(), 0, reader.registers, text) == {"body": said}


@pytest.mark.parametrize(("text", "at"), [(b"```sq```sql\n", 12), (b"````sql\n", 8)])
def test_08_partial_open_then_open(base: Vocabulary, text: bytes, at: int) -> None:
    for seed in range(20):
        reader = Reader(lift(plain().monitor, base)).read(cut(text, ids_of(base), random.Random(seed)))
        assert reader.events == [("open", 0, at)]


def test_09_open_inside_an_open_capture(base: Vocabulary) -> None:
    text = b"```sql\nA ```sql\nB\n```"
    reader = Reader(lift(plain().monitor, base)).read(cut(text, ids_of(base), random.Random(1)))
    assert [kind for kind, _, _ in reader.events] == ["open", "close"]
    assert captures(plain(), 0, reader.registers, text) == {"body": b"A ```sql\nB"}


def test_10_close_and_hand_over_in_free_text(base: Vocabulary) -> None:
    reader = read(plain(), base, [b"a", b"\n", b"```", DB])
    assert reader.events == [("malformed", 0, 5)]
    assert reader.state == 0


def test_11_close_then_open_in_one_token(base: Vocabulary) -> None:
    pieces: list[Piece] = [b"```sql\n", b"Q", b"\n``````sql\n", b"X\n```"]
    reader = read(free(), base, pieces)
    kinds = [(kind, at) for kind, _, at in reader.events]
    assert kinds == [("open", 7), ("close", 12), ("handover", 12), ("open", 19), ("close", 24), ("handover", 24)]
    assert content(free(), reader, pieces) == b"X"


def test_12_a_whole_call_in_one_token(base: Vocabulary) -> None:
    pieces: list[Piece] = [b"```sql\nQ\n```"]
    reader = read(free(), base, pieces)
    assert reader.events == [("open", 0, 7), ("close", 0, 12), ("handover", 0, 12)]
    assert content(free(), reader, pieces) == b"Q"


def test_13_the_spelling_of_a_hand_over(base: Vocabulary) -> None:
    text = b"```sql\nQ\n```<|database|>"
    tokens = cut(text, ids_of(base), random.Random(2))
    assert [e[0] for e in Reader(lift(plain().monitor, base)).read(tokens).events] == ["open", "close"]
    both = compiled(protocol(match="both"))
    assert Reader(lift(both.monitor, base)).read(tokens).events[-1] == ("handover", 0, len(text))
    special = [*cut(b"```sql\nQ\n```", ids_of(base), random.Random(2)), base.specials[DB]]
    assert Reader(lift(both.monitor, base)).read(special).events[-1] == ("handover", 0, 12)


def test_14_a_special_token_breaks_the_run_of_bytes(base: Vocabulary) -> None:
    assert read(plain(), base, [b"```", "<|user|>", b"sql", b"\n"]).events == []
    assert read(plain(), base, [b"```", "<|user|>", b"```", b"sql", b"\n"]).events == [("open", 0, 10)]


def test_15_special_tokens_inside_an_open_capture(base: Vocabulary) -> None:
    for special, kind in ((DB, "malformed"), ("<|eod|>", "abort")):
        reader = read(plain(), base, [b"```sql\n", b"A", special])
        assert reader.events == [("open", 0, 7), (kind, 0, 8)]
        assert reader.registers[:2] == [7, -1]
        assert reader.state == 0
    strict = compiled(protocol(constrained=True))
    words = with_words(base, [b"```sql\n"])
    inside = Reader(lift(strict.monitor, words)).read([ids_of(words)[b"```sql\n"]]).allowed()
    assert not any(inside[number] for number in words.specials.values())
    assert inside.any()


def test_16_bytes_that_are_no_text(base: Vocabulary) -> None:
    pieces: list[Piece] = [b"```sql\n", b"\xff", b"Zo\xc3", b"\xab", b"\n", b"```"]
    reader = read(plain(), base, pieces)
    assert content(plain(), reader, pieces) == b"\xffZo\xc3\xab"


def test_17_unicode_classes_byte_by_byte(base: Vocabulary) -> None:
    words = with_words(base, [b" \xc5"])
    ids = ids_of(words)
    letters = Reader(lift(compiled(anchored(r"[\p{L}]+")).monitor, words)).read([ids["<|call|>"], ids[b"\xc3"]])
    allowed = letters.allowed()
    assert allowed[ids[b"\xab"]]
    assert not allowed[ids[b"\x97"]]
    assert not allowed[ids["<|end|>"]]
    names = Reader(lift(compiled(anchored(r"[\p{L} '-]+")).monitor, words)).read([ids["<|call|>"], ids[b"a"]])
    assert names.allowed()[ids[b" \xc5"]]
    assert names.read(ids[bytes((b,))] for b in " Łukasz Żółć".encode()).allowed()[ids["<|end|>"]]


def test_18_bounds_count_characters(base: Vocabulary) -> None:
    words = with_words(base, [b"abcd", b"abc", "é".encode()])
    ids = ids_of(words)
    automaton = lift(compiled(anchored(r"[^`]{0,3}")).monitor, words)
    start = Reader(automaton).read([ids["<|call|>"]]).allowed()
    assert start[ids[b"abc"]]
    assert not start[ids[b"abcd"]]
    one_left = Reader(automaton).read([ids["<|call|>"], ids["é".encode()], ids["é".encode()]]).allowed()
    assert one_left[ids["é".encode()]]
    assert not one_left[ids[b"abc"]]
    full = Reader(automaton).read([ids["<|call|>"], ids[b"abc"]]).allowed()
    assert np.flatnonzero(full).tolist() == [ids["<|end|>"]]


def test_19_alternatives_and_the_earliest_close(base: Vocabulary) -> None:
    automata = compiled(protocol(r"(?<op>FIND|FINDALL) (?<q>[^\n]*)", handover=None))
    text = b"```sql\nFINDALL x\n```\n```"
    reader = Reader(lift(automata.monitor, base)).read(cut(text, ids_of(base), random.Random(0)))
    assert reader.events[1] == ("close", 0, 20)
    assert captures(automata, 0, reader.registers, text) == {"op": b"FINDALL", "q": b"x"}


def test_20_opens_that_begin_alike(base: Vocabulary) -> None:
    short, long = protocol(None, "```", "`end", None, name="short"), protocol(None, name="long", handover=None)
    assert [d.code for d in refused(short, long)] == ["LM0608"]
    chosen = compiled(protocol(None, "```", "`end", None, name="short", longest=True), long)
    automaton, ids = lift(chosen.monitor, base), ids_of(base)
    for seed in range(20):
        rng = random.Random(seed)
        reader = Reader(automaton).read(cut(b"```sql\nA\n``` ```sqA`end ```sql`end", ids, rng))
        assert [(k, p, at) for k, p, at in reader.events if k != "handover"] == [
            ("open", 1, 7),
            ("close", 1, 12),
            ("open", 0, 16),
            ("close", 0, 23),
            ("open", 0, 27),
            ("close", 0, 34),
        ]
    assert [d.code for d in refused(protocol(None, "<|call|>", "<|end|>", None))] == ["LM0612", "LM0612"]
    assert compiled(protocol(None, "<|call|>", "<|end|>", None, match="special")).monitor.specials == (
        "<|call|>",
        "<|end|>",
    )


def test_21_injected_text_is_not_read(base: Vocabulary) -> None:
    device = DeviceAutomaton(lift(plain().monitor, base), CPU)
    ids, active = ids_of(base), torch.tensor([True])
    state = device.initial(1)
    for byte in b"```":
        assert not device.advance(state, torch.tensor([ids[bytes((byte,))]]), active).any()
    device.resume(state, 0, 3 + len(b"sql\n"))
    for byte in b"sql\nA\n```":
        assert not device.advance(state, torch.tensor([ids[bytes((byte,))]]), active).any()
    assert state.positions.tolist() == [7 + 9]
    fired = [device.fired(int(device.advance(state, torch.tensor([ids[bytes((b,))]]), active))) for b in b"\n```sql\n"]
    assert [event.event.kind for found in fired for event in found] == ["open"]
    assert state.registers[0, 0] == 16 + 8


def test_22_rollback_equals_a_fresh_run(base: Vocabulary) -> None:
    words = with_words(base, HI)
    ids, active = ids_of(words), torch.tensor([True])
    device = DeviceAutomaton(lift(compiled(protocol(constrained=True)).monitor, words), CPU)

    def run(state: object, tokens: list[Piece]) -> list[int]:
        return [int(device.advance(state, torch.tensor([ids[t]]), active)) for t in tokens]  # type: ignore[arg-type]

    state = device.initial(1, window=8)
    run(state, HI[:-1])
    device.rollback(state, torch.tensor([1]))
    other = device.initial(1, window=8)
    run(other, HI[:-2])
    for next_tokens in ([b" a"], HI[-2:]):
        assert torch.equal(device.mask(state.states), device.mask(other.states))
        assert run(state, next_tokens) == run(other, next_tokens)
        assert torch.equal(state.registers, other.registers)
        assert torch.equal(state.positions, other.positions)
        device.rollback(state, torch.tensor([len(next_tokens)]))
        device.rollback(other, torch.tensor([len(next_tokens)]))
    run(state, HI[-2:])
    device.resume(state, 0, 26 + 10)
    run(state, [b"Hi", b" a", b"\n"])
    device.rollback(state, torch.tensor([5]))
    fresh = device.initial(1, window=8)
    run(fresh, HI[:-2])
    assert torch.equal(state.states, fresh.states)
    assert torch.equal(state.registers, fresh.registers)
    assert torch.equal(state.positions, fresh.positions)
    assert run(state, HI[-2:]) == run(fresh, HI[-2:])
    with pytest.raises(ValueError, match="no history"):
        device.rollback(device.initial(1), torch.tensor([1]))


def greedy(words: Vocabulary, text: bytes) -> list[int]:
    """The longest token at each place: an encoding of its own."""
    ids, tokens, at = ids_of(words), [], 0
    while at < len(text):
        size = max(n for n in range(1, min(24, len(text) - at) + 1) if text[at : at + n] in ids)
        tokens.append(ids[text[at : at + size]])
        at += size
    return tokens


def test_23_forced_runs(base: Vocabulary) -> None:
    words = with_words(base, [b"```sql\n", b"FIND", b" birth", b"_date", b" FOR", b" Ada"])
    ids = ids_of(words)
    spec = protocol(FIND, allow={"attribute": ["birth_date"]}, constrained=True)
    monitor = compiled(spec).monitor
    lifted = lift(monitor, words)
    runs = forced_runs(monitor, lifted, words, lambda text: greedy(words, text))
    before = [ids[b"```sql\n"], ids[b"FIND"], ids[b" birth"]]
    state = Reader(lifted).read(before).state
    forced = runs.run(state, before)
    assert forced == [ids[b"_date"], ids[b" FOR"]] == greedy(words, b"_date FOR")
    assert runs.forces[state]
    after = [*before, *forced]
    assert runs.run(Reader(lifted).read(after).state, after) == []
    assert Reader(lifted).read(after).allowed()[[ids[b" "], ids[b" Ada"]]].all()
    two = compiled(protocol(FIND, allow={"attribute": ["birth_date", "birth_day"]}, constrained=True))
    lifted_two = lift(two.monitor, words)
    runs_two = forced_runs(two.monitor, lifted_two, words, lambda text: greedy(words, text))
    forced_two = runs_two.run(Reader(lifted_two).read(before).state, before)
    assert b"_da".startswith(b"".join(words.texts[token] or b"" for token in forced_two))
    closed = [*before, *greedy(words, b"_date FOR B\n```")]
    assert runs.run(Reader(lifted).read(closed).state, closed) == [ids[DB]]


@pytest.mark.parametrize("key", PATTERNS)
def test_24_the_mask_is_the_truth_for_every_state_and_id(key: str, base: Vocabulary) -> None:
    extra: list[bytes | None] = [b"ab", b"ab", b"", None]
    words = Vocabulary([*base.texts, *extra], base.specials)
    automata = compiled(anchored(PATTERNS[key]))
    monitor = automata.monitor
    size = -(-len(words.texts) // 64) * 64 + 64
    lifted = lift(monitor, words).padded(size)
    rng = random.Random(0)
    large = len(words.texts) > 2000
    sampled = rng.sample(range(len(words.texts)), 1500) if large else range(len(words.texts))
    numbers = [*sampled, *words.specials.values(), *range(len(base.texts), size)]
    states = list(range(len(monitor.table)))
    checked = rng.sample(states, 100) if large and len(states) > 100 else states
    mask = lifted.mask(np.array(states))
    for state, number in itertools.product(checked, numbers):
        assert mask[state, number] == _legal(automata, words, state, number), (state, number)
    duplicate = len(base.texts)
    assert (mask[:, duplicate] == mask[:, duplicate + 1]).all()
    assert not mask[:, duplicate + 2 :].any()
    after, effects = lifted.advance(np.array(states), np.full(len(states), duplicate + 2))
    assert after.tolist() == states
    assert not effects.any()
    assert cannot_go_on(lifted) is None


def _legal(automata: Automata, words: Vocabulary, state: int, number: int) -> bool:
    """By the byte automaton, one symbol at a time."""
    monitor = automata.monitor
    spelling = next((s for s, i in words.specials.items() if i == number), None)
    text = words.texts[number] if number < len(words.texts) else None
    symbols = [monitor.symbol(spelling)] if spelling else [monitor.classes[byte] for byte in text or b""]
    if not symbols:
        return False
    for symbol in symbols:
        fired = dict(monitor.moves[state]).get(symbol, 0)
        state = monitor.table[state][symbol]
        if not monitor.legal[fired]:
            return False
    return monitor.live[state]


def test_24_a_vocabulary_that_cannot_go_on_is_found() -> None:
    words = Vocabulary([b"a", b"b", *(None for _ in SPECIALS)], {s: 2 + i for i, s in enumerate(SPECIALS)})
    assert cannot_go_on(lift(compiled(anchored(r"[ab]+")).monitor, words)) is None
    assert cannot_go_on(lift(compiled(anchored(r"[ab]+c")).monitor, words)) is not None


def test_25_rows_do_not_see_each_other(base: Vocabulary) -> None:
    words = with_words(base, [*HI, b"<calc>", b"</calc>"])
    automata = compiled(protocol(), protocol(r"\d+", "<calc>", "</calc>", None, name="calc"))
    device = DeviceAutomaton(lift(automata.monitor, words), CPU)
    rng = random.Random(0)
    pool = [number for number, text in enumerate(words.texts) if text and len(text) < 12][:2000]
    hard = [ids_of(words)[piece] for piece in (*HI, b"<calc>", b"</calc>", b"1")]
    streams = [[rng.choice(hard if rng.random() < 0.7 else pool) for _ in range(300)] for _ in range(64)]
    alive = [[rng.random() < 0.8 for _ in range(300)] for _ in range(64)]
    for row in range(40, 44):
        alive[row][150:] = [False] * 150

    def run(rows: list[int]) -> list[tuple[list[int], int, int, list[int]]]:
        state = device.initial(len(rows))
        fired = []
        for step in range(300):
            tokens = torch.tensor([streams[row][step] for row in rows])
            fired.append(device.advance(state, tokens, torch.tensor([alive[row][step] for row in rows])).tolist())
        ends = zip(state.states.tolist(), state.positions.tolist(), state.registers.tolist(), strict=True)
        return [([f[i] for f in fired], *end) for i, end in enumerate(ends)]

    together = run(list(range(64)))
    order = rng.sample(range(64), 64)
    assert [together[row] for row in order] == run(order)
    for row in (0, 41, 63):
        assert run([row]) == [together[row]]
        active = [t for t, a in zip(streams[row], alive[row], strict=True) if a]
        reader = Reader(device.automaton).read(active)
        assert (reader.state, reader.position, reader.registers) == together[row][1:]
    assert sum(any(fired) for fired, _, _, _ in together) > 32


def test_25_the_cost_of_a_step_does_not_grow_with_the_text() -> None:
    device = DeviceAutomaton(lift(plain().monitor, vocabulary()), CPU)
    state, active = device.initial(64), torch.ones(64, dtype=torch.bool)
    tokens = torch.randint(0, 256, (64,), generator=torch.Generator().manual_seed(0))
    for _ in range(20_000):
        device.advance(state, tokens, active)
    assert state.positions.tolist() == [20_000] * 64
    assert state.registers.shape == (64, device.num_registers)
