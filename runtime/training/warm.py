"""Compiling before the first step of a process, always of the same batches.

A compiler may look at the sizes that it is first shown; so that a run has the same bits wherever it goes on from, they
are those of the run's first step.
"""

from __future__ import annotations

import hashlib
import time

from attrs import evolve

from ...spec.canonical import canonical_json
from ...spec.codec import unstructure
from ...spec.compile_rules import compile_violations
from ...spec.records import Execution
from ..models.transformer import TransformerModel
from .autotune import OutOfTime, compiling_pays, is_long
from .compiled import arithmetic, compiled_loss, compiler_version
from .job import Interrupted, TrainJob
from .loss import Arithmetic
from .precision import computing, dtypes
from .step import step_batches


def prepare(job: TrainJob, model: TransformerModel, execution: Execution) -> tuple[Execution, Arithmetic | None]:
    """Compile a training if its execution record says so, or if it begins here, is long, and it is measured to pay.

    Returns the record with whether it is compiled, and by which compiler, and what was compiled. Where there is no
    compiler, it fails, or `limits.wall` is reached before it is measured, the run goes on without, with a warning.
    Raises Interrupted where the training is asked to stop before that.
    """
    try:
        is_open = _is_open(job) and is_long(job, model, execution.micro_batch)
        if not execution.compile and not is_open:
            return execution, None
        return _prepared(job, model, execution, is_open)
    except OutOfTime as limit:
        job.warn(f"{limit} is reached before it is measured whether compiling pays; the run is not compiled")
        return execution, None


def _prepared(
    job: TrainJob, model: TransformerModel, execution: Execution, is_open: bool
) -> tuple[Execution, Arithmetic | None]:
    """Compile a training, if that pays where `is_open`."""
    try:
        compiler = compiler_version(job.placement.device)
        if is_open and not compiling_pays(job, model, execution.micro_batch, lambda: _compiled(job, model, execution)):
            return execution, None
        began = time.monotonic()
        by = _compiled(job, model, execution)
    except (OutOfTime, Interrupted):
        raise
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        job.warn(f"the step cannot be compiled here ({first}); it runs as it is")
        return evolve(execution, compile=False), None
    if (seconds := time.monotonic() - began) >= 1:
        job.warn(f"compiled the step in {seconds:.0f} s")
    return evolve(execution, compile=True, versions={**execution.versions, "compiler": compiler}), by


def _is_open(job: TrainJob) -> bool:
    """Whether neither spec nor record says if a training is compiled, and it can be. On a GPU the spec has to."""
    undecided = job.execution is None and job.spec.compile is None and job.placement.device.type == "cpu"
    return undecided and not any(compile_violations(job.spec, job.model))


def _compiled(job: TrainJob, model: TransformerModel, execution: Execution) -> Arithmetic:
    """Return arithmetic that has seen what every process of a run shows it first."""
    by = arithmetic(_key(job))
    _warm_up(job, model, by, execution.micro_batch)
    return by


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
