"""Weights in the layout of Hugging Face: reading them into a model, and writing a trained run.

Belongs here: `config.json`, safetensors and their names. Does not: checkpoints of trainings, tokenizers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...spec.model import Transformer
    from ..models.transformer import TransformerModel
    from ..placement import Placement


def load_hf(folder: str | Path, placement: Placement | None = None) -> tuple[Transformer, TransformerModel]:
    """Return the architecture of a folder and its model, float32 on CPU unless a placement says otherwise.

    Raises LmcError: LM0701 for a missing file, LM0702 for a damaged one, LM0713 for tensors that do not fit,
    LM0714 for an architecture that is not supported.
    """
    from .load import load_folder  # here, since listing files must not load torch

    return load_folder(Path(folder), placement)
