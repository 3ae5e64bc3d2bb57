"""Parsers with their tables kept in the user's cache folder, where that can be written."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from lark import Lark

from ...spec.cache import cache_folder


def load_parser(name: str, **options: Any) -> Lark:
    """Return the LALR parser of a grammar of `lmc.grammars`."""
    text = files("lmc.grammars").joinpath(f"{name}.lark").read_text(encoding="utf-8")
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Lark(text, parser="lalr", cache=str(folder / f"{name}.table"), **options)
    except OSError:
        return Lark(text, parser="lalr", **options)
