"""Numbers of steps that are written are whole, computed ones round; words that are nearly one of a field's."""

from pathlib import Path
from typing import Any

import pytest

from lmc.compiler.pipeline import compile_spec
from lmc.spec.train import Train

SPEC = """
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
model small : transformer { tokenizer = bytes, layers = 2, width = 64, mixer : attention { heads = 2 } }
train base { model = small, data = book, batch = 8, steps = 100 }
"""


def mistakes(said: str, folder: Path, more: str = "", settings: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    path = folder / "case.lmspec"
    path.write_text(SPEC.replace("steps = 100", said) + more, encoding="utf-8")
    found = compile_spec(path, (), settings).diagnostics.items
    return [(d.code, d.span.text if d.span else "", d.message, d.help) for d in found]


@pytest.mark.parametrize(
    ("said", "at", "message", "help"),
    [
        ("steps = 5.5", "5.5", "`steps` needs an Int, got 5.5", "write 5 or 6"),
        ("steps = 0.5", "0.5", "`steps` needs an Int, got 0.5", "write 1"),
        ("steps = 1.0005k", "1.0005k", "`steps` needs an Int, got 1000.5", "write 1000 or 1001"),
        (
            "steps = 100, schedule : cosine { warmup = 0.1 }",
            "0.1",
            "`warmup` needs an Int, got 0.1",
            "it counts steps; a share of the run is 0.1 * steps",
        ),
        (
            "steps = 100, every { checkpoint = 1e-1 }",
            "1e-1",
            "`checkpoint` needs an Int, got 0.1",
            "it counts steps; a share of the run is 0.1 * steps",
        ),
        ("steps = 100, profile { steps = [3, 4.5] }", "4.5", "`steps` needs an Int, got 4.5", "write 4 or 5"),
        ("steps = 100, profile { steps = 4.5 }", "4.5", "`steps` needs an Int, got 4.5", "write 4 or 5"),
        (
            "steps = 100, schedule : table { at = [1, 2.5], factors = [1, 1] }",
            "2.5",
            "`at` needs an Int, got 2.5",
            "write 2 or 3",
        ),
    ],
)
def test_a_written_fraction_of_a_step_is_told(said: str, at: str, message: str, help: str, tmp_path: Path) -> None:
    assert mistakes(said, tmp_path) == [("LM0301", at, message, help)]


@pytest.mark.parametrize("tokens", ["511", "1", "0", "-512"])
def test_tokens_that_make_no_step_are_told(tokens: str, tmp_path: Path) -> None:
    ((code, at, message, help),) = mistakes(f"tokens = {tokens}", tmp_path)
    assert (code, at, message) == ("LM0303", tokens, "the tokens of train `base` make no step")
    assert "batch" in help
    assert mistakes("tokens = 512", tmp_path) == []
    grid = "grid sweep { base = base, over { tokens = [512, %s] } }\n"
    ((code, _, message, _),) = mistakes("steps = unset", tmp_path, grid % tokens)
    assert (code, "1 of 2 points" in message) == ("LM0507", True)


@pytest.mark.parametrize(("said", "least"), [("examples = 0", 1), ("examples = -1", 1), ("every = -3", 0)])
def test_an_evaluation_of_nothing_is_told(said: str, least: int, tmp_path: Path) -> None:
    for kind in ("loss { run = base, ", "per_token { run = base, "):
        ((code, at, message, _),) = mistakes("steps = 100", tmp_path, f"eval held : {kind}{said} }}\n")
        assert (code, at) == ("LM0303", said.split()[-1])
        assert f">= {least}" in message or f"at least {least}" in message


def test_a_fraction_is_told_on_an_axis_and_on_the_command_line(tmp_path: Path) -> None:
    grid = 'grid sweep { base = base, over { every.log = %s }, identity += ["every"] }\n'
    (found,) = mistakes("steps = 100", tmp_path, grid % "[5, 2.5, 7]")
    assert found[0] == "LM0507"
    assert "1 of 3 points of grid `sweep` fail LM0301: `log` needs an Int, got 2.5" in found[2]
    assert mistakes("steps = 100", tmp_path, grid % "[steps / 8, 7]") == []
    (found,) = mistakes("steps = 100", tmp_path, settings=("base.steps=7.5",))
    assert found[:3] == ("LM0301", "7.5", "`steps` needs an Int, got 7.5")


def test_whole_and_computed_numbers_are_taken(tmp_path: Path) -> None:
    every = "every { log = 20 / 8, eval = 7.0, checkpoint = 1e2 }"
    said = f"steps = 2.5k, schedule : cosine {{ warmup = 0.0123 * steps }}, {every}"
    assert mistakes(said, tmp_path) == []
    plan = compile_spec(tmp_path / "case.lmspec").plan
    assert plan is not None
    (train,) = (node.spec for node in plan.nodes.values() if isinstance(node.spec, Train))
    schedule: Any = train.schedule
    assert (train.steps, schedule.warmup) == (2500, 31)
    assert (train.every.log, train.every.eval, train.every.checkpoint) == (2, 7, 100)


@pytest.mark.parametrize(
    ("written", "near"), [("bf17", "bf16"), ("BF16", "bf16"), ("bfloat16", "bf16"), ("f32", "fp32"), ("int8", "")]
)
def test_a_word_that_is_nearly_one_of_a_field_is_named(written: str, near: str, tmp_path: Path) -> None:
    help = f'did you mean "{near}"?' if near else ""
    message = '`params` takes one of "fp32", "bf16"'
    said = f'steps = 100, precision {{ params = "{written}" }}'
    assert mistakes(said, tmp_path) == [("LM0304", f'"{written}"', message, help)]
    grid = f'grid sweep {{ base = base, over {{ precision.params = ["fp32", "{written}"] }} }}\n'
    (found,) = mistakes("steps = 100", tmp_path, grid)
    assert found[0] == "LM0507"
    assert f"fail LM0304: {message}" in found[2]
    assert found[3] == help
