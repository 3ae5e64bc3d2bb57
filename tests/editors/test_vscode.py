"""The extension for VS Code: what it names exists, what it inserts compiles, what it starts is there."""

import json
import re
import shutil
import subprocess
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from lmc.compiler.cli import main
from lmc.compiler.format.format import format_source
from lmc.spec.diagnostic import Diagnostics
from lmc.spec.span import Source

FOLDER = Path(__file__).parent.parent.parent / "editors" / "vscode"


@cache
def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8"))


PACKAGE = read("package.json")
SNIPPETS = read("snippets/lmspec.json")
LANGUAGE = read("language-configuration.json")


def paths(value: Any) -> list[str]:
    """Every path of a manifest: they begin with a dot."""
    if isinstance(value, dict):
        return list(chain.from_iterable(map(paths, value.values())))
    if isinstance(value, list):
        return list(chain.from_iterable(map(paths, value)))
    return [value] if isinstance(value, str) and value.startswith("./") else []


def test_every_path_of_the_manifest_exists() -> None:
    named = paths(PACKAGE)
    assert len(named) == 4
    for path in named:
        assert (FOLDER / path).is_file(), path


def test_the_language_is_one_in_all_parts() -> None:
    contributes = PACKAGE["contributes"]
    (language,) = contributes["languages"]
    assert language["extensions"] == [".lmspec"]
    (grammar,) = contributes["grammars"]
    assert {p["language"] for p in (*contributes["grammars"], *contributes["snippets"])} == {language["id"]}
    assert read(grammar["path"])["scopeName"] == grammar["scopeName"]
    assert set(contributes["configurationDefaults"]) == {f"[{language['id']}]"}


def test_the_client_uses_what_the_manifest_declares() -> None:
    client = (FOLDER / "extension.js").read_text("utf-8")
    required = set(re.findall(r'require\("([^"/]+)', client)) - {"vscode"}
    assert required == set(PACKAGE["dependencies"])
    settings = PACKAGE["contributes"]["configuration"]["properties"]
    assert set(re.findall(r'"(lmc\.path)"', client)) <= set(settings)
    assert settings["lmc.path"]["default"] == "lmc"
    assert set(re.findall(r'registerCommand\("([^"]+)"', client)) == {
        c["command"] for c in PACKAGE["contributes"]["commands"]
    }


def test_the_client_is_javascript() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    checked = subprocess.run([node, "--check", str(FOLDER / "extension.js")], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("line", "opens"),
    [("train base {", True), ("  x = [  # why", True), ("train base { }", False), ("# {", False), ('a = "{', False)],
)
def test_a_line_that_opens_a_block_indents_the_next(line: str, opens: bool) -> None:
    rules = LANGUAGE["indentationRules"]
    assert bool(re.search(rules["increaseIndentPattern"], line)) is opens
    assert re.search(rules["decreaseIndentPattern"], "  }")
    assert not re.search(rules["decreaseIndentPattern"], "  a = [1]")


@pytest.mark.parametrize("word", ["d_model", "5k", "0x1F", "1e-3"])
def test_words_are_names_and_numbers(word: str) -> None:
    found = re.match(LANGUAGE["wordPattern"], word)
    assert found is not None
    assert found.group() == word or word == "1e-3"


FRAME = {
    "bytes": 'tokenizer bytes : byte { specials = ["<|user|>", "<|assistant|>", "<|database|>", "<|eod|>"] }',
    "hub": 'tokenizer hub : hf { repo = "org/name" }',
    "book": 'data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }',
    "facts": 'store facts : sqlite { file = file("people.db"), table people : people {} }',
    "lookup": 'protocol lookup : calculator { call { open = "<calc>", close = "</calc>" }, expression = ":body" }',
    "recall": "data recall : dialogues { tokenizer = bytes, rows = facts.people, count = 9, "
    'templates = files("*.txt"), protocols = [lookup], seq_len = 64 }',
    "small": "model small : transformer { tokenizer = bytes, layers = 2, width = 64, mixer : attention { heads = 2 } }",
    "base": "train base { model = small, data = book, steps = 1k, batch = 8 }",
    "asked": "train asked : base { data = recall }",
    "held_out": "eval held_out : loss { run = base }",
    "sweep": "grid sweep { base = base, over { model.width = [64, 128], optim.lr = [1e-3, 1e-4] }, seeds = range(2) }",
}
"""Blocks with the names that snippets take for granted."""
INSIDE = {
    "stage": "train staged : base {{\n  steps = unset\n{}\n}}",
    "stop": "train trial : base {{\n{}\n}}",
    "precision": "train trial : base {{\n{}\n}}",
    "assert": "train trial : base {{\n{}\n}}",
}
"""What snippets stand in that are no blocks of a file, by prefix."""
PLACEHOLDER = re.compile(r"\$\{(\d+):([^}]*)\}|\$\{(\d+)\|([^}]*)\|\}|\$(\d+)")


def prefixes(snippet: dict[str, Any]) -> list[str]:
    prefix = snippet["prefix"]
    return [prefix] if isinstance(prefix, str) else prefix


def expanded(snippet: dict[str, Any], number: int) -> str:
    """What a snippet inserts, with the number-th of every choice (the last where there are fewer)."""
    defaults: dict[str, str] = {"0": ""}
    text = "\n".join(snippet["body"])
    for default, value, choice, values, _ in PLACEHOLDER.findall(text):
        if choice:
            defaults[choice] = values.split(",")[: number + 1][-1]
        elif default:
            defaults[default] = value
    return PLACEHOLDER.sub(lambda m: defaults[m[1] or m[3] or m[5]], text)


def choices(snippet: dict[str, Any]) -> int:
    return max((len(m[3].split(",")) for m in PLACEHOLDER.findall("\n".join(snippet["body"]))), default=1)


CASES = [(name, number) for name, snippet in SNIPPETS.items() for number in range(choices(snippet))]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_every_snippet_compiles(
    name: str, number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    snippet = SNIPPETS[name]
    text = expanded(snippet, number)
    assert "$" not in text
    outer = INSIDE.get(prefixes(snippet)[0])
    text = outer.format(text) if outer else text
    made = set(re.findall(r"^[a-z]+ ([a-z_]+)\b.*\{", text, re.MULTILINE))
    frame = (
        "" if text.startswith("edition") else "\n".join(["edition = 1", *(FRAME[n] for n in FRAME if n not in made)])
    )
    monkeypatch.chdir(tmp_path)
    Path("shared.lmspec").write_text("edition = 1\n", encoding="utf-8")
    Path("a.lmspec").write_text(f"{frame}\n{text}\n", encoding="utf-8")
    assert main(["check", "a.lmspec"]) == 0, capsys.readouterr().err
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("name", "number"), CASES)
def test_every_snippet_is_in_the_one_layout(name: str, number: int) -> None:
    text = expanded(SNIPPETS[name], number).rstrip("\n") + "\n"
    assert format_source(Source(name, text), Diagnostics()) == text


def test_prefixes_are_told_apart_and_every_placeholder_has_its_turn() -> None:
    every = list(chain.from_iterable(prefixes(snippet) for snippet in SNIPPETS.values()))
    assert len(every) == len(set(every)) > 30
    for name, snippet in SNIPPETS.items():
        numbers = sorted({int(m[0] or m[2] or m[4]) for m in PLACEHOLDER.findall("\n".join(snippet["body"]))} - {0})
        assert numbers == list(range(1, len(numbers) + 1)), name
        assert snippet["description"]


def test_the_check_of_snippets_can_fail(tmp_path: Path) -> None:
    path = tmp_path / "a.lmspec"
    path.write_text("edition = 1\n" + expanded(SNIPPETS["Training"], 0), encoding="utf-8")
    assert main(["check", str(path)]) == 1
