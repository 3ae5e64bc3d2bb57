"""Schedules of batch and length in a file: what they are part of, and what does not go with them."""

from pathlib import Path

import pytest

from lmc.compiler.pipeline import Compiled, compile_spec
from lmc.compiler.plan.why import explain_value
from lmc.spec.schedule import Linear, StepTable
from lmc.spec.train import Train

SPEC = """
tokenizer bytes : byte { specials = ["<|assistant|>", "<|eod|>"] }
store facts : sqlite { file = file("people.db"), table people : people { seed = 1 } }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
data asked : dialogues { tokenizer = bytes, rows = facts.people, count = 4, templates = files("t*.txt"), seq_len = 16 }
data both : mixture { tokenizer = bytes, seq_len = 16, part a { data = book }, part b { data = DATA } }
model small : transformer { tokenizer = bytes, layers = 1, width = 16, mixer : attention { heads = 2 } }
train start { model = small, data = book, steps = 100, batch = 8 }
"""
RISING = "linear { warmup = 10, floor = 2 }"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compiled(said: str, data: str = "book") -> Compiled:
    text = SPEC.replace("DATA", data)
    Path("case.lmspec").write_text(f"{text}train base : start {{ {said} }}\n", encoding="utf-8")
    return compile_spec(Path("case.lmspec"))


def run_id(said: str) -> str:
    plan = compiled(said).plan
    assert plan is not None, said
    return next(point.run for point in plan.points if point.grid == "base")


def test_a_schedule_is_part_of_what_a_run_is_and_none_is_not(folder: Path) -> None:
    plain = run_id("")
    assert run_id("batch_schedule = none, length_schedule = none") == plain
    ids = {run_id(f"{field} : linear {{ warmup = 9 }}") for field in ("schedule", "batch_schedule", "length_schedule")}
    assert len({plain, *ids}) == 4


def test_floors_and_steps_are_computed_in_the_train(folder: Path) -> None:
    said = (
        "batch_schedule : linear { warmup = 0.1 * steps, floor = batch / 4 }, "
        "length_schedule : table { at = [1, steps // 2], factors = [0.25, 1] }"
    )
    plan = compiled(said).plan
    assert plan is not None
    train = plan.nodes[run_id(said)].spec
    assert isinstance(train, Train)
    assert train.batch_schedule == Linear(warmup=10, floor=2.0)
    assert train.length_schedule == StepTable(at=(1, 50), factors=(0.25, 1.0))
    assert train.tokens is None
    found = compiled(f"batch_schedule : {RISING}")
    assert next(iter(explain_value(found, "base.tokens"))).endswith("only when the run counts what its steps read)")
    assert next(iter(explain_value(found, "base.batch_schedule.floor"))) == "base.batch_schedule.floor = 2.0"


@pytest.mark.parametrize(
    ("said", "code", "at", "message"),
    [
        (f"tokens = 9k, steps = unset, batch_schedule : {RISING}", "LM0309", "tokens", "beside `batch_schedule`"),
        (f"tokens = 9k, steps = unset, length_schedule : {RISING}", "LM0309", "tokens", "beside `length_schedule`"),
        (f"epochs = 2, steps = unset, batch_schedule : {RISING}", "LM0309", "epochs", "beside `batch_schedule`"),
        (
            f"steps = unset, batch_schedule : {RISING}, stage a {{ tokens = 9k }}",
            "LM0309",
            "tokens",
            "`tokens` says no number of steps beside `batch_schedule`",
        ),
        (
            "steps = unset, batch_schedule : linear { floor = 5 }, stage a { steps = 9, batch = 4 }",
            "LM0303",
            "5",
            "a floor of 5 is above the batch of 4",
        ),
        ("batch_schedule : linear { floor = 9 }", "LM0303", "9", "a floor of 9 is above the batch of 8"),
        ("length_schedule : linear { floor = 17 }", "LM0303", "17", "a floor of 17 is above the length of 16"),
        ("batch_schedule : constant { warmup = 101 }", "LM0303", "101", "a warm-up of 101 steps is longer"),
        (
            "batch_schedule : table { at = [1], factors = [1.5] }",
            "LM0303",
            "[1.5]",
            "a multiplier of 1.5 is above 1, where the batch is 8",
        ),
        (
            "length_schedule : product { part up : table { at = [1], factors = [2] } }",
            "LM0303",
            "[2]",
            "a multiplier of 2 is above 1, where the length is 16",
        ),
        ("batch_schedule : product {}", "LM0209", "batch_schedule", "a product needs a `part`"),
        ('batch_schedule : wsd { cooldown = 5, shape = "lingua" }', "LM0303", "batch_schedule", "divides by the floor"),
        (f"data = asked, length_schedule : {RISING}", "LM0303", "", "crops examples, and dialogues are never cut"),
        (f"length_schedule : {RISING}, assert tokens > 0", "LM0311", "tokens", "when the run counts what its steps"),
        ("batch_shedule : linear {}", "LM0203", "batch_shedule", "`train` has no field `batch_shedule`"),
    ],
)
def test_what_does_not_go_with_a_schedule_is_told(said: str, code: str, at: str, message: str, folder: Path) -> None:
    (found,) = compiled(said).diagnostics.items
    assert found.code == code
    assert message in found.message
    assert found.span is not None
    assert found.span.text.startswith(at)


def test_lengths_of_a_mixture_move_only_if_all_parts_are_texts(folder: Path) -> None:
    said = f"data = both, length_schedule : {RISING}"
    Path("t1.txt").write_text("<|assistant|>\n", encoding="utf-8")
    assert compiled(said).plan is not None
    (found,) = compiled(said, "asked").diagnostics.items
    assert "dialogues are never cut" in found.message
    assert compiled(f"epochs = 2, steps = unset, data = book, length_schedule : {RISING}").plan is not None
