"""Events and captures equal Python's `re`, for random patterns, texts, vocabularies and tokenizations."""

import random
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.protocols import (
    DB,
    Reader,
    captures,
    compiled,
    cut,
    ids_of,
    literal,
    protocol,
    random_bpe,
    vocabulary,
)

from lmc.compiler.protocols.compile import ProtocolSource, compile_protocols
from lmc.runtime.protocols.lift import lift
from lmc.spec.diagnostic import Diagnostics

PIECES = ["```sql\n", "\n```", "```", "``", "`", "\n", "FIND a FOR B", "FIND ", " FOR ", "a", "x_", "é", "日", "s"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
WORDS = st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join), max_size=12)
BODIES = [
    r"FIND (?<a>[a-z_]+) FOR (?<b>[^\n]{1,8})",
    r"[a-z]*",
    r"FIND(?: [a-zA-Z]+)*",
    r"(?:(?<one>a)|x_|(?<two>FIND ))+",
    r"(?<w>[^`\n]*)",
    r"(?<first>[^ \n]*) (?<rest>.*)",
    r"(?:(?<k>[a-z]+)\n)*(?<last>[A-Z é]*)",
]


def truth(text: str, body: str | None, start: str = "```sql\n", close: str = "\n```") -> list[tuple[str, int, int]]:
    """First `open`, then the first `close`, then whether `re` takes what is between for a body."""
    found, at = [], 0
    while (begin := text.find(start, at)) >= 0:
        begin += len(start)
        found.append(("open", 0, len(text[:begin].encode())))
        end = text.find(close, begin)
        if end < 0:
            return found
        taken = body is None or matched(body, text[begin:end]) is not None
        found.append(("close" if taken else "rejected", 0, len(text[: end + len(close)].encode())))
        at = end + len(close)
    return found


def matched(body: str, text: str) -> "re.Match[str] | None":
    return re.fullmatch(body.replace("(?<", "(?P<"), text)


@settings(max_examples=200, deadline=None)
@given(TEXTS, WORDS, st.sampled_from([*BODIES, None]), st.integers(0, 2**16))
def test_events_equal_re_for_any_vocabulary_and_tokenization(
    text: str, extra: list[str], body: str | None, seed: int
) -> None:
    automaton = lift(compiled(protocol(body)).monitor, words := vocabulary(w.encode() for w in extra if len(w) < 9))
    tokens = cut(text.encode(), ids_of(words), random.Random(seed))
    assert Reader(automaton).read(tokens).events == truth(text, body)


atoms = st.sampled_from(["a", "b", "é", "`", "\\n", "[ab]", "[^a]", "[^`\\n]", ".", "x_"])


@st.composite
def patterns(draw: st.DrawFn, depth: int = 0, names: tuple[str, ...] = ("p", "q")) -> str:
    kind = draw(st.sampled_from(["atom", "atom", "sequence", "either", "repeat", "capture"] if depth < 3 else ["atom"]))
    if kind == "atom":
        return draw(atoms)
    if kind == "sequence":
        return draw(patterns(depth + 1, names[:1])) + draw(patterns(depth + 1, names[1:]))
    if kind == "either":
        return f"(?:{draw(patterns(depth + 1, names[:1]))}|{draw(patterns(depth + 1, names[1:]))})"
    if kind == "repeat":
        return f"(?:{draw(patterns(depth + 1, names))}){draw(st.sampled_from(['*', '+', '?', '{0,3}', '{2}', '{1,}']))}"
    if not names:
        return draw(atoms)
    return f"(?<{names[0]}>{draw(patterns(depth + 1, names[1:]))})"


CONTENT = st.lists(st.sampled_from(["a", "b", "é", "`", "``", "\n", "x_", "ab", "aab"]), max_size=8).map("".join)


@settings(max_examples=400, deadline=None)
@given(patterns(), CONTENT, st.integers(0, 2**16))
def test_random_patterns_decide_and_capture_as_re_does(body: str, content: str, seed: int) -> None:
    diagnostics = Diagnostics()
    source = protocol(body, "<<", ">>", None, template=None)
    automata = compile_protocols([source], ["<|eod|>"], diagnostics)
    assume(automata is not None)
    assert automata is not None
    words = random_bpe(seed % 7, 60, ["<|eod|>"])
    text = f"a<<{content}>>b"
    reader = Reader(lift(automata.monitor, words)).read(cut(text.encode(), ids_of(words), random.Random(seed)))
    want = matched(body, content)
    kinds = [kind for kind, _, _ in reader.events]
    assert kinds == (["open", "close", "handover"] if want else ["open", "rejected", "malformed"])
    if want:
        found = captures(automata, 0, reader.registers, text.encode())
        named = {k: v.encode() for k, v in want.groupdict().items() if v is not None}
        assert found == (named if want.re.groupindex else {"body": content.encode()})


def test_a_pattern_that_is_refused_has_two_readings() -> None:
    for body, text in ((r"(?<a>x*)(?<b>x*)", "x"), (r"(?:(?<a>x)|x)", "x"), (r"(?<a>a|ab)(?<b>c|bc)", "abc")):
        diagnostics = Diagnostics()
        assert compile_protocols([protocol(body)], ["<|database|>"], diagnostics) is None
        assert [d.code for d in diagnostics.items] == ["LM0607"], (body, text)


@pytest.mark.parametrize(
    ("close", "text", "want"),
    [
        ("\\n+```", "<<a\n\n```", b"a"),
        ("`{2,3}", "<<x`y``", b"x`y"),
        ("(?:END|;)", "<<a EN END", b"a EN "),
        ("\\n[ \\t]*```", "<<q\n \t```", b"q"),
        ("b+c", "<<abbbc", b"a"),
    ],
)
def test_a_close_of_any_length_ends_the_body_where_it_begins(close: str, text: str, want: bytes) -> None:
    automata = compiled(protocol(None, "<<", close, None, regex=["close"]))
    for seed in range(5):
        words = random_bpe(seed, 60)
        reader = Reader(lift(automata.monitor, words)).read(cut(text.encode(), ids_of(words), random.Random(seed)))
        assert captures(automata, 0, reader.registers, text.encode()) == {"body": want}
        assert reader.events[1] == ("close", 0, len(text))


TWO_PIECES = ["```sql\n", "\n```", "<calc>", "</calc>", "<", "calc>", "`", "\n", "1", "12", "ab", " "]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(TWO_PIECES), max_size=14).map("".join), st.integers(0, 2**16))
def test_of_two_protocols_the_first_open_counts(text: str, seed: int) -> None:
    """The truth: the earliest `open` of either, then its own first `close`, then whether `re` takes what is between."""
    forms = [("```sql\n", "\n```", r"[a-z ]*"), ("<calc>", "</calc>", r"[0-9]+")]
    want, at = [], 0
    while found := [(text.find(o, at), p) for p, (o, _, _) in enumerate(forms) if text.find(o, at) >= 0]:
        start, p = min(found)
        begin = start + len(forms[p][0])
        want.append(("open", p, begin))
        end = text.find(forms[p][1], begin)
        if end < 0:
            break
        at = end + len(forms[p][1])
        good = re.fullmatch(forms[p][2], text[begin:end])
        want += [("close" if good else "rejected", p, at), ("handover" if good else "malformed", p, at)]
    protocols = [protocol(body, o, c, None, name=f"p{n}") for n, (o, c, body) in enumerate(forms)]
    words = random_bpe(seed % 5, 80)
    reader = Reader(lift(compiled(*protocols).monitor, words))
    assert reader.read(cut(text.encode(), ids_of(words), random.Random(seed))).events == want


def test_a_constrained_call_goes_on_to_its_hand_over_in_either_form() -> None:
    words = vocabulary()
    automaton = lift(compiled(protocol("[a-z]+", match="both", constrained=True)).monitor, words)
    closed = Reader(automaton).read(b"```sql\nab\n```")
    assert np.flatnonzero(closed.allowed()).tolist() == [ord("<"), words.specials[DB]]
    for number, byte in enumerate(DB.encode()):
        assert np.flatnonzero(closed.allowed()).tolist() == [byte] + ([] if number else [words.specials[DB]])
        closed.read([byte])
    assert closed.events[-1][0] == "handover"
    assert closed.allowed()[ord("z")]


ALLOWED = [
    (protocol("(?<a>x(?<b>[a-z]))", "<", ">", None, allow={"a": ["xa", "xb"], "b": ["a"]}, constrained=True), {"xa"}),
    (protocol(None, "<", ">", None, allow={"body": ["ab", "é"]}, constrained=True), {"ab", "é"}),
    (protocol("[a-z.]+", "<", ">", None, allow={"body": ["a.", "b"]}, constrained=True), {"a.", "b"}),
    (protocol("(?<k>[a-z]+)-(?<v>[0-9])", "<", ">", None, allow={"k": ["ab", "b"]}, constrained=True), {"ab-7", "b-0"}),
]
TRIED = ["xa", "xb", "xab", "ab", "é", "a.", "b", "ab-7", "b-0", "a-1", "", "x"]


@pytest.mark.parametrize(("source", "legal"), ALLOWED)
def test_allow_lists_limit_what_may_be_sampled(source: ProtocolSource, legal: set[str]) -> None:
    automaton = lift(compiled(source).monitor, vocabulary())
    for text in TRIED:
        reader, good = Reader(automaton).read(b"<"), True
        for byte in f"{text}>".encode():
            good = good and bool(reader.allowed()[byte])
            reader.read([byte])
        assert good == (text in legal), text


def test_space_around_a_capture_is_no_second_reading() -> None:
    automata = compiled(protocol(r"(?<x>\d+) *", "<", " *>", None, regex=["close"]))
    reader = Reader(lift(automata.monitor, vocabulary())).read(b"<12  >")
    assert captures(automata, 0, reader.registers, b"<12  >") == {"x": b"12"}


def test_a_special_token_ends_a_call_that_a_longer_open_could_still_take() -> None:
    short, long = (
        protocol(None, "```", "`end", None, name="short", longest=True),
        protocol(None, name="long", handover=None),
    )
    words = vocabulary()
    reader = Reader(lift(compiled(short, long).monitor, words)).read([*b"x```sq", words.specials["<|eod|>"]])
    assert reader.events == [("open", 0, 4), ("abort", 0, 6)]
    reader = Reader(lift(compiled(short, long).monitor, words)).read(b"```s`end")
    assert reader.events == [("open", 0, 3), ("close", 0, 8), ("handover", 0, 8)]


def test_without_a_hand_over_the_close_gives_the_turn_away() -> None:
    automaton = lift(compiled(protocol(r"[a-z]+", "<calc>", "</calc>", None)).monitor, vocabulary())
    assert Reader(automaton).read(b"<calc>ab</calc> m").events == [
        ("open", 0, 6),
        ("close", 0, 15),
        ("handover", 0, 15),
    ]
    kinds = [kind for kind, _, _ in Reader(automaton).read(b"<calc>AB</calc>").events]
    assert kinds == ["open", "rejected", "malformed"]


def test_two_protocols_are_told_apart() -> None:
    automata = compiled(protocol(r"[a-z]+", name="one"), protocol(r"\d+", "<calc>", "</calc>", None, name="two"))
    words = vocabulary()
    found = Reader(lift(automata.monitor, words)).read([*b"<calc>12</calc>```sql\nab\n```", words.specials[DB]])
    assert [(kind, number) for kind, number, _ in found.events] == [
        ("open", 1),
        ("close", 1),
        ("handover", 1),
        ("open", 0),
        ("close", 0),
        ("handover", 0),
    ]


def test_the_literals_of_a_regex_are_no_special_case() -> None:
    one = compiled(protocol(r"[a-z]+", "```sql\\n", "\\n```", regex=["open", "close"])).monitor
    other = compiled(protocol(r"[a-z]+")).monitor
    assert one == other
    assert literal("a").value == "a"
