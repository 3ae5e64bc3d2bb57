"""Protocol automata: events and captures equal Python's `re` on bytes, for any vocabulary and tokenization."""

import itertools
import json
import random
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lmc.compiler.protocols.compile import ProtocolSource, compile_protocols
from lmc.compiler.protocols.nfa import build_nfa, utf8_ranges
from lmc.compiler.protocols.pattern import parse_pattern
from lmc.compiler.syntax.tree import String
from lmc.runtime.protocols.lift import TokenAutomaton, lift
from lmc.runtime.protocols.state import DeviceAutomaton
from lmc.spec.automaton import Automata, ByteAutomaton
from lmc.spec.codec import structure, unstructure
from lmc.spec.diagnostic import Diagnostics
from lmc.spec.span import Source, Span

SPECIALS = {"<|user|>": 0, "<|assistant|>": 1, "<|database|>": 2, "<|eod|>": 3}
FIND = r"FIND (?<attribute>[a-z_]+) FOR (?<name>[^\n]{1,64})"


def literal(text: str, prefix: str = "") -> String:
    source = Source("x.lmspec", text)
    return String(text, prefix, Span(source, 0, len(text)), tuple(range(len(text))))  # type: ignore[arg-type]


def protocol(
    body: str,
    start: str = "```sql\n",
    close: str = "\n```",
    handover: str | None = "<|database|>",
    query: str = "SELECT 1",
    name: str = "lookup",
    allow: tuple[str, ...] = (),
) -> ProtocolSource:
    span = literal(name).span
    return ProtocolSource(
        name, literal(start), literal(body, "re"), literal(close), handover, literal(query), allow, span
    )


def compiled(*protocols: ProtocolSource) -> Automata:
    diagnostics = Diagnostics()
    automata = compile_protocols(protocols, list(SPECIALS), diagnostics)
    assert automata is not None, diagnostics.items
    return automata


def lifted(monitor: ByteAutomaton, words: list[bytes]) -> tuple[TokenAutomaton, dict[bytes, int]]:
    vocabulary = [None] * 4 + [bytes((i,)) for i in range(256)] + words
    return lift(monitor, vocabulary, SPECIALS), {word: i for i, word in enumerate(vocabulary) if word is not None}


def events(automaton: TokenAutomaton, tokens: list[tuple[int, int]]) -> list[tuple[str, int, int]]:
    """Run tokens (id, length in bytes); return (kind, protocol, absolute byte position)."""
    state, found, position = np.zeros(1, dtype=np.int64), [], 0
    for token, length in tokens:
        state, fired = automaton.advance(state, np.array([token]))
        for event in automaton.event_lists[int(fired[0])]:
            found.append((event.event.kind, event.event.protocol, position + event.offset))
        position += length
    return found


def cut(text: bytes, words: dict[bytes, int], rng: random.Random) -> list[tuple[int, int]]:
    """Return a random tokenization of bytes."""
    tokens, at = [], 0
    while at < len(text):
        choices = [n for n in range(1, 9) if text[at : at + n] in words and at + n <= len(text)]
        size = rng.choice(choices)
        tokens.append((words[text[at : at + size]], size))
        at += size
    return tokens


def expected(text: bytes, start: bytes, close: bytes, body: str) -> list[tuple[str, int, int]]:
    """The truth: first `open`, then the first `close`, then whether `re` takes what is between for a body."""
    found, at = [], 0
    while (begin := text.find(start, at)) >= 0:
        begin += len(start)
        found.append(("open", 0, begin))
        end = text.find(close, begin)
        if end < 0:
            return found
        pattern = re.compile(body.replace("(?<", "(?P<").encode(), re.DOTALL)
        taken = pattern.fullmatch(text[begin:end])
        found.append(("close" if taken else "rejected", 0, end + len(close)))
        at = end + len(close)
    return found


ALPHABET = [
    b"```sql\n",
    b"\n```",
    b"```",
    b"``",
    b"`",
    b"\n",
    b"FIND a FOR B",
    b"FIND ",
    b" FOR ",
    b"a",
    b"x_",
    b"q l",
    b"s",
]
TEXTS = st.lists(st.sampled_from(ALPHABET), max_size=14).map(b"".join)
WORDS = st.lists(st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=3).map(b"".join), max_size=12)
ASCII_BODIES = [r"FIND (?<a>[a-z_]+) FOR (?<b>[^\n]{1,8})", r"[a-z]*", r"FIND(?: [a-zA-Z]+)*", r"(?:a|x_|FIND )+"]


@settings(max_examples=150, deadline=None)
@given(TEXTS, WORDS, st.sampled_from(ASCII_BODIES), st.integers(0, 2**16))
def test_events_equal_re_for_any_vocabulary_and_tokenization(
    text: bytes, extra: list[bytes], body: str, seed: int
) -> None:
    automata = compiled(protocol(body))
    automaton, words = lifted(automata.monitor, [word for word in extra if len(word) < 9])
    tokens = cut(text, words, random.Random(seed))
    assert events(automaton, tokens) == expected(text, b"```sql\n", b"\n```", body)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from("abFOR \n_xé"), max_size=12).map("".join), st.sampled_from(ASCII_BODIES))
def test_captures_equal_re(text: str, body: str) -> None:
    pattern = parse_pattern(literal(body, "re"), Diagnostics())
    assert pattern is not None
    found = build_nfa(pattern).captures(text.encode())
    truth = re.fullmatch(body.replace("(?<", "(?P<"), text, re.DOTALL)
    if truth is None:
        assert found is None
    else:
        assert found == {k: v.encode() for k, v in truth.groupdict().items() if v is not None}


PATTERNS = [
    (r"FIND [a-z_]+ FOR [A-Za-z .'-]+", "```sql\n", "\n```"),
    (r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "<date>", "</date>"),
    (r"[a-z.]+@[a-z]+\.[a-z]{2,3}", "mail:", ";"),
    (r"\{\w+: \d+(?:, \w+: \d+){0,2}", "json ", "}"),
    (r"SELECT \w+ WHERE name = '[^'\n]{1,40}'", "```sql\n", "\n```"),
    (r"[^`]{0,50}", "```", "`"),
    (r"Ada Lovelace|Alan Turing|Alonzo Church|Alan Kay", "[", "]"),
    (r"[^\]é]*", "[", "]"),
]


@pytest.mark.parametrize(("body", "start", "close"), PATTERNS)
def test_the_table_equals_a_walk_over_bytes_for_every_state_and_token(body: str, start: str, close: str) -> None:
    rng = random.Random(0)
    pieces = [start, close, "FIND ", "é", "\n\n", "Ada", "`", "2024-", " = '", "name", start + close, "x" * 7]
    random_words = {"".join(rng.choices(pieces, k=rng.randint(1, 3))).encode() for _ in range(150)}
    cut_words = {w[i:j] for w in random_words for i, j in [sorted((rng.randint(0, len(w)), rng.randint(0, len(w))))]}
    words = sorted(random_words | cut_words - {b""})
    monitor = compiled(protocol(body, start, close)).monitor
    automaton, ids = lifted(monitor, words)
    for state in range(len(monitor.table)):
        for word, token in ids.items():
            at, found = state, []
            for offset, byte in enumerate(word, 1):
                symbol = monitor.classes[byte]
                found += [(event, offset) for event in monitor.event_lists[monitor.events[at][symbol]]]
                at = monitor.table[at][symbol]
            next_state, fired = automaton.advance(np.array([state]), np.array([token]))
            assert next_state[0] == at
            assert [(e.event, e.offset) for e in automaton.event_lists[int(fired[0])]] == found


def run(text: list[bytes | str], automata: Automata, words: list[bytes] | None = None) -> list[tuple[str, int, int]]:
    automaton, ids = lifted(automata.monitor, [*(words or []), *(t for t in text if isinstance(t, bytes))])
    tokens = [(ids[t], len(t)) if isinstance(t, bytes) else (SPECIALS[t], 0) for t in text]
    return events(automaton, tokens)


def kinds(found: list[tuple[str, int, int]]) -> list[str]:
    return [kind for kind, _, _ in found]


def test_a_canonical_call_and_every_tokenization_of_it() -> None:
    automata = compiled(protocol(r"FIND [a-z]+ FOR [A-Z]+"))
    parts = [b"Hi", b" ```", b"sql", b"\n", b"F", b"IND", b" a", b" FOR", b" B", b"\n", b"```", "<|database|>"]
    want = [("open", 0, 10), ("close", 0, 26), ("handover", 0, 26)]
    assert run(parts, automata) == want
    text = b"".join(p for p in parts if isinstance(p, bytes))
    automaton, ids = lifted(automata.monitor, [p for p in parts if isinstance(p, bytes)])
    for seed in range(200):
        tokens = [*cut(text, ids, random.Random(seed)), (SPECIALS["<|database|>"], 0)]
        assert events(automaton, tokens) == want


CASES = [
    ([b"```sql\nB", b"\n``", b"`\n\n"], [("open", 7), ("close", 12)]),
    ([b"```sql\n```"], [("open", 7)]),
    ([b"```sq```sql\n", b"x"], [("open", 12)]),
    ([b"````sql\nA\n```"], [("open", 8), ("close", 13)]),
    ([b"```sql\nA ```sql\nB\n```"], [("open", 7), ("rejected", 21)]),
    ([b"\n```", "<|database|>"], [("malformed", 4)]),
    ([b"```sql\nA", "<|database|>"], [("open", 7), ("malformed", 8)]),
    ([b"```sql\nA", "<|eod|>"], [("open", 7), ("abort", 8)]),
    ([b"```sql\nA\n```", b"<|database|>"], [("open", 7), ("close", 12)]),
    ([b"```", "<|user|>", b"sql\nA"], []),
    ([b"```", "<|user|>", b"```sql\nA"], [("open", 10)]),
    ([b"```sql\nQ\n``````sql\nR\n```"], [("open", 7), ("close", 12), ("open", 19), ("close", 24)]),
    ([b"```sql\n\xff\n```"], [("open", 7), ("rejected", 12)]),
]


@pytest.mark.parametrize(("text", "want"), CASES)
def test_hard_cases_fire_where_they_should(text: list[bytes | str], want: list[tuple[str, int]]) -> None:
    automata = compiled(protocol(r"[^\n`]*"))
    assert [(kind, at) for kind, _, at in run(text, automata)] == want


def test_without_a_hand_over_the_close_gives_the_turn_away() -> None:
    automata = compiled(protocol(r"[a-z]+", "<calc>", "</calc>", None))
    assert run([b"<calc>ab</calc> more"], automata) == [("open", 0, 6), ("close", 0, 15), ("handover", 0, 15)]
    assert kinds(run([b"<calc>AB</calc>"], automata)) == ["open", "rejected", "malformed"]


def test_two_protocols_are_told_apart() -> None:
    automata = compiled(protocol(r"[a-z]+", name="one"), protocol(r"\d+", "<calc>", "</calc>", None, name="two"))
    found = run([b"<calc>12</calc>```sql\nab\n```", "<|database|>"], automata)
    assert [(kind, number) for kind, number, _ in found] == [
        ("open", 1),
        ("close", 1),
        ("handover", 1),
        ("open", 0),
        ("close", 0),
        ("handover", 0),
    ]


def test_unused_and_empty_tokens_do_nothing() -> None:
    monitor = compiled(protocol(FIND)).monitor
    automaton = lift(monitor, [None] * 4 + [b"a", b"", None], SPECIALS, num_ids=64)
    states = np.arange(len(monitor.table))
    for token in (5, 6, 7, 63):
        after, fired = automaton.advance(states, np.full_like(states, token))
        assert (after == states).all()
        assert not fired.any()


def test_the_device_table_equals_the_numpy_table_and_keeps_inactive_rows() -> None:
    automaton, ids = lifted(compiled(protocol(FIND)).monitor, [b"```sql\n", b"FIND a FOR B\n```"])
    device = DeviceAutomaton(automaton, torch.device("cpu"))
    states = device.initial(3)
    text = [b"```sql\n", b"FIND a FOR B\n```", b"x"]
    reference = np.zeros(3, dtype=np.int64)
    active = torch.tensor([True, True, False])
    for word in text:
        tokens = torch.full((3,), ids[word])
        states, fired = device.advance(states, tokens, active)
        moved, want = automaton.advance(reference, tokens.numpy())
        reference = np.where(active.numpy(), moved, reference)
        assert states.tolist() == reference.tolist()
        assert fired.tolist() == [*want[:2].tolist(), 0]
        assert [device.fired(int(i)) for i in fired] == [automaton.event_lists[int(i)] for i in fired]


def test_automata_are_data() -> None:
    automata = compiled(protocol(FIND))
    assert structure(json.loads(json.dumps(unstructure(automata))), Automata) == automata


def test_the_lift_needs_no_torch() -> None:
    program = "import sys, lmc.runtime.protocols.lift; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@given(st.integers(0, 0x10FFFF), st.integers(0, 0x10FFFF), st.integers(0, 0x10FFFF))
def test_utf8_ranges_cover_exactly_their_code_points(a: int, b: int, other: int) -> None:
    low, high = sorted((a, b))
    sequences = list(utf8_ranges(low, high))

    def covered(code: int) -> bool:
        data = chr(code).encode("utf-8", errors="surrogatepass")
        return any(
            len(s) == len(data) and all(x <= byte <= y for byte, (x, y) in zip(data, s, strict=True)) for s in sequences
        )

    for code in (low, high, other, (low + high) // 2):
        surrogate = 0xD800 <= code <= 0xDFFF
        assert covered(code) == (low <= code <= high and not surrogate)


REFUSED = [
    (protocol(r"FIND (.*?)"), "LM0604", "*?"),
    (protocol(r"(?=a)b"), "LM0603", "(?="),
    (protocol(r"^a"), "LM0605", "^"),
    (protocol(r"a\b"), "LM0605", r"\b"),
    (protocol(r"(?<x>a)\1"), "LM0602", r"\1"),
    (protocol(r"a{3,1}"), "LM0601", "{3,1}"),
    (protocol(r"[z-a]"), "LM0601", "[z-a]"),
    (protocol(r"\q"), "LM0601", r"\q"),
    (protocol(r"a)"), "LM0601", ")"),
    (protocol(r"(ab"), "LM0601", "b"),
    (protocol(r"[^x]*"), "LM0606", r"[^x]*"),
    (protocol(r"(?<a>x*)(?<b>x*)"), "LM0607", r"(?<a>x*)(?<b>x*)"),
    (protocol(r"a", query="SELECT {a}"), "LM0611", "SELECT {a}"),
    (protocol(r"(?<a>x)", query="SELECT {a}"), "LM0610", "SELECT {a}"),
    (protocol(r"a", query="SELECT :b"), "LM0611", "SELECT :b"),
    (protocol(r"a", handover="<|sudo|>"), "LM0609", "lookup"),
    (protocol(r"a", start="<|user|>"), "LM0612", "<|user|>"),
    (protocol(r"a{0,9}{0,99}"), "LM0601", "{"),
    (protocol(r"(?:a{0,999}b){0,999}"), "LM0613", r"(?:a{0,999}b){0,999}"),
]


@pytest.mark.parametrize(("source", "code", "covered"), REFUSED, ids=[f"{c}-{t}" for _, c, t in REFUSED])
def test_what_is_refused_is_told_inside_the_literal(source: ProtocolSource, code: str, covered: str) -> None:
    diagnostics = Diagnostics()
    assert compile_protocols([source], list(SPECIALS), diagnostics) is None
    (found,) = diagnostics.items
    assert found.code == code
    assert found.span is not None
    assert found.span.text == covered


def test_an_open_that_begins_another_is_refused() -> None:
    diagnostics = Diagnostics()
    pair = [protocol("a", "```", "\n```", name="one"), protocol("a", name="two")]
    assert compile_protocols(pair, list(SPECIALS), diagnostics) is None
    assert [d.code for d in diagnostics.items] == ["LM0608"]


def test_every_product_of_two_letters_is_decided_as_re_decides() -> None:
    body = r"(?:ab|b)*a?"
    nfa = build_nfa(parse_pattern(literal(body, "re"), Diagnostics()))  # type: ignore[arg-type]
    for size in range(7):
        for letters in itertools.product("ab", repeat=size):
            text = "".join(letters)
            assert (nfa.captures(text.encode()) is not None) == bool(re.fullmatch(body, text))
