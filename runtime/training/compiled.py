"""The arithmetic of a training, compiled by torch.compile for micro-batches of any shape.

Shapes are dynamic, so that ragged micro-batches share one graph. What was compiled is kept apart for each model and
data, so that no run takes over what another one's sizes made of it.
"""

from __future__ import annotations

import os
import shutil
import warnings
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from ...spec.cache import cache_folder
from ...spec.train import Loss
from ..data.batch import Batch
from ..models.sites import observed, unobserved
from ..models.transformer import TransformerModel
from .loss import Arithmetic, batch_loss, summed_loss

GRAPHS = 64
"""Graphs per function; beyond them torch would go on without compiling, at a step that depends on the run's history."""

KEPT = 32
"""Trainings of which is kept what was compiled, some 10 MB each."""


def arithmetic(key: str) -> Arithmetic:
    """Return arithmetic that is compiled when it is first used.

    Args:
        key: name of the folder in the user's cache folder that keeps what was compiled; says model, data and batches.
    """
    for own in ("The .grad attribute of a Tensor that is not a leaf", "<class 'torch.autograd.function.Function'>"):
        warnings.filterwarnings("ignore", own)  # what torch's compiler does itself
    torch._dynamo.reset()  # graphs of an earlier training would count against the limit
    torch._dynamo.config.recompile_limit = GRAPHS
    torch.fx.experimental._config.use_duck_shape = False  # sizes that happen to be equal would get graphs of their own
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder_of(key))
    hidden = torch.compile(TransformerModel.hidden, dynamic=True)
    return Arithmetic(hidden, torch.compile(summed_loss, dynamic=True))


def folder_of(key: str) -> Path:
    """Return the folder that keeps what was compiled, and forget those that were not used for longest."""
    folder = cache_folder() / "compiled" / key
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        others = sorted(folder.parent.iterdir(), key=lambda other: other.stat().st_mtime)
        for other in others[:-KEPT]:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def compiled_loss(model: TransformerModel, batch: Batch, spec: Loss, by: Arithmetic | None) -> Tensor:
    """Return `batch_loss`, compiled unless `by` is None. Observers then see a pass of its own, and change no bit."""
    if by is None:
        return batch_loss(model, batch, spec)
    if observed(model):
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        torch.autograd.grad(batch_loss(model, batch, spec), trained)
    with unobserved(model):
        return batch_loss(model, batch, spec, by)


def compiler_version(device: torch.device) -> str:
    """Return the version of the compiler of kernels, which may change bits. Raises what torch does without one."""
    if device.type != "cpu":
        return f"triton {version('triton')}"
    from torch._inductor.cpp_builder import get_compiler_version_info, get_cpp_compiler

    return " ".join(get_compiler_version_info(get_cpp_compiler()).replace("_", " ").split()[-4:])
