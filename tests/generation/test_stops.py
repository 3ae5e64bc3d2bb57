"""Stop strings: what the tables say of tokens is what a search in the bytes finds."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.protocols import AT_HAND, named

from lmc.runtime.generation.stops import StopStrings, advance_rows, cut, lift_stops

CPU = torch.device("cpu")
ALPHABET = "abé\n"
BYTES = [bytes([b]) for b in sorted(set(ALPHABET.encode()))]
"""Single bytes of the alphabet; those of `é` alone are no UTF-8."""

STRINGS = st.lists(st.text(ALPHABET, min_size=1, max_size=5), max_size=6)
LONGER = st.lists(
    st.one_of(st.text(ALPHABET, max_size=8).map(str.encode), st.binary(max_size=3), st.none()), max_size=8
)


def completes(before: bytes, token: bytes, string: str) -> bool:
    """Whether an occurrence of the string ends inside the token."""
    text, sought = before + token, string.encode()
    at = text.find(sought)
    while at >= 0 and at + len(sought) <= len(before):
        at = text.find(sought, at + 1)
    return at >= 0


class Searched:
    """A row that keeps its bytes and searches them."""

    def __init__(self, strings: list[str]) -> None:
        self.strings, self.text = strings, b""

    def read(self, token: bytes | None) -> bool:
        if token is None:
            self.text = b""
            return False
        hit = any(completes(self.text, token, string) for string in self.strings)
        self.text += token
        return hit


@settings(max_examples=200, deadline=None)
@given(STRINGS, LONGER, st.data())
def test_rows_hit_where_a_search_finds_their_own_strings(
    strings: list[str], longer: list[bytes | None], data: st.DataObject
) -> None:
    vocabulary: list[bytes | None] = [*BYTES, *longer, None, *(string.encode() for string in strings)]
    rows = data.draw(st.integers(1, 4))
    stops = StopStrings(strings, vocabulary, 5, CPU)
    own = [data.draw(st.lists(st.sampled_from(strings), max_size=3)) if strings else [] for _ in range(rows)]
    searched = [Searched(listed) for listed in own]
    for row, listed in enumerate(own):
        stops.put(row, listed)
    tokens = st.lists(st.integers(0, len(vocabulary) - 1), min_size=rows, max_size=rows)
    for _ in range(data.draw(st.integers(0, 12))):
        drawn = data.draw(tokens)
        active = data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
        expected = [going and row.read(vocabulary[t]) for going, row, t in zip(active, searched, drawn, strict=True)]
        given = torch.tensor(drawn), torch.tensor(active)
        before = stops.states[:rows].clone()
        in_tensors = advance_rows(stops.tables, stops.num_columns, stops.nothing, before, stops.wanted[:rows], *given)
        assert stops.advance(*given).tolist() == expected == in_tensors[1].tolist()
        assert torch.equal(stops.states[:rows], in_tensors[0])


@settings(max_examples=200, deadline=None)
@given(STRINGS, LONGER, st.lists(st.integers(0, 20), max_size=10))
def test_the_table_names_every_string_completed_inside_a_token(
    strings: list[str], longer: list[bytes | None], drawn: list[int]
) -> None:
    strings = list(dict.fromkeys(strings))
    vocabulary = [*BYTES, *longer]
    automaton = lift_stops([string.encode() for string in strings], vocabulary)
    state, text = 0, b""
    for token in (number % len(vocabulary) for number in drawn):
        move = automaton.table[state, automaton.columns[token]]
        state, hits, given = int(automaton.next_states[move]), int(automaton.hits[move]), vocabulary[token]
        found = [string for bit, string in enumerate(strings) if hits >> bit & 1]
        assert found == [string for string in strings if given is not None and completes(text, given, string)]
        text = b"" if given is None else text + given


@settings(max_examples=200, deadline=None)
@given(STRINGS, st.text(ALPHABET, max_size=12))
def test_a_cut_is_where_the_first_complete_string_begins(strings: list[str], text: str) -> None:
    data = text.encode()
    ends = [end for end in range(len(data) + 1) if any(data[:end].endswith(s.encode()) for s in strings)]
    if not ends:
        assert cut(data, strings) is None
        return
    longest = max(len(s.encode()) for s in strings if data[: ends[0]].endswith(s.encode()))
    assert cut(data, strings) == ends[0] - longest


def test_the_first_to_be_complete_is_cut_not_the_first_to_begin() -> None:
    assert cut(b"xabcdy", ["abcdy", "cd"]) == 3
    assert cut(b"xabcdy", ["cd", "abcd"]) == 1
    assert cut(b"xabcdy", ["dc"]) is None
    assert cut(b"\xffab\xc3", ["b"]) == 2


def read(stops: StopStrings, *tokens: int, rows: int = 1) -> list[list[bool]]:
    """What each token does, given to all rows."""
    active = torch.ones(rows, dtype=torch.bool)
    return [stops.advance(torch.full((rows,), token), active).tolist() for token in tokens]


def test_rows_are_put_moved_and_restarted() -> None:
    stops = StopStrings(["ab", "b"], [b"a", b"b", None], 3, CPU)
    assert read(stops, 0, 1, rows=3) == [[False] * 3] * 2
    stops.put(0, ["ab"])
    assert read(stops, 0) == [[False]]
    stops.move(0, 2)
    stops.restart(0)
    assert read(stops, 1, rows=3) == [[False, False, True]]
    stops.put(0, ["ab"])
    stops.put(1, ["b"])
    assert read(stops, 0, 2, 1, rows=2) == [[False, False], [False, False], [False, True]]
    assert read(stops, 0) == [[False]]
    stops.put(0, ["ab"])
    assert read(stops, 1) == [[False]]
    stops.put(0, ["ab", "b"])
    stops.put(1, [])
    assert read(stops, 1, 0, 1, rows=2) == [[True, False], [False, False], [True, False]]


def test_a_row_that_is_not_active_keeps_what_it_has_read() -> None:
    stops = StopStrings(["ab"], [b"a", b"b", b"c"], 2, CPU)
    stops.put(0, ["ab"])
    stops.put(1, ["ab"])
    assert read(stops, 0, rows=2) == [[False, False]]
    assert stops.advance(torch.tensor([2, 2]), torch.tensor([True, False])).tolist() == [False, False]
    assert read(stops, 1, rows=2) == [[False, True]]


def test_sixty_three_distinct_strings_are_watched_and_no_more() -> None:
    texts = [chr(0x100 + number) for number in range(64)]
    vocabulary = [text.encode() for text in texts]
    stops = StopStrings(texts[:63] * 2, vocabulary, 63, CPU)
    for row in range(63):
        stops.put(row, [texts[row]])
    hits = [stops.advance(torch.full((63,), token), torch.ones(63, dtype=torch.bool)) for token in range(64)]
    assert torch.equal(torch.stack(hits), torch.eye(64, dtype=torch.bool)[:, :63])
    with pytest.raises(ValueError, match="64 distinct stop strings; one run watches at most 63"):
        StopStrings(texts, vocabulary, 1, CPU)


def test_what_cannot_be_watched_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one character"):
        StopStrings(["a", ""], [b"a"], 1, CPU)
    with pytest.raises(KeyError, match="b"):
        StopStrings(["a"], [b"a"], 1, CPU).put(0, ["b"])


def test_no_strings_never_hit() -> None:
    stops = StopStrings([], [b"a", None], 1, CPU)
    stops.put(0, [])
    assert read(stops, 0, 1, 0) == [[False]] * 3


@pytest.mark.parametrize("base", ["bpe", *AT_HAND])
def test_a_large_vocabulary_is_lifted_fast_into_small_tables(base: str) -> None:
    vocabulary = named(base).texts
    strings = ["\n\nQuestion:", "Question: ", "</answer>\n", "\n\n\n", "naïve\r\n€"]
    seconds = []
    for _ in range(3):
        start = time.process_time()
        automaton = lift_stops([string.encode() for string in strings], vocabulary)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.5
    assert automaton.nbytes < 4 * (len(vocabulary) + 1) + 2**18
    rng = np.random.default_rng(0)
    likely = [number for number, text in enumerate(vocabulary) if text and set(text) & set("Q\n<€".encode())]
    state, text = 0, b""
    for token in rng.choice(likely, 2000).tolist():
        move = automaton.table[state, automaton.columns[token]]
        found = [s for bit, s in enumerate(strings) if int(automaton.hits[move]) >> bit & 1]
        given = vocabulary[token] or b""
        assert found == [s for s in strings if completes(text, given, s)]
        state, text = int(automaton.next_states[move]), (text + given)[-64:]
