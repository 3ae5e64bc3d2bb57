"""Looking at few points of a grid: every value of every axis once, and no claim about the rest."""

from pathlib import Path

import pytest

from lmc.compiler.pipeline import load_program
from lmc.compiler.plan.build import PlanBuilder
from lmc.compiler.resolve.declare import Loader
from lmc.compiler.resolve.grids import Grid
from lmc.compiler.resolve.samples import MOST_VALUES, few_points
from lmc.spec.diagnostic import Diagnostics
from lmc.spec.plan import Header

BASE = """\
edition = 1
tokenizer bytes : byte { specials = ["<|eod|>"] }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
model tiny : transformer { tokenizer = bytes, layers = 1, width = 32, mixer : attention { heads = 4 } }
train base { model = tiny, data = book, steps = 10, batch = 2 }
"""


def built(path: Path, text: str, walk: object) -> PlanBuilder:
    path.write_text(BASE + text, encoding="utf-8")
    program = load_program(Loader(Diagnostics()), path)
    assert program is not None
    builder = PlanBuilder(program, walk=walk)  # type: ignore[arg-type]
    builder.build(Header("x", str(path.parent), (), (), ()))
    return builder


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("over { batch = [1, 2, 3], optim.lr = [1e-3, 1e-4] }, seeds = range(5)", 1 + 2 + 1 + 4),
        ("zip { batch = [1, 2, 3], optim.lr = [1e-3, 1e-4, 1e-5] }, seeds = range(2)", 1 + 2 + 1),
        ("over { model.mixer = [attention { heads = 2 }, gated {}], batch = [1, 2] }", 1 + 1 + 1),
        ("seeds = range(1000)", MOST_VALUES),
        ("batch = 3", 1),
    ],
)
def test_every_value_is_looked_at_and_few_points_are(tmp_path: Path, text: str, count: int) -> None:
    builder = built(tmp_path / "a.lmspec", f"grid g {{ base = base, {text} }}", Grid.points)
    grid = builder.grids["g"]
    seen = [tuple(values) for _, values in few_points(grid)]
    assert len(seen) == count
    assert len(set(seen)) == count
    for number, axis in enumerate(grid.axes):
        met = {id(values[number]) for values in seen}
        if len(axis.values) <= MOST_VALUES:
            assert met == {id(value) for value in axis.values}
        else:
            assert {id(axis.values[0]), id(axis.values[-1])} <= met
    every = [tuple(values) for _, values in grid.points()]
    assert set(seen) <= set(every)
    assert seen[0] == every[0]


def test_few_points_make_the_specs_that_all_make(tmp_path: Path) -> None:
    text = "grid g { base = base, over { batch = [1, 2], model.width = [32, 64] }, seeds = range(2) }"
    every, few = (built(tmp_path / "a.lmspec", text, walk) for walk in (Grid.points, few_points))
    assert len(few.points) == 1 + 4
    assert {point.run for point in few.points} < {point.run for point in every.points}
    assert all(every.nodes[point.run] == few.nodes[point.run] for point in few.points)


def test_what_was_not_looked_at_is_not_told(tmp_path: Path) -> None:
    """The first point and its neighbours are filtered away: no mistake as long as others have not been seen."""
    where = "where = batch == 2 and model.width == 64"
    text = f"grid g {{ base = base, over {{ batch = [1, 2], model.width = [32, 64] }}, {where} }}"
    builder = built(tmp_path / "a.lmspec", text, few_points)
    assert builder.diagnostics.items == []
    assert [point for point in builder.points if point.grid == "g"] == []
    text = text.replace("model.width == 64", "model.width == 65")
    assert [d.code for d in built(tmp_path / "a.lmspec", text, few_points).diagnostics.items] == []
    assert [d.code for d in built(tmp_path / "a.lmspec", text, Grid.points).diagnostics.items] == ["LM0502"]


def test_a_mistake_of_few_points_is_told_without_a_count(tmp_path: Path) -> None:
    text = "grid g { base = base, over { model.width = [30, 32], batch = [1, 2] } }"
    (found,) = built(tmp_path / "a.lmspec", text, few_points).diagnostics.items
    assert found.code == "LM0507"
    assert found.message.startswith("points of grid `g` fail LM0401")
    (found,) = built(tmp_path / "a.lmspec", text, Grid.points).diagnostics.items
    assert found.message.startswith("2 of 4 points of grid `g` fail LM0401")


def test_automata_are_kept_from_one_check_to_the_next(tmp_path: Path) -> None:
    text = (
        'protocol ask : calculator { call { open = "<<", body = re"(?<e>[0-9+]{1,8})", close = ">>" }, '
        'expression = ":e", reply { suffix = "" } }\n'
    )
    path = tmp_path / "a.lmspec"
    first = built(path, text, Grid.points)
    assert first.diagnostics.items == []
    assert len(first.spoken) == 1
    path.write_text("\n\n" + BASE + text, encoding="utf-8")
    program = load_program(Loader(Diagnostics()), path)
    assert program is not None
    again = PlanBuilder(program, spoken=first.spoken)
    again.build(Header("x", str(tmp_path), (), (), ()))
    assert len(again.spoken) == 1
    changed = built(path, text.replace("{1,8}", "{1,9}"), Grid.points)
    assert set(changed.spoken) != set(first.spoken)
