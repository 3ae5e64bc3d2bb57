"""Plans on disk, read where the compiler may not be installed."""

from __future__ import annotations

from pathlib import Path

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.plan import Header, Plan
from ...spec.plan_text import parse_header, parse_plan

PLAN = "plan.jsonl"


def read_plan(folder: Path) -> Plan:
    """Read a plan folder. Raises LmcError: LM0801 damaged, LM0802 another version, LM0803 no plan there."""
    return parse_plan(_lines(folder), str(folder / PLAN))


def read_header(folder: Path) -> Header:
    """Read what a plan was compiled from. Raises LmcError as `read_plan` does."""
    lines = _lines(folder)
    return parse_header(lines[0] if lines else "", str(folder / PLAN))


def _lines(folder: Path) -> list[str]:
    path = folder / PLAN
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise LmcError(Diagnostic("LM0801", f"plan `{path}` is damaged", None, help="compile it again")) from error
    except OSError as error:
        raise LmcError(
            Diagnostic("LM0803", f"there is no plan in `{folder}`", None, help="compile a spec first")
        ) from error
