"""What evaluations take and give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import Factory, frozen

from ..data.dataset import Dataset
from ..data.sqlite import Database
from ..data.tokenizer import Tokenizer
from ..generation.toolkit import Toolkit
from ..placement import Placement


@frozen(kw_only=True)
class EvalContext:
    """What an evaluation may read. `folder` is for files that it makes on the way."""

    dataset: Dataset
    tokenizer: Tokenizer
    placement: Placement
    folder: Path
    toolkit: Toolkit | None = None
    database: Database | None = None


@frozen
class EvalResult:
    """Metrics by name, and rows for people to read, one per sample."""

    metrics: dict[str, float]
    rows: list[dict[str, Any]] = Factory(list)
