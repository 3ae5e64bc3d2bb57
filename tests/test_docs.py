"""What the documents promise: every block compiles, every command exists, every figure is there."""

import re
import shlex
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from lmc.compiler.cli import main, parser, read_arguments
from lmc.compiler.format.format import format_source
from lmc.compiler.pipeline import compile_spec
from lmc.spec.diagnostic import Diagnostics
from lmc.spec.span import Source

from .support.pages import lay_files

ROOT = Path(__file__).parent.parent
TOPS = ("grammars", "spec", "compiler", "runtime", "docs", "editors", "tests")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```lmspec\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [(page.name, n, text) for page in PAGES for n, text in enumerate(BLOCK.findall(page.read_text("utf-8")))]


@pytest.mark.parametrize(("page", "number", "text"), BLOCKS, ids=[f"{page}-{n}" for page, n, _ in BLOCKS])
def test_every_block_compiles(page: str, number: int, text: str, tmp_path: Path) -> None:
    lay_files(next(path for path in PAGES if path.name == page), tmp_path)
    path = tmp_path / "block.lmspec"
    path.write_text(text, encoding="utf-8")
    compiled = compile_spec(path)
    assert [d.message for d in compiled.diagnostics.items if d.severity == "error"] == []


@pytest.mark.parametrize(("page", "number", "text"), BLOCKS, ids=[f"{page}-{n}" for page, n, _ in BLOCKS])
def test_every_block_is_in_the_layout_of_fmt(page: str, number: int, text: str) -> None:
    diagnostics = Diagnostics()
    assert format_source(Source(f"{page}-{number}", text), diagnostics) == text
    assert diagnostics.items == []


CONSOLE = re.compile(r"^(`{3,})console\n\$ lmc (.*?)^\1$", re.DOTALL | re.MULTILINE)
SHOWN = [(page.name, text) for page in PAGES for _, text in CONSOLE.findall(page.read_text("utf-8"))]


@pytest.mark.parametrize(("page", "text"), SHOWN, ids=[f"{page}-{n}" for n, (page, _) in enumerate(SHOWN)])
def test_every_shown_command_prints_what_is_shown(
    page: str, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = text.splitlines(keepends=True)
    size = next(n for n in range(1, len(lines)) if "".join(lines[:n]).count("'") % 2 == 0)
    monkeypatch.chdir(ROOT)
    assert main(shlex.split("".join(lines[:size]))) == 0
    assert capsys.readouterr().out == "".join(lines[size:])


def test_the_mistake_of_the_readme_is_told_as_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    text = BLOCK.findall(readme)[0].replace("heads = 4", "heads = 6").replace("[64, 128, 256]", "[64, 96, 192]")
    (tmp_path / "widths.lmspec").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["check", "widths.lmspec"]) == 1
    assert f"```\n{capsys.readouterr().err}```\n" in readme


def test_there_are_blocks_to_test() -> None:
    assert len(BLOCKS) >= 5
    assert SHOWN


def test_every_documented_command_exists() -> None:
    known = set(parser()._subparsers._group_actions[0].choices)  # type: ignore[union-attr,arg-type,attr-defined]
    told = set()
    for page in PAGES:
        told |= set(re.findall(r"`lmc ([a-z]+)", page.read_text("utf-8"), re.MULTILINE))
    assert told
    assert told <= known
    readme = (ROOT / "README.md").read_text("utf-8")
    assert {command for command in known if f"lmc {command}" not in readme} == set()


@pytest.mark.parametrize(
    "line", ["a --with q b c", "a b --with q c", "--with q a b c", "a b c --with q", "a --with q b --jobs 1 c"]
)
def test_blocks_may_stand_behind_options(line: str) -> None:
    options = read_arguments(parser(), ["run", *line.split()])
    assert (options.target, options.blocks, options.overlays) == (Path("a"), ["b", "c"], ["q"])


@pytest.mark.parametrize("line", ["run a --with q b --jbos 1", "compile a --with q b", "explain LM0203 x"])
def test_what_no_command_knows_is_a_usage_error(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(line.split())
    assert caught.value.code == 2
    shown = capsys.readouterr().err
    assert f"usage: lmc {line.split()[0]}" in shown
    assert "unrecognized arguments" in shown


def test_links_and_figures_of_the_documents_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_and_folders_of_the_architecture_exist_and_every_package_is_in_its_table() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    known = ["/" + str(path.relative_to(ROOT)) for top in TOPS for path in (ROOT / top, *(ROOT / top).rglob("*"))]
    for told in re.findall(r"`([\w*/]+(?:\.py|/))`", text):
        assert any(fnmatch(path, f"*/{told.rstrip('/')}") for path in known), told
    for top in ("compiler", "runtime"):
        row = re.search(rf"^\| `{top}/` \|.*$", text, re.MULTILINE)
        assert row is not None
        packages = {path.parent.name for path in (ROOT / top).glob("*/__init__.py")}
        assert packages <= set(re.findall(r"`(\w+)`", row[0]))


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"^make ([a-z]+)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_lmc_is_installed_from_its_folder_with_extras_that_exist() -> None:
    known = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])
    readme = (ROOT / "README.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", readme.split("| extra | brings |")[1], re.MULTILINE)) == known
    told = set()
    for page in [*PAGES, *(ROOT / "compiler" / "templates").glob("*/README.md")]:
        text = page.read_text("utf-8")
        for target in re.findall(r"pip install (.*?)(?:`|\s{2}|$)", text, re.MULTILINE):
            assert re.fullmatch(r"-e (\.|'(\.|/path/to/lmc)\[[\w,]+\]')", target), f"{page.name}: {target}"
            told |= set(re.findall(r"\w+", target.partition("[")[2]))
        told |= set(re.findall(r"the extra `(\w+)`", text))
    assert told
    assert told <= known


@pytest.mark.parametrize("command", ["check", "compile", "plan", "run", "generate", "export", "why", "show", "explain"])
def test_every_command_has_help(command: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "lmc.compiler.cli", command, "--help"], capture_output=True, text=True, check=True
    )
    assert "usage: lmc" in shown.stdout
