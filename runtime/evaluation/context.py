"""What evaluations take and give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import Factory, frozen

from ..data.dataset import Dataset
from ..generation.toolkit import Toolkit
from ..placement import Placement
from ..stores.base import Database
from ..tokenizers.base import Tokenizer


@frozen(kw_only=True)
class EvalContext:
    """What an evaluation may read. `folder` is for files that it makes on the way, `note` for what people must know.

    Attributes:
        dataset: what is asked about; None for samples of a model that no training is behind.
    """

    dataset: Dataset | None
    tokenizer: Tokenizer
    placement: Placement
    folder: Path
    toolkit: Toolkit | None = None
    database: Database | None = None
    note: Callable[[str], None] = lambda text: None


@frozen
class EvalResult:
    """Metrics by name, and rows for people to read, one per sample."""

    metrics: dict[str, float]
    rows: list[dict[str, Any]] = Factory(list)
