"""Prompts from the command line: texts, text files, and JSON lines that may override the command's options."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import Factory, frozen

from ...spec.diagnostic import Diagnostic, LmcError

KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "prompt": ((str, list), "a text, or a list of token ids"),
    "continuation": ((str,), "a text"),
    "id": ((str, int), "a text or a whole number"),
    "max_tokens": ((int,), "a whole number"),
    "stop": ((list,), "a list of texts that are not empty"),
    "seed": ((int,), "a whole number"),
    "temperature": ((int, float), "a number"),
    "top_k": ((int,), "a whole number"),
    "top_p": ((int, float), "a number"),
    "min_p": ((int, float), "a number"),
    "repetition": ((int, float), "a number"),
    "presence": ((int, float), "a number"),
    "frequency": ((int, float), "a number"),
}
"""The fields of a line, what JSON gives for them, and what that is called."""
NAMED = ("id", "prompt", "continuation")
"""Fields that are no option of generation."""


@frozen
class Prompt:
    """What is asked with one prompt.

    Attributes:
        id: names it in what is written.
        place: where it stands, for messages; "" where that needs no saying.
        content: text, in which the spelling of a declared special token is that token, or token ids.
        continuation: text that is scored behind it; None where the model goes on.
        options: fields of a line that override those of the command.
        error: what is wrong with it; "" for nothing.
    """

    id: str | int
    place: str
    content: str | tuple[int, ...] = ""
    continuation: str | None = None
    options: Mapping[str, Any] = Factory(dict)
    error: str = ""


def read_prompts(texts: Sequence[str], files: Sequence[Path], piped: bytes | None = None) -> list[Prompt]:
    """Return prompts in their order: texts, then those of files, then a piped text.

    A wrong line is a prompt with an error. Raises LmcError (LM0701) for a file that cannot be read.
    """
    alone = len(texts) == 1 and not files
    found = [
        _checked(f"prompt {number}", "" if alone else f"prompt {number}", text) for number, text in enumerate(texts, 1)
    ]
    for path in files:
        found += _of_file(path)
    if piped is not None:
        found.append(_whole("standard input", piped))
    return found


def _of_file(path: Path) -> list[Prompt]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LmcError(Diagnostic("LM0701", f"`{path}` cannot be read: {error.strerror}", None)) from error
    if path.suffix != ".jsonl":
        return [_whole(str(path), data)]
    lines = enumerate(data.split(b"\n"), 1)
    return [_of_line(f"{path}:{number}", line) for number, line in lines if line.strip()]


def _whole(place: str, data: bytes) -> Prompt:
    """Return a text as one prompt, without its last line end."""
    try:
        return Prompt(place, place, data.decode().removesuffix("\n"))
    except UnicodeDecodeError as error:
        return Prompt(place, place, error=f"it is not UTF-8: {error.reason}")


def _checked(id: str, place: str, text: str) -> Prompt:
    return Prompt(id, place, error="it is not UTF-8") if _is_broken(text) else Prompt(id, place, text)


def _of_line(place: str, line: bytes) -> Prompt:
    try:
        fields = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Prompt(place, place, error=f"it is not UTF-8: {error.reason}")
    except json.JSONDecodeError as error:
        return Prompt(place, place, error=f"it is not JSON: {error.msg} at column {error.colno}")
    except (ValueError, RecursionError) as error:
        return Prompt(place, place, error=f"it is not JSON that can be read: {str(error).splitlines()[0]}")
    if not isinstance(fields, dict):
        return Prompt(place, place, error="it is no JSON object")
    fields = {name: value for name, value in fields.items() if value is not None}
    wrong = next(filter(None, (_wrong(name, value) for name, value in fields.items())), "") or _missing(fields)
    id = place if _wrong("id", fields.get("id", place)) else fields.get("id", place)
    if wrong:
        return Prompt(id, place, error=wrong)
    content = fields["prompt"]
    options = {name: value for name, value in fields.items() if name not in NAMED}
    ids = content if isinstance(content, str) else tuple(content)
    return Prompt(id, place, ids, fields.get("continuation"), options)


def _wrong(name: str, value: Any) -> str:
    """Return what is wrong with a field of a line."""
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, 1)
        return f"unknown field `{name}`; " + (
            f"did you mean `{near[0]}`?" if near else f"fields are {', '.join(KINDS)}"
        )
    types, words = KINDS[name]
    right = isinstance(value, types) and not isinstance(value, bool)
    if right and isinstance(value, list):
        inner: tuple[type, ...] = (str,) if name == "stop" else (int,)
        right = all(isinstance(x, inner) and not isinstance(x, bool) and x != "" for x in value)
    if not right:
        return f"`{name}` must be {words}"
    texts = [x for x in (value if isinstance(value, list) else [value]) if isinstance(x, str)]
    return f"`{name}` holds half of a surrogate pair" if any(map(_is_broken, texts)) else ""


def _missing(fields: Mapping[str, Any]) -> str:
    """Return what is wrong with the fields of a line together."""
    if "prompt" not in fields:
        return "it has no `prompt`"
    options = [name for name in fields if name not in NAMED]
    if "continuation" in fields and options:
        return f"`{options[0]}` says nothing about a continuation that is scored"
    return ""


def _is_broken(text: str) -> bool:
    """Whether a text has characters that no UTF-8 has: bytes of a command line, halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
