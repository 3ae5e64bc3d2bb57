"""Lifted automata kept in the user's cache folder by what they were lifted from and over."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from ...spec.automaton import ByteAutomaton
from ...spec.cache import cache_folder
from ...spec.canonical import canonical_json
from ...spec.codec import structure, unstructure
from .lift import FiredEvent, TokenAutomaton, lift
from .vocabulary import Vocabulary

FORMAT = 1
ARRAYS = ("columns", "table", "next_states", "effects", "allowed", "sources", "added", "lengths")


def lifted_once(automaton: ByteAutomaton, vocabulary: Vocabulary) -> TokenAutomaton:
    """Return the token automaton, read from the cache if it was made before."""
    key = canonical_json([FORMAT, unstructure(automaton), vocabulary.digest])
    path = cache_folder() / "lifted" / f"{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.npz"
    with suppress(Exception):
        return _read(path)
    found = lift(automaton, vocabulary)
    with suppress(OSError):
        _write(path, found)
    return found


def _read(path: Path) -> TokenAutomaton:
    """Read what `_write` wrote; a file that was damaged fails in one of many ways, by its checksums."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
        events = json.loads(bytes(kept["events"]).decode())
        arrays = {name: kept[name] for name in ARRAYS}
    return TokenAutomaton(**arrays, events=structure(events, tuple[tuple[FiredEvent, ...], ...]))


def _write(path: Path, automaton: TokenAutomaton) -> None:
    """Write a file whole: under another name, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    events = np.frombuffer(json.dumps(unstructure(automaton.events)).encode(), np.uint8)
    partial = path.with_suffix(f".{os.getpid()}.tmp")
    with partial.open("wb") as file:
        np.savez(file, events=events, **{name: getattr(automaton, name) for name in ARRAYS})
    os.replace(partial, path)
