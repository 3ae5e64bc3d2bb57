"""Parsers with their tables kept in the user's cache folder, where that can be written."""

from __future__ import annotations

import pkgutil
from typing import Any

from lark import Lark

from ...spec.cache import cache_folder


def load_parser(name: str, **options: Any) -> Lark:
    """Return the LALR parser of a grammar of `lmc.grammars`."""
    written = pkgutil.get_data("lmc.grammars", f"{name}.lark")
    assert written is not None
    text = written.decode("utf-8")
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Lark(text, parser="lalr", cache=str(folder / f"{name}.table"), **options)
    except OSError:
        return Lark(text, parser="lalr", **options)
