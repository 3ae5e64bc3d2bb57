"""The examples of codes that no file alone triggers are typed: what fails, what is said, what repairs it."""

import re
import sys
from pathlib import Path

import pytest
from support.sessions import typed

from lmc.compiler.diagnostics.codes import CODES

WITH_SESSION = [code for code in CODES if CODES[code].session() is not None]
NEEDED = {"LM0707": "tokenizers", "LM0708": "tokenizers", "LM0711": "psycopg", "LM0904": "duckdb"}
"""What must be installed for an example to come as far as its mistake."""
WITH_NEIGHBOURS = {"LM0109": {"LM0102"}}
"""Codes that an example has to give beside its own."""
ABSENT = re.compile(r"^# where (\w+) is not installed$", re.MULTILINE)
TOLD = re.compile(r"^(?:error|warning|hint)\[(LM\d{4})\]", re.MULTILINE)


@pytest.mark.parametrize("repaired", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize("code", WITH_SESSION)
def test_what_is_typed_fails_as_told_and_is_repaired(
    code: str, repaired: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if code in NEEDED:
        pytest.importorskip(NEEDED[code])
    monkeypatch.chdir(tmp_path)
    wrong, said, right = CODES[code].session() or ("", "", "")
    with monkeypatch.context() as without:
        for library in ABSENT.findall(wrong):
            without.setitem(sys.modules, library, None)
        *before, (_, exit_code, output) = typed(wrong, tmp_path)
    assert not [one for one in before if one[1]]
    assert exit_code != 0 or TOLD.findall(output) == [code]
    assert set(TOLD.findall(output)) == {code} | WITH_NEIGHBOURS.get(code, set()), output
    if request.config.getoption("--update-golden"):
        _write(code, wrong, _block(output, code), right)
    else:
        assert _matches(said, output), output
    after = typed(right, tmp_path) if repaired else []
    assert not [one for one in after if one[1]], after
    assert not [told for _, _, output in after for told in TOLD.findall(output)], after


def _block(output: str, code: str) -> str:
    """Return the last diagnostic with a code: its title and the indented lines below."""
    start = [match.start() for match in TOLD.finditer(output) if match.group(1) == code][-1]
    return re.match(r".*\n(?: .*\n)*", output[start:]).group()  # type: ignore[union-attr]


def _write(code: str, *parts: str) -> None:
    path = Path(__file__).parents[2] / "compiler" / "diagnostics" / "examples" / f"{code[2:]}.sh"
    path.write_text("---\n".join(parts), encoding="utf-8")


def _matches(said: str, output: str) -> bool:
    """Whether an output has these lines one after another; `...` stands for any text of a line."""
    pattern = ".*".join(map(re.escape, said.split("...")))
    return bool(said) and re.search(f"^{pattern}", output, re.MULTILINE) is not None


ELSEWHERE = {
    "LM0615": "tests/generation/test_tools.py",
    "LM0712": "tests/tools/test_hostile.py",
    "LM0902": "tests/tools/test_sql.py",
}
"""Codes that no command brings about at will, and the tests that do."""


def test_every_code_has_an_example_or_a_test() -> None:
    examples = {code for code in CODES if CODES[code].examples() is not None}
    assert not examples & set(WITH_SESSION)
    assert set(CODES) - examples - set(WITH_SESSION) == set(ELSEWHERE)
    for code, path in ELSEWHERE.items():
        assert f'"{code}"' in (Path(__file__).parents[2] / path).read_text(encoding="utf-8")
        assert CODES[code].how
