"""Meaning: worlds, inheritance, precedence, grids, identity, origins."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.specs import BASE, Compile, plan_of

from lmc.compiler.pipeline import compile_spec
from lmc.compiler.plan.why import explain_value
from lmc.compiler.plan.write import write_plan
from lmc.runtime.store.plan_files import read_plan
from lmc.spec.diagnostic import LmcError
from lmc.spec.plan import Plan
from lmc.spec.train import Train

ROOT = Path(__file__).parent.parent.parent


def run_of(plan: Plan, name: str) -> tuple[Train, Any, Any]:
    """The specs of a run and of its model and data."""
    (point,) = [p for p in plan.points if p.name == name]
    train = plan.nodes[point.run].spec
    return train, plan.nodes[train.model].spec, plan.nodes[train.data].spec


def test_expressions_are_bound_late_and_edits_stay_in_their_world(compile_: Compile) -> None:
    plan = plan_of(compile_(BASE + "train wide : base { model.width = 128, data { seq_len = 2 * batch } }\n"))
    _, model, data = run_of(plan, "wide")
    assert (model.width, model.mlp.hidden, data.seq_len) == (128, 512, 16)
    _, model, data = run_of(plan, "base")
    assert (model.width, model.mlp.hidden, data.seq_len) == (64, 256, 64)


@pytest.mark.parametrize("overlay", ["", "overlay small_rate : sweep { optim = adamw { lr = 1e-4 } }\n"])
def test_an_inline_block_as_a_value_is_its_block_form(overlay: str, compile_: Compile) -> None:
    axes = "over { optim = [adamw { lr = 1e-3 }, sgd { lr = 0.1 }], steps = [10, 20] }"
    text = (
        BASE
        + f"""
train first : base {{
  schedule = cosine {{ warmup = 5, floor = 1e-4 }}
  model {{ mixer = attention {{ kv_heads = 1 }} }}
}}
train second : first {{ schedule = constant {{}}, data = book {{ seq_len = 32 }} }}
grid sweep {{ base = second, {axes} }}
{overlay}"""
    )
    written = re.sub(r"\b(schedule|mixer|data|optim) = (\w+ \{)", r"\1 : \2", text)
    assert written != text
    applied = ("small_rate",) if overlay else ()
    one, two = (compile_(version, applied) for version in (text, written))
    assert [d.code for d in one.diagnostics.items] == [d.code for d in two.diagnostics.items]
    plans = plan_of(one), plan_of(two)
    assert plans[0].nodes.keys() == plans[1].nodes.keys()
    assert plans[0].points == plans[1].points
    assert len({p.run for p in plans[0].points if p.grid == "sweep"}) == (2 if overlay else 4)
    assert run_of(plans[0], "second")[0].schedule.warmup == 5


def test_a_block_is_one_node_of_its_world(compile_: Compile) -> None:
    plan = plan_of(compile_(BASE + 'train more : base { data.tokenizer.specials = ["<|x|>"] }\n'))
    _, model, data = run_of(plan, "more")
    assert model.tokenizer == data.tokenizer
    assert model.vocab == 257
    assert plan.nodes[data.tokenizer].spec.specials == ("<|x|>",)


def test_a_reference_moves_one_edge_and_a_colon_makes_a_new_block(compile_: Compile) -> None:
    text = BASE + "model big : small { layers = 4 }\ntrain a : base { model = big }\n"
    plan = plan_of(compile_(text + "train b : base { model : small { width = 32 } }\n"))
    assert run_of(plan, "a")[1].layers == 4
    assert run_of(plan, "b")[1].width == 32
    assert run_of(plan, "base")[1].width == 64


def test_a_changed_variant_keeps_what_both_have(compile_: Compile) -> None:
    compiled = compile_(BASE + "train a : base { schedule : cosine { warmup = 5, floor = 1e-4 } }\n"
                        "train b : a { schedule : constant {} }\n")  # fmt: skip
    schedule = run_of(plan_of(compiled), "b")[0].schedule
    assert schedule.warmup == 5
    hints = [d for d in compiled.diagnostics.items if d.code == "LM0213"]
    assert "floor" in hints[0].message


@pytest.mark.parametrize("strongest", range(7))
def test_precedence_is_as_documented(strongest: int, compile_: Compile) -> None:
    """Schema default (none here), base chain, `with`, own fields, axes, `set`, `--with`, `--set`."""
    parts = {
        0: "train base { model = small, data = book, steps = 100, batch = 1 }\n",
        1: "overlay one : mine { batch = 2 }\n",
        2: "batch = 3\n",
        3: ", batch = [4]",
        4: "set { batch = 5 }\n",
        5: "overlay late : sweep { base.batch = 6 }\n",
    }
    head = BASE.replace("train base { model = small, data = book, steps = 100, batch = 8 }\n", parts[0])
    overlay = parts[1] if strongest >= 1 else ""
    own = parts[2] if strongest >= 2 else ""
    axis = parts[3] if strongest >= 3 else ""
    set_ = parts[4] if strongest >= 4 else ""
    text = head + overlay + f"train mine : base {{ {'with = [one]' if overlay else ''}\n{own} }}\n"
    text += f"grid sweep {{ base = mine\n over {{ optim.lr = [1e-3]{axis} }}\n {set_} }}\n" + parts[5]
    overlays = ("late",) if strongest >= 5 else ()
    chosen = ("sweep.batch = 7",) if strongest >= 6 else ()
    plan = plan_of(compile_(text, overlays, chosen))
    (point,) = [p for p in plan.points if p.grid == "sweep"]
    assert plan.nodes[point.run].spec.batch == strongest + 1


def test_derived_defaults_follow_what_they_are_made_from(compile_: Compile) -> None:
    plan = plan_of(compile_(BASE.replace("steps = 100", "tokens = 51200")))
    train = run_of(plan, "base")[0]
    assert (train.steps, train.tokens, train.every.eval) == (100, 51_200, 2)
    assert run_of(plan_of(compile_(BASE)), "base")[0].tokens == 51_200


def test_numbers_are_exact_until_typed(compile_: Compile) -> None:
    text = BASE.replace(
        "batch = 8",
        "batch = 1e1, optim { lr = 0.1 + 0.2 }, schedule : cosine { warmup = 0.025 * steps }",
    )
    train = run_of(plan_of(compile_(text)), "base")[0]
    assert train.batch == 10
    assert train.optim.lr == 0.3
    assert train.schedule.warmup == 2


def test_imports_constants_and_paths(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "lib.lmspec").write_text(BASE + "let half = 4\n", encoding="utf-8")
    main = tmp_path / "main.lmspec"
    text = 'import "sub/lib.lmspec" as lib\nlet n = lib.half * 2\n'
    text += "train mine : lib.base { batch = n, data.seq_len = n ** 2 }\n"
    main.write_text(text, encoding="utf-8")
    train, _, data = run_of(plan_of(compile_spec(main)), "mine")
    assert (train.batch, data.seq_len, data.source) == (8, 64, "sub/book.txt")


def grid_of(widths: object, rates: object, seeds: object, where: str = "") -> str:
    return (
        BASE
        + f"""
eval held_out : loss {{ run = base }}
grid sweep {{
  base = base
  over {{
    model.width = {widths}
    optim.lr = {rates}
  }}
  {where}
  seeds = {seeds}
}}
"""
    )


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([16, 32, 48, 64]), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from([1e-4, 3e-4, 1e-3]), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
    st.sampled_from([0, 20, 40]),
)
def test_a_grid_is_the_product_of_its_axes_after_filters(
    tmp_path_factory: pytest.TempPathFactory, widths: list[int], rates: list[float], seeds: list[int], least: int
) -> None:
    path = tmp_path_factory.mktemp("grid") / "case.lmspec"
    path.write_text(grid_of(widths, rates, seeds, f"where = model.width >= {least}"))
    want = [(w, r, s) for w, r, s in itertools.product(widths, rates, seeds) if w >= least]
    compiled = compile_spec(path)
    if not want:
        assert [d.code for d in compiled.diagnostics.items] == ["LM0502"]
        return
    plan = plan_of(compiled)
    points = [p for p in plan.points if p.grid == "sweep"]
    assert [(p.axes["model.width"], p.axes["optim.lr"], p.axes["seed"]) for p in points] == want
    assert len({p.run for p in points}) == len(want)
    for point in points:
        train = plan.nodes[point.run].spec
        model = plan.nodes[train.model].spec
        assert (model.width, train.optim.lr, train.seed) == tuple(point.axes.values())
        assert point.values["model.params"] == model.params
        assert plan.nodes[point.evals["held_out"]].spec.run == point.run


def runs(plan: Plan) -> set[str]:
    return {p.run for p in plan.points if p.grid == "sweep"}


def test_ids_survive_moves_comments_names_and_growth(compile_: Compile) -> None:
    grid = grid_of([32, 64], [1e-3], [0, 1])
    before = runs(plan_of(compile_(grid)))
    moved = grid.replace("layers = 2, width = 64", "width = 64,  # wider soon\n  layers = 2")
    assert runs(plan_of(compile_(moved))) == before
    renamed = grid.replace("small", "tiny").replace("book ", "novel ").replace("= book", "= novel")
    assert runs(plan_of(compile_(renamed))) == before
    watched = grid.replace("batch = 8 }", "batch = 8, every { log = 3, eval = 5 }, micro_batch = 2 }")
    assert runs(plan_of(compile_(watched))) == before
    spelt_out = grid.replace(
        "mixer : attention { heads = 2 }", "mixer : attention { heads = 2, kv_heads = 2 }, mlp { hidden = 4 * width }"
    )
    assert runs(plan_of(compile_(spelt_out))) == before
    grown = runs(plan_of(compile_(grid.replace("[32, 64]", "[16, 32, 64]"))))
    assert before < grown
    assert len(grown) == 6
    for was, becomes in (("batch = 8", "batch = 9"), ("steps = 100", "steps = 101"), ("seq_len = 64", "seq_len = 65")):
        changed = runs(plan_of(compile_(grid.replace(was, becomes))))
        assert not before & changed, becomes


def test_axes_of_structure_and_in_step(compile_: Compile) -> None:
    text = (
        BASE
        + """
model big : small { layers = 3 }
grid sweep {
  base = base
  over {
    model = [small, big]
    model.mixer = [attention { heads = 4 }, gated {}]
  }
  zip { data.seq_len = [32, 64], batch = [16, 8] }
}
"""
    )
    plan = plan_of(compile_(text))
    found = []
    for point in plan.points:
        if point.grid == "sweep":
            train = plan.nodes[point.run].spec
            model = plan.nodes[train.model].spec
            found.append((model.layers, type(model.mixer).__name__, plan.nodes[train.data].spec.seq_len, train.batch))
    mixers = ("Attention", "GatedRecurrence")
    assert found == [(n, m, *z) for n in (2, 3) for m in mixers for z in ((32, 16), (64, 8))]


def test_an_overlay_removes_an_axis_and_a_setting_collapses_one(compile_: Compile) -> None:
    grid = grid_of([32, 64], [1e-3, 1e-4], [0])
    text = grid + "overlay quick : sweep { over { model.width = unset }, base.steps = 5 }\n"
    plan = plan_of(compile_(text, ("quick",)))
    points = [p for p in plan.points if p.grid == "sweep"]
    assert [list(p.axes) for p in points] == [["optim.lr", "seed"]] * 2
    assert {plan.nodes[p.run].spec.steps for p in points} == {5}
    compiled = compile_(grid, (), ("sweep.model.width = 48",))
    points = [p for p in plan_of(compiled).points if p.grid == "sweep"]
    assert len(points) == 2
    assert [d.code for d in compiled.diagnostics.items] == ["LM0510"]


def test_why_tells_the_chain_of_a_value(compile_: Compile) -> None:
    compiled = compile_(grid_of([32, 64], [1e-3], [0]))
    plan = plan_of(compiled)
    run = next(p.run for p in plan.points if p.axes.get("model.width") == 64)
    lines = list(explain_value(compiled, f"sweep.model.width@{run}"))
    assert lines[0].endswith("= 64")
    assert "axis of grid `sweep`" in lines[1]
    assert "case.lmspec:11:" in lines[1]
    assert "own field: 64" in lines[2]
    assert list(explain_value(compiled, "sweep.optim.betas"))[1].startswith("  set by schema default")
    with pytest.raises(LmcError, match="leads nowhere"):
        list(explain_value(compiled, "sweep.model.widht"))


def test_a_plan_is_read_as_it_was_written(compile_: Compile, tmp_path: Path) -> None:
    compiled = compile_spec(ROOT / "examples" / "memory.lmspec", ("quick",))
    plan = plan_of(compiled)
    write_plan(plan, compiled.sourcemap(), tmp_path / "plan")
    assert read_plan(tmp_path / "plan") == plan
    sourcemap = (tmp_path / "plan" / "sourcemap.jsonl").read_text()
    assert '"fine/small.width"' in sourcemap


@pytest.mark.parametrize("fault", ["cut", "flip", "version", "gone"])
def test_damaged_plans_are_told(fault: str, compile_: Compile, tmp_path: Path) -> None:
    compiled = compile_(BASE)
    write_plan(plan_of(compiled), compiled.sourcemap(), tmp_path / "plan")
    path = tmp_path / "plan" / "plan.jsonl"
    text = path.read_text()
    changes = {
        "cut": ("LM0801", text[:-40]),
        "flip": ("LM0801", text.replace('"layers":2', '"layers":"two"')),
        "version": ("LM0802", text.replace('"format":1', '"format":99')),
    }
    if fault == "gone":
        path.unlink()
        code = "LM0803"
    else:
        code, changed = changes[fault]
        path.write_text(changed)
    with pytest.raises(LmcError) as caught:
        read_plan(tmp_path / "plan")
    assert caught.value.diagnostic.code == code


def test_the_full_grid_of_the_example_has_7800_runs() -> None:
    plan = plan_of(compile_spec(ROOT / "examples" / "memory.lmspec"))
    points = [p for p in plan.points if p.grid == "fine"]
    assert len(points) == len({p.run for p in points}) == 15 * 2 * 26 * 10
    params = {p.axes["model.width"]: p.values["model.params"] for p in points}
    assert all(count == 32 * width**2 + 525 * width for width, count in params.items())
