"""Cross-checks of what the tools of protocols are asked."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .protocol import READ_ONLY, PythonProtocol, SearchProtocol, SqlProtocol
from .violation import Lookup, Violation

FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def protocol_violations(spec: SqlProtocol | PythonProtocol | SearchProtocol, lookup: Lookup) -> Iterator[Violation]:
    """Yield the rules that a protocol breaks."""
    if isinstance(spec, PythonProtocol):
        if not FUNCTION.fullmatch(spec.function):
            yield Violation(
                "LM0303", f"`{spec.function}` names no function", ("function",), "write package.module:name"
            )
    elif isinstance(spec, SearchProtocol):
        store, _, name = spec.table.partition("/")
        table = lookup(store).tables[name]
        known = (table.key, *table.columns)
        missing = [column for column in spec.columns or () if column not in known]
        if missing or spec.columns == ():
            message = f"`{name}` has no column `{missing[0]}`" if missing else "`columns` is empty"
            yield Violation("LM0303", message, ("columns",), f"columns are {', '.join(known)}")
    else:
        whole = [capture for capture, allowed in spec.allow.items() if allowed == READ_ONLY]
        if whole and spec.query.strip() != f"{{{whole[0]}}}":
            message = f"`{whole[0]}` is a whole statement, but the query is more than that"
            yield Violation("LM0303", message, ("query",), f'write query = "{{{whole[0]}}}", or list what it may be')
