"""Which training of a store a word means: its name, its id or the beginning of one, or its folder."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...spec.diagnostic import Diagnostic, LmcError
from .index import Entry
from .run_store import RunStore

SHOWN = 10
"""Most runs in a message, the newest."""


def trainings(store: RunStore) -> list[Entry]:
    """Return the trainings of a store, finished or not."""
    return [entry for entry in store.entries().values() if entry.kind == "train"]


def find(store: RunStore, word: str) -> list[Entry]:
    """Return the trainings of a name; without one that of a folder, as it is called or as a path; else those of an id.

    An id may be cut short.
    """
    known, path = trainings(store), Path(word)
    folder = path.name if path.parent.resolve() == store.path.resolve() else word
    return (
        [entry for entry in known if entry.name == word]
        or [entry for entry in known if entry.folder == folder]
        or [entry for entry in known if entry.folder.startswith(folder)]
    )


def ambiguous(store: RunStore, word: str, found: Sequence[Entry]) -> LmcError:
    """Return the error (LM0809) of a word that means several trainings: what each is called, and what it is."""
    called = spellings((entry.name, entry.folder) for entry in trainings(store))
    newest = sorted(found, key=lambda entry: entry.time)[-SHOWN:]
    listed = ", ".join(f"`{called[entry.folder]}` ({_told(entry)})" for entry in newest)
    which = "them" if len(newest) == len(found) else f"the newest {len(newest)}"
    message = f"{len(found)} runs are called `{word}` in `{store.path}`"
    return LmcError(Diagnostic("LM0809", message, None, help=f"name one of {which}: {listed}"))


def spellings(runs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return by folder what means one training and no other: its name, else its id, else its folder.

    `runs`: name and folder of each in the store.
    """
    known = list(runs)
    names, ids = Counter(name for name, _ in known), Counter(folder.partition("-")[0] for _, folder in known)
    found = {}
    for name, folder in known:
        node_id = folder.partition("-")[0]
        found[folder] = name if names[name] == 1 else node_id if ids[node_id] == 1 else folder
    return found


def _told(entry: Entry) -> str:
    """Return how a run was asked for, its steps, and when it last changed."""
    source = json.loads(entry.source)
    changes = [f"--{option} {value}" for option in ("with", "set") for value in source.get(option, ())]
    step = json.loads(entry.summary).get("step")
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.time))
    return ", ".join([*changes, *([] if step is None else [f"step {step:,}"]), f"{entry.status} {at}"])
