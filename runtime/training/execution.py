"""The execution record: choices that change bits but not meaning, resolved once and kept.

Resolved at the first start from plan and machine, never from the steps that remain; restored on resume.
"""

from __future__ import annotations

import platform

import torch
from attrs import evolve

from ...spec.model import Transformer
from ...spec.records import Execution
from ...spec.train import Train
from ..placement import Placement

SMALL = 1_000_000
"""Parameters below which a second thread costs more than it brings."""
MACHINE = ("device", "attention", "compile", "row_layout")
"""Choices that a machine and a version impose."""


def resolve(spec: Train, model: Transformer, placement: Placement) -> Execution:
    """Return the choices for a training that starts here."""
    return Execution(
        device=placement.device.type,
        micro_batch=(spec.stages[0] if spec.stages else spec).micro_batch or 0,
        row_layout="length-sorted",
        threads=1 if model.num_params() < SMALL else torch.get_num_threads(),
        attention="sdpa",
        compile=bool(spec.compile),
        flush_denormals=True,
        staged=tuple(stage.micro_batch or 0 for stage in spec.stages),
        versions={
            "torch": torch.__version__,
            "python": platform.python_version(),
            "kernels": torch.backends.cpu.get_cpu_capability(),
        },
    )


def apply(execution: Execution) -> None:
    """Set the threads and arithmetic of this process as the record says."""
    torch.set_num_threads(execution.threads)
    torch.set_flush_denormal(execution.flush_denormals)


def honour(kept: Execution, here: Execution, spec: Train) -> Execution:
    """Return a kept record as far as this machine can follow it; what the spec sets now is obeyed."""
    before = kept.staged if len(kept.staged) == len(here.staged) else (0,) * len(here.staged)
    return evolve(
        here,
        micro_batch=here.micro_batch or kept.micro_batch,
        staged=tuple(now or then for now, then in zip(here.staged, before, strict=True)),
        compile=kept.compile if spec.compile is None else here.compile,
        threads=kept.threads,
        flush_denormals=kept.flush_denormals,
    )


def seam(kept: Execution, here: Execution) -> str:
    """Return what of a kept record this machine, or what the spec sets now, does not honour, or "" if nothing."""
    pairs = [(name, getattr(kept, name), getattr(here, name)) for name in MACHINE]
    if here.micro_batch:
        pairs.append(("micro_batch", kept.micro_batch, here.micro_batch))
    pairs += [("micro_batch of a stage", a, b) for a, b in zip(kept.staged, here.staged, strict=False) if b]
    names = sorted({*kept.versions, *here.versions})
    pairs += [(name, kept.versions.get(name), here.versions.get(name)) for name in names]
    return "; ".join(f"{name} {old} -> {new}" for name, old, new in pairs if old != new)
