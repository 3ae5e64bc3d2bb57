"""Mixtures: shares hold at every prefix, parts keep their order, any position can be begun at; ranks share a step."""

from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmc.compiler.cli import main
from lmc.compiler.pipeline import compile_spec
from lmc.runtime.data.batch import Example
from lmc.runtime.data.dataset import Split
from lmc.runtime.data.mixture import MixtureDataset, build_mixture
from lmc.runtime.data.order import Draw, draws, mix, permute
from lmc.runtime.data.shares import assign
from lmc.runtime.graph import wire
from lmc.runtime.inputs import InputDigests
from lmc.spec.data import Mixture, Order, Part
from lmc.spec.plan import Plan, references

WEIGHTS = st.lists(st.one_of(st.integers(0, 30), st.integers(0, 500).map(lambda w: w / 100)), min_size=1, max_size=6)


def shares_of(weights: list[float]) -> list[Fraction]:
    exact = [Fraction(repr(weight)) for weight in weights]
    return [weight / sum(exact) for weight in exact]


def wanted(first: list[float], last: list[float], over: int, n: int) -> list[Fraction]:
    """The sum of the shares of each part over n examples, one by one: a straight line, then flat."""
    total = [Fraction(0)] * len(first)
    for at in range(n):
        moved = min(Fraction(2 * at + 1, 2 * over), Fraction(1)) if over else Fraction(1)
        for p, (a, b) in enumerate(zip(shares_of(first), shares_of(last), strict=True)):
            total[p] += a + (b - a) * moved
    return total


@settings(max_examples=60, deadline=None)
@given(st.data(), WEIGHTS.filter(sum), st.sampled_from([0, 1, 7, 60]), st.integers(0, 2**40))
def test_shares_hold_within_one_example_at_every_prefix(
    data: st.DataObject, first: list[float], over: int, seed: int
) -> None:
    last = first
    if over:
        size = len(first)
        last = data.draw(st.lists(st.integers(0, 30), min_size=size, max_size=size).filter(sum))
    shares = assign(first, last, over, seed)
    counts = [0] * len(first)
    total = [Fraction(0)] * len(first)
    ends = list(zip(shares_of(first), shares_of(last), strict=True))
    for n in range(200):
        part, place = shares.of(n)
        assert place == counts[part]
        counts[part] += 1
        moved = min(Fraction(2 * n + 1, 2 * over), Fraction(1)) if over else Fraction(1)
        total = [sum_ + a + (b - a) * moved for sum_, (a, b) in zip(total, ends, strict=True)]
        assert all(abs(count - sum_) < 1 for count, sum_ in zip(counts, total, strict=True))


def test_the_assignment_goes_on_for_ever() -> None:
    for first, last, over in (([7, 2, 1], [7, 2, 1], 0), ([0.3, 0.5, 0.2], [0.25, 0.35, 0.4], 77)):
        shares = assign(first, last, over, 0)
        for n in (10**3, 10**9 + 7, 10**15):
            counts = [0] * 3
            for at in range(n, n + 20):
                part, place = shares.of(at)
                counts[part] = place + 1
            exact = [
                (a + b) / 2 * over + b * (n + 20 - over) for a, b in zip(shares_of(first), shares_of(last), strict=True)
            ]
            assert all(abs(c - e) < 1 for c, e in zip(counts, exact, strict=True) if c)
            assert sum(bool(c) for c in counts) >= 2


def test_the_sum_of_shares_is_that_of_a_straight_line() -> None:
    first, last = [3.0, 1.0], [1.0, 3.0]
    shares = assign(first, last, 1000, 0)
    for n in (1, 10, 500, 1000, 1500):
        counts = Counter(shares.of(at)[0] for at in range(n))
        assert all(abs(counts[p] - want) < 1 for p, want in enumerate(wanted(first, last, 1000, n)))


def test_fine_weights_are_read_as_they_are_meant() -> None:
    third = assign([0.3333333333333333, 0.6666666666666666], [1 / 3, 2 / 3], 0, 0)
    assert len(third.part) == 3
    odd = assign([0.123456789, 1.0], [0.123456789, 1.0], 0, 0)
    assert len(odd.part) == 10**6
    assert abs(odd.period[0] - 10**6 * 0.123456789 / 1.123456789) < 1


class Numbered:
    """A data set whose example i says i and who says it."""

    def __init__(self, name: int, count: int, order: Order = "shuffle", seed: int = 0) -> None:
        self.name, self.count, self.order, self.seed = name, count, order, seed

    def size(self, split: Split) -> int:
        return self.count if split == "train" else 2

    def example(self, split: Split, draw: Draw) -> Example:
        tokens = np.array([self.name, draw.index, draw.number], dtype=np.int32)
        return Example(tokens, np.array([True, True, False]))

    def bytes_trained(self, split: Split, index: int) -> int:
        return 100 * self.name + index

    def describe(self, batch: int = 128) -> str:
        return f"{self.count} numbers"


def mixture(over: int | None = None) -> MixtureDataset:
    parts = {
        "a": Part(data="x", weight=0.7, weight_end=0.1 if over else None),
        "b": Part(data="y", weight=0.2),
        "c": Part(data="z", weight=0.1),
    }
    spec = Mixture(tokenizer="t", seq_len=3, parts=parts, over=over, read=("x", "y", "z"))
    return build_mixture(spec, (Numbered(0, 30), Numbered(1, 11, "replace"), Numbered(2, 4, seed=5)))


def seen(data: MixtureDataset, seed: int, start: int, count: int) -> list[list[int]]:
    chosen = draws(data.order, seed, start, count, data.size("train"))
    return [data.example("train", draw).tokens.tolist() for draw in chosen]


@pytest.mark.parametrize("over", [None, 90])
def test_a_mixture_goes_on_from_any_position(over: int | None) -> None:
    whole = seen(mixture(over), 3, 0, 300)
    for start in (0, 1, 89, 90, 91, 200):
        assert seen(mixture(over), 3, start, 50) == whole[start : start + 50]
    other = seen(mixture(over), 4, 0, 300)
    assert [name for name, *_ in other] == [name for name, *_ in whole]
    assert other != whole


def test_each_part_goes_through_its_own_examples() -> None:
    found = seen(mixture(), 3, 0, 1000)
    assert Counter(name for name, *_ in found) == {0: 700, 1: 200, 2: 100}
    for name, size in ((0, 30), (2, 4)):
        mine = [index for part, index, _ in found if part == name]
        epochs = [mine[at : at + size] for at in range(0, len(mine) - size, size)]
        assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) > 1
        assert [number for part, _, number in found if part == name] == list(range(len(mine)))


def test_by_index_the_parts_lie_one_behind_the_other() -> None:
    data = mixture()
    assert (data.size("train"), data.size("valid")) == (45, 6)
    names = [data.example("train", Draw(i, i)).tokens.tolist()[:2] for i in range(45)]
    assert names == [[0, i] for i in range(30)] + [[1, i] for i in range(11)] + [[2, i] for i in range(4)]
    assert [data.bytes_trained("valid", i) for i in range(6)] == [0, 1, 100, 101, 200, 201]
    told = mixture(90).describe()
    assert "a (0.7 to 0.1): 30 numbers" in told
    assert "90 examples" in told


@given(st.sampled_from(["shuffle", "replace"]), st.integers(1, 40), st.integers(0, 99), st.integers(1, 6))
def test_ranks_share_a_step(order: Order, count: int, start: int, ranks: int) -> None:
    whole = list(draws(order, 7, start, count, 50))
    mine = [list(draws(order, 7, start, count, 50, rank=rank, ranks=ranks)) for rank in range(ranks)]
    assert sorted((d for part in mine for d in part), key=lambda d: d.number) == whole
    assert max(map(len, mine)) - min(map(len, mine)) <= 1
    with pytest.raises(ValueError, match="no rank"):
        list(draws(order, 7, start, count, 50, rank=ranks, ranks=ranks))


@given(st.integers(1, 2000), st.integers(0, 2**64 - 1), st.integers(0, 5000), st.integers(1, 3))
def test_many_draws_are_those_of_one_at_a_time(size: int, seed: int, start: int, ranks: int) -> None:
    found = list(draws("shuffle", seed, start, 200, size, rank=0, ranks=ranks))
    assert found == [
        Draw(permute(n % size, size, mix(mix(seed) ^ n // size)), n, seed) for n in range(start, start + 200, ranks)
    ]


SPEC = """edition = 1
tokenizer bytes : byte { specials = ["<|eod|>"] }
tokenizer other : byte {}
data book : text { source = file("a.txt"), tokenizer = bytes, seq_len = 8 }
data poem : text { source = file("b.txt"), tokenizer = bytes, seq_len = 8 }
data both : mixture {
  tokenizer = bytes, seq_len = 8
  part prose { data = book, weight = 0.75 }
  part verse { data = poem, weight = 0.25 }
}
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = both, steps = 4, batch = 4 }
"""


def compiled(text: str, folder: Path) -> Plan:
    (folder / "a.lmspec").write_text(text, encoding="utf-8")
    found = compile_spec(folder / "a.lmspec")
    assert found.plan is not None, found.diagnostics.items
    return found.plan


@pytest.mark.parametrize(
    ("change", "code", "words", "where"),
    [
        (("data = book,", "data = book, weight_end = 1,"), "LM0309", "needs `over`", "1"),
        (("seq_len = 8\n  part", "seq_len = 8, over = 9\n  part"), "LM0309", "no part has `weight_end`", "9"),
        (
            ("tokenizer = bytes, seq_len = 8\n  part", "tokenizer = other, seq_len = 8\n  part"),
            "LM0406",
            "prose",
            "book",
        ),
        (("seq_len = 8\n  part", "seq_len = 7\n  part"), "LM0303", "up to 8 tokens", "7"),
        (("weight = 0.75", "weight = 0.0, weight_end = 0.0"), "LM0309", "needs `over`", "0.0"),
        (("weight = 0.75", "weight = -1"), "LM0303", "at least 0", "-1"),
        (("weight = 0.25", "weigh = 0.25"), "LM0203", "`weight`", "weigh"),
        (("part verse", "part"), "LM0210", "named", "part"),
    ],
)
def test_mistakes_are_found_by_the_compiler(
    change: tuple[str, str], code: str, words: str, where: str, tmp_path: Path
) -> None:
    assert change[0] in SPEC
    (tmp_path / "a.lmspec").write_text(SPEC.replace(*change), encoding="utf-8")
    (found, *_) = compile_spec(tmp_path / "a.lmspec").diagnostics.items
    assert found.code == code
    assert words in f"{found.message} {found.help}"
    assert found.span is not None
    assert found.span.text == where


def test_weights_that_sum_to_nothing_are_told(tmp_path: Path) -> None:
    text = SPEC.replace("weight = 0.75", "weight = 0.0").replace("weight = 0.25", "weight = 0.0")
    (tmp_path / "a.lmspec").write_text(text, encoding="utf-8")
    (found, *_) = compile_spec(tmp_path / "a.lmspec").diagnostics.items
    assert "sum to 0" in found.message


def test_a_mixture_is_known_by_its_parts_and_not_by_their_order(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"text {name} " * 20, encoding="utf-8")
    plan = compiled(SPEC, tmp_path)
    run = plan.points[0].run
    data = plan.nodes[plan.nodes[run].spec.data]
    assert set(data.spec.read) <= set(references(data.spec))
    assert [part.node.name for part in wire(plan)[data.id].read] == ["book", "poem"]  # type: ignore[attr-defined]
    digest = InputDigests(plan).of(run)
    (tmp_path / "b.txt").write_text("another text " * 20, encoding="utf-8")
    assert InputDigests(plan).of(run) != digest
    prose = "  part prose { data = book, weight = 0.75 }\n"
    assert compiled(SPEC.replace(prose, "").replace("0.25 }\n", "0.25 }\n" + prose), tmp_path).points[0].run == run
    assert compiled(SPEC.replace("0.75", "0.5"), tmp_path).points[0].run != run
    moving = SPEC.replace("weight = 0.75", "weight = 0.75, weight_end = 0.1")
    moved = compiled(moving.replace("batch = 4 }", "batch = 4, data.over = steps * batch }"), tmp_path)
    assert moved.nodes[moved.nodes[moved.points[0].run].spec.data].spec.over == 16


def test_a_run_trains_and_is_evaluated_on_a_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"text {name} " * 20, encoding="utf-8")
    (tmp_path / "a.lmspec").write_text(SPEC + "eval held_out : loss { run = base }\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["run", "a.lmspec", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "mixture of 2 parts; prose (0.75): text of" in said
    assert "held_out done" in said
