"""The arithmetic of a training, compiled by torch.compile for micro-batches of any shape.

Shapes are dynamic, so that ragged micro-batches share one graph. What was compiled is kept apart for each model and
data, so that no run takes over what another one's sizes made of it.
"""

from __future__ import annotations

import os
import warnings
from importlib.metadata import version

import torch
from torch import Tensor

from ...spec.train import Loss
from ..data.batch import Batch
from ..models.sites import observed, unobserved
from ..models.transformer import TransformerModel
from .loss import Arithmetic, batch_loss, summed_loss
from .machine import cache_folder

GRAPHS = 64
"""Graphs per function; beyond them torch would go on without compiling, at a step that depends on the run's history."""


def arithmetic(key: str) -> Arithmetic:
    """Return arithmetic that is compiled when it is first used.

    Args:
        key: name of the folder in the user's cache folder that keeps what was compiled; says model, data and batches.
    """
    warnings.filterwarnings(
        "ignore", "The .grad attribute of a Tensor that is not a leaf"
    )  # torch's compiler asks for it
    torch._dynamo.reset()  # graphs of an earlier training would count against the limit
    torch._dynamo.config.recompile_limit = GRAPHS
    torch.fx.experimental._config.use_duck_shape = False  # sizes that happen to be equal would get graphs of their own
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache_folder() / "compiled" / key)
    hidden = torch.compile(TransformerModel.hidden, dynamic=True)
    return Arithmetic(hidden, torch.compile(summed_loss, dynamic=True))


def compiled_loss(model: TransformerModel, batch: Batch, spec: Loss, by: Arithmetic) -> Tensor:
    """Return `batch_loss`, compiled. Observers see a pass of its own, so that they change no bit of it."""
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
