"""A point of a grid is the run that the same values written down give: its ids, nodes, values, name and plan text.

What points of a grid share is computed once, so each point is compared with a file of its own that has no grid.
"""

import itertools
import json
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from lmc.compiler.pipeline import compile_spec
from lmc.spec.codec import unstructure
from lmc.spec.plan import Plan, Point, closure
from lmc.spec.plan_text import parse_plan, plan_lines

TEXT = """
tokenizer bytes : byte { specials = ["<|user|>", "<|assistant|>", "<|eod|>"] }
tokenizer more : byte { specials = ["<|user|>", "<|assistant|>", "<|eod|>", "<|x|>"] }
store facts : sqlite { file = file("people.db"), table people : people { seed = 42 } }
data asked : dialogues {
  tokenizer = bytes, rows = facts.people, count = 8, templates = files("templates/*.txt"), seq_len = 64
}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
data verse : text { source = file("verse.txt"), tokenizer = bytes, seq_len = 2 * 16 }
model small : transformer { tokenizer = bytes, layers = 2, width = 32, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 100, batch = 8, schedule : cosine { warmup = 0.1 * steps } }
eval held : loss { run = base, split = "valid" }
eval other : loss { run = base, data = verse }
"""
AXES: dict[str, list[str]] = {
    "seed": ["0", "1", "2"],
    "batch": ["4", "8"],
    "steps": ["100", "50", "2k"],
    "optim.lr": ["1e-3", "0.002"],
    "optim": ["adamw { lr = 1e-2 }", "sgd { lr = 0.5 }", "adamw { betas = [0.9, 0.95] }"],
    "schedule.floor": ["0.0", "1e-4"],
    "ema": ["none", "0.99"],
    "data": ["book", "verse"],
    "data.seq_len": ["16", "2 * 16"],
    "model.width": ["16", "32", "64"],
    "model.layers": ["1", "2"],
    "model.mixer": ["attention { heads = 4 }", "gated {}"],
    "model.mlp.hidden": ["32", "64"],
    "model.positions": ["rope {}", "learned { length = 64 }", "rope { theta = 20k }"],
    "model.tied": ["true", "false"],
    "model.tokenizer": ["bytes"],
    "every.checkpoint": ["10", "20"],
}
SETS = ["optim.lr = 1e-3 * batch", "every.log = max(1, steps // 10)", "model.mlp.hidden = 2 * model.width", "seed = 7"]
BELOW = {"optim.lr": "optim", "data.seq_len": "data"}
"""Axes that would be lost where the axis of the block above is."""


@frozen
class Drawn:
    """A grid: its axes with their values, what its `set` says, and whether it is filtered and named."""

    axes: dict[str, list[str]]
    sets: tuple[str, ...]
    where: bool
    named: bool

    def text(self) -> str:
        over = "".join(f"    {path} = [{', '.join(values)}]\n" for path, values in self.axes.items())
        parts = [f"  base = base\n  over {{\n{over}  }}"]
        if self.sets:
            parts.append(f"  set {{ {', '.join(self.sets)} }}")
        if self.where:
            parts.append("  where = batch * model.width < 512 or seed == 1")
        if self.named:
            parts.append('  name = f"w{model.width}-b{batch:03d}-s{seed}-{optim.lr:.2e}"')
        return "grid sweep {\n" + "\n".join(parts) + "\n}\n"

    def points(self) -> list[tuple[str, ...]]:
        """The settings that give each point, in order; later ones win, as `set` wins over axes."""
        chosen = itertools.product(*([f"{path} = {value}" for value in held] for path, held in self.axes.items()))
        return [(*point, *self.sets) for point in chosen]


@st.composite
def grids(draw: st.DrawFn) -> Drawn:
    paths = draw(st.lists(st.sampled_from(list(AXES)), min_size=1, max_size=4, unique=True))
    paths = [path for path in paths if BELOW.get(path) not in paths]
    axes = {path: draw(st.lists(st.sampled_from(AXES[path]), min_size=1, max_size=3, unique=True)) for path in paths}
    sets = draw(st.lists(st.sampled_from(SETS), max_size=2, unique=True))
    return Drawn(axes, tuple(sets), draw(st.booleans()), draw(st.booleans()))


def compiled(folder: Path, text: str) -> Plan:
    path = folder / "case.lmspec"
    path.write_text(text, encoding="utf-8")
    found = compile_spec(path)
    assert found.plan is not None, (text, [(d.code, d.message) for d in found.diagnostics.items])
    return found.plan


def alone(folder: Path, written: tuple[str, ...]) -> tuple[Plan, Point]:
    """Compile a run whose values are written into it."""
    last = {line.partition(" = ")[0]: line for line in written}
    text = TEXT + "train point : base {\n" + "".join(f"  {line}\n" for line in last.values()) + "}\n"
    plan = compiled(folder, text.replace("run = base", "run = point"))
    return plan, next(point for point in plan.points if point.grid == "point")


def needed(plan: Plan, point: Point) -> dict[str, Any]:
    """The nodes of a point by id, as plain JSON values."""
    ids = closure(plan.nodes, [point.run, *point.evals.values()])
    return {node_id: json.loads(json.dumps(unstructure(plan.nodes[node_id].spec))) for node_id in ids}


@settings(max_examples=25, deadline=None)
@given(grids())
def test_a_point_is_the_run_with_the_same_values(tmp_path_factory: Any, drawn: Drawn) -> None:
    folder = tmp_path_factory.mktemp("grid")
    expected = []
    first: dict[str, Any] = {}
    for written in drawn.points():
        plan, point = alone(folder, written)
        train = plan.nodes[point.run].spec
        width = plan.nodes[train.model].spec.width
        if drawn.where and not (train.batch * width < 512 or train.seed == 1):
            continue
        name = f"w{width}-b{train.batch:03d}-s{train.seed}-{float(train.optim.lr):.2e}"
        expected.append((name, point))
        for node_id, node in needed(plan, point).items():
            first.setdefault(node_id, node)
    if not expected:
        return
    named = drawn.named and len({name for name, _ in expected}) == len(expected)
    whole = compiled(folder, TEXT + evolve(drawn, named=named).text())
    points = [point for point in whole.points if point.grid == "sweep"]
    assert len(points) == len(expected)
    for point, (name, own) in zip(points, expected, strict=True):
        assert (point.run, point.evals) == (own.run, own.evals)
        assert needed(whole, point).items() <= first.items()
        assert {key: point.values[key] for key in own.values} == own.values
        if named:
            assert point.name == name


@settings(max_examples=40, deadline=None)
@given(grids())
def test_what_is_written_of_a_grid_is_what_is_read(tmp_path_factory: Any, drawn: Drawn) -> None:
    plan = compiled(tmp_path_factory.mktemp("grid"), TEXT + evolve(drawn, where=False, named=False).text())
    assert parse_plan(plan_lines(plan), "plan.jsonl") == plan
