"""Which class builds which variant: one builder for every variant that is not spec-only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T", bound=Callable[..., Any])
BUILDERS: dict[type, Callable[..., Any]] = {}


def builds(*specs: type) -> Callable[[_T], _T]:
    """Register a class or function as the builder of one or more spec classes."""

    def register(builder: _T) -> _T:
        for spec in specs:
            if spec in BUILDERS:
                raise ValueError(f"{spec.__name__} has two builders: {BUILDERS[spec]!r} and {builder!r}")
            BUILDERS[spec] = builder
        return builder

    return register
