"""How attrs classes are shown: by one function, as attrs would compile one for each at every start."""

from __future__ import annotations

from typing import Any

import attrs


def shown(value: Any) -> str:
    """Return the call that makes a value, as attrs shows it."""
    told = (field.name for field in attrs.fields(type(value)) if field.repr)
    return f"{type(value).__name__}({', '.join(f'{name}={getattr(value, name)!r}' for name in told)})"


class Shown:
    """Base of classes that say `repr=False`; none of them may hold itself."""

    __slots__ = ()
    __repr__ = shown
