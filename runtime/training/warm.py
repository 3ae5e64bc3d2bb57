"""Compiling before the first step of a process, always of the same batches.

A compiler may look at the sizes that it is first shown; so that a run has the same bits wherever it goes on from, they
are those of the run's first step.
"""

from __future__ import annotations

import hashlib
import time

from attrs import evolve

from ...spec.codec import unstructure
from ...spec.identity import canonical_json
from ...spec.records import Execution
from ..models.transformer import TransformerModel
from .compiled import arithmetic, compiled_loss, compiler_version
from .job import TrainJob
from .loss import Arithmetic
from .precision import computing, dtypes
from .step import step_batches


def prepare(job: TrainJob, model: TransformerModel, execution: Execution) -> tuple[Execution, Arithmetic | None]:
    """Compile a training if its execution record says so; return the record with the compiler, and what was compiled.

    Where there is no compiler, or it fails, the run goes on without, with a warning.
    """
    if not execution.compile:
        return execution, None
    began = time.monotonic()
    try:
        compiler = compiler_version(job.placement.device)
        by = arithmetic(_key(job))
        _warm_up(job, model, by, execution.micro_batch)
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        job.warn(f"the step cannot be compiled here ({first}); it runs as it is")
        return evolve(execution, compile=False), None
    if (seconds := time.monotonic() - began) >= 1:
        job.warn(f"compiled the step in {seconds:.0f} s")
    return evolve(execution, versions={**execution.versions, "compiler": compiler}), by


def _key(job: TrainJob) -> str:
    spec = job.spec
    parts = [unstructure(part) for part in (job.model, spec.precision, spec.loss)]
    told = canonical_json([*parts, spec.data, spec.batch, spec.seed, spec.micro_batch])
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def _warm_up(job: TrainJob, model: TransformerModel, by: Arithmetic, micro_batch: int) -> None:
    """Show the compiler the first step by length, one example alone, which has a graph of its own, and its own size."""
    kinds = dtypes(job.spec.precision, job.placement)
    for size in dict.fromkeys((0, 1, micro_batch)):
        batch = step_batches(job.dataset, job.spec, 0, size or None)[0].to(job.placement)
        with computing(model, kinds) as total:
            compiled_loss(model, batch, job.spec.loss, by).backward()  # type: ignore[no-untyped-call]
            total.add()
    model.zero_grad(set_to_none=True)
