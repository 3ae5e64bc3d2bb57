"""The instructions for editors: configurations parse and start a command that exists."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from lmc.compiler.cli import parser, read_arguments
from lmc.compiler.commands import lsp

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "editors.md").read_text("utf-8")


def block(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return text


def test_the_configuration_of_helix_starts_the_server() -> None:
    found = tomllib.loads(block("toml"))
    (language,) = found["language"]
    assert language["file-types"] == ["lmspec"]
    (name,) = language["language-servers"]
    server = found["language-server"][name]
    assert server["command"] == "lmc"
    assert read_arguments(parser(), server["args"]).run is lsp.run


def test_the_configuration_of_neovim_starts_the_server() -> None:
    (command,) = re.findall(r"cmd = \{(.*?)\}", block("lua"))
    program, *arguments = re.findall(r'"([^"]*)"', command)
    assert program == "lmc"
    assert read_arguments(parser(), arguments).run is lsp.run


def test_the_configuration_of_neovim_is_lua(tmp_path: Path) -> None:
    compilers = [path for name in ("luac", "luac5.1", "luac5.4") if (path := shutil.which(name))]
    if not compilers:
        pytest.skip("no Lua compiler is installed")
    path = tmp_path / "init.lua"
    path.write_text(block("lua"), encoding="utf-8")
    assert subprocess.run([compilers[0], "-p", str(path)]).returncode == 0


def test_commands_of_the_page_name_files_that_exist() -> None:
    shell = "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
    named = re.findall(r"\b(?:examples|editors)/[\w./]+", shell)
    assert len(named) == 2
    assert all((ROOT / path).exists() for path in named)
    version = re.findall(r"lmspec-([\d.]+)\.vsix", shell)
    assert version == re.findall(r'"version": "(.*?)"', (ROOT / "editors/vscode/package.json").read_text("utf-8"))


def test_the_page_of_the_folder_names_its_files() -> None:
    page = (ROOT / "editors" / "README.md").read_text("utf-8")
    named = set(re.findall(r"`(vscode/[\w./-]+)`", page))
    files = {path.relative_to(ROOT / "editors").as_posix() for path in (ROOT / "editors").rglob("*.js*")}
    assert named == {path for path in files if "node_modules" not in path}
    for target in re.findall(r"\]\(([^)#:]+)\)", page):
        assert (ROOT / "editors" / target).exists()
