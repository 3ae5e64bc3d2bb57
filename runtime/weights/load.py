"""Weights of a folder into a model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.model import HfWeights, Transformer
from ..models.build import build_model
from ..models.init import draw_normal, generator_for
from ..models.transformer import TransformerModel
from ..placement import Placement
from ..registry import builds
from .architecture import read_architecture
from .compare import check_same
from .files import download
from .names import COMPUTED, EMBED, HEAD, tensor_name
from .tensors import Tensors, open_tensors

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
NewRows = Literal["mean", "normal"]


@builds(HfWeights)
def start_from(spec: HfWeights, model: TransformerModel, root: Path, seed: int) -> None:
    """Fill a model from a folder, relative to `root`, or a repository; `seed` is that of new rows.

    Raises LmcError: LM0701 and LM0702 for files, LM0709 and LM0715 for the hub, LM0713 for weights that do not fit,
    LM0714 for an architecture that is not supported.
    """
    if spec.folder is None and spec.repo:
        folder = download(spec.repo, spec.commit or spec.revision)
    else:
        folder = root / (spec.folder or "")
    name = spec.repo or str(folder)
    check_same(model.spec, read_architecture(folder), name)
    fill(model, folder, dtype=None if spec.dtype is None else DTYPES[spec.dtype], new_rows=spec.new_rows, seed=seed)


def load_folder(folder: Path, placement: Placement | None = None) -> tuple[Transformer, TransformerModel]:
    """Return the architecture of a folder and its model. Raises LmcError: LM0701, LM0702, LM0713, LM0714."""
    spec = read_architecture(folder)
    model = build_model(spec, placement or Placement(torch.device("cpu")), None)
    fill(model, folder)
    return spec, model.eval()


def fill(
    model: TransformerModel,
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    new_rows: NewRows = "mean",
    seed: int = 0,
) -> None:
    """Copy the tensors of a folder into a model; nothing is copied unless all fit.

    Raises LmcError: LM0701 and LM0702 for files, LM0713 for a tensor that is missing, has another shape or no place
    in the model, LM0714 for one that holds no floating-point numbers.
    """
    places = {path: tensor_name(path) for path, _ in model.named_parameters()}
    with open_tensors(folder) as tensors:
        _check(model, places, tensors, folder)
        for path, name in places.items():
            tensor = tensors.read(name)
            _place(model.get_parameter(path), tensor if dtype is None else tensor.to(dtype), path, new_rows, seed)


def _check(model: TransformerModel, places: dict[str, str], tensors: Tensors, folder: Path) -> None:
    """Raise LmcError (LM0713, LM0714) for the first tensor that does not fit."""
    names = tensors.names()
    for path, name in places.items():
        if name not in names:
            raise _misfit(f"`{folder}` has no tensor `{name}`; the model needs it for `{path}`")
        shape, wanted = tensors.shape(name), tuple(model.get_parameter(path).shape)
        grown = path in (EMBED, HEAD) and shape[1:] == wanted[1:] and 0 < shape[0] < wanted[0]
        if shape != wanted and not grown:
            raise _misfit(f"tensor `{name}` of `{folder}` has the shape {list(shape)}; the model needs {list(wanted)}")
    ignored = {tensor_name(HEAD)} if model.spec.tied else set()
    strange = sorted(n for n in names - set(places.values()) - ignored if not COMPUTED.fullmatch(n))
    if strange:
        raise _misfit(f"tensor `{strange[0]}` of `{folder}` has no place in the model")


def _misfit(message: str) -> LmcError:
    return LmcError(
        Diagnostic("LM0713", message, None, help="the folder must hold the tensors that its config.json says")
    )


@torch.no_grad()
def _place(parameter: nn.Parameter, tensor: Tensor, path: str, new_rows: NewRows, seed: int) -> None:
    """Copy a tensor into a parameter; rows beyond the tensor's are made from it."""
    known, missing = len(tensor), len(parameter) - len(tensor)
    parameter[:known].copy_(tensor)
    if missing:
        rows = tensor.float()
        fresh = rows.mean(0).expand(missing, -1)
        if new_rows == "normal":
            draws = torch.empty(missing, rows.shape[1])
            draw_normal(draws, 1.0, generator_for(seed, f"{path} beyond {known}"))
            fresh = fresh + draws * rows.std(0, correction=0)
        parameter[known:].copy_(fresh)
