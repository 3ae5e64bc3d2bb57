"""Names of blocks that are made from the texts of a configuration."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache

from ...spec.schema import REGISTRY, UNSUPPORTED, fields
from ..resolve.functions import FUNCTIONS
from ..syntax.parse import KEYWORDS, KINDS


def block_name(text: str, default: str, taken: Collection[str] = ()) -> str:
    """Return a text as the name of a block: no keyword, no field, which would hide it, and none of `taken`."""
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_") or default
    name = f"_{name}" if name[0].isdigit() else name
    found = (name, f"{name}_run", *(f"{name}_{count}" for count in range(2, len(taken) + 3)))
    return next(each for each in found if each not in taken and each not in _words())


@cache
def _words() -> frozenset[str]:
    """Return the words of the language, its variants, and the fields of blocks that name others."""
    naming = [cls for kind in (*KINDS, "part") for cls in REGISTRY.get(kind, {}).values()]
    known = {name for cls in naming for name in fields(cls)} | {name for kind in REGISTRY.values() for name in kind}
    unsupported = {name for names in UNSUPPORTED.values() for name in names}
    return frozenset(known | unsupported | set(REGISTRY) | KINDS | set(KEYWORDS.values()) | set(FUNCTIONS))
