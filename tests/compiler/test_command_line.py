"""The command line as a newcomer meets it: no command, wrong words, wrong files, machine formats, colours."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lmc.compiler.cli import main
from lmc.compiler.pipeline import compile_spec

GOOD = "edition = 1\ntokenizer bytes : byte {}\n"
BAD = "edition = 1\ntokenizer bytes : byt {}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.lmspec").write_text(GOOD, encoding="utf-8")
    (tmp_path / "bad.lmspec").write_text(BAD, encoding="utf-8")
    (tmp_path / "worse.lmspec").write_text(BAD.replace("byt ", "bite ") + "modle x : y {}\n", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_without_a_command_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    said = capsys.readouterr()
    assert said.err == ""
    assert "usage: lmc" in said.out
    assert "find mistakes" in said.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["chekc", "good.lmspec"], "there is no command `chekc`; did you mean `lmc check`?"),
        (["zzz"], "there is no command `zzz`; `lmc --help` lists them"),
        (["check"], "the following arguments are required: FILE"),
        (["check", "good.lmspec", "--frmat", "json"], "unrecognized arguments"),
        (["--nope"], "unrecognized arguments: --nope"),
    ],
)
def test_wrong_words_are_usage_errors(
    words: list[str], told: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "message", "help"),
    [
        ("goood.lmspec", "there is no file `goood.lmspec`", "did you mean `good.lmspec`?"),
        ("x", "there is no file `x`", "name one of bad.lmspec, good.lmspec, worse.lmspec"),
        (".", "`.` is a folder", "name a spec in it: bad.lmspec, good.lmspec, worse.lmspec"),
        ("empty", "`empty` is a folder", "it holds no spec"),
        ("empty/a/b.lmspec", "there is no file `empty/a/b.lmspec`", ""),
    ],
)
@pytest.mark.parametrize("command", ["check", "compile"])
def test_a_wrong_path_is_told_with_what_may_be_meant(
    command: str, path: str, message: str, help: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, path]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error[LM0701]: {message}\n")
    assert help in said
    assert said.count("LM0701") == 1


def test_an_import_that_is_not_there_names_near_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("main.lmspec").write_text('import "goood.lmspec" as g\n', encoding="utf-8")
    assert main(["check", "main.lmspec"]) == 1
    said = capsys.readouterr().err
    assert "error[LM0211]: there is no file `goood.lmspec`" in said
    assert "did you mean `good.lmspec`?" in said


def test_what_follows_from_an_import_that_is_not_there_is_not_told(folder: Path) -> None:
    text = """
import "absent.lmspec" as sh
model derived : sh.tiny { layers = 3 }
train base { model = sh.tiny, data = sh.book, steps = sh.steps, batch = 2, with = [sh.quick] }
train second : sh.base { model = derived }
train third : base { model : sh.tiny { layers = 2 } }
eval held_out : loss { run = sh.base }
grid widths { base = base, over { model.width = [32, 64] } }
grid more { base = sh.base, over { model.width = sh.widths } }
plot curve : line { from = widths, x = model.width, y = min(held_out.loss) }
overlay small : sh.base { steps = 3 }
let half = sh.steps // 2
"""
    Path("main.lmspec").write_text(text, encoding="utf-8")
    assert [found.code for found in compile_spec(Path("main.lmspec")).diagnostics.items] == ["LM0211"]


def test_json_of_several_files_is_one_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "good.lmspec", "bad.lmspec", "worse.lmspec", "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(d["span"]["path"], d["code"]) for d in found] == [
        ("bad.lmspec", "LM0202"),
        ("worse.lmspec", "LM0202"),
        ("worse.lmspec", "LM0201"),
    ]
    for told in found:
        text = Path(told["span"]["path"]).read_text("utf-8")
        start, end = told["span"]["start"], told["span"]["end"]
        line = text.splitlines()[start["line"] - 1]
        assert line[start["column"] - 1 : end["column"] - 1] == text[start["offset"] : end["offset"]]
    assert main(["check", "good.lmspec", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["check", "nowhere", "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["code"] == "LM0701"


def test_github_annotations_are_workflow_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the workflow-command reference has it: ::LEVEL NAME=VALUE,...::MESSAGE, with % CR LF : , escaped."""
    odd = Path("a,b%c:d.lmspec")
    odd.write_text(BAD, encoding="utf-8")
    assert main(["check", str(odd), "worse.lmspec", "--format", "github"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    command = re.compile(r"::(error|warning|notice) ((?:\w+=[^,:]*,)*\w+=[^,:]*)::(.+)")
    matches = [command.fullmatch(line) for line in lines]
    assert all(matches)
    properties = dict(pair.split("=") for pair in matches[0].group(2).split(","))  # type: ignore[union-attr]
    assert properties == {
        "file": "a%2Cb%25c%3Ad.lmspec",
        "line": "2",
        "endLine": "2",
        "col": "19",
        "endColumn": "21",
        "title": "LM0202",
    }
    assert main(["check", "good.lmspec", "--format", "github"]) == 0
    assert capsys.readouterr().out.strip() == ""


def on_terminal(folder: Path, **variables: str) -> str:
    """Return what `lmc check` writes to a terminal."""
    ours, theirs = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm"} | variables
    command = [sys.executable, "-m", "lmc.compiler.cli", "check", "bad.lmspec"]
    process = subprocess.Popen(command, cwd=folder, env=env, stderr=theirs, stdout=subprocess.DEVNULL)
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert process.wait() == 1
    return said.decode()


def test_colours_are_for_terminals_that_want_them(folder: Path) -> None:
    assert "\033[1;31merror[LM0202]" in on_terminal(folder)
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        said = on_terminal(folder, **variables)
        assert "\033" not in said
        assert "error[LM0202]" in said
    assert "\033[1;31m" in on_terminal(folder, NO_COLOR=""), "no-color.org: an empty value is none"
    command = [sys.executable, "-m", "lmc.compiler.cli", "check", "bad.lmspec"]
    piped = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | {"TERM": "xterm"})
    assert "\033" not in piped.stderr
    assert "error[LM0202]" in piped.stderr
