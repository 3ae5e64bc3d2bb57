"""Whatever is given, lmc answers with diagnostics, soon and in little memory: never with a traceback."""

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.programs import programs

from lmc.compiler.cli import main
from lmc.compiler.diagnostics.render import render_github, render_json, render_text
from lmc.compiler.format.format import format_source
from lmc.compiler.pipeline import compile_spec
from lmc.compiler.syntax.parse import read_source
from lmc.spec.diagnostic import Diagnostic, Diagnostics

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = {path.stem: path.read_text("utf-8") for path in sorted((ROOT / "examples").glob("*.lmspec"))}
SECONDS, MEGABYTES = 2, 500
BASE = """\
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
model small : transformer { tokenizer = bytes, layers = 2, width = 64, mixer : attention { heads = 2 } }
"""
TRAIN = BASE + "train base { model = small, data = book, steps = 10, batch = 8 }\n"


def checked(path: Path, *overlays: str) -> list[Diagnostic]:
    """What a check of a file tells. Every output must be printable, and without an error there must be a plan."""
    began = time.process_time()
    compiled = compile_spec(path, overlays)
    found = compiled.diagnostics.items
    assert render_text(found) or not found
    assert render_json(found)
    assert render_github(found) or not found
    assert compiled.plan is not None or compiled.diagnostics.failed
    assert time.process_time() - began < SECONDS
    return found


def formatted(path: Path) -> None:
    """Format a file in memory: it gives a text or diagnostics."""
    diagnostics = Diagnostics()
    source = read_source(path, path.name, diagnostics)
    text = None if source is None else format_source(source, diagnostics)
    assert (text is None) == diagnostics.failed


def chained(count: int, link: str, last: str) -> str:
    return "".join(link.format(n, n + 1) for n in range(count)) + last.format(count)


HOSTILE: dict[str, tuple[str, str]] = {
    "blocks that are never closed": ("a {\n" * 5000, "LM0105"),
    "blocks nested too deep": ("a {\n" * 5000 + "}\n" * 5000, "LM0105"),
    "parentheses nested too deep": ("let a = " + "(" * 5000 + "1" + ")" * 5000, "LM0105"),
    "brackets as deep as allowed": (TRAIN + "let a = " + "[" * 100 + "1" + "]" * 100, ""),
    "blocks as deep as allowed": ("train a {" * 100 + "}" * 100, "LM0203"),
    "signs in a row": ("let a = " + "-" * 20_000 + "1\n", "LM0105"),
    "negations in a row": ("let a = " + "not " * 20_000 + "1\n", "LM0105"),
    "a long sum": ("let a = " + "1+" * 15_000 + "1\n", "LM0105"),
    "a tower of powers": ("let a = " + "2**" * 15_000 + "1\n", "LM0105"),
    "conditions in conditions": ("let a = " + "1 if 1 else " * 8_000 + "1\n", "LM0105"),
    "a reference of many names": ("let a = x" + ".y" * 15_000 + "\n", ""),
    "a reference of many indices": ("let a = x" + "[0]" * 10_000 + "\n", ""),
    "a list of many numbers": ("let a = [" + "1," * 15_000 + "]\n", ""),
    "more tokens than allowed": ("let a = [" + "1," * 60_000 + "]\n", "LM0105"),
    "a line of a megabyte": ('x = "' + "a" * 1_000_000 + '"\n', "LM0105"),
    "a comment of half a megabyte": ("# " + "a" * 500_000 + "\n", ""),
    "a name of half a megabyte": ("a" * 500_000 + "\n", "LM0102"),
    "a number of half a megabyte": ("let a = " + "9" * 500_000 + "\n", ""),
    "a number that is too large for a field": (TRAIN.replace("= 10", "= " + "9" * 100_000), "LM0307"),
    "an exponent that is too large": (TRAIN.replace("= 10", "= 1e99999999"), "LM0307"),
    "a power that is too large": (TRAIN.replace("= 10", "= 9**999**999"), "LM0307"),
    "a hexadecimal number without digits": (TRAIN.replace("= 10", "= 0x"), "LM0302"),
    "quotes of another language": ("'" * 25_000, "LM0108"),
    "strings that are never closed": ("a = 'x\n" * 6_000, "LM0109"),
    "one string that is never closed": ('a = "' + "x" * 50_000, "LM0104"),
    "escapes that do not exist": ('let a = "' + "\\q" * 100_000 + '"\n', "LM0109"),
    "a long literal that is never closed": ('let a = """' + "\n" * 300_000, "LM0104"),
    "a text of many interpolations": ('let a = f"' + "{x}" * 3_000 + '"\n', ""),
    "brackets that close nothing": ("}" * 30_000, "LM0102"),
    "values that are missing": ("x = \n" * 10_000, "LM0109"),
    "kinds that do not exist": ("a {}\n" * 7_000, "LM0109"),
    "blocks without a name": ("model {}\n" * 7_000, "LM0109"),
    "names that are taken": ("let a = 1\n" * 6_000, "LM0109"),
    "bases that go on and on": (chained(3000, "model a{} : a{} {{}}\n", "model a{} : transformer {{}}\n"), "LM0105"),
    "bases that go on backwards": (
        "model a0 : transformer {}\n" + "".join(f"model a{n + 1} : a{n} {{}}\n" for n in range(3000)),
        "LM0105",
    ),
    "constants that go on and on": (
        TRAIN.replace("= 10", "= a0") + chained(3000, "let a{} = a{}\n", "let a{} = 10\n"),
        "LM0105",
    ),
    "constants that double": (
        TRAIN.replace("= 10", "= a0") + chained(50, "let a{0} = a{1} + a{1}\n", "let a{} = 10\n"),
        "",
    ),
    "comprehensions in comprehensions": (
        TRAIN.replace("= 10", "= len([[x for x in range(100000)] for y in range(100000)])"),
        "LM0307",
    ),
    "lists that are added": (TRAIN.replace("= 10", f"= len({' + '.join(['range(100000)'] * 90)})"), "LM0307"),
    "a grid of ten thousand million points": (
        TRAIN + "grid g { base = base, over { steps = range(100000), batch = range(1, 100000) } }\n",
        "LM0504",
    ),
    "a NUL": ("a = 1\0\n", "LM0106"),
    "carriage returns alone": ("a = 1\rb = 2\r", "LM0102"),
    "a byte order mark too many": ("\ufeff\ufeffa = 1\n", "LM0102"),
    "tabs": ("train\ta\t:\tb\t{\tx\t=\t1\t}\n", "LM0202"),
    "no text": ("", ""),
}


CHILD = """
import json, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from pathlib import Path
from test_robust import checked, formatted
for path in map(Path, sys.argv[2:]):
    print(json.dumps([path.stem, [found.code for found in checked(path)]]), flush=True)
    formatted(path)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[str]], str]:
    """What is told about each hostile text by a process that may have little memory, and what it complains about."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = [folder / f"{number}.lmspec" for number in range(len(HOSTILE))]
    for path, (text, _) in zip(paths, HOSTILE.values(), strict=True):
        path.write_text(text, encoding="utf-8", newline="")
    command = [sys.executable, "-c", CHILD, str(MEGABYTES << 20), *map(str, paths)]
    places = [str(Path(__file__).parent), str(Path(__file__).parent.parent), *sys.path]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    told = dict(map(json.loads, done.stdout.splitlines()))
    return {name: told[path.stem] for name, path in zip(HOSTILE, paths, strict=True) if path.stem in told}, done.stderr


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_answered_soon_and_in_little_memory(
    name: str, answers: tuple[dict[str, list[str]], str]
) -> None:
    told, complaints = answers
    assert name in told, complaints
    code = HOSTILE[name][1]
    assert code in told[name] or not code


def test_hostile_texts_are_formatted_or_refused(answers: tuple[dict[str, list[str]], str]) -> None:
    told, complaints = answers
    assert told.keys() == HOSTILE.keys()
    assert complaints == ""


def test_an_overlay_over_what_is_no_block_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.lmspec"
    path.write_text(TRAIN.replace("train base", "tiny base") + "overlay quick : base { steps = 1 }\n", encoding="utf-8")
    assert [found.code for found in checked(path, "quick")] == ["LM0201"]


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link_in_a_circle(path: Path) -> None:
    path.symlink_to(path.name)


def locked(path: Path) -> None:
    if os.geteuid() == 0:
        path.symlink_to("/proc/self/mem")  # the superuser may read all but this
    else:
        path.touch(mode=0)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


FILES = {
    "pipe": (pipe, "LM0701"),
    "folder": (Path.mkdir, "LM0701"),
    "link in a circle": (link_in_a_circle, "LM0701"),
    "no permission": (locked, "LM0701"),
    "device": (device, "LM0701"),
    "terabyte": (huge, "LM0105"),
    "absent": (lambda path: None, "LM0701"),
    "UTF-16": (lambda path: path.write_bytes("a = 1\n".encode("utf-16")), "LM0106"),
    "surrogates": (lambda path: path.write_bytes(b'a = "\xed\xa0\x80"\n'), "LM0106"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_none_is_told(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, code = FILES[name]
    path = tmp_path / "a.lmspec"
    make(path)
    assert [found.code for found in checked(path)] == [code]
    assert main(["fmt", str(path)]) == (0 if path.is_dir() else 1)  # of a folder the specs are formatted
    assert f"error[{code}]" in capsys.readouterr().err or path.is_dir()
    importing = tmp_path / "b.lmspec"
    importing.write_text('import "a.lmspec" as a\n', encoding="utf-8")
    assert [found.code for found in checked(importing)] == ["LM0211" if code == "LM0701" else code]


def test_imports_in_a_circle_are_told(tmp_path: Path) -> None:
    for name, text in {"a": "b", "b": "c", "c": "a", "self": "self"}.items():
        (tmp_path / f"{name}.lmspec").write_text(f'import "{text}.lmspec" as x\n', encoding="utf-8")
    (tmp_path / "link.lmspec").symlink_to("self.lmspec")
    (tmp_path / "through.lmspec").write_text('import "link.lmspec" as x\n', encoding="utf-8")
    for name in ("a", "self", "link", "through"):
        assert [found.code for found in checked(tmp_path / f"{name}.lmspec")] == ["LM0206"]


def test_imports_that_go_on_and_on_are_told(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number}.lmspec").write_text(f'import "{number + 1}.lmspec" as x\n', encoding="utf-8")
    assert [found.code for found in checked(tmp_path / "0.lmspec")] == ["LM0105"]


def test_many_imports_of_one_file_are_read_once(tmp_path: Path) -> None:
    for number in range(40):
        text = "".join(f'import "{number + 1}.lmspec" as {name}\n' for name in "abc")
        (tmp_path / f"{number}.lmspec").write_text(text if number < 39 else "let a = 1\n", encoding="utf-8")
    assert checked(tmp_path / "0.lmspec") == []


@pytest.mark.parametrize("name", ["\\0", "x" * 5000, "..", "/", "", "\\u200b", "nul\\n"])
def test_an_import_of_nothing_is_told(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.lmspec"
    path.write_text(f'import "{name}" as x\n', encoding="utf-8")
    assert [found.code for found in checked(path)] == ["LM0211"]


TOKEN = re.compile(r'"[^"\n]*"|\w+|\S')
SIGNS = [
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "=",
    '"',
    "\n",
    ",",
    ".",
    "\0",
    "é",
    "'",
    "-",
    "\r\n",
    "\t",
    "\ufeff",
    "#",
    '"""',
]
VALUES = ["-1", "0", "1e999", "1e-400", "9" * 40, "0x10", "none", "unset", "true", '""', "[]", "[[1]]", "x", "model"]
VALUES += ["range(0)", "range(10**9)", "1/0", "2**99999", 'f"{x}"', "[x for x in range(5)]", "attention {}", "{}"]
VALUES += ['file("")', "3h", "sqrt(-1)", 're"("', "uniform(0, 1)", "env(1)", "2 * 3GiB", "-none", "[1] + 1"]


def halves(text: str, drawn: random.Random) -> tuple[str, str, str]:
    """A text around one of its tokens."""
    match = drawn.choice([*TOKEN.finditer(text)] or [re.match("", text)])
    assert match is not None
    return text[: match.start()], match.group(), text[match.end() :]


def cut(text: str, drawn: random.Random) -> str:
    return text[: drawn.randrange(len(text) + 1)]


def line_doubled(text: str, drawn: random.Random) -> str:
    lines = text.splitlines(keepends=True) or [""]
    at = drawn.randrange(len(lines))
    return "".join([*lines[: at + 1], *lines[at:]])


def lines_swapped(text: str, drawn: random.Random) -> str:
    lines = text.splitlines(keepends=True) or [""]
    one, two = drawn.randrange(len(lines)), drawn.randrange(len(lines))
    lines[one], lines[two] = lines[two], lines[one]
    return "".join(lines)


def tokens_swapped(text: str, drawn: random.Random) -> str:
    before, one, rest = halves(text, drawn)
    between, two, behind = halves(rest, drawn)
    return f"{before}{two}{between}{one}{behind}"


def token_dropped(text: str, drawn: random.Random) -> str:
    before, _, behind = halves(text, drawn)
    return before + behind


def sign_inserted(text: str, drawn: random.Random) -> str:
    before, token, behind = halves(text, drawn)
    return before + drawn.choice(SIGNS) + token + behind


def value_replaced(text: str, drawn: random.Random) -> str:
    before, _, behind = halves(text, drawn)
    return before + drawn.choice(VALUES) + behind


CHANGES: list[Callable[[str, random.Random], str]] = [
    cut,
    line_doubled,
    lines_swapped,
    tokens_swapped,
    token_dropped,
    sign_inserted,
    value_replaced,
    value_replaced,
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_changed_example_is_answered(name: str, tmp_path: Path) -> None:
    drawn = random.Random(name)
    path = tmp_path / "a.lmspec"
    overlays = [over for over in ("quick", "local") if f"overlay {over} " in EXAMPLES[name]]
    for number in range(24):
        text = EXAMPLES[name]
        for change in drawn.sample(CHANGES, drawn.choice([1, 1, 2, 4])):
            text = change(text, drawn)
        path.write_text(text, encoding="utf-8", newline="")
        still = [over for over in overlays[:1] if f"overlay {over} " in text]
        try:
            checked(path, *still)
            formatted(path)
        except Exception as error:
            raise AssertionError(f"change {number} of {name}:\n{text}") from error


@settings(max_examples=100, deadline=None)
@given(programs(), st.randoms(use_true_random=False), st.lists(st.sampled_from(CHANGES), min_size=1, max_size=3))
def test_a_changed_program_is_answered(
    text: str, drawn: random.Random, changes: list[Callable[[str, random.Random], str]]
) -> None:
    for change in changes:
        text = change(text, drawn)
    path = Path("/dev/shm" if os.path.isdir("/dev/shm") else "/tmp") / f"lmc-robust-{os.getpid()}.lmspec"
    try:
        path.write_text(text, encoding="utf-8", newline="")
        checked(path)
        formatted(path)
    finally:
        path.unlink()
