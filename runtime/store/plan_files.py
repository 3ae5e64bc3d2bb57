"""Plans on disk, read where the compiler may not be installed."""

from __future__ import annotations

from pathlib import Path

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.plan import Plan
from ...spec.plan_text import parse_plan


def read_plan(folder: Path) -> Plan:
    """Read a plan folder. Raises LmcError: LM0801 damaged, LM0802 another version, LM0803 no plan there."""
    path = folder / "plan.jsonl"
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LmcError(Diagnostic("LM0801", f"plan `{path}` is damaged", None, help="compile it again")) from error
    except OSError as error:
        raise LmcError(
            Diagnostic("LM0803", f"there is no plan in `{folder}`", None, help="compile a spec first")
        ) from error
    return parse_plan(text.splitlines(), str(path))
