"""Checkpoints: whole or absent, verified by digests, written with torch.distributed.checkpoint.

checkpoints/step-100/   model and optimiser as .distcp, manifest.json with the SHA-256 of every file and of itself
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load as read_state
from torch.distributed.checkpoint.state_dict_saver import save as write_state

from ...spec.codec import unstructure
from ...spec.diagnostic import Diagnostic, LmcError
from ..models.transformer import TransformerModel
from ..store.files import open_to_readers, sync, unwritten

MANIFEST = "manifest.json"


@frozen
class Snapshot:
    """The state of a training at one step, copied to the machine's memory.

    Attributes:
        extra: plain JSON values that the manifest keeps.
    """

    step: int
    state: dict[str, Any]
    extra: dict[str, Any]


def snapshot(
    step: int, model: TransformerModel, optimizer: torch.optim.Optimizer, extra: dict[str, Any], **more: Any
) -> Snapshot:
    """Return a copy of model, optimiser and `more` (dicts of tensors by name) that later steps do not touch.

    An optimiser that has not updated anything has no state and is left out: torch would give it one by a step.
    """
    if not optimizer.state:
        return Snapshot(step, _copied({"model": dict(model.state_dict()), **more}), extra)
    weights, moments = get_state_dict(model, optimizer)
    return Snapshot(step, _copied({"model": weights, "optim": moments, **more}), extra)


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def save(
    folder: Path, step: int, model: TransformerModel, optimizer: torch.optim.Optimizer, extra: dict[str, Any]
) -> Path:
    """Write the checkpoint of a step at once. Raises LmcError (LM0903) where it cannot be written."""
    return write(folder, snapshot(step, model, optimizer, extra))


def write(folder: Path, taken: Snapshot) -> Path:
    """Write a snapshot whole or not at all: temporary name, digests, sync, rename.

    Raises LmcError (LM0903) where it cannot be written.
    """
    try:
        return _write(folder, taken)
    except (CheckpointException, OSError) as error:
        message = f"checkpoint {taken.step} cannot be written to `{folder}`: {unwritten(error, folder)}"
        shutil.rmtree(folder / f"step-{taken.step}.tmp", ignore_errors=True)
        help = "make room, or let it be written, then run again to go on from the last whole one"
        raise LmcError(Diagnostic("LM0903", message, None, help=help)) from error


def _write(folder: Path, taken: Snapshot) -> Path:
    final = folder / f"step-{taken.step}"
    partial = folder / f"step-{taken.step}.tmp"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _silence()
    write_state(taken.state, checkpoint_id=partial, no_dist=True)
    digests = {path.name: _sha256(path) for path in sorted(partial.iterdir())}
    content = {"step": taken.step, "extra": taken.extra, "holds": sorted(taken.state), "files": digests}
    (partial / MANIFEST).write_text(json.dumps({**content, "sha256": _seal(content)}))
    for path in partial.iterdir():
        sync(path)
    sync(partial)
    shutil.rmtree(final, ignore_errors=True)
    os.replace(partial, final)
    sync(folder)
    return final


def remove(folder: Path, step: int) -> None:
    """Remove the checkpoint of a step; it stops looking whole before the first file goes."""
    path = folder / f"step-{step}"
    gone = folder / f"step-{step}.tmp"
    shutil.rmtree(gone, ignore_errors=True)
    os.replace(path, gone)
    shutil.rmtree(gone, ignore_errors=True)


def load(
    folder: Path, model: TransformerModel, optimizer: torch.optim.Optimizer | None, **more: dict[str, Tensor]
) -> dict[str, Any]:
    """Load a checkpoint folder that `latest` or `damage` found whole; return its `extra`.

    Args:
        folder: of the checkpoint.
        model: is given the weights.
        optimizer: is given its state, unless it is None.
        more: dicts of tensors as `snapshot` was given, filled in place where the checkpoint holds them.
    """
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    held = manifest.get("holds", ["model", "optim"])
    wanted: dict[str, Any] = {name: tensors for name, tensors in more.items() if name in held}
    _silence()
    if optimizer is None or "optim" not in held:
        wanted["model"] = model.state_dict()
        read_state(wanted, checkpoint_id=folder, no_dist=True)
        model.load_state_dict(wanted["model"])
    else:
        wanted["model"], wanted["optim"] = get_state_dict(model, optimizer)
        read_state(wanted, checkpoint_id=folder, no_dist=True)
        set_state_dict(model, optimizer, model_state_dict=wanted["model"], optim_state_dict=wanted["optim"])
    extra: dict[str, Any] = manifest["extra"]
    return extra


def holds(folder: Path, name: str) -> bool:
    """Whether a whole checkpoint folder holds a part of that name."""
    return name in json.loads((folder / MANIFEST).read_text()).get("holds", ())


def latest(folder: Path, warn: Callable[[str], None]) -> int | None:
    """Return the step of the newest whole checkpoint, None if there never was one.

    A damaged one is skipped with a warning. Raises LmcError (LM0805) if there are some and none is whole.
    """
    steps = sorted(kept_steps(folder), reverse=True)
    for step in steps:
        problem = damage(folder / f"step-{step}")
        if not problem:
            return step
        warn(f"checkpoint {folder / f'step-{step}'} is damaged ({problem}); going back to the one before")
    if steps:
        message = f"no checkpoint in `{folder}` is whole"
        raise LmcError(Diagnostic("LM0805", message, None, help="remove the folder to train again from the start"))
    return None


def kept_steps(folder: Path) -> list[int]:
    """Return the steps that have a checkpoint, whole or not."""
    return [int(path.name[5:]) for path in folder.glob("step-*") if path.name[5:].isdigit()]


def damage(path: Path) -> str:
    """Return what is wrong with a checkpoint folder, or "" if it is whole."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        seal, files = manifest.pop("sha256"), manifest["files"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "no readable manifest"
    if seal != _seal(manifest):
        return f"{MANIFEST} has other bytes than were written"
    for name, digest in files.items():
        if not (path / name).is_file():
            return f"{name} is missing"
        if _sha256(path / name) != digest:
            return f"{name} has other bytes than were written"
    return ""


def clear_partial(folder: Path) -> None:
    """Remove what saves that were killed left behind."""
    for path in folder.glob("step-*.tmp"):
        shutil.rmtree(path, ignore_errors=True)


def consolidate(model: TransformerModel, folder: Path, mean: Mapping[str, Tensor] | None = None) -> None:
    """Write the weights as one `model.safetensors` and the architecture as `params.json`.

    Parameters that have a `mean` are written as that, in its dtype and not in the model's. Raises LmcError (LM0903)
    where they cannot be written.
    """
    final = {**model.state_dict(), **(mean or {})}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in final.items()}
    if model.spec.tied:
        del weights["unembed.weight"]
    partial = folder / "model.safetensors.tmp"
    try:
        save_file(weights, partial)
        open_to_readers(partial)
        sync(partial)
        os.replace(partial, folder / "model.safetensors")
        (folder / "params.json").write_text(json.dumps(unstructure(model.spec), indent=1) + "\n")
    except (SafetensorError, OSError) as error:
        message = f"the weights cannot be written to `{folder}`: {unwritten(error, folder)}"
        partial.unlink(missing_ok=True)
        raise LmcError(Diagnostic("LM0903", message, None, help="free some space, then run again to go on")) from error


def _silence() -> None:
    """Silence what torch says about saving without a process group, which is meant.

    The filter stays: taking it away again would race with the thread that saves.
    """
    warnings.filterwarnings("ignore", message=".*(torch.distributed|TypedStorage|single process).*")


def _seal(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
