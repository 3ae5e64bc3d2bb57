"""Stages in the compiler: what they are amended to, what they may set, and what they change of a run's identity."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lmc.compiler.pipeline import Compiled, compile_spec
from lmc.compiler.plan.why import explain_value
from lmc.runtime.graph import wire
from lmc.runtime.inputs import InputDigests
from lmc.spec.canonical import Texts
from lmc.spec.identity import meaning
from lmc.spec.plan import Plan, closure
from lmc.spec.plan_text import parse_plan, plan_lines
from lmc.spec.schedule import Cosine
from lmc.spec.train import Train

SPEC = """
edition = 1
tokenizer bytes : byte {}
tokenizer marked : byte { specials = ["<|x|>"] }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
data verse : text { source = file("verse.txt"), tokenizer = bytes, seq_len = 2 * 12 }
data strange : text { source = file("verse.txt"), tokenizer = marked, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 16, mixer : attention { heads = 2 } }
train base {
  model = small, data = book, batch = 4
  optim : adamw { lr = 1e-2 }
  schedule : cosine { warmup = 0.1 * steps, floor = 1e-3 }
  stage short { steps = 20 }
  stage wide {
    steps = 10
    batch = 64 // data.seq_len
    data.seq_len = 32
    model { positions { theta = 50k } }
    schedule : cosine { warmup = 0.2 * steps }
    optim.lr = 2e-3
  }
  stage moved { tokens = 960, data = verse }
}
eval held : loss { run = base }
"""


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "book.txt").write_text("It was a dark and stormy night. " * 60, encoding="utf-8")
    (tmp_path / "verse.txt").write_text("The rain it raineth every day. " * 60, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def compiled(text: str, *settings: str) -> Compiled:
    Path("case.lmspec").write_text(text, encoding="utf-8")
    return compile_spec(Path("case.lmspec"), settings=settings)


def planned(text: str, *settings: str) -> Plan:
    found = compiled(text, *settings)
    assert found.plan is not None, [d.message for d in found.diagnostics.items]
    return found.plan


def run_of(plan: Plan, number: int = 0) -> Any:
    return plan.nodes[plan.points[number].run].spec


def test_each_stage_is_the_train_with_its_own_edits() -> None:
    plan = planned(SPEC)
    run = run_of(plan)
    assert (run.steps, run.tokens, run.schedule.warmup) == (40, 1280 + 640 + 960, 4)
    short, wide, moved = run.stages
    assert [s.name for s in run.stages] == ["short", "wide", "moved"]
    assert [(s.steps, s.tokens, s.batch) for s in run.stages] == [(20, 1280, 4), (10, 640, 2), (10, 960, 4)]
    assert [s.block for s in run.stages] == [0, 0, 1]
    assert [s.lr for s in run.stages] == [1e-2, 2e-3, 1e-2]
    assert [s.schedule for s in run.stages] == [None, Cosine(warmup=2, floor=1e-3), None]
    assert [plan.nodes[s.data].spec.seq_len for s in run.stages] == [16, 32, 24]
    assert [plan.nodes[s.model].spec.positions.theta for s in run.stages] == [1e4, 5e4, 1e4]
    assert short.data == run.data == plan.nodes[plan.points[0].run].spec.data
    assert moved.data != wide.data
    assert plan.nodes[plan.points[0].evals["held"]].spec.data is None


def test_a_plan_with_stages_is_read_back_and_wired() -> None:
    plan = planned(SPEC)
    lines = list(plan_lines(plan))
    again = parse_plan(lines, "plan")
    assert again.nodes == plan.nodes
    run = plan.points[0].run
    needed = closure(plan.nodes, [run])
    assert {s.data for s in run_of(plan).stages} | {s.model for s in run_of(plan).stages} <= set(needed)
    node: Any = wire(again)[run]
    assert [c.node.id for c in node.staged_data] == [s.data for s in run_of(plan).stages]
    assert [c.node.id for c in node.staged_models] == [s.model for s in run_of(plan).stages]


def test_the_text_of_a_stage_is_an_input_of_the_run() -> None:
    plan = planned(SPEC)
    before = InputDigests(plan).of(plan.points[0].run)
    Path("verse.txt").write_text("another text " * 60, encoding="utf-8")
    assert InputDigests(plan).of(plan.points[0].run) != before


def test_what_changes_what_a_run_is() -> None:
    def run(text: str) -> str:
        return planned(text).points[0].run

    first = run(SPEC)
    for old, new in (
        ("steps = 20", "steps = 21"),
        ("data.seq_len = 32", "data.seq_len = 64"),
        ("theta = 50k", "theta = 60k"),
        ("0.2 * steps", "0.3 * steps"),
        ("lr = 2e-3", "lr = 3e-3"),
        ("data = verse", 'data : text { source = file("book.txt"), tokenizer = bytes, seq_len = 24 }'),
    ):
        assert old in SPEC
        assert run(SPEC.replace(old, new)) != first, old
    for old, new in (("stage short", "stage brief"), ("steps = 20 }", "steps = 20, micro_batch = 2 }")):
        assert run(SPEC.replace(old, new)) == first, old
    lines = SPEC.split("\n")
    at = next(n for n, line in enumerate(lines) if "stage short" in line)
    swapped = [*lines[:at], *lines[at + 1 : -3], lines[at], *lines[-3:]]
    assert run("\n".join(swapped)) != first


def test_a_train_without_stages_says_nothing_of_them_in_its_identity() -> None:
    told = json.loads(meaning(Train(model="m", data="d", steps=3, batch=2), {}, Texts()))
    assert told["model"] == "m"
    assert not [name for name in told if "stage" in name]


def test_axes_overlays_and_settings_reach_into_stages() -> None:
    grid = """
grid lengths {
  base = base
  over {
    wide.steps = [10, 30]
    wide.data.seq_len = [32, 64]
    wide.schedule = [constant {}, cosine { warmup = 0.5 * steps }]
  }
  where = wide.steps * wide.batch < 60
  name = f"{wide.steps}-{wide.data.seq_len}-{wide.schedule.kind}"
}
overlay brief : base { short.steps = 2, stage wide { data.seq_len = 8 } }
"""
    plan = planned(SPEC + grid)
    points = [p for p in plan.points if p.grid == "lengths"]
    assert [p.name for p in points] == [
        f"{n}-{length}-{kind}"
        for n in (10, 30)
        for length in (32, 64)
        for kind in ("constant", "cosine")
        if n * (64 // length) < 60
    ]
    for point in points:
        wide = plan.nodes[point.run].spec.stages[1]
        steps, length, kind = point.name.split("-")
        assert (wide.steps, plan.nodes[wide.data].spec.seq_len) == (int(steps), int(length))
        assert wide.schedule.warmup == (0 if kind == "constant" else wide.steps // 2)
        assert plan.nodes[point.run].spec.steps == 20 + 10 + wide.steps
    Path("case.lmspec").write_text(SPEC + grid, encoding="utf-8")
    over = compile_spec(Path("case.lmspec"), overlays=["brief"], settings=["base.wide.steps=7"]).plan
    assert over is not None
    assert [s.steps for s in run_of(over).stages] == [2, 7, 10]
    assert over.nodes[run_of(over).stages[1].data].spec.seq_len == 8


def test_a_block_on_an_axis_reads_the_run_that_it_is_set_in() -> None:
    text = (
        SPEC
        + """
train plain { model = small, data = book, batch = 4, steps = 10 }
grid both { base = plain, over { steps = [10, 20], schedule = [cosine { warmup = 0.5 * steps }, constant {}] } }
"""
    )
    plan = planned(text)
    runs = [plan.nodes[p.run].spec for p in plan.points if p.grid == "both"]
    assert [(r.steps, r.schedule.warmup) for r in runs] == [(10, 5), (10, 0), (20, 10), (20, 0)]


def test_stages_are_inherited_amended_and_read() -> None:
    later = """
train more : base {
  stage wide { steps = 5 }
  stage last { steps = short.steps // 2, data.seq_len = wide.data.seq_len }
}
train fixed : plain { steps = unset, stage one { steps = 3 } }
train plain { model = small, data = book, batch = 4, steps = 9 }
"""
    plan = planned(SPEC + later)
    runs = {p.name: plan.nodes[p.run].spec for p in plan.points}
    assert [(s.name, s.steps) for s in runs["more"].stages] == [("short", 20), ("wide", 5), ("moved", 10), ("last", 10)]
    assert plan.nodes[runs["more"].stages[3].data].spec.seq_len == 32
    assert runs["fixed"].steps == 3


def test_a_block_that_comes_back_is_known_as_the_same() -> None:
    text = SPEC.replace(
        "stage moved", "stage away { steps = 5, data = verse }\n  stage back { steps = 5 }\n  stage moved"
    )
    assert [s.block for s in run_of(planned(text)).stages] == [0, 0, 1, 0, 1]
    own = SPEC.replace("data = book,", "data : book { seed = 3 }\n ")
    assert [s.block for s in run_of(planned(own)).stages] == [0, 0, 1]


def test_why_tells_what_set_a_value_of_a_stage() -> None:
    found = compiled(SPEC, "base.wide.steps=7")
    told = list(explain_value(found, "base.wide.steps"))
    assert told[0] == "base.wide.steps = 7"
    assert "set by stage `wide`, --set: 7" in told[1]
    assert "over   stage `wide`: 10" in told[2]
    assert next(explain_value(found, "base.steps")) == "base.steps = 37"
    assert "set by stage `wide`: 32" in list(explain_value(found, "base.wide.data.seq_len"))[1]
    assert next(explain_value(found, "base.short.data.seq_len")).endswith("= 16")
    lines = [line for line in found.sourcemap() if "base/wide/" in line]
    assert any("base/wide/book.seq_len" in line and "stage `wide`" in line for line in lines)
    assert not [line for line in lines if "base/wide/base.seed" in line]


@pytest.mark.parametrize(
    ("statement", "help"),
    [
        ("epochs = 2", "set steps or tokens: where a stage ends must be known before the run counts examples"),
        (
            "batch_schedule : constant { warmup = 3 }",
            "set it in the train: it runs over all stages, with the `batch` of each as its peak",
        ),
        (
            "length_schedule : linear {}",
            "set it in the train: it runs over all stages, with the `data.seq_len` of each as its peak",
        ),
        ("seed = 3", "a stage sets steps or tokens, batch, micro_batch, data, model.positions, schedule, optim.lr"),
    ],
)
def test_what_a_stage_cannot_set_says_what_to_do_instead(statement: str, help: str) -> None:
    found = compiled(SPEC.replace("steps = 20 }", f"steps = 20, {statement} }}", 1)).diagnostics.items
    name = statement.split()[0]
    assert [(d.code, d.message, d.help) for d in found] == [("LM0203", f"a stage cannot set `{name}`", help)]


@pytest.mark.parametrize(
    ("old", "new", "code", "words", "where"),
    [
        ("steps = 20 }", "steps = 20, seed = 3 }", "LM0203", "a stage cannot set `seed`", "seed"),
        ("steps = 20 }", "steps = 20, model.width = 8 }", "LM0203", "a stage cannot set `width`", "width"),
        ("steps = 20 }", "steps = 20, model { width = 8 } }", "LM0203", "a stage cannot set `width`", "width"),
        ("steps = 20 }", "steps = 20, model = small }", "LM0203", "a stage cannot set `model`", "model"),
        ("steps = 20 }", "steps = 20, optim : sgd { lr = 1 } }", "LM0203", "a stage cannot set `optim`", "optim"),
        ("steps = 20 }", "steps = 20, optim.clip = 1.0 }", "LM0203", "a stage cannot set `clip`", "clip"),
        ("steps = 20 }", "steps = 20, stage x { steps = 2 } }", "LM0203", "a stage cannot set `stage`", "stage"),
        ("steps = 20 }", "steps = 20, data.seqlen = 3 }", "LM0203", "no field `seqlen`", "seqlen"),
        ("steps = 20 }", "steps = 0 }", "LM0303", "at least 1", "0"),
        ("steps = 20 }", "tokens = 10 }", "LM0303", "stage `short` has no step", "10"),
        ("steps = 20 }", "batch = 2 }", "LM0309", "stage `short` does not say how long it is", "short"),
        ("steps = 20 }", "steps = 20, tokens = 10 }", "LM0309", "says more than once how long it is", "tokens"),
        ("batch = 4\n", "batch = 4, steps = 9\n", "LM0309", "the sum of its stages'", "steps"),
        ("steps = 20 }", "steps = 20, data = strange }", "LM0406", "different tokenizers", "strange"),
        ("0.2 * steps", "2 * steps", "LM0303", "a warm-up of 20 steps is longer than the run of 10", "2 * steps"),
        ("lr = 2e-3", "lr = 5e-4", "LM0303", "a floor of 0.001 is above the learning rate", "1e-3"),
        ("steps = 20 }", "steps = 20, optim.lr = 1e-4 }", "LM0303", "a floor of 0.001 is above", "1e-3"),
        ("steps = 20 }", "steps = 20, micro_batch = 5 }", "LM0303", "micro_batch 5 is larger than batch 4", "4"),
        ("stage short { steps", "stage seed { steps", "LM0205", "bears the name of a field", "seed"),
        ("stage short { steps = 20 }", "stage { steps = 20 }", "LM0210", "named", "stage"),
        ("steps = 20 }", 'steps = 20, assert batch == 3 : "no" }', "LM0308", "no", "batch == 3"),
    ],
)
def test_mistakes_are_told_once_at_their_place(old: str, new: str, code: str, words: str, where: str) -> None:
    assert old in SPEC
    found = [d for d in compiled(SPEC.replace(old, new, 1)).diagnostics.items if d.severity == "error"]
    assert [d.code for d in found] == [code], [d.message for d in found]
    assert words in found[0].message
    assert found[0].span is not None
    assert re.sub(r"\s+", " ", found[0].span.text).startswith(where)
    if code == "LM0203" and "cannot" in words:
        assert "a stage sets steps or tokens" in found[0].help


def test_an_axis_that_leads_nowhere_in_a_stage_is_told() -> None:
    for path in ("wide.stpes", "wide.optim.clip", "wide.data.size"):
        found = compiled(SPEC + f"grid g {{ base = base, over {{ {path} = [1, 2] }} }}\n").diagnostics.items
        assert [d.code for d in found] == ["LM0501"], path
