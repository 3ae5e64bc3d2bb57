"""`lmc new`: every template compiles, runs small by the commands of its README, and overwrites nothing."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch

from lmc.compiler.cli import main, parser
from lmc.compiler.project import TEMPLATES

from ..tokenizers.made import byte_level
from ..weights.made import theirs

SMALL = {
    "bytes": ["--set", "base.steps = 12", "--set", "speech.max_tokens = 8", "--set", "base.every.eval = 6"],
    "sweep": ["--set", "base.steps = 6", "--set", "base.every.eval = 3", "--set", "held_out.examples = 4"],
    "memory": [
        "--with",
        "quick",
        "--set",
        "memory.steps = 3",
        "--set",
        "exact.examples = 2",
        "--set",
        "exact.max_tokens = 8",
    ],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def commands(project: Path) -> list[list[str]]:
    """Return the commands of a project's README, without `lmc`."""
    block = re.findall(r"^```\n(.*?)^```$", (project / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)[0]
    lines = [shlex.split(line) for line in block.splitlines()]
    assert all(line[0] == "lmc" for line in lines)
    return [line[1:] for line in lines]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_project_is_whole(template: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "my-runs", "--from", template]) == 0
    project = folder / "my-runs"
    told = capsys.readouterr().out
    files = {path.relative_to(folder).as_posix() for path in project.rglob("*") if path.is_file()}
    assert files == set(told.split("\n\n")[0].splitlines())
    assert {"my-runs/my-runs.lmspec", "my-runs/README.md", "my-runs/.gitignore"} <= files
    assert not [path for path in project.rglob("*") if path.is_file() and "{{project}}" in path.read_text("utf-8")]
    assert len(commands(project)) == 3
    for line in commands(project):
        parser().parse_args(line)
    assert commands(project)[0] == ["check", "my-runs.lmspec"]
    assert main(["check", str(project / "my-runs.lmspec")]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("template", SMALL)
def test_a_project_runs_by_its_readme(
    template: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "mine", "--from", template]) == 0
    monkeypatch.chdir(folder / "mine")
    for line in commands(folder / "mine"):
        small = SMALL[template] if line[0] == "run" else ["--max-tokens", "8"] if line[0] == "generate" else []
        device = ["--device", "cpu"] if line[0] in ("run", "generate") else []
        capfd.readouterr()
        assert main([*line, *small, *device]) == 0, line
    assert capfd.readouterr().out.strip()
    assert [path.suffix for path in Path("out").glob("*.svg")] == [".svg"]
    ignored = (folder / "mine" / ".gitignore").read_text("utf-8").split()
    made = {f"{path.name}/" for path in Path.cwd().iterdir() if path.is_dir()} - {"templates/"}
    assert made <= set(ignored)


@pytest.mark.slow
@pytest.mark.transformers
def test_the_finetune_project_runs_from_a_folder_of_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers", reason="needs the transformers library")
    assert main(["new", "tuned", "--from", "finetune"]) == 0
    monkeypatch.chdir(folder / "tuned")
    Path("smollm2").mkdir()
    byte_level(Path("smollm2/tokenizer.json"), ("<|endoftext|>",))
    theirs(
        vocab_size=len(json.loads(Path("smollm2/tokenizer.json").read_text())["model"]["vocab"]) + 1,
        hidden_size=72,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=9,
        num_key_value_heads=3,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
    ).to(torch.bfloat16).save_pretrained("smollm2")
    sizes = ["model.layers=2", "model.width=72", "model.mlp.hidden=96", "steps=6", "data.seq_len=32", "every.eval=2"]
    small = [word for size in sizes for word in ("--set", f"tune.{size}")]
    assert main(["run", "tuned.lmspec", "--with", "local", *small, "--device", "cpu"]) == 0
    assert main(commands(Path.cwd())[2]) == 0
    assert Path("out/tuned/model.safetensors").is_file()


@pytest.mark.parametrize("there", ["file", "folder"])
def test_nothing_is_overwritten(there: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "mine"
    if there == "folder":
        path.mkdir()
        path = path / "mine.lmspec"
    path.write_text("precious", encoding="utf-8")
    assert main(["new", "mine"]) == 1
    said = capsys.readouterr()
    assert "`mine` is there already" in said.err
    assert said.out == ""
    assert path.read_text("utf-8") == "precious"
    assert len(list(folder.rglob("*"))) == (2 if there == "folder" else 1)


def test_an_empty_folder_and_a_path_may_be_named(folder: Path) -> None:
    (folder / "a").mkdir()
    assert main(["new", "a"]) == 0
    assert main(["new", "b/c"]) == 0
    assert (folder / "b" / "c" / "c.lmspec").is_file()


@pytest.mark.parametrize("name", ["my project", "a\tb", "-x", "é"])
def test_a_name_must_be_one_that_commands_take(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "--", name]) == 1
    assert "is no name of a project" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_an_unknown_template_is_a_usage_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["new", "mine", "--from", "bites"])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "usage: lmc new" in said
    assert all(template in said for template in TEMPLATES)
    assert list(folder.iterdir()) == []
