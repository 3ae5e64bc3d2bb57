"""Files that a spec names and that are not there: what each command says of them, and where."""

from pathlib import Path

import pytest

from lmc.compiler.cli import main
from lmc.compiler.pipeline import compile_spec
from lmc.compiler.plan.paths import at_its_name
from lmc.runtime.inputs import absent

SPEC = """tokenizer bytes : byte {}
data tales : text {
  source = file("tale.txt"), tokenizer = bytes, seq_len = 16, document_end = ""
}
data other : text { source = files("other/*.txt"), tokenizer = bytes, seq_len = 16, document_end = "" }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = tales, steps = 2, batch = 2 }
"""
READING = (["compile"], ["plan"], ["run"], ["lock"], ["lock", "--check"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Tales.txt").write_text("a tale of two cities. " * 50)
    (tmp_path / "case.lmspec").write_text(SPEC)
    return tmp_path


def said(capfd: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    """What a command that ends with `code` writes on standard error."""
    capfd.readouterr()
    assert main(list(words)) == code
    return capfd.readouterr().err


@pytest.mark.parametrize("words", READING)
def test_a_file_that_is_not_there_is_told_where_it_is_named(
    words: list[str], folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = said(capfd, 1, words[0], "case.lmspec", *words[1:])
    assert f"error[LM0701]: file `{folder}/tale.txt` does not exist" in told
    assert "case.lmspec:3:12" in told
    assert "did you mean `Tales.txt`? [fix available]" in told
    assert sorted(path.name for path in folder.iterdir()) == ["Tales.txt", "case.lmspec"]


def test_the_fix_names_the_file_beside_it(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "Tales.txt").rename(folder / "sub" / "Tales.txt")
    (folder / "case.lmspec").write_text(SPEC.replace('"tale.txt"', '"sub/tale.txt"'))
    compiled = compile_spec(Path("case.lmspec"))
    assert compiled.plan is not None
    assert compiled.builder is not None
    (one,) = (found for found in absent(compiled.plan, compiled.plan.nodes) if found.path == "sub/tale.txt")
    (edit,) = at_its_name(compiled.builder.program, one.told, one.path, None, one.near).edits
    text = edit.span.source.text
    assert text[: edit.span.start] + edit.text + text[edit.span.end :] == SPEC.replace("tale.txt", "sub/Tales.txt")


def test_checking_looks_at_no_input(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert said(capfd, 0, "check", "case.lmspec") == ""
    assert said(capfd, 0, "compile", "case.lmspec", "--emit", "plan") == ""


def test_what_the_runs_do_not_read_may_be_absent(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "tale.txt").write_text("a tale of two cities. " * 50)
    for command in ("compile", "plan"):
        assert said(capfd, 0, command, "case.lmspec") == ""
    assert "case.lmspec:5:30" in said(capfd, 1, "lock", "case.lmspec")


def test_a_path_of_the_command_line_and_of_another_file(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told = said(capfd, 1, "plan", "case.lmspec", "--set", 'tales.source = file("sub/tales.txt")')
    assert "--set:1:16" in told
    assert "sub/tales.txt` does not exist" in told
    (folder / "sub").mkdir()
    (folder / "sub" / "parts.lmspec").write_text(SPEC.replace('file("tale.txt")', '[file("tales"), file("b.txt")]'))
    (folder / "sub" / "tales.md").write_text("")
    (folder / "case.lmspec").write_text('import "sub/parts.lmspec" as p\ntrain mine : p.base {}\n')
    told = said(capfd, 1, "run", "case.lmspec")
    assert "sub/parts.lmspec:3:13" in told
    assert "did you mean `tales.md`? [fix available]" in told
    assert "sub/parts.lmspec:3:28" in told


def test_a_computed_path_is_told_at_the_block_that_reads_it(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "case.lmspec").write_text('let name = "none"\n' + SPEC.replace('"tale.txt"', 'f"{name}.txt"'))
    told = said(capfd, 1, "run", "case.lmspec")
    assert "none.txt` does not exist" in told
    assert "case.lmspec:3:6" in told


def test_a_plan_whose_file_has_gone_says_which_block_reads_it(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "tale.txt").write_text("a tale of two cities. " * 50)
    assert main(["compile", "case.lmspec"]) == 0
    (folder / "tale.txt").unlink()
    for command in ("run", "plan"):
        told = said(capfd, 1, command, "build/case")
        assert "error[LM0701]" in told
        assert "case.lmspec:2:6" in told
        assert "did you mean `Tales.txt`?" in told
