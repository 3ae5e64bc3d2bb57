"""The writers: TensorBoard and Weights & Biases."""

from __future__ import annotations

import fcntl
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from attrs import define, frozen

from ...spec.tracking import TensorBoard, Wandb
from ..extras import library
from ..registry import builds
from .sources import Scalars
from .tracker import Writer
from .wandb_file import steps_written


@frozen(kw_only=True)
class Shown:
    """The run that a writer shows.

    Attributes:
        folder: of the run. name: what it is called. settings: hyperparameters by dotted path.
        step: of the checkpoint that it goes on from, 0 at its beginning; None to add to a run that is over.
    """

    folder: Path
    name: str
    settings: Mapping[str, str | int | float | bool]
    step: int | None = 0


@builds(TensorBoard)
def tensorboard(spec: TensorBoard, run: Shown) -> Writer:
    """Return a writer of event files under `tensorboard/NAME` of the run's folder. Raises LmcError (LM0709)."""
    library("tensorboard", "track", "`track : tensorboard`")
    module: Any = library("torch.utils.tensorboard", "track", "`track : tensorboard`")
    parent = run.folder / "tensorboard"
    kept = sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []
    where = kept[0] if kept else parent / (re.sub(r"[^\w.=+-]+", "_", run.name) or "run")
    _await_a_new_second(where, lambda: str(int(time.time())))
    # What was shown of steps behind the checkpoint is shown again.
    writer = module.SummaryWriter(str(where), purge_step=None if not run.step else run.step + 1)
    if run.step == 0:
        lines = "\n".join(f"| {key} | {value} |" for key, value in run.settings.items())
        writer.add_text("settings", f"| setting | value |\n|---|---|\n{lines}", 0)
        for summary in module.summary.hparams(dict(run.settings), {"train/loss": None}):
            writer.file_writer.add_summary(summary)
    return _TensorBoard(writer, run.step or 0)


@frozen
class _TensorBoard:
    writer: Any
    step: int

    def write(self, step: int, values: Scalars) -> None:
        """Write numbers of steps behind the checkpoint; those before are there."""
        if step > self.step:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """Write what waits."""
        self.writer.flush()

    def close(self) -> None:
        """End the file."""
        self.writer.close()


@builds(Wandb)
def wandb(spec: Wandb, run: Shown) -> Writer | None:
    """Return a writer of a run of W&B, with files under `wandb` of the run's folder; None where it is disabled.

    The run's folder names it for ever, so that it goes on under one id. Raises LmcError (LM0709).
    """
    if spec.mode == "disabled":
        return None
    module: Any = library("wandb", "track", "`track : wandb`")
    parent = run.folder / "wandb"
    parent.mkdir(exist_ok=True)
    lock = open(parent / ".lock", "a", encoding="utf-8")  # noqa: SIM115  (held until `close`)
    fcntl.flock(lock, fcntl.LOCK_EX)
    written = steps_written(parent)
    _await_a_new_second(parent, lambda: time.strftime("%Y%m%d_%H%M%S"))
    opened = module.init(
        project=spec.project,
        entity=spec.entity,
        mode=spec.mode,
        name=run.name,
        id=run.folder.name,
        dir=str(run.folder),
        config=dict(run.settings),
        resume="allow" if spec.mode == "online" else None,
        settings=module.Settings(console="off", silent=True, disable_git=True, save_code=False, x_disable_stats=True),
    )
    return _Wandb(opened, written, lock)


def _await_a_new_second(folder: Path, stamp: Callable[[], str]) -> None:
    """Wait until nothing in a folder bears the time's stamp: the libraries name and order what they write by it."""
    while any(stamp() in path.name for path in folder.glob("*")):
        time.sleep(0.05)


@define
class _Wandb:
    """Attributes: written: by name, the last step that earlier files of this run have."""

    run: Any
    written: dict[str, int]
    lock: TextIO

    def write(self, step: int, values: Scalars) -> None:
        """Log numbers that are not there yet; a step that W&B holds for closed goes into the summary alone."""
        fresh = {name: value for name, value in values.items() if step > self.written.get(name, 0)}
        if fresh and step >= self.run.starting_step:
            self.run.log(fresh, step=step)
        elif fresh:
            self.run.summary.update(fresh)

    def flush(self) -> None:
        """Do nothing: a process of the library's own writes."""

    def close(self) -> None:
        """End the run."""
        self.run.finish()
        self.lock.close()
