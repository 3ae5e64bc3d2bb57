"""Mistakes of meaning: each told once, where it is, in words that are read here before a user reads them."""

import re
from pathlib import Path

import pytest

from lmc.compiler.diagnostics.render import render_json, render_text
from lmc.compiler.pipeline import compile_spec

CASES = Path(__file__).parent / "cases"
EXPECTED = re.compile(r"\s*#! (LM\d{4}) (.*)$")


def cases() -> list[tuple[str, str]]:
    texts = (CASES / "meaning.lmspec").read_text(encoding="utf-8").split("---\n")
    return [(f"meaning-{number:02}", text) for number, text in enumerate(texts)]


@pytest.mark.parametrize(("name", "text"), cases(), ids=[name for name, _ in cases()])
def test_mistakes_of_meaning(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    want, lines = [], []
    for number, line in enumerate(text.splitlines(), 1):
        match = EXPECTED.search(line)
        want += [(number, match.group(1), match.group(2))] if match else []
        lines.append(EXPECTED.sub("", line))
    Path("case.lmspec").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = compile_spec(Path("case.lmspec")).diagnostics.items
    assert sorted((d.span.line, d.code, d.span.text) for d in found if d.span) == sorted(want)
    golden = CASES / f"{name}.out"
    rendered = render_text(found)
    if request.config.getoption("--update-golden"):
        golden.write_text(rendered, encoding="utf-8")
    assert golden.is_file(), "write it with --update-golden, then read it"
    assert rendered == golden.read_text(encoding="utf-8")
    assert all(d.code in render_json(found) for d in found)


def test_colours_are_for_terminals_only(tmp_path: Path) -> None:
    path = tmp_path / "case.lmspec"
    path.write_text("modle x : y {}\n", encoding="utf-8")
    found = compile_spec(path).diagnostics.items
    assert "\033[" not in render_text(found)
    assert "\033[1;31m" in render_text(found, color=True)
