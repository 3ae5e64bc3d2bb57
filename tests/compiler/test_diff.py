"""`lmc diff`: values and not spellings; refactoring changes no id and shows no difference."""

import json
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lmc.compiler.cli import main
from lmc.compiler.pipeline import compile_spec

SPEC = """
tokenizer bytes : byte { specials = ["<|eod|>"] }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer {
  tokenizer = bytes
  layers = 2
  width = 8
  mixer : attention { heads = 2 }
  mlp : swiglu { hidden = 4 * width }
}
train base {
  model = small
  data = book
  steps = 10, batch = 2
  every { log = 5 }
  optim : adamw { lr = 1e-3 }
}
eval held_out : loss { run = base }
grid sweep {
  base = base
  over { model.width = [16, 32], optim.lr = [1e-3, 1e-2] }
  seeds = range(2)
  name = f"w{model.width}-lr{optim.lr}-s{seed}"
}
plot best : line { from = sweep, x = model.params, y = min(held_out.loss), color = optim.lr }
"""
SPLIT = {
    "parts.lmspec": SPEC[: SPEC.index("train base")]
    .replace("\nmodel small", "\nlet layers = 2\nmodel small")
    .replace("  layers = 2", "  layers = file.layers"),
    "new.lmspec": 'import "parts.lmspec" as parts\n'
    + SPEC[SPEC.index("train base") :]
    .replace("model = small", "model = parts.small")
    .replace("= book", "= parts.book"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.lmspec").write_text(SPEC, encoding="utf-8")
    return tmp_path


def diff(capsys: pytest.CaptureFixture[str], new: str, *more: str, old: str = "old.lmspec") -> dict[str, Any]:
    capsys.readouterr()
    code = main(["diff", old, new, "--format", "json", *more])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    found: dict[str, Any] = json.loads(shown.out)
    return found


def changed(capsys: pytest.CaptureFixture[str], text: str) -> dict[str, Any]:
    Path("new.lmspec").write_text(text, encoding="utf-8")
    return diff(capsys, "new.lmspec")


def fields(found: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(c["block"], c["path"], c["old"], c["new"], c["points"]) for c in found["changes"] if not c["derived"]]


def run_ids(path: Path) -> list[str]:
    plan = compile_spec(path).plan
    assert plan is not None
    return sorted({point.run for point in plan.points})


CUTS = [0, *(SPEC.index(block) for block in ("data book", "model small", "train base")), len(SPEC)]
REORDERED = "\n".join(SPEC[begin:end] for begin, end in reversed(list(pairwise(CUTS))))
REFACTORINGS = {
    "as it is": SPEC,
    "comments and blank lines": SPEC.replace("\n  ", "\n\n     # why\n  "),
    "one line": SPEC.replace(
        "  steps = 10, batch = 2\n  every { log = 5 }", "  batch = 2, every { log = 5 }, steps = 10"
    ),
    "a model is renamed": SPEC.replace("small", "tiny"),
    "a train is renamed": SPEC.replace("train base", "train start")
    .replace("run = base", "run = start")
    .replace("base = base", "base = start"),
    "a grid is renamed": SPEC.replace("sweep", "rates"),
    "an evaluation is renamed": SPEC.replace("held_out", "valid"),
    "all are renamed": SPEC.replace("small", "tiny")
    .replace("book", "text_")
    .replace("text_.txt", "book.txt")
    .replace("bytes", "letters")
    .replace("best", "worst")
    .replace("sweep", "rates")
    .replace("held_out", "valid"),
    "a value moves into let": "let rate = 1e-3\n" + SPEC.replace("lr = 1e-3", "lr = rate"),
    "another spelling of numbers": SPEC.replace("1e-3", "0.001").replace("steps = 10", "steps = 5 + 5"),
    "a default is written out": SPEC.replace("layers = 2", "layers = 2, tied = false"),
    "blocks change places": REORDERED,
    "a field is set by path": SPEC.replace(
        "  mixer : attention { heads = 2 }", "  mixer : attention {}\n  mixer.heads = 2"
    ),
}


@pytest.mark.parametrize("name", REFACTORINGS)
def test_refactoring_changes_no_id_and_shows_no_difference(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = changed(capsys, REFACTORINGS[name])
    assert (found["changes"], found["blocks"]["added"], found["blocks"]["removed"]) == ([], [], [])
    assert found["empty"]
    assert run_ids(folder / "new.lmspec") == run_ids(folder / "old.lmspec")
    assert sum(len(runs["kept"]) for runs in found["runs"]) == 9
    assert main(["diff", "old.lmspec", "new.lmspec"]) == 0
    assert "no value differs between old.lmspec and new.lmspec" in capsys.readouterr().out


def test_two_files_are_as_good_as_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in SPLIT.items():
        (folder / name).write_text(text, encoding="utf-8")
    found = diff(capsys, "new.lmspec")
    assert found["empty"]
    assert found["blocks"] == {"added": [], "removed": [], "renamed": []}
    assert run_ids(folder / "new.lmspec") == run_ids(folder / "old.lmspec")


def test_renaming_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = changed(capsys, SPEC.replace("small", "tiny"))
    assert found["blocks"]["renamed"] == [{"kind": "model", "from": "small", "to": "tiny", "place": "new.lmspec:4"}]


def test_a_block_between_changes_no_id(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zero = "train zero { model = small, data = book, steps = 7, batch = 2 }"
    text = SPEC.replace("train base {", f"{zero}\ntrain base : zero {{")
    found = changed(capsys, text)
    assert found["changes"] == []
    assert [(block["kind"], block["name"]) for block in found["blocks"]["added"]] == [("train", "zero")]
    assert set(run_ids(folder / "old.lmspec")) <= set(run_ids(folder / "new.lmspec"))


def test_values_are_told_with_their_places(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = changed(capsys, SPEC.replace("layers = 2", "layers = 3").replace("log = 5", "log = 6"))
    assert fields(found) == [("base", "every.log", 5, 6, 9), ("small", "layers", 2, 3, 9)]
    assert [change["origins"] for change in found["changes"]] == [
        ["old.lmspec:15", "new.lmspec:15"],
        ["old.lmspec:6", "new.lmspec:6"],
    ]
    assert not found["empty"]
    assert [len(runs["changed"]) for runs in found["runs"]] == [1, 8]
    assert [runs["kept"] for runs in found["runs"]] == [[], []]


def test_what_changes_no_id_is_told_and_keeps_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = changed(capsys, SPEC.replace("log = 5", "log = 6").replace("color = optim.lr", "color = seed"))
    assert fields(found) == [("base", "every.log", 5, 6, 9), ("best", "color", "optim.lr", "seed", 0)]
    assert [len(runs["kept"]) for runs in found["runs"]] == [1, 8]


def test_what_follows_from_a_value_is_marked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = changed(capsys, SPEC.replace("heads = 2", "heads = 4"))
    assert [(change["path"], change["derived"]) for change in found["changes"]] == [
        ("mixer.heads", False),
        ("mixer.kv_heads", True),
    ]


def test_an_axis_with_other_values_adds_and_removes_points(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = changed(capsys, SPEC.replace("[16, 32]", "[32, 64]"))
    assert found["changes"] == []
    sweep = next(runs for runs in found["runs"] if runs["block"] == "sweep")
    assert {point["axes"]["model.width"] for point in sweep["added"]} == {64}
    assert {point["axes"]["model.width"] for point in sweep["removed"]} == {16}
    assert (len(sweep["added"]), len(sweep["removed"]), len(sweep["kept"])) == (4, 4, 4)
    assert main(["diff", "old.lmspec", "new.lmspec"]) == 0
    shown = capsys.readouterr().out
    assert "+ 4 points of sweep: w64-lr0.001-s0" in shown
    assert "grid sweep: 4 of 8 runs keep their ids" in shown
    assert main(["diff", "old.lmspec", "new.lmspec", "--all"]) == 0
    assert len([line for line in capsys.readouterr().out.splitlines() if line.startswith("+ sweep w64")]) == 4


def test_an_axis_that_is_new_keeps_the_runs_that_were_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = changed(
        capsys,
        SPEC.replace("1e-2] }", "1e-2], model.layers = [2, 4] }").replace("-s{seed}", "-s{seed}-l{model.layers}"),
    )
    sweep = next(runs for runs in found["runs"] if runs["block"] == "sweep")
    assert (len(sweep["kept"]), len(sweep["added"]), len(sweep["removed"])) == (8, 8, 0)


def test_blocks_come_and_go(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = (
        SPEC
        + "model wide : transformer { tokenizer = bytes, layers = 1, width = 64, mixer : attention { heads = 2 } }\n"
    )
    found = changed(
        capsys, more.replace("eval held_out : loss { run = base }", "").replace("min(held_out.loss)", "loss.train")
    )
    blocks = found["blocks"]
    assert [(b["kind"], b["name"], b["place"]) for b in blocks["removed"]] == [("eval", "held_out", "old.lmspec:18")]
    assert [(b["kind"], b["name"]) for b in blocks["added"]] == [("model", "wide")]


def test_a_reference_that_moves_is_one_change(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = "model wide : small { layers = 4 }\n"
    (folder / "old.lmspec").write_text(SPEC + more, encoding="utf-8")
    found = changed(capsys, (SPEC + more).replace("model = small", "model = wide"))
    assert fields(found) == [("base", "model", "small", "wide", 9)]


def test_another_variant_is_one_change(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = changed(capsys, SPEC.replace("adamw { lr = 1e-3 }", "sgd { lr = 1e-3 }"))
    assert fields(found) == [("base", "optim", "adamw", "sgd", 9)]


def test_settings_apply_to_both_sides(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("new.lmspec").write_text(SPEC.replace("steps = 10", "steps = 20"), encoding="utf-8")
    assert not diff(capsys, "new.lmspec")["empty"]
    assert diff(capsys, "new.lmspec", "--set", "base.steps = 30")["empty"]


def test_plan_folders_are_compared_as_their_specs_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("new.lmspec").write_text(SPEC.replace("layers = 2", "layers = 3"), encoding="utf-8")
    Path("book.txt").write_text("a tale of two cities", encoding="utf-8")
    assert main(["compile", "old.lmspec", "-o", "one"]) == 0
    assert main(["compile", "new.lmspec", "-o", "two"]) == 0
    whole, plans = diff(capsys, "new.lmspec"), diff(capsys, "two", old="one")
    assert plans["changes"] == whole["changes"]
    assert diff(capsys, "one")["empty"]


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True, capture_output=True)


def test_a_revision_is_read_with_its_imports(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "deep").mkdir()
    for name, text in SPLIT.items():
        (folder / "deep" / name).write_text(text, encoding="utf-8")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "first")
    path = folder / "deep" / "parts.lmspec"
    path.write_text(path.read_text().replace("let layers = 2", "let layers = 5"), encoding="utf-8")
    found = diff(capsys, "deep/new.lmspec", old="HEAD:deep/new.lmspec")
    assert fields(found) == [("small", "layers", 2, 5, 9)]
    assert found["changes"][0]["origins"] == ["HEAD:deep/parts.lmspec:7", "deep/parts.lmspec:7"]
    git("commit", "-qam", "second")
    assert diff(capsys, "HEAD:deep/new.lmspec", old="deep/new.lmspec")["empty"]
    assert fields(diff(capsys, "HEAD:deep/new.lmspec", old="HEAD~1:deep/new.lmspec")) == [("small", "layers", 2, 5, 9)]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("nothing", "there is no spec or plan `nothing`"),
        ("HEAD~9:old.lmspec", "git knows no revision `HEAD~9`"),
        ("HEAD:none.lmspec", "`none.lmspec` is no spec of revision `HEAD`"),
    ],
)
def test_what_cannot_be_compared_is_told(
    word: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "first")
    assert main(["diff", word, "old.lmspec"]) == 1
    assert message in capsys.readouterr().err


def test_outside_a_repository_git_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder.parent))
    assert main(["diff", "HEAD:old.lmspec", "old.lmspec"]) == 1
    assert "git says: fatal: not a git repository" in capsys.readouterr().err


def test_mistakes_of_either_side_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("new.lmspec").write_text(SPEC.replace("layers = 2", "layer = 2"), encoding="utf-8")
    assert main(["diff", "old.lmspec", "new.lmspec"]) == 1
    assert "new.lmspec:6" in capsys.readouterr().err
