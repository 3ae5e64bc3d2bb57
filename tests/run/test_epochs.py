"""Trainings that are so many passes over their examples long, which only a run counts."""

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.compiler.cli import main
from lmc.compiler.pipeline import compile_spec
from lmc.compiler.plan.why import explain_value
from lmc.spec.plan import Plan
from lmc.spec.train import Train

TEXT = "It was a dark and stormy night. " * 60
EXAMPLES = (round(len(TEXT) * 0.9) - 1) // 16
SPEC = """
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 16, mixer : attention { heads = 2 } }
train base { model = small, data = book, epochs = 0.5, batch = 2, every { log = 1 } }
eval val : loss { run = base, examples = 4 }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str) -> None:
    Path("case.lmspec").write_text(text, encoding="utf-8")


def plan_of(text: str) -> Plan:
    write(text)
    compiled = compile_spec(Path("case.lmspec"))
    assert compiled.plan is not None, [(d.code, d.message) for d in compiled.diagnostics.items]
    return compiled.plan


def mistakes(text: str) -> list[tuple[str, str, str]]:
    write(text)
    found = compile_spec(Path("case.lmspec")).diagnostics.items
    return [(d.code, d.span.text if d.span else "", d.message) for d in found]


def run(*words: str, store: str = "runs") -> int:
    return main(["run", "case.lmspec", *words, "--device", "cpu", "--store", store, "--jobs", "1"])


def node(kind: str, store: str = "runs") -> Path:
    nodes = [path.parent for path in Path(store).glob("*/node.json")]
    (found,) = [path for path in nodes if json.loads((path / "node.json").read_text())["kind"] == kind]
    return found


def told(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@given(st.floats(0.01, 100), st.integers(1, 10**6), st.integers(1, 4096))
def test_the_last_pass_is_rounded_up_to_a_step(epochs: float, examples: int, batch: int) -> None:
    steps = Train(model="m", data="d", steps=None, epochs=epochs, batch=batch).steps_over(examples)
    wanted = Fraction(repr(epochs)) * examples
    assert (steps - 1) * batch < wanted <= steps * batch


def test_tenths_of_a_pass_are_exact() -> None:
    assert Train(model="m", data="d", steps=None, epochs=0.1, batch=1).steps_over(30) == 3
    assert Train(model="m", data="d", steps=None, epochs=1.1, batch=1).steps_over(10) == 11


def test_a_run_counts_says_and_records_its_steps_and_resumes_by_them(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(SPEC)
    steps = math.ceil(EXAMPLES / 4)
    assert run("--set", "base.limits.wall=1ms") == 75
    said = capfd.readouterr().out
    assert said.index(f"0.5 epochs of {EXAMPLES} examples are {steps} steps") < said.index("is reached at step 1;")
    kept = json.loads((node("train") / "node.json").read_text())
    assert kept["length"] == {"examples": EXAMPLES, "steps": steps}
    assert kept["spec"]["steps"] is None
    assert run() == 0
    said = capfd.readouterr().out
    assert f"step {steps}/{steps}" in said or f"step 2/{steps}" in said
    assert [record["step"] for record in told(node("train") / "records.jsonl")] == list(range(1, steps + 1))
    every = max(1, steps // 50)
    assert [line["step"] for line in told(node("eval") / "scores.jsonl")] == list(range(every, steps + 1, every))
    write(SPEC.replace("epochs = 0.5", f"steps = {steps}"))
    assert run(store="other") == 0
    assert node("train", "other").name.split("-")[0] != node("train").name.split("-")[0]
    weights = [(node("train", store) / "model.safetensors").read_bytes() for store in ("runs", "other")]
    assert weights[0] == weights[1]


def test_a_resumed_run_keeps_the_number_that_it_has_recorded(folder: Path) -> None:
    write(SPEC)
    assert run("--set", "base.limits.wall=1ms") == 75
    path = node("train") / "node.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"length": {"examples": 12, "steps": 3}}))
    assert run() == 0
    assert [record["step"] for record in told(node("train") / "records.jsonl")] == [1, 2, 3]


def test_a_grid_over_epochs_a_branch_and_a_figure(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(
        SPEC.replace("every { log = 1 }", 'every { log = 1, eval = 20 }, keep { last = 1, best = "val.loss" }')
        + 'grid passes { base = base, over { epochs = [0.25, 0.5] }, name = f"e{epochs}" }\n'
        "train branch : base { epochs = 0.1, init : checkpoint { run = base }, keep = unset }\n".replace(
            ", keep = unset", ", keep { best = none }"
        )
        + "plot curve : line { from = passes, x = epochs, y = loss.valid }\n"
    )
    assert run() == 0
    records = {path.parent: told(path) for path in Path("runs").glob("*/records.jsonl")}
    lengths = sorted(found[-1]["step"] for found in records.values())
    assert lengths == sorted(math.ceil(Fraction(e) * EXAMPLES / 2) for e in ("0.25", "0.5", "0.1"))
    kept = [json.loads((path / "node.json").read_text()) for path in records]
    assert all(found["length"]["steps"] == records[path][-1]["step"] for path, found in zip(records, kept, strict=True))
    assert "figure" in capfd.readouterr().out


def test_a_rule_that_needs_the_number_is_checked_by_the_run(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(SPEC.replace("epochs = 0.5", "epochs = 0.1, schedule : cosine { warmup = 7 }"))
    assert run() == 3
    said = capfd.readouterr().err
    assert "error[LM0303]: a warm-up of 7 steps is longer than the run of 6" in said


def test_an_unknown_number_compiles_and_is_part_of_no_identity(folder: Path) -> None:
    plan = plan_of(SPEC)
    (train,) = [n.spec for n in plan.nodes.values() if isinstance(n.spec, Train)]
    assert (train.steps, train.tokens, train.epochs, train.every.eval) == (None, None, 0.5, None)
    with pytest.raises(ValueError, match="only when"):
        train.num_steps()
    run_id = plan.points[0].run
    assert plan_of(SPEC.replace("log = 1", "log = 2, eval = 3")).points[0].run == run_id
    assert plan_of(SPEC.replace("epochs = 0.5", "epochs = 1 / 2")).points[0].run == run_id
    assert plan_of(SPEC.replace("epochs = 0.5", "epochs = 0.75")).points[0].run != run_id
    write(SPEC)
    for path, what in (("steps", "its examples"), ("tokens", "what its steps read"), ("every.eval", "its examples")):
        value = next(iter(explain_value(compile_spec(Path("case.lmspec")), f"base.{path}")))
        assert value == f"base.{path} = (known only when the run counts {what})"


@pytest.mark.parametrize(
    ("old", "new", "code", "at", "message"),
    [
        ("epochs = 0.5", "epochs = 0.5, steps = 5", "LM0309", "epochs", "`steps` and `epochs` are set"),
        ("epochs = 0.5", "tokens = 1k, epochs = 1", "LM0309", "epochs", "`tokens` and `epochs` are set"),
        ("epochs = 0.5, ", "", "LM0309", "base", "train `base` does not say how long it is"),
        ("epochs = 0.5", "epochs = none", "LM0309", "base", "train `base` does not say how long it is"),
        ("epochs = 0.5", "epochs = 0", "LM0303", "0", "`epochs` must be above 0, got 0.0"),
        ("epochs = 0.5", "epochs = steps / 9", "LM0305", "base", "`steps` is defined by itself"),
        ("log = 1", "eval = none", "LM0301", "none", "`eval` needs an Int, got none"),
        ("epochs = 0.5", "epochs = 1, stage a { steps = 2 }", "LM0309", "epochs", "is the sum of its stages'"),
        ("log = 1", "eval = steps // 9", "LM0311", "steps", "`steps` is known only when the run counts its examples"),
        (
            "epochs = 0.5",
            "epochs = 0.5, schedule : cosine { warmup = 0.02 * steps }",
            "LM0311",
            "steps",
            "`steps` is known only when the run counts its examples",
        ),
        (
            "epochs = 0.5",
            "steps = 5, schedule : cosine { warmup = epochs }",
            "LM0311",
            "epochs",
            "`epochs` is known only when the run counts its examples",
        ),
    ],
)
def test_mistakes_about_epochs_are_told(old: str, new: str, code: str, at: str, message: str, folder: Path) -> None:
    (found,) = mistakes(SPEC.replace(old, new))
    assert found[:2] == (code, at)
    assert message in found[2]


def test_help_names_what_to_write_instead(folder: Path) -> None:
    write(SPEC.replace("epochs = 0.5", "epochs = 0.5, schedule : cosine { warmup = 0.02 * steps }"))
    (found,) = compile_spec(Path("case.lmspec")).diagnostics.items
    assert found.help == "write a number, or set `steps` in place of `epochs`"
