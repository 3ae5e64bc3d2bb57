"""Probes that observe a training."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from attrs import frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.probe import ActivationsProbe, GradientsProbe
from ..probes.observer import ProbeObserver
from ..registry import builds
from ..session import Session
from ..store.run_store import NodeFolder
from .base import StoredComponent
from .trainer import TrainerNode

RECORDINGS = "recordings.jsonl"


@builds(ActivationsProbe, GradientsProbe)
@frozen(kw_only=True)
class ProbeNode(StoredComponent[Path]):
    """A probe; its product is the file of recordings."""

    run: TrainerNode

    def work(self, session: Session, folder: NodeFolder) -> dict[str, Any]:
        """Check that the training recorded; repeat it to record if the session replays.

        Raises LmcError (LM0809) if there are no recordings and nothing is to be repeated.
        """
        steps = {line["step"] for line in folder.lines(RECORDINGS)}
        if not steps and session.replay:
            with tempfile.TemporaryDirectory(dir=folder.path) as scratch:
                kept = session.folder(self.run.node.id)
                copy = NodeFolder(kept.store, kept.node, Path(scratch), kept.name, kept.made, dict(kept.data))
                self.run.repeat(session, copy, [self.observer(session)])
            steps = {line["step"] for line in folder.lines(RECORDINGS)}
        if not steps:
            message = f"probe `{self.node.name}` was not there when its training ran"
            raise LmcError(Diagnostic("LM0809", message, None, help="repeat the training to record: lmc run --replay"))
        return {"steps": len(steps)}

    def observer(self, session: Session) -> ProbeObserver:
        """Return the observer that records during training."""
        folder = session.folder(self.node.id)
        folder.create()
        return ProbeObserver(self.spec, lambda recording: folder.append(RECORDINGS, recording))

    def build(self, session: Session) -> Path:
        """Return the file of recordings."""
        return session.folder(self.node.id).path / RECORDINGS
