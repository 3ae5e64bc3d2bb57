"""`lmc export` of a file: every run, resolved, as YAML and JSON that read back equal to the plan."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmc.compiler.cli import main
from lmc.compiler.pipeline import compile_spec
from lmc.spec.codec import structure_spec
from lmc.spec.exported import visible
from lmc.spec.plan import Plan
from lmc.spec.schema import fields, kind_of

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.lmspec"))
SPEC = """
edition = 1
tokenizer bytes : byte { specials = ["<|eod|>"] }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
model tiny : transformer { tokenizer = bytes, layers = 2, width = 32, mixer : attention { heads = 2 } }
train base { model = tiny, data = book, steps = 300, batch = 8, optim : adamw { lr = 1e-5 } }
eval held_out : loss { run = base }
grid widths { base = base, over { model.width = [32, 64] }, seeds = range(2), name = f"d{model.width}-s{seed}" }
"""


def exported(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["export", *arguments, "--format", "json"]) == 0
    from_json = json.loads(capsys.readouterr().out)
    assert main(["export", *arguments, "--format", "yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == from_json
    return from_json


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "book.lmspec"
    path.write_text(SPEC, encoding="utf-8")
    return str(path)


def test_every_run_of_a_grid_is_written_with_its_values(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = exported(capsys, spec)
    assert found["source"] == "book.lmspec"
    assert [run["run"] for run in found["runs"]] == ["d32-s0", "d32-s1", "d64-s0", "d64-s1"]
    for run, (width, seed) in zip(found["runs"], [(32, 0), (32, 1), (64, 0), (64, 1)], strict=True):
        blocks = run["blocks"]
        assert run["axes"] == {"model.width": width, "seed": seed}
        train = blocks[run["train"]]
        assert train["seed"] == seed
        assert train["optim"]["lr"] == 1e-5
        model = blocks[train["model"]]
        assert (model["width"], model["mlp"]["hidden"], model["vocab"]) == (width, 4 * width, 257)
        assert blocks[train["data"]]["tokenizer"] == model["tokenizer"] == "bytes"
        assert run["evals"] == ["held_out"]
        assert blocks["held_out"]["run"] == run["train"]


def test_runs_are_chosen_by_block_name_and_id(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    every = exported(capsys, spec)["runs"]
    assert exported(capsys, spec, "widths")["runs"] == every
    assert exported(capsys, spec, "d64-s1")["runs"] == [every[3]]
    assert exported(capsys, spec, every[2]["id"], "d32-s1")["runs"] == [every[2], every[1]]
    assert [run["run"] for run in exported(capsys, spec, "base")["runs"]] == ["base"]


def test_a_name_without_runs_is_told(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", spec, "d64-s2"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "error[LM0807]: no run belongs to `d64-s2`" in shown.err
    assert "did you mean `d64-s" in shown.err


def test_changes_of_the_command_line_are_in_it(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = exported(capsys, spec, "--set", "base.batch=4")
    assert found["settings"] == ["base.batch=4"]
    assert {run["blocks"][run["train"]]["batch"] for run in found["runs"]} == {4}


def test_a_file_is_written(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = exported(capsys, spec)
    assert main(["export", spec, "-o", str(tmp_path / "runs.yaml")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'runs.yaml'}: 4 runs\n"
    assert yaml.safe_load((tmp_path / "runs.yaml").read_text("utf-8")) == whole
    assert main(["export", spec, "-o", str(tmp_path / "none" / "runs.yaml")]) == 1
    assert "LM0804" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["FILE", "--format", "hf"], "a file holds no weights"),
        (["run", "--format", "json", "--with", "quick"], "for .lmspec files"),
        (["run", "block", "-o", "x"], "for .lmspec files"),
        (["run"], "-o FOLDER"),
    ],
)
def test_what_does_not_fit_together_is_a_usage_error(
    arguments: list[str], told: str, spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", *(spec if word == "FILE" else word for word in arguments)]) == 2
    assert told in capsys.readouterr().err


SECRET = """
edition = 1
tokenizer bytes : byte {}
store people : postgres { url = %s, table folk { columns = ["born"] } }
protocol ask : sql {
  store = people
  call { open = "<", close = ">", body = re"(?<q>[a-z]+)" }
  query = "SELECT born FROM folk WHERE name = :q"
}
data book : text {
  source : url { at = "https://me:token@host/book.txt", sha256 = "%s" }
  tokenizer = bytes
  seq_len   = 64
}
model tiny : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = tiny, data = book, steps = 3, batch = 8 }
eval said : generate { run = base, protocols = [ask] }
"""


@pytest.mark.parametrize("format_", ["yaml", "json"])
def test_no_secret_is_written(
    format_: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEOPLE_URL", "postgresql://me:hunter2@host/db")
    path = tmp_path / "s.lmspec"
    path.write_text(SECRET % ('env("PEOPLE_URL")', "0" * 64), encoding="utf-8")
    setting = 'people.url="postgresql://me:hunter2@host/db"'
    for arguments in ([], ["--set", setting]):
        assert main(["export", str(path), "--format", format_, *arguments]) == 0
        shown = capsys.readouterr().out
        assert "hunter2" not in shown
        assert "token@" not in shown
        assert "https://me:***@host/book.txt" in shown
        assert ("PEOPLE_URL" if not arguments else "postgresql://me:***@host/db") in shown


def shown_runs(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Plan, list[dict[str, Any]]]:
    plan = compile_spec(path).plan
    assert plan is not None
    names = [next(p.name for p in plan.points if p.grid == t.name) for t in plan.targets if t.kind in ("grid", "train")]
    return plan, exported(capsys, str(path), *names)["runs"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_block_of_the_examples_reads_back_as_what_is_planned(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, runs = shown_runs(path, capsys)
    for run in runs:
        names = run["blocks"]
        assert names
        train = plan.nodes[run["id"]].spec
        for name, block in names.items():
            spec = structure_spec(block)
            for field in visible(type(spec)):
                if fields(type(spec))[field].metadata["ref"]:
                    value = getattr(spec, field)
                    for reference in (value,) if isinstance(value, str) else value or ():
                        assert reference.partition(".")[0] in names
            if name == run["train"]:
                seen = visible(type(train))
                own = [f for f in seen if not fields(type(train))[f].metadata["ref"] and f not in ("stages", "init")]
                assert {f: getattr(spec, f) for f in own} == {f: getattr(train, f) for f in own}
            assert kind_of(type(spec)) == block["kind"]
            assert set(block) == {"kind", "variant", *visible(type(spec))}


def test_the_document_that_the_manual_shows_is_the_one_that_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "interchange.md").read_text("utf-8")
    shown = re.search(r"^```lmspec\n(.*?)^```\n.*?^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert shown is not None
    (tmp_path / "book.lmspec").write_text(shown[1], encoding="utf-8")
    assert main(["export", str(tmp_path / "book.lmspec")]) == 0
    assert capsys.readouterr().out.startswith(shown[2])


def test_a_trained_run_is_written_as_it_was_planned(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("a book of several words. " * 200, encoding="utf-8")
    assert main(["run", spec, "d32-s1", "--set", "base.steps=3", "--jobs", "1", "--device", "cpu"]) == 0
    capsys.readouterr()
    stored = exported(capsys, "d32-s1", "--format", "yaml")
    planned = exported(capsys, spec, "d32-s1", "--set", "base.steps=3")
    (run,), (expected,) = stored["runs"], planned["runs"]
    assert (run["run"], run["id"], run["block"]) == ("d32-s1", expected["id"], "widths")
    assert run["blocks"] == {name: block for name, block in expected["blocks"].items() if name != "held_out"}
    assert stored["settings"] == ["base.steps=3"]
    assert main(["export", "d33-s1", "--format", "yaml"]) == 1
    assert "LM0809" in capsys.readouterr().err
