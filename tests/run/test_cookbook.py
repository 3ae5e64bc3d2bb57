"""The cookbook: every recipe is checked without a word, and runs, small, by the very command that it shows."""

import json
import re
import shlex
from pathlib import Path

import pytest

from lmc.compiler.cli import main

from ..support.pages import files, lay_files

PAGE = Path(__file__).parent.parent.parent / "docs" / "cookbook.md"
RECIPES = [name for name in files(PAGE) if name.endswith(".lmspec")]
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if line.startswith("lmc ")
]
BOOK = "The quick brown fox jumps over the lazy dog. The dog was not amused, and said so at some length.\n" * 120
SMALL = ("steps = 4", "batch = 2")
LESS = (*SMALL, "every.eval = 2", "model.width = 16")


def of(block: str, *settings: str) -> list[str]:
    return [f"{block}.{setting}" for setting in settings]


QUICK = {
    "bytes": [*of("mine", *LESS), "speech.max_tokens = 8"],
    "vocabularies": [*of("vocabularies.base", *LESS), "words.size = 300"],
    "mixture": [*of("moving", *LESS), *of("still", *LESS)],
    "rates": [*of("base", *LESS), "rates.over.optim.lr = [1e-3, 1e-2]"],
    "seeds": [*of("seeds.base", *LESS), "seeds.seeds = [0, 1]"],
    "mup": [*of("widths.base", *SMALL), *of("widths", "over.model.width = [16, 32]", "over.optim.lr = [1e-3]")],
    "groups": [setting for block in ("bare", "spared", "frozen") for setting in of(block, *LESS)],
    "optimisers": of("optimisers.base", *LESS),
    "cooldown": [
        *of("long", *LESS, "every.checkpoint = 2", "schedule.warmup = 2"),
        *of("cooled", *LESS, "init.step = 2"),
        *of("cooldowns.over", "init.step = [2, 4]", "steps = [2]"),
    ],
    "stages": of("growing", "short.steps = 2", "long.steps = 2", "schedule.warmup = 1", "model.width = 16"),
    "batches": [*of("batches.base", *LESS), "batches.seeds = [0]"],
    "shapes": [*of("shapes.base", *SMALL), "shapes.seeds = [0]"],
    "windows": of("mixers.base", *LESS),
    "scaling": [
        *of("scaling.base", "batch = 2", "every.eval = 2"),
        *of("scaling", "over.model.width = [16]", "over.steps = [2, 4]", "seeds = [0]"),
        "needed.where = held_out.loss < 9",
    ],
    "memory": [
        *of("memory", *SMALL, "schedule.warmup = 1"),
        *of("exact", "examples = 2", "max_tokens = 8"),
        *of("people.over", "data.count = [4]", "model.width = [16]"),
    ],
    "own_tool": [
        *of("ask", *LESS, "schedule.warmup = 1", "data.count = 4"),
        *of("exact", "examples = 2", "max_tokens = 8", "every = 4"),
    ],
    "probes": [*of("watched", *LESS), "stream.every = 2", "flow.every = 2"],
    "profiled": of("timed", *LESS, "profile.steps = [2]"),
    "limited": of("patient", *LESS),
}
NETWORK = {"smollm", "pinned"}
"""Recipes that read from a network; they are compiled only."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("book.txt", "letters.txt"):
        (tmp_path / name).write_text(BOOK, encoding="utf-8")
    lay_files(PAGE, tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_checked_without_a_word_and_its_command_shown(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", name]) == 0
    assert capsys.readouterr() == ("", "")
    assert name == "start.lmspec" or any(name in command for command in COMMANDS)


def test_every_recipe_runs_or_needs_a_network() -> None:
    assert {name.removesuffix(".lmspec") for name in RECIPES} == {"start", *QUICK, *NETWORK}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", QUICK)
def test_a_recipe_runs_by_its_command_and_draws_its_figures(
    recipe: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    commands = [words for words in COMMANDS if words[:2] == ["run", f"{recipe}.lmspec"]]
    settings = [part for setting in QUICK[recipe] for part in ("--set", setting)]
    assert main([*commands[0], *settings, "--device", "cpu", "--jobs", "1"]) == 0
    figures = re.findall(r'file += "(out/[^"]+)"', files(PAGE)[f"{recipe}.lmspec"])
    assert sorted(f"out/{path.name}" for path in (folder / "out").glob("*")) == sorted(figures)
    assert "no results yet" not in "".join(path.read_text("utf-8") for path in (folder / "out").glob("*.svg"))


def test_the_configuration_becomes_a_grid_of_four(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = [words for words in COMMANDS if "tiny.yaml" in words or "tiny.lmspec" in words]
    assert [words[0] for words in shown] == ["import", "plan", "export"]
    (folder / "data" / "wiki").mkdir(parents=True)
    (folder / "data" / "wiki" / "wiki.chunk.0.jsonl").write_text(json.dumps({"text": BOOK}), encoding="utf-8")
    for words in shown:
        capsys.readouterr()
        assert main(words) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert {(run["values"]["optim.lr"], run["values"]["model.layers"]) for run in runs} == {
        (rate, layers) for rate in (1e-3, 3e-4) for layers in (2, 4)
    }


@pytest.mark.parametrize(
    ("recipe", "setting"), re.findall(r"`lmc run (\w+\.lmspec) --set ([^`]+)`", PAGE.read_text("utf-8"))
)
def test_a_setting_of_the_head_shortens_all_runs_of_its_recipe(
    recipe: str, setting: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", recipe, "--set", setting]) == 0
    tokens = re.findall(r"^ *tokens +([\d,]+)", capsys.readouterr().out, re.MULTILINE)
    assert tokens == [f"{60 * 16 * 64:,}"]
