"""`lmc why`: values and blocks, what set them, and help where a path leads nowhere."""

import re
from pathlib import Path

import pytest

from lmc.compiler.cli import main

SPEC = """tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 8 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 1 } }
train base { model = small, data = book, steps = 10, batch = 2 }
train tuned : base { init : checkpoint { run = base }, optim { lr = 3e-4, group norms { match = "*.norm.*" } } }
overlay quick : tuned { steps = 5 }
grid rates { base = tuned, over { optim.lr = [1e-3, 1e-2] } }
plot line : line { from = base, x = step, y = [loss.train] }
"""
FOLLOWS = "no line sets it: of steps, tokens, epochs one is written, and the others follow"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.lmspec").write_text(SPEC, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("tuned.batch", ["tuned.batch = 2", "  set by base `base`: 2   s.lmspec:4:62"]),
        (
            "tuned.optim.lr",
            ["tuned.optim.lr = 0.0003", "  set by own field: 3e-4   s.lmspec:5:69", "  over   schema default"],
        ),
        ("tuned.model.width", ["tuned.model.width = 8", "  set by own field: 8   s.lmspec:3:68"]),
        ("tuned.model.params", ["tuned.model.params = ", "  computed from the fields of model `small`"]),
        ("tuned.model", ["tuned.model = small", "  set by base `base`: small   s.lmspec:4:22"]),
        ("tuned.init", ["tuned.init = checkpoint { }   s.lmspec:5:22", "  run = base   own field   s.lmspec:5:48"]),
        ("base.init", ["base.init = none", "  set by schema default: none"]),
        ("base.optim", ["base.optim = adamw { }   schema default", "  lr = 0.001   schema default"]),
        ("tuned.optim", ["tuned.optim = adamw { }", "  norms = group { }   s.lmspec:5:81"]),
        ("tuned.optim.norms", ["tuned.optim.norms = group { }", '  match = "*.norm.*"   own field']),
        ("tuned.optim.norms.lr_scale", ["tuned.optim.norms.lr_scale = 1"]),
        ("small.mixer", ["small.mixer = attention { }   s.lmspec:3:71", "  heads = 1   own field   s.lmspec:3:99"]),
        ("small", ["small = transformer { }   s.lmspec:3:7", "  mixer = attention { heads = 1 }   s.lmspec:3:71"]),
        ("rates.optim.lr", ["rates.optim.lr = 0.001", "  set by axis of grid `rates`: [1e-3, 1e-2]"]),
        ("rates.optim.lr", ["  at rates-lr0.001, the first of 2 points; rates.optim.lr@RUN asks for another"]),
        ("rates.optim.lr@rates-lr0.01", ["rates.optim.lr@rates-lr0.01 = 0.01"]),
        ("base.tokens", ["base.tokens = 160", "  set by schema default: steps * batch * data.seq_len"]),
        ("base.epochs", ["base.epochs = (known only when the run counts its examples)", f"  {FOLLOWS}"]),
        ("line.x", ["line.x = step", "  set by own field: step   s.lmspec:8:37"]),
        ("line", ["line = line { }", "  x = step   own field", "  y = [loss.train]   own field"]),
    ],
)
def test_a_path_is_explained(path: str, lines: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "s.lmspec", path]) == 0
    said = capsys.readouterr().out.splitlines()
    for line in lines:
        assert any(told.startswith(line) for told in said), said


@pytest.mark.parametrize(
    ("path", "message", "help"),
    [
        ("bsae.batch", "there is no block `bsae`", "did you mean `base`?"),
        ("quik.batch", "there is no block `quik`", "blocks are bytes, book, small, base, tuned, rates, line"),
        ("quick.steps", "`quick` is an overlay", "ask for what it changes: --with quick"),
        ("base.btach", "`base.btach` leads nowhere: `train` has no `btach`", "did you mean `batch`?"),
        ("small.mixer.head", "mixer variant `attention` has no `head`", "did you mean `heads`?"),
        ("base.init.run", "`base.init.run` leads nowhere: `init` is no block here", ""),
        ("tuned.init.rum", "init variant `checkpoint` has no `rum`", "did you mean `run`?"),
        ("base.batch.size", "`batch` is no block here", ""),
        ("small.num_params", "has no `num_params`", ""),
    ],
)
def test_a_path_that_leads_nowhere_is_helped(
    path: str, message: str, help: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", "s.lmspec", path]) == 1
    said = capsys.readouterr().err
    assert "LM0207" in said
    assert message in said
    assert help in said


def test_a_block_shows_what_is_set_in_the_blocks_within(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "s.lmspec").write_text(SPEC + "train seen : base { every { eval = 20 } }\n")
    line = SPEC.count("\n") + 1
    assert main(["why", "s.lmspec", "seen"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert any(told.startswith("  every = every { eval = 20 }   s.lmspec:") and f":{line}:" in told for told in said), (
        said
    )


def test_a_path_that_begins_with_a_run_names_its_grid(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "s.lmspec", "rates-lr0.01.model.width"]) == 1
    said = capsys.readouterr().err
    assert "`rates-lr0.01` is a run of grid `rates`" in said
    assert "did you mean `rates.model.width@rates-lr0.01`?" in said
    assert main(["why", "s.lmspec", "rates.model.width@rates-lr0.01"]) == 0


def test_a_run_is_named_or_begins_with_its_id(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "s.lmspec", "--emit", "plan"]) == 0
    ids = re.findall(r'"name":"rates-lr0.01".*?"run":"(\w+)"', capsys.readouterr().out)
    for run in ("rates-lr0.01", ids[0], ids[0][:6]):
        assert main(["why", "s.lmspec", f"rates.optim.lr@{run}"]) == 0
        said = capsys.readouterr().out.splitlines()
        assert said[0] == f"rates.optim.lr@{run} = 0.01"
        assert not any("the first of" in line for line in said)
    assert main(["why", "s.lmspec", "rates.optim.lr@rates-lr0.02"]) == 1
    assert "did you mean `rates-lr0.0" in capsys.readouterr().err


def test_what_the_command_line_sets_has_no_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "s.lmspec", "base.steps", "--set", "base.steps = 4"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["base.steps = 4", "  set by --set: 4"]


def test_a_point_that_a_grid_leaves_out_is_not_the_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = SPEC.replace("[1e-3, 1e-2] } }", "[1e-3, 1e-2] }, where = optim.lr > 1e-3 }")
    (folder / "s.lmspec").write_text(text)
    assert main(["why", "s.lmspec", "rates.optim.lr"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "rates.optim.lr = 0.01"
