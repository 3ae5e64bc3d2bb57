"""Copies of figures where a spec wants them: outside of the store, so they are looked for at every run."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Sequence
from pathlib import Path

from ...spec.diagnostic import Diagnostic, LmcError


def put_copies(file: str | None, figures: Sequence[Path]) -> list[Path]:
    """Copy the figures that a plot's `file` asks for, where they are not there or others; return where all lie.

    Raises LmcError (LM0804) where that cannot be written.
    """
    target = Path(file or "")
    wanted = [figure for figure in figures if target.suffix in ("", figure.suffix)] if file else []
    placed = [target.with_suffix(figure.suffix) for figure in wanted]
    try:
        for figure, place in zip(wanted, placed, strict=True):
            place.parent.mkdir(parents=True, exist_ok=True)
            if not (place.is_file() and filecmp.cmp(figure, place, shallow=False)):
                shutil.copyfile(figure, place)
    except OSError as error:
        message = f"the figure `{file}` cannot be written: {error.strerror}"
        raise LmcError(Diagnostic("LM0804", message, None, help="choose another `file`")) from error
    return placed
