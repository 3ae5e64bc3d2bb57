"""Runs are held to the lock of their spec: drift is refused, or accepted and written down."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from attrs import frozen

from ...spec.diagnostic import Diagnostic, Label, LmcError
from ...spec.exported import shown_path
from ...spec.lock import Drift, Input, Lock, change_line, drifts, lock_path, lock_text, names, parse_lock, short
from ...spec.plan import Header, Plan
from ..inputs import InputDigests
from ..repositories import pinned
from ..secrets import secret_variables, variables
from ..store.files import write_whole
from .present import Present

SHOWN = 10
"""Most lines of a lock in a message."""
OURS = re.compile(rb"^lmc-lock \d", re.MULTILINE)


def read_lock(header: Header) -> Lock | None:
    """Return the lock beside a plan's spec, None if there is none. Raises LmcError: LM0702 damaged, LM0802."""
    path = lock_path(header)
    if path is None or not path.is_file():
        return None
    try:
        return parse_lock(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        help = "write it again: lmc lock FILE"
        raise LmcError(Diagnostic("LM0702", f"lock `{path}` is not UTF-8", None, help=help)) from error


def held(plan: Plan, nodes: Sequence[str]) -> Plan:
    """Return a plan that reads what its lock says; without a lock, the plan as it is.

    Raises LmcError: LM0718 if these nodes read what is not as the lock says, LM0701, LM0702, LM0802 for files.
    """
    lock = read_lock(plan.header)
    if lock is None:
        return plan
    present = Present(plan, InputDigests(plan))
    found = drifts(lock, present.cheaply(nodes, lock), whole=False)
    if found:
        reader = plan.nodes[present.readers[found[0].input]].place
        place = None if reader is None else (reader.path, reader.line, reader.column, reader.text)
        raise LmcError(refusal(found, lock, plan.header), place if found[0].locked is None else None)
    return pinned(plan, lock)


@frozen
class Relocked:
    """A lock that was written: where it lies, its inputs, and what it said otherwise, or not at all, before."""

    path: Path
    count: int
    changed: list[Drift]

    def lines(self) -> Iterator[str]:
        """Yield it for people."""
        count = f"{self.count:,} input{'s' * (self.count != 1)}"
        yield f"{shown_path(str(self.path), str(Path.cwd()))}: {count}" + ("" if self.changed else ", none changed")
        yield from (f"  {change_line(drift)}" for drift in self.changed)


def relocked(plan: Plan, nodes: Collection[str]) -> Relocked:
    """Write what these nodes read into the lock, which is made if there is none; commits that it has stay.

    Raises LmcError: LM0804 for the lock, and as `read_lock`, `Present.wholly` and `check_deferred` do; the lock is then
    as it was.
    """
    known = read_lock(plan.header) or Lock()
    return _write(plan, known, known.with_values(_resolved(plan, nodes, known)))


def locked(plan: Plan) -> Relocked:
    """Write what all nodes of a plan read into the lock; the hub is asked for every commit.

    What the lock says of other inputs goes, unless the plan has changes of the command line and so is not all that
    the spec says. A damaged lock is then replaced, but no file that is none: LM0702. Raises as `relocked` does.
    """
    try:
        known = read_lock(plan.header) or Lock()
    except LmcError:
        if _amended(plan.header):
            raise
        _check_ours(plan.header)
        known = Lock()
    found = _resolved(plan, plan.nodes, Lock())
    return _write(plan, known, known.with_values(found) if _amended(plan.header) else Lock(found))


def _check_ours(header: Header) -> None:
    """Raise LmcError (LM0702) if what lies where the lock of a spec would be is something else."""
    path = lock_path(header)
    assert path is not None
    text = path.read_bytes()
    if text.strip() and OURS.search(text) is None:
        help = "name the spec otherwise, or move that file away"
        raise LmcError(Diagnostic("LM0702", f"`{path}` is no lock of lmc, and stays as it is", None, help=help))


def _resolved(plan: Plan, nodes: Collection[str], keep: Lock) -> dict[Input, str]:
    """Return what the inputs of nodes are, once the rules that wait for them hold."""
    from .deferred import check_deferred  # here, since other commands load no tokenizers

    with variables(secret_variables(plan, nodes, os.environ)):
        found = Present(plan, InputDigests(plan)).wholly(nodes, keep)
        check_deferred(pinned(plan, Lock(found)), nodes)
    return found


def compared(plan: Plan) -> Diagnostic | None:
    """Return what differs between a plan's inputs and its lock, without asking a server; None if nothing does.

    Raises LmcError: LM0701 for a missing file or lock, and as `read_lock` does.
    """
    lock = read_lock(plan.header)
    if lock is None:
        message = f"there is no lock `{lock_path(plan.header)}`"
        raise LmcError(Diagnostic("LM0701", message, None, help="write it: lmc lock FILE"))
    found = drift(plan, plan.nodes, lock, whole=not _amended(plan.header))
    return refusal(found, lock, plan.header) if found else None


def drift(plan: Plan, nodes: Iterable[str], lock: Lock, *, whole: bool = False) -> list[Drift]:
    """Return where what these nodes read differs from a lock, without asking a server. Raises LmcError (LM0701)."""
    return drifts(lock, Present(plan, InputDigests(plan)).cheaply(nodes, lock), whole=whole)


def _amended(header: Header) -> bool:
    """Whether a plan has changes of the command line."""
    return bool(header.overlays or header.settings)


def _write(plan: Plan, known: Lock, new: Lock) -> Relocked:
    path = lock_path(plan.header)
    assert path is not None
    changed = drifts(known, new.values, whole=True)
    if changed or not path.is_file():
        try:
            write_whole(path, lock_text(new.values))
        except OSError as error:
            message = f"the lock `{path}` cannot be written: {error.strerror}"
            raise LmcError(Diagnostic("LM0804", message, None, help="make the folder writable")) from error
    return Relocked(path, len(new.values), changed)


def refusal(found: Sequence[Drift], lock: Lock, header: Header) -> Diagnostic:
    """Return the diagnostic of inputs that differ from a lock: each line that does not hold, with what there is now."""
    path = lock_path(header)
    assert path is not None
    lines = [drift for drift in found if drift.locked is not None]
    unlisted = [drift.input for drift in found if drift.locked is None]
    said = []
    if lines:
        are = "is" if len(lines) == 1 else "are"
        said.append(f"{names((drift.input for drift in lines), 3)} {are} not what `{path.name}` says")
    if unlisted:
        said.append(f"`{path.name}` does not list {names(unlisted, 3)}")
    help = "put back what was locked, or accept what is there" if lines else "add what is there"
    help += ": lmc run --relock"
    now = ((drift, f"is now {short(drift.found)}" if drift.found else "nothing reads it") for drift in lines[:SHOWN])
    labels = [Label(lock.places[drift.input], text) for drift, text in now]
    if not labels:
        return Diagnostic("LM0718", said[0], None, help=help)
    return Diagnostic("LM0718", "; ".join(said), labels[0].span, labels[0].text, tuple(labels[1:]), help)
