"""What tests of the compiler share."""

from pathlib import Path

import pytest
from support.specs import BASE, Compile

from lmc.compiler.pipeline import Compiled, compile_spec


@pytest.fixture
def compile_(tmp_path: Path) -> Compile:
    """Compiles a text as `case.lmspec`."""

    def run(text: str, overlays: tuple[str, ...] = (), settings: tuple[str, ...] = ()) -> Compiled:
        path = tmp_path / "case.lmspec"
        path.write_text(text, encoding="utf-8")
        return compile_spec(path, overlays, settings)

    return run


@pytest.fixture
def compile_more(compile_: Compile) -> Compile:
    """Compiles a text behind BASE."""

    def run(text: str, overlays: tuple[str, ...] = (), settings: tuple[str, ...] = ()) -> Compiled:
        return compile_(BASE + text, overlays, settings)

    return run
