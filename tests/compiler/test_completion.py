"""Completion, asked of real shells: what they offer is what the parser takes."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lmc.compiler.cli import main, parser
from lmc.compiler.completion import SHELLS, commands
from lmc.compiler.diagnostics.codes import CODES

SPEC = """
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 8 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 1 } }
train base { model = small, data = book, steps = 10, batch = 2 }
overlay quick : base { steps = 2 }
overlay quiet : base { every.log = 5 }
"""

BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
_lmc
printf '%s\\n' "${COMPREPLY[@]}"
"""

ZSH = Path(__file__).parent / "capture.zsh"


def bash(script: Path, words: list[str], folder: Path) -> set[str]:
    found = subprocess.run(
        ["bash", "--norc", "-c", BASH, "bash", str(script), *words], cwd=folder, capture_output=True, text=True
    )
    assert found.stderr == ""
    return {line.rstrip("/") for line in found.stdout.splitlines() if line}


def fish(script: Path, words: list[str], folder: Path) -> set[str]:
    line = " ".join(f"'{word}'" if " " in word else word for word in words)
    program = f"source {script}; complete -C '{line}'"
    env = os.environ | {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / ".config")}
    found = subprocess.run(["fish", "-N", "-c", program], cwd=folder, capture_output=True, text=True, env=env)
    assert found.stderr == ""
    return {line.partition("\t")[0].rstrip("/") for line in found.stdout.splitlines()}


def zsh(script: Path, words: list[str], folder: Path) -> set[str]:
    out = folder / ".offered"
    out.unlink(missing_ok=True)
    env = os.environ | {"HOME": str(folder), "TERM": "dumb"}
    line = [str(ZSH), str(script), " ".join(words), str(out)]
    subprocess.run(["zsh", "-f", *line], cwd=folder, env=env, timeout=60, check=True)
    lines = out.read_text("utf-8").splitlines() if out.is_file() else []
    return {line.rstrip("/") for line in lines if line}


ASK = {"bash": bash, "fish": fish, "zsh": zsh}
INSTALLED = [
    pytest.param(shell, marks=pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed"))
    for shell in SHELLS
]
NAMES = {command.name for command in commands(parser())}
CASES = [
    (["lmc", ""], NAMES),
    (["lmc", "ch"], {"chat", "check"}),
    (["lmc", "check", ""], {"case.lmspec", "sub"}),
    (["lmc", "check", "--f"], {"--format"}),
    (["lmc", "check", "--format", ""], {"text", "json", "github"}),
    (["lmc", "check", "case.lmspec", "--with", ""], {"quick", "quiet"}),
    (["lmc", "check", "--with", "quic"], {"quick"}),
    (["lmc", "run", "--with", "quick", "case.lmspec", ""], {"bytes", "book", "small", "base", "quick", "quiet"}),
    (["lmc", "run", "case.lmspec", "--set", "b"], {"bytes.", "book.", "base."}),
    (["lmc", "why", "case.lmspec", "sm"], {"small"}),
    (["lmc", "generate", ""], {"base", "wide"}),
    (["lmc", "generate", "--store", "other", ""], {"elsewhere"}),
    (["lmc", "new", "x", "--from", "b"], {"bytes"}),
    (["lmc", "explain", ""], set(CODES)),
    (["lmc", "docs", "mixer."], {f"mixer.{name}" for name in ("attention", "based", "gated", "hyena", "mamba")}),
    (["lmc", "show", "p"], {"protocol"}),
    (["lmc", "completion", ""], set(SHELLS)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shell")
    (folder / "case.lmspec").write_text(SPEC, encoding="utf-8")
    (folder / "book.txt").write_text("a book", encoding="utf-8")
    (folder / "sub").mkdir()
    for path, name in {"runs/a-1": "base", "runs/b-1": "wide", "runs/c-1": "bytes", "other/d-1": "elsewhere"}.items():
        (folder / path).mkdir(parents=True)
        (folder / path / "node.json").write_text(json.dumps({"name": name, "status": "done"}), encoding="utf-8")
        if name != "bytes":
            (folder / path / "graph.jsonl").write_text("", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("scripts")
    found = {}
    for shell, script in SHELLS.items():
        found[shell] = folder / f"lmc.{shell}"
        found[shell].write_text(script(commands(parser())), encoding="utf-8")
    return found


@pytest.mark.parametrize(("words", "offered"), CASES, ids=[" ".join(words) for words, _ in CASES])
@pytest.mark.parametrize("shell", INSTALLED)
def test_a_shell_offers_what_may_stand_there(
    shell: str, words: list[str], offered: set[str], scripts: dict[str, Path], folder: Path
) -> None:
    found = {
        word for word in ASK[shell](scripts[shell], words, folder) if word not in ("runs", "other") or "store" in words
    }
    assert found == offered


@pytest.mark.parametrize("shell", INSTALLED)
def test_every_option_of_every_command_is_offered(shell: str, scripts: dict[str, Path], folder: Path) -> None:
    if shell == "zsh":
        text = scripts[shell].read_text("utf-8")
        assert all(
            flag in text for command in commands(parser()) for option in command.options for flag in option.flags
        )
        return
    for command in commands(parser()):
        found = ASK[shell](scripts[shell], ["lmc", command.name, "--"], folder)
        assert found == {f for o in command.options for f in o.flags if f.startswith("--")}, command.name


def test_the_command_prints_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    for shell, script in SHELLS.items():
        assert main(["completion", shell]) == 0
        assert capsys.readouterr().out == script(commands(parser()))


def test_a_new_option_of_a_parser_is_in_every_script() -> None:
    """The scripts are made from the parser that is given: nothing in them is a list of its own."""
    top = parser()
    found = next(
        a for a in top._actions if a.dest == "==SUPPRESS==" or (hasattr(a, "choices") and isinstance(a.choices, dict))
    )
    made = found.add_parser("brew", help="make tea")  # type: ignore[attr-defined]
    made.add_argument("--strength", choices=("weak", "strong"), help="how strong")
    for script in SHELLS.values():
        text = script(commands(top))
        assert "brew" in text
        assert "strength" in text
        assert "strong" in text
