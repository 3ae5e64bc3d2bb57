"""Runs of one id with other settings: whose hold, and that the others are told."""

from pathlib import Path

import pytest
from support.planned import SPEC

from lmc.compiler.pipeline import Compiled, compile_spec
from lmc.spec.plan import Plan, references
from lmc.spec.train import Train


def compiled(folder: Path, text: str) -> Compiled:
    (folder / "case.lmspec").write_text(SPEC[: SPEC.index("grid sweep")] + text, encoding="utf-8")
    (folder / "book.txt").write_text("a tale of two cities", encoding="utf-8")
    return compile_spec(folder / "case.lmspec")


def train_of(plan: Plan | None, name: str) -> Train:
    assert plan is not None
    spec = plan.nodes[next(point.run for point in plan.points if point.name == name)].spec
    assert isinstance(spec, Train)
    return spec


@pytest.mark.parametrize(
    "setting", ["every.log = 3", "limits.wall = 2h", "keep { every = 5 }", "track : tensorboard {}", "micro_batch = 1"]
)
def test_what_is_derived_has_its_own_settings_not_those_of_its_base(setting: str, tmp_path: Path) -> None:
    done = compiled(tmp_path, f"train own : base {{ {setting} }}")
    alone = compiled(tmp_path, f"train own : base {{ {setting}, seed = 1 }}")
    assert done.diagnostics.items == []
    own, other = train_of(done.plan, "own"), train_of(alone.plan, "own")
    assert (own.every, own.limits, own.keep, own.track, own.micro_batch) == (
        other.every,
        other.limits,
        other.keep,
        other.track,
        other.micro_batch,
    )
    assert train_of(done.plan, "base") == own
    nodes = [node for node in done.plan.nodes.values() if isinstance(node.spec, Train)]  # type: ignore[union-attr]
    assert [node.name for node in nodes] == ["own"]


def test_nodes_stay_behind_what_they_refer_to(tmp_path: Path) -> None:
    plan = compiled(
        tmp_path, "mesh one {}\ntrain own : base { mesh = one }\ngrid g { base = own, seeds = [0, 1] }"
    ).plan
    assert plan is not None
    assert train_of(plan, "g-seed0").mesh is not None
    seen: set[str] = set()
    for node_id, node in plan.nodes.items():
        assert set(references(node.spec)) <= seen
        seen.add(node_id)


def test_of_two_runs_that_are_one_the_first_counts_and_the_second_is_told(tmp_path: Path) -> None:
    second = "train two : base { every { log = 5, checkpoint = 2 } }"
    done = compiled(tmp_path, f"train one : base {{ every.log = 3 }}\n{second}")
    (told,) = done.diagnostics.items
    assert (told.code, told.severity) == ("LM0512", "warning")
    assert told.message.startswith("`two` and `one` are one run: `every.")
    assert told.message.endswith("and that of `one` holds")
    assert told.span is not None
    assert (tmp_path / "case.lmspec").read_text().splitlines()[told.span.line - 1] == second
    assert train_of(done.plan, "two").every.log == 3
    alike = compiled(tmp_path, "train one : base { every.log = 3 }\ntrain two : base { every.log = 3 }")
    assert alike.diagnostics.items == []


def test_an_axis_that_makes_no_other_run_is_told_once(tmp_path: Path) -> None:
    grid = "grid g {{ base = base, over {{ limits.wall = [1h, 2h, 3h], every.log = [1, 2] }}, seeds = [0, 1]{more} }}"
    done = compiled(tmp_path, grid.format(more=""))
    assert [item.code for item in done.diagnostics.items] == ["LM0512", "LM0512"]
    assert {item.help for item in done.diagnostics.items} == {
        'tell the runs of the grid apart with identity += ["limits"], or drop the axis',
        'tell the runs of the grid apart with identity += ["every"], or drop the axis',
    }
    assert compiled(tmp_path, grid.format(more=', identity += ["limits", "every"]')).diagnostics.items == []
