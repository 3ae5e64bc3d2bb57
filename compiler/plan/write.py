"""Plans on disk: a folder that is there whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.plan import Plan
from ...spec.plan_text import plan_lines

PLAN = "plan.jsonl"
SOURCEMAP = "sourcemap.jsonl"
TRIES = 20


def write_plan(plan: Plan, sourcemap: Iterable[str], folder: Path) -> None:
    """Write a plan folder. Raises LmcError (LM0804) where it cannot be written."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        partial.chmod(0o755)
        (partial / PLAN).write_text("".join(line + "\n" for line in plan_lines(plan)), encoding="utf-8")
        (partial / SOURCEMAP).write_text("".join(line + "\n" for line in sourcemap), encoding="utf-8")
        _put(partial, folder)
    except OSError as error:
        message, help = (
            f"the plan cannot be written to `{folder}`: {error.strerror}",
            "make its parent a writable folder",
        )
        raise LmcError(Diagnostic("LM0804", message, None, help=help)) from error


def _put(partial: Path, folder: Path) -> None:
    """Put a folder in the place of another, which a second process may put back in between."""
    for left in reversed(range(TRIES)):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            os.replace(partial, folder)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not left:
                raise
