"""Ranks of byte-level BPE in tiktoken's text format: a line per token, base64 of its bytes, a space, its rank."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

from ...spec.diagnostic import Diagnostic, LmcError
from ..store.files import write_whole

Ranks = dict[bytes, int]


def read_ranks(path: Path) -> Ranks:
    """Return the rank of each token. Raises LmcError (LM0702) for a damaged file or one that lacks a byte."""
    ranks: Ranks = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            if line:
                token, rank = line.split()
                ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise damaged(path, f"line {number} is not a base64 token, a space and a rank") from error
    missing = [i for i in range(256) if bytes((i,)) not in ranks]
    if missing:
        raise damaged(path, f"it has no token for the byte 0x{missing[0]:02X}")
    if len(set(ranks.values())) < len(ranks) or min(ranks.values()) < 0:
        raise damaged(path, "its ranks are not distinct numbers from 0")
    return ranks


def write_ranks(path: Path, ranks: Mapping[bytes, int]) -> None:
    """Write ranks whole or not at all."""
    write_whole(path, ranks_text(ranks))


def ranks_text(ranks: Mapping[bytes, int]) -> str:
    """Return ranks as their file holds them."""
    ordered = sorted(ranks.items(), key=lambda item: item[1])
    return "".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ordered)


def damaged(path: Path, reason: str) -> LmcError:
    """Return the error for a vocabulary file that is not what it should be."""
    return LmcError(Diagnostic("LM0702", f"`{path}` is no vocabulary of tiktoken: {reason}", None))
