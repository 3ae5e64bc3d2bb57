"""Traces: what torch.profiler sees of chosen steps, in the format that chrome://tracing and Perfetto read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from ...spec.train import Profile
from .job import TrainJob

FOLDER = "traces"


@contextmanager
def traced(job: TrainJob, spec: Profile, step: int) -> Iterator[None]:
    """Trace what runs inside if `spec` names the step; the trace goes to traces/step-N.json in the run's folder."""
    if step not in spec.steps:
        yield
        return
    activities = [ProfilerActivity.CPU]
    if job.placement.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities, record_shapes=True) as seen:
        yield
        if job.placement.device.type == "cuda":
            torch.cuda.synchronize(job.placement.device)
    _export(job, seen, job.folder / FOLDER / f"step-{step}.json")


def _export(job: TrainJob, seen: profile, path: Path) -> None:
    """Write a trace; one that cannot be written ends no training."""
    try:
        path.parent.mkdir(exist_ok=True)
        seen.export_chrome_trace(str(path))
    except (OSError, RuntimeError) as error:
        job.warn(f"the trace `{path}` cannot be written: {error}")
