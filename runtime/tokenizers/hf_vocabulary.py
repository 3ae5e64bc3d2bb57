"""The bytes behind the tokens of a `tokenizer.json`: GPT-2's byte alphabet, or SentencePiece with byte fallback."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from ...spec.diagnostic import Diagnostic, LmcError

SPACE = "\u2581"
"""How SentencePiece writes a space."""
BYTE = re.compile(r"<0x([0-9A-F]{2})>")
NEVER_IN_UTF8 = frozenset({0xC0, 0xC1, *range(0xF5, 0x100)})


def byte_alphabet() -> dict[str, int]:
    """Return the byte of each character of GPT-2's alphabet: printable bytes are themselves, others 256 and up."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


def token_bytes(data: Mapping[str, Any], vocabulary: Mapping[str, int], name: str) -> list[bytes | None]:
    """Return the bytes of each id of a tokenizer, None for special tokens and unused ids.

    Args:
        data: the parsed `tokenizer.json` as the library writes it.
        vocabulary: ids by token, added tokens included.
        name: what the tokenizer is called in messages.

    Raises LmcError (LM0708) for a tokenizer whose tokens are not fixed bytes or that cannot write every text.
    """
    model = data["model"]
    reason = _unfit(data)
    if reason:
        raise refused(name, reason)
    added = {token["content"]: token for token in data["added_tokens"]}
    specials = {content for content, token in added.items() if token["special"]} | _unknown(model)
    bytes_are_characters = _is_byte_level(data)
    found = _byte_level(vocabulary, specials, added) if bytes_are_characters else _sentence_piece(vocabulary, specials)
    single = {text[0] for text in found if text is not None and len(text) == 1}
    missing = sorted(set(range(256)) - single - NEVER_IN_UTF8)
    if missing:
        raise refused(name, f"it has no token for the byte 0x{missing[0]:02X}, so it cannot write every text")
    return found


def refused(name: str, reason: str) -> LmcError:
    """Return the error for a tokenizer that does not fit."""
    help = "use byte-level BPE, or SentencePiece with byte fallback"
    return LmcError(Diagnostic("LM0708", f"the tokenizer `{name}` is not supported: {reason}", None, help=help))


def _unfit(data: Mapping[str, Any]) -> str:
    """Return why the tokens of a `tokenizer.json` are not fixed bytes, "" if they are."""
    model, kind = data["model"], data["model"]["type"]
    if kind not in ("BPE", "Unigram"):
        return f"it is {kind}"
    if model.get("dropout"):
        return "it encodes at random (`dropout`)"
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        return "its tokens mean other bytes inside a word than at its end"
    if any(not token["special"] and (token["lstrip"] or token["rstrip"]) for token in data["added_tokens"]):
        return "one of its added tokens swallows the spaces beside it"
    if kind == "BPE" and _is_byte_level(data):
        return ""
    if not model.get("byte_fallback"):
        return f"it is {kind} without bytes"
    written = json.dumps(data["decoder"], ensure_ascii=False)
    return "" if SPACE in written else f"it has byte fallback but no `{SPACE}` for a space"


def _is_byte_level(data: Mapping[str, Any]) -> bool:
    return any('"ByteLevel"' in json.dumps(data[part]) for part in ("decoder", "pre_tokenizer"))


def _unknown(model: Mapping[str, Any]) -> set[str]:
    """Return the token that stands for what the model cannot write, if it has one."""
    if model["type"] == "Unigram":
        return set() if model["unk_id"] is None else {model["vocab"][model["unk_id"]][0]}
    return {model["unk_token"]} if model.get("unk_token") else set()


def _byte_level(vocabulary: Mapping[str, int], specials: Collection[str], added: Collection[str]) -> list[bytes | None]:
    alphabet = byte_alphabet()
    found: list[bytes | None] = [None] * (max(vocabulary.values()) + 1)
    for token, number in vocabulary.items():
        if token in specials:
            continue
        mapped = token not in added and all(c in alphabet for c in token)
        found[number] = bytes(alphabet[c] for c in token) if mapped else token.encode()
    return found


def _sentence_piece(vocabulary: Mapping[str, int], specials: Collection[str]) -> list[bytes | None]:
    found: list[bytes | None] = [None] * (max(vocabulary.values()) + 1)
    for token, number in vocabulary.items():
        byte = BYTE.fullmatch(token)
        if byte:
            found[number] = bytes((int(byte.group(1), 16),))
        elif token not in specials:
            found[number] = token.replace(SPACE, " ").encode()
    return found
