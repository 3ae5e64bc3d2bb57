"""The runtime graph: a plan's nodes wired to components, and the walk that does what is missing.

    plan -> components (wire) -> walk over the nodes that some blocks need

The walk does a node once its inputs are done; a finished node is not done again, a partial one resumes, one that
another process holds is left to it; a failure stops only what needs the failed node.
"""

from __future__ import annotations

import errno
import sqlite3
import time
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch
from attrs import Factory, define, fields_dict

from ..spec.diagnostic import Diagnostic, LmcError
from ..spec.plan import Plan
from ..spec.schema import fields, kind_of
from .components import plotter as _plotter  # noqa: F401  (registers its builder)
from .components.base import Component, StoredComponent
from .components.evaluator import EvaluatorNode
from .components.prober import ProbeNode
from .registry import BUILDERS
from .session import Session
from .store.run_store import NodeFolder, unwritable
from .training.job import Interrupted

State = Literal["done", "failed", "blocked", "left"]
"""`left`: a limit of time was reached; the same command goes on."""
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 3.0
"""How long a worker waits for another process before it says so."""


def wire(plan: Plan) -> dict[str, Component[Any]]:
    """Return a component per node of a plan, inputs before what needs them."""
    components: dict[str, Component[Any]] = {}
    for node_id, node in plan.nodes.items():
        builder: Any = BUILDERS[type(node.spec)]
        taken = fields_dict(builder)
        inputs = {}
        spec_class: Any = type(node.spec)
        for name, field in fields(spec_class).items():
            if field.metadata["ref"] and name in taken:
                inputs[name] = _resolve(getattr(node.spec, name), components)
        components[node_id] = builder(node=node, **inputs)
    return components


def _resolve(value: Any, components: Mapping[str, Component[Any]]) -> Any:
    if value is None:
        return None
    if isinstance(value, str):
        return components[value.split("/")[0]]
    return tuple(_resolve(item, components) for item in value)


def observers(components: Mapping[str, Component[Any]], nodes: Iterable[str]) -> dict[str, list[str]]:
    """Return, by training, the nodes among `nodes` that look at it while it runs."""
    found: dict[str, list[str]] = {}
    for node_id in nodes:
        component = components[node_id]
        if isinstance(component, ProbeNode) or (isinstance(component, EvaluatorNode) and component.watches):
            found.setdefault(component.run.node.id, []).append(node_id)
    return found


def names(plan: Plan) -> dict[str, str]:
    """Return what nodes are called in messages: a run's name, or an evaluation's with its run's."""
    called: dict[str, str] = {}
    default = {target.name for target in plan.targets if target.default}
    for point in sorted(plan.points, key=lambda point: point.grid not in default):
        called.setdefault(point.run, point.name)
        for name, node_id in {**point.evals, **point.probes}.items():
            called.setdefault(node_id, f"{point.name} {name}")
    for node_id, node in plan.nodes.items():
        looked = plan.nodes.get(getattr(node.spec, "run", "")) if kind_of(type(node.spec)) == "eval" else None
        if looked is not None:
            called.setdefault(node_id, f"{looked.name} {node.name}")
    return called


@define
class Walk:
    """The state of one walk of one worker."""

    session: Session
    pending: list[str]
    states: dict[str, State] = Factory(dict)
    announced: set[str] = Factory(set)
    interrupted: bool = False
    patient: bool = True

    def run(self) -> dict[str, State]:
        """Walk until every pending node is done, failed, left or blocked, or the session stops."""
        idle = 0.0
        while self.pending and not self.interrupted:
            self.patient = idle < PATIENCE_SECONDS
            moved = [node_id for node_id in tuple(self.pending) if not self.interrupted and self._advance(node_id)]
            if self.session.stop():
                break
            idle = 0.0 if moved else idle + POLL_SECONDS
            if not moved:
                time.sleep(POLL_SECONDS)
        return self.states

    def _advance(self, node_id: str) -> bool:
        """Move one node on if it can be; return whether it left the list."""
        component = self.session.components[node_id]
        inputs = [i.node.id for i in component.inputs()]
        lost = [i for i in inputs if self.states.get(i) in ("failed", "blocked", "left")]
        if lost:
            if isinstance(component, StoredComponent):
                self.session.say("blocked", node_id, by=self.session.components[lost[0]].what)
            return self._leave(node_id, "blocked")
        if any(i not in self.states for i in inputs):
            return False
        if not isinstance(component, StoredComponent):
            return self._leave(node_id, "done")
        state = self._do(component)
        return state is not None and self._leave(node_id, state)

    def _leave(self, node_id: str, state: State) -> bool:
        self.pending.remove(node_id)
        self.states[node_id] = state
        return True

    def _do(self, component: StoredComponent[Any]) -> State | None:
        """Do a stored node unless it is done; None if another process holds it."""
        session, node_id = self.session, component.node.id
        try:
            folder = session.folder(node_id)
            if folder.status == "done":
                return "done"
            folder.make()
            with folder.try_lock() as held:
                if not held:
                    if node_id not in self.announced and not self.patient:
                        self.announced.add(node_id)
                        session.say("waiting", node_id, holder=folder.holder())
                    return None
                folder = session.folder(node_id)
                if folder.status == "done":
                    return "done"
                if folder.failed_since(session.started):
                    return "failed"
                if folder.left_since(session.started):
                    return "left"
                folder.create()
                return self._work(component, folder)
        except LmcError as error:
            self._failed(component, error)
        except (OSError, sqlite3.Error) as error:
            self._failed(component, unwritable(session.store.path, error))
        return "failed"

    def _work(self, component: StoredComponent[Any], folder: NodeFolder) -> State | None:
        session, node_id = self.session, component.node.id
        began = time.monotonic()
        session.say("start", node_id)
        try:
            summary = component.work(session, folder)
        except Interrupted as stop:
            session.say("interrupted", node_id, step=stop.step, limit=stop.limit)
            if stop.limit:
                folder.leave(stop.step)
                return "left"
            self.interrupted = True
            return None
        except LmcError as error:
            with suppress(OSError, sqlite3.Error):  # what cannot be written down is still told
                folder.fail(error.diagnostic)
            raise
        except Exception as error:
            diagnostic = unexpected(error, folder.path)
            with suppress(OSError, sqlite3.Error):
                (folder.path / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
                folder.fail(diagnostic)
            raise LmcError(diagnostic) from error
        folder.finish(summary)
        session.say("done", node_id, seconds=time.monotonic() - began, summary=summary)
        return "done"

    def _failed(self, component: StoredComponent[Any], error: LmcError) -> None:
        declared, diagnostic = component.node.place, error.diagnostic
        place = error.place
        if place is None and declared is not None:
            place = (declared.path, declared.line, declared.column, declared.text)
        self.session.say(
            "failed",
            component.node.id,
            code=diagnostic.code,
            message=diagnostic.message,
            help=diagnostic.help,
            place=None if place is None else list(place),
        )


def unexpected(error: Exception, folder: Path) -> Diagnostic:
    """Return the diagnostic of an error that no component foresaw."""
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or isinstance(error, MemoryError | torch.OutOfMemoryError):
        what = "the disk is full" if full else "memory ran out"
        return Diagnostic("LM0903", f"{what}: {reason}", None, help="free some, then run again to go on")
    message = f"{type(error).__name__}: {reason}"
    return Diagnostic("LM0904", message, None, help=f"the traceback is in {folder / 'error.txt'}")
