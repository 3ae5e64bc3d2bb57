"""Patterns: what is read, what is refused and where, Unicode classes, and automata against Python's `re`."""

import itertools
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.protocols import DB, SPECIALS, compiled, literal, protocol, refused

from lmc.compiler.pipeline import compile_spec
from lmc.compiler.protocols.checks import matches
from lmc.compiler.protocols.compile import ProtocolSource, compile_protocols
from lmc.compiler.protocols.nfa import build_nfa, utf8_ranges
from lmc.compiler.protocols.pattern import parse_pattern
from lmc.compiler.protocols.trees import sizes
from lmc.spec.automaton import Automata
from lmc.spec.codec import structure, unstructure
from lmc.spec.diagnostic import Diagnostics

ROOT = Path(__file__).parent.parent.parent


def takes(body: str, text: str | bytes) -> bool:
    pattern = parse_pattern(literal(body, "re"), Diagnostics())
    assert pattern is not None
    return matches(build_nfa(pattern), text.encode() if isinstance(text, str) else text)


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


def test_every_product_of_two_letters_is_decided_as_re_decides() -> None:
    for body in (r"(?:ab|b)*a?", r"(?:a{2}|b+){1,3}", r"(?:a|b?){0,2}b", r"(?:(?:a?)*b)+"):
        for size in range(7):
            for letters in itertools.product("ab", repeat=size):
                text = "".join(letters)
                assert takes(body, text) == bool(re.fullmatch(body, text)), (body, text)


CLASSES = [
    r"\d",
    r"\D",
    r"\w",
    r"\W",
    r"\s",
    r"\S",
    ".",
    r"[\d\-x]",
    r"[^\w\s]",
    r"[]a]",
    r"[^]a]",
    r"[a\]\-]",
    r"\x41",
]


@settings(max_examples=300)
@given(st.sampled_from(CLASSES), st.characters(exclude_categories=["Cs"]))
def test_classes_are_those_of_re_with_ascii_letters(body: str, char: str) -> None:
    assert takes(body, char) == bool(re.fullmatch(body, char, re.ASCII))


@settings(max_examples=400)
@given(st.sampled_from(["L", "Lu", "Ll", "N", "Nd", "P", "Pd", "S", "Sc", "Z", "Zs", "M"]), st.characters())
def test_categories_are_those_of_unicode(name: str, char: str) -> None:
    category = unicodedata.category(char)
    shipped = re.search(r"Unicode (\S+):", (ROOT / "grammars" / "unicode.txt").read_text("ascii"))
    assert shipped is not None
    stable = unicodedata.unidata_version == shipped.group(1) or ord(char) < 0x250
    if category != "Cs" and stable:
        assert takes(rf"\p{{{name}}}", char) == category.startswith(name)
        assert takes(rf"[^\p{{{name}}}]", char) == takes(rf"\P{{{name}}}", char) == (not category.startswith(name))


@settings(max_examples=300)
@given(st.characters(max_codepoint=0x17F, exclude_categories=["Cs"]), st.sampled_from("aZäÖsk1ß"))
def test_case_is_ignored_in_its_group_alone(char: str, letter: str) -> None:
    assert takes(f"(?i:{letter})", char) == bool(re.fullmatch(letter, char, re.IGNORECASE))
    assert takes(f"(?i:[{letter}])x{letter}", f"{letter.swapcase()[:1]}x{letter}") or letter == "ß"
    assert takes(f"(?i:x){letter}", f"X{letter}")
    assert not takes(f"(?i:x){letter}y", f"X{letter}Y")


def test_text_that_is_no_utf8_is_in_no_class() -> None:
    assert not takes(r"[\s\S]", b"\xff")
    assert not takes(r"[^a]", b"\xc3")
    assert not takes(r"\P{L}", b"\xed\xa0\x80")


@pytest.mark.parametrize(
    ("body", "size"),
    [
        ("abc", (3, 3)),
        ("a?b", (1, 2)),
        ("[aé]", (1, 2)),
        ("é{2,3}", (4, 6)),
        ("a*", (0, None)),
        ("(?:a|bcd)+", (1, None)),
    ],
)
def test_sizes_count_bytes(body: str, size: tuple[int, int | None]) -> None:
    pattern = parse_pattern(literal(body, "re"), Diagnostics())
    assert pattern is not None
    assert sizes(pattern) == size


REFUSED = [
    (protocol(r"FIND (.*?)"), "LM0604", "*?"),
    (protocol(r"(?=a)b"), "LM0603", "(?="),
    (protocol(r"^a"), "LM0605", "^"),
    (protocol(r"a\b"), "LM0605", r"\b"),
    (protocol(r"(?<x>a)\1"), "LM0602", r"\1"),
    (protocol(r"a{3,1}"), "LM0601", "{3,1}"),
    (protocol(r"[z-a]"), "LM0601", "[z-a]"),
    (protocol(r"[^\s\S]"), "LM0601", r"[^\s\S]"),
    (protocol(r"\q"), "LM0601", r"\q"),
    (protocol(r"[\xzz]"), "LM0601", r"[\xzz]"),
    (protocol(r"[\x4]"), "LM0601", r"[\x4]"),
    (protocol(r"[a\u12]"), "LM0601", r"[a\u12]"),
    (protocol(r"[a\p{L]"), "LM0601", r"[a\p{L]"),
    (protocol(r"[^]"), "LM0601", r"[^]"),
    (protocol(r"\ud800"), "LM0601", r"\ud800"),
    (protocol(r"a{9999999}"), "LM0601", "{9999999}"),
    (protocol("(" * 400 + "a" + ")" * 400), "LM0601", "(" * 400 + "a" + ")" * 400),
    (protocol(r"(?<a>x)|(?<a>y)"), "LM0601", "(?<a>"),
    (protocol(r"\p{Xx}"), "LM0601", r"\p{Xx}"),
    (protocol(r"a)"), "LM0601", ")"),
    (protocol(r"(ab"), "LM0601", "b"),
    (protocol(r"a{0,9}{0,99}"), "LM0601", "{"),
    (protocol(r"[^x]*"), "LM0606", r"[^x]*"),
    (protocol(r"(?<a>x*)(?<b>x*)"), "LM0607", r"(?<a>x*)(?<b>x*)"),
    (protocol(r"(?<a>x)", template="SELECT {a}"), "LM0610", "{a}"),
    (protocol(r"(?<b>a)", template="SELECT {a}"), "LM0611", "{a}"),
    (protocol(r"a", template="SELECT :b"), "LM0611", ":b"),
    (protocol(r"(?<a>x)", allow={"b": ["x"]}), "LM0611", "(?<a>x)"),
    (protocol(r"(?<a>[a-z]+)", allow={"a": ["x", "x_y"]}), "LM0614", "(?<a>[a-z]+)"),
    (protocol(r"(?<a>[a-z]+)", allow={"a": []}), "LM0614", "(?<a>[a-z]+)"),
    (protocol(r"a", handover="<|sudo|>"), "LM0609", "<|sudo|>"),
    (protocol(r"a", "<|user|>"), "LM0612", "<|user|>"),
    (protocol(r"a", "<|cal|>", "<|end|>", None, match="special"), "LM0609", "<|cal|>"),
    (protocol(r"a", told=[literal("a<|asistant|>")]), "LM0609", "<|asistant|>"),
    (protocol(r"a", handover=None, match="special"), "LM0612", "```sql\n"),
    (protocol(r"a", "x*", regex=["open"]), "LM0601", "x*"),
    (protocol(r"(?:a{0,999}b){0,999}"), "LM0613", r"(?:a{0,999}b){0,999}"),
    (protocol(r"(?:[ab]*a[ab]{16})"), "LM0613", r"(?:[ab]*a[ab]{16})"),
]


@pytest.mark.parametrize(("source", "code", "covered"), REFUSED, ids=[f"{c}-{t}" for _, c, t in REFUSED])
def test_what_is_refused_is_told_inside_the_literal(source: ProtocolSource, code: str, covered: str) -> None:
    (found,) = refused(source)
    assert found.code == code
    assert found.span is not None
    assert found.span.text == covered


OPENS = [
    ("```", "```sql\n"),
    ("sq", "```sql\n"),
    ("```sql\n", "```sql\n"),
]


@pytest.mark.parametrize(("first", "second"), OPENS)
def test_an_open_that_hides_another_is_refused(first: str, second: str) -> None:
    found = refused(protocol("a", first, name="one"), protocol("a", second, name="two"))
    assert {d.code for d in found} == {"LM0608"}


def test_longest_is_no_excuse_where_the_longer_open_cannot_be_read() -> None:
    inside = protocol("a", "sq", name="one", longest=True), protocol("a", "```sql\n", name="two")
    closes = protocol(None, "`", "sq", None, name="one", longest=True), protocol(None, "`sql\n", ";", None, name="two")
    for pair in (inside, closes):
        assert {d.code for d in refused(*pair)} == {"LM0608"}


HANDOVERS = [
    (protocol("[a-z]+", "<", ">", "<done>", match="text"), protocol("a", name="other")),
    (protocol("a", "<", ">", "DONE", match="text"), protocol("a", "DONE!", ".", None, name="other")),
]


@pytest.mark.parametrize("pair", HANDOVERS)
def test_a_hand_over_as_text_neither_hides_nor_is_hidden(pair: tuple[ProtocolSource, ProtocolSource]) -> None:
    assert {d.code for d in refused(*pair)} == {"LM0608"}


NESTED = "(?<a>x(?<b>[ab]))"


@pytest.mark.parametrize(
    ("source", "code", "covered"),
    [
        (protocol("a", handover="", match="text"), "LM0601", ""),
        (protocol("a", "<|call|>\n", "x", None), "LM0612", "<|call|>\n"),
        (protocol("a", r"<\|call\|>", "x", None, regex=["open"]), "LM0612", r"<\|call\|>"),
        (protocol("x`", "<", "``", None), "LM0616", "x`"),
        (protocol("x`", "<", "``", None, constrained=True), "LM0616", "x`"),
        (protocol(NESTED, allow={"a": ["xa"], "b": ["b"]}, constrained=True), "LM0616", NESTED),
        (protocol("[a-z]+", allow={"body": ["1"]}), "LM0614", "[a-z]+"),
    ],
)
def test_what_could_never_be_read_is_refused(source: ProtocolSource, code: str, covered: str) -> None:
    (found,) = refused(source)
    assert (found.code, found.span and found.span.text) == (code, covered)


def test_an_open_with_too_many_states_beside_another_is_one_message() -> None:
    found = refused(protocol("a", "a[ab]{17}", name="one", regex=["open"]), protocol("a", "x", name="two"))
    assert {d.code for d in found} == {"LM0613"}


def test_an_open_that_ends_another_does_not_hide_it() -> None:
    pair = [protocol("a", "sql\n", name="one"), protocol("a", "```sql\n", name="two")]
    assert compile_protocols(pair, SPECIALS, Diagnostics()) is not None


def test_a_special_token_may_be_spelt_like_anything() -> None:
    diagnostics = Diagnostics()
    assert compile_protocols([protocol("a", handover="</s>", match="both")], ["</s>"], diagnostics) is not None
    assert diagnostics.items == []


def test_two_protocols_cannot_share_a_special_open() -> None:
    one = protocol(None, "<|call|>", "<|end|>", None, match="special", name="one")
    two = protocol(None, "<|call|>", "x", None, match="special", name="two")
    assert {d.code for d in refused(one, two)} == {"LM0608"}


def test_all_mistakes_are_told_in_one_go() -> None:
    found = refused(protocol(r"a*?", name="one"), protocol(r"\q", "[", "]", "<|no|>", name="two"))
    assert sorted(d.code for d in found) == ["LM0601", "LM0604", "LM0609"]


SPOKEN_BY_NOTHING = """edition = 1
tokenizer bytes : byte { specials = ["<|eod|>"] }
protocol one : calculator {
  call { open = "<calc>", body = re"[0-9]+?", close = "</calc>" }
  expression = ":body"
}
protocol two : calculator {
  call { open = "<calc>", close = "<|eod|>" }
  expression = ":boddy"
}
"""


def test_a_protocol_that_nothing_speaks_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "x.lmspec"
    path.write_text(SPOKEN_BY_NOTHING, encoding="utf-8")
    found = compile_spec(path).diagnostics.items
    assert sorted(d.code for d in found) == ["LM0604", "LM0611", "LM0612"]
    assert {d.span.text for d in found if d.span} == {"+?", ":boddy", '"<|eod|>"'}


def test_automata_are_data() -> None:
    automata = compiled(protocol(r"FIND (?<a>[a-z]+)"))
    assert structure(unstructure(automata), Automata) == automata
    assert automata.protocols[0].handover == DB


def test_the_table_of_unicode_is_made_by_its_command() -> None:
    shipped = (ROOT / "grammars" / "unicode.txt").read_text("ascii")
    if f"Unicode {unicodedata.unidata_version}:" not in shipped:
        pytest.skip(f"this Python has Unicode {unicodedata.unidata_version}, the table another")
    made = subprocess.run([sys.executable, "-m", "lmc.compiler.protocols.unicode"], capture_output=True, text=True)
    assert made.stdout == shipped
