"""Plain values as YAML that every reader takes for what they are, whether it follows YAML 1.1 or 1.2.

A string is written without quotes only if it begins with a letter, holds nothing but letters, digits and `_ . / -`,
and is no word that some version reads as a boolean or null. Floats are the shortest that read back equal and always
have a point and, with an exponent, its sign: without them YAML 1.1 reads a string.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

WIDTH = 100
LONGEST_KEY = 1000
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*\Z")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_ESCAPED = re.compile(r"[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def yaml_lines(value: Any) -> Iterator[str]:
    """Yield the lines of a document without line ends.

    `value` is made of dicts with string keys, lists, strings, finite numbers, booleans and None.
    Raises ValueError for a number that is not finite, TypeError for anything else.
    """
    if isinstance(value, dict | list) and value and _flow(value, 0) is None:
        yield from _block(value, 0)
    else:
        yield _flow(value, 0) or scalar(value)


def scalar(value: Any) -> str:
    """Return a string, number, boolean or None as YAML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return value if _PLAIN.match(value) and value.lower() not in _WORDS else _quoted(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    raise TypeError(f"no YAML for {type(value).__name__}")


def _float(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} is not finite")
    text = repr(value)
    digits, mark, exponent = text.partition("e")
    return f"{digits}{'' if '.' in digits else '.0'}{mark}{exponent}"


def _quoted(text: str) -> str:
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def _key(key: str, margin: str) -> str:
    """Return a key; one that is too long to stand before a colon on its line stands alone behind `?`."""
    text = scalar(key)
    return text if len(text) <= LONGEST_KEY else f"? {text}\n{margin}"


def _flow(value: Any, indent: int) -> str | None:
    """Return a scalar, an empty collection or a short list of scalars on one line; None for what needs several."""
    if isinstance(value, dict):
        return None if value else "{}"
    if not isinstance(value, list):
        return scalar(value)
    if any(isinstance(item, dict | list) for item in value):
        return None
    text = f"[{', '.join(map(scalar, value))}]"
    return text if indent + len(text) <= WIDTH else None


def _block(value: dict[str, Any] | list[Any], indent: int) -> Iterator[str]:
    margin = " " * indent
    for key, item in value.items() if isinstance(value, dict) else ((None, item) for item in value):
        head = f"{margin}-" if key is None else f"{margin}{_key(key, margin)}:"
        text = _flow(item, len(head) + 1)
        if text is not None:
            yield f"{head} {text}"
        elif key is None:
            first, *rest = _block(item, indent + 2)
            yield f"{head} {first[indent + 2 :]}"
            yield from rest
        else:
            yield head
            yield from _block(item, indent + 2)
