"""Tokenizers of the Hugging Face library, from a `tokenizer.json` on disk or on the hub."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...spec.diagnostic import Diagnostic, LmcError
from ..extras import library
from .base import Tokenizer, numbered
from .hf_vocabulary import refused, token_bytes

if TYPE_CHECKING:
    import tokenizers

FILE = "tokenizer.json"


class HfLibrary(Tokenizer):
    """A tokenizer of the library; its ids of text are the library's own.

    Some write a space before a text, as the library does: it is part of their ids and so of the decoded text.
    """

    def __init__(self, data: dict[str, Any], specials: Sequence[str], name: str) -> None:
        """Take a parsed `tokenizer.json`. Raises LmcError: LM0702, LM0708, LM0709."""
        data = _with_specials(data, specials)
        following = _without_first_space(data)
        self._library = _load(data, name)
        self._library_next = self._library if following == data else _load(following, name)
        whole = json.loads(self._library.to_str())
        texts = token_bytes(whole, self._library.get_vocab(with_added_tokens=True), name)
        own = {token["content"]: token["id"] for token in whole["added_tokens"]}
        super().__init__(texts, numbered(specials, own, len(texts)))

    def encode(self, text: str) -> list[int]:
        """Return the library's ids of ordinary text; the spelling of a special token stays text."""
        return list(self._library.encode(text, add_special_tokens=False).ids)

    def encode_next(self, text: str) -> list[int]:
        """Return the library's ids of ordinary text that follows a special token."""
        return list(self._library_next.encode(text, add_special_tokens=False).ids)

    def encode_bytes(self, data: bytes) -> list[int]:
        """Return ids that stand for exactly these bytes: the library's if those do, else the longest tokens.

        Raises LmcError (LM0708) for a byte that never stands in UTF-8 and has no token.
        """
        try:
            ids = self.encode_next(data.decode())
        except UnicodeDecodeError:
            return self._longest(data)
        return ids if self.text_bytes(ids) == data else self._longest(data)

    def _longest(self, data: bytes) -> list[int]:
        ids: list[int] = []
        at = 0
        while at < len(data):
            size = min(self._longest_token, len(data) - at)
            while size and data[at : at + size] not in self._numbers:
                size -= 1
            if not size:
                raise refused(FILE, f"it has no token for the byte 0x{data[at]:02X}")
            ids.append(self._numbers[data[at : at + size]])
            at += size
        return ids

    @cached_property
    def _numbers(self) -> dict[bytes, int]:
        """The id of each byte string, of several the last."""
        return {text: number for number, text in enumerate(self.vocabulary()) if text}

    @cached_property
    def _longest_token(self) -> int:
        return max(map(len, self._numbers))


def read_file(path: Path) -> dict[str, Any]:
    """Return a parsed `tokenizer.json`. Raises LmcError (LM0702) for a damaged one."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(str(path), str(error)) from error
    if not isinstance(data, dict) or "model" not in data:
        raise damaged(str(path), "it has no model")
    return data


def damaged(name: str, reason: str) -> LmcError:
    """Return the error for a file that the library cannot read."""
    return LmcError(Diagnostic("LM0702", f"`{name}` is no {FILE}: {reason}", None))


def download(repo: str, revision: str | None) -> Path:
    """Return the `tokenizer.json` of a repository, from the hub's cache or the net.

    Raises LmcError: LM0709 without the library, LM0707 if neither has the file.
    """
    hub = library("huggingface_hub", "hf", "a repository of the hub")
    try:
        return Path(hub.hf_hub_download(repo, FILE, revision=revision))
    except (OSError, ValueError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        message = f"{FILE} of `{repo}` cannot be loaded: {reason}"
        help = "check the name, load it once with a connection, or give the file: file = file(...)"
        raise LmcError(Diagnostic("LM0707", message, None, help=help)) from error


def _load(data: dict[str, Any], name: str) -> tokenizers.Tokenizer:
    reader = library("tokenizers", "hf", "a tokenizer of Hugging Face").Tokenizer
    try:
        loaded: tokenizers.Tokenizer = reader.from_str(json.dumps(data))
    except Exception as error:
        raise damaged(name, str(error)) from error
    loaded.no_padding()
    loaded.no_truncation()
    loaded.encode_special_tokens = True
    return loaded


def _with_specials(data: dict[str, Any], specials: Sequence[str]) -> dict[str, Any]:
    """Return the file with declared tokens marked as special, so that the library finds none of them in text."""
    added = data.get("added_tokens") or []
    return {**data, "added_tokens": [{**t, "special": t["special"] or t["content"] in specials} for t in added]}


def _without_first_space(data: dict[str, Any]) -> dict[str, Any]:
    """Return the file without the space that is written before the first text only."""
    splitter = copy.deepcopy(data.get("pre_tokenizer"))
    parts = [splitter] if splitter else []
    while parts:
        part = parts.pop()
        parts += part.get("pretokenizers", [])
        if part.get("prepend_scheme") == "first":
            part["prepend_scheme"] = "never"
    return {**data, "pre_tokenizer": splitter} if splitter else data
