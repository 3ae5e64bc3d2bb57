"""Going on: from the last whole checkpoint of the same folder, and loading a trained model."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from attrs import evolve
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.model import Learned, Transformer
from ..models.build import build_model
from ..models.transformer import TransformerModel
from ..placement import Placement
from . import checkpoint, ema
from .job import CHECKPOINTS, EMA, PROFILE, RECORDS, Origin, Progress, TrainJob


def resume(
    job: TrainJob, model: TransformerModel, optimizer: torch.optim.Optimizer
) -> tuple[Progress, ema.Mean | None]:
    """Load the last whole checkpoint, or begin, and drop the records behind it; return the mean of the weights, too.

    Raises LmcError (LM0805) if there are checkpoints and none is whole.
    """
    checkpoint.clear_partial(job.folder / CHECKPOINTS)
    step = checkpoint.latest(job.folder / CHECKPOINTS, job.warn)
    for name in (RECORDS, PROFILE):
        cut_records(job.folder / name, step or 0)
    if step is None:
        job.start(model)
        if job.origin is not None:
            begin(job.origin, model, optimizer)
        return Progress(), None if job.spec.ema is None else ema.start(model)
    mean = None if job.spec.ema is None else ema.start(model)
    more = {} if mean is None else {EMA: mean}
    extra = checkpoint.load(job.folder / CHECKPOINTS / f"step-{step}", model, optimizer, **more)
    return Progress(**extra), mean


def load_model(folder: Path, spec: Transformer, placement: Placement, step: int | None = None) -> TransformerModel:
    """Return the model at a checkpoint of a training's folder: the one of `step`, or the last.

    Its weights are their running mean where the training keeps one.

    Raises LmcError (LM0805) without it or if it is damaged: other weights are not what was asked for.
    """
    path = kept_checkpoint(folder, step)
    model = build_model(spec, placement, None)
    _load_weights(path, model)
    return model.eval()


def begin(origin: Origin, model: TransformerModel, optimizer: torch.optim.Optimizer) -> None:
    """Give a new training what it begins with; rates, decays and the like stay its own.

    Raises LmcError (LM0805) as `load_model` does, and where the optimiser keeps other things than the one before.
    """
    path = kept_checkpoint(origin.folder, origin.step)
    if not origin.optimizer:
        _take_weights(path, model, origin.longest)
        return
    own = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    try:
        checkpoint.load(path, model, optimizer)
    except (CheckpointException, KeyError, ValueError, RuntimeError) as error:
        message = f"the state of the optimiser in `{path}` does not fit this run's"
        help = "use the same rule with the same groups, or leave `init.optimizer` out"
        raise LmcError(Diagnostic("LM0805", message, None, help=help)) from error
    for group, values in zip(optimizer.param_groups, own, strict=True):
        group.update(values)


def kept_checkpoint(folder: Path, step: int | None) -> Path:
    """Return the whole checkpoint of a step, or the last, of a training's folder. Raises LmcError (LM0805)."""
    steps = checkpoint.kept_steps(folder / CHECKPOINTS)
    if not steps:
        raise LmcError(Diagnostic("LM0805", f"`{folder}` has no checkpoint", None, help="train first"))
    if step is not None and step not in steps:
        listed = ", ".join(f"{kept:,}" for kept in sorted(steps))
        message = f"`{folder}` keeps no checkpoint of step {step:,}"
        help = f"kept are {listed}; name one of them, or remove the folder to train it again as the file keeps it now"
        if step > max(steps):
            message = f"`{folder}` has no checkpoint of step {step:,}: the run is at step {max(steps):,}"
            help = f"kept are {listed}; name one of them"
        raise LmcError(Diagnostic("LM0805", message, None, help=help))
    path = folder / CHECKPOINTS / f"step-{max(steps) if step is None else step}"
    if problem := checkpoint.damage(path):
        message = f"checkpoint `{path}` is damaged ({problem})"
        help = f"remove `{folder}` to train again from the start"
        raise LmcError(Diagnostic("LM0805", message, None, help=help))
    return path


def kept_step(folder: Path, step: int | None) -> int:
    """Return the step of what `kept_checkpoint` finds. Raises LmcError (LM0805) as it does."""
    return int(kept_checkpoint(folder, step).name.removeprefix("step-"))


def _load_weights(path: Path, model: TransformerModel) -> None:
    """Load the weights of a checkpoint, their running mean where it holds one."""
    if not checkpoint.holds(path, EMA):
        checkpoint.load(path, model, None)
        return
    mean = ema.start(model)
    checkpoint.load(path, model, None, **{EMA: mean})
    ema.load(model, mean)


def _take_weights(path: Path, model: TransformerModel, longest: int | None) -> None:
    """Load the weights of a checkpoint whose model has learned `longest` positions, resized to those of the model."""
    if longest == model.spec.longest or longest is None:
        _load_weights(path, model)
        return
    weight = model.embed.weight
    other = build_model(
        evolve(model.spec, positions=Learned(length=longest)), Placement(weight.device, dtype=weight.dtype), None
    )
    _load_weights(path, other)
    state = other.state_dict()
    state["positions.weight"] = resized(state["positions.weight"], len(model.state_dict()["positions.weight"]))
    model.load_state_dict(state)


def resized(table: Tensor, length: int) -> Tensor:
    """Return a table float[length, D] of one float[N, D]: linear between its rows, the first and the last kept."""
    columns = table.t()[None].to(torch.promote_types(table.dtype, torch.float32))
    found = F.interpolate(columns, size=length, mode="linear", align_corners=True)
    return found[0].t().to(table.dtype)


def cut_records(path: Path, step: int) -> None:
    """Drop the records after `step`, and a last line that was not written whole."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if record["step"] > step:
            break
        kept.append(line + "\n")
    partial = path.with_suffix(".tmp")
    partial.write_text("".join(kept))
    os.replace(partial, path)
