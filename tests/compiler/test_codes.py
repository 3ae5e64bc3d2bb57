"""A failing example gives its code alone, the repaired one is clean. `tests/run` types those that no file triggers."""

import re
from pathlib import Path

import pytest

from lmc.compiler.diagnostics.codes import CODES
from lmc.compiler.pipeline import compile_spec

ROOT = Path(__file__).parent.parent.parent
WITH_EXAMPLE = [code for code in CODES.values() if code.examples() is not None]


def codes_of(text: str, folder: Path) -> list[tuple[str, str]]:
    path = folder / "example.lmspec"
    path.write_text(text, encoding="utf-8")
    (folder / "book.txt").write_text("a book", encoding="utf-8")
    found = compile_spec(path).diagnostics.items
    return [(d.code, d.message) for d in found]


@pytest.mark.parametrize("code", WITH_EXAMPLE, ids=lambda code: code.code)
def test_the_failing_example_fails_with_its_code_alone(code: object, tmp_path: Path) -> None:
    failing, _ = code.examples()  # type: ignore[attr-defined]
    found = codes_of(failing, tmp_path)
    assert [c for c, _ in found] == [code.code], found  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", WITH_EXAMPLE, ids=lambda code: code.code)
def test_the_repaired_example_is_clean(code: object, tmp_path: Path) -> None:
    _, fixed = code.examples()  # type: ignore[attr-defined]
    assert codes_of(fixed, tmp_path) == []


def test_every_code_that_is_raised_is_in_the_table() -> None:
    raised = set()
    for package in ("compiler", "runtime", "spec"):
        for path in (ROOT / package).rglob("*.py"):
            if path.name != "codes.py":
                raised |= set(re.findall(r'"(LM\d{4})"', path.read_text(encoding="utf-8")))
    assert raised <= set(CODES)
    assert not {code for code in set(CODES) - raised if code.startswith(("LM02", "LM03", "LM04", "LM05", "LM06"))}
