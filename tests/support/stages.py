"""A tiny training in three stages: other data, batches and positions in the second."""

from pathlib import Path
from typing import Any

import numpy as np
from attrs import Factory, evolve, frozen

from lmc.runtime.data.batch import Example
from lmc.runtime.data.order import Draw
from lmc.runtime.training.job import TrainJob
from lmc.spec.model import LinearScaling, Rope
from lmc.spec.schedule import Cosine, Schedule
from lmc.spec.stage import Stage
from lmc.spec.train import Every
from lmc.spec.units import Steps

from .training import MODEL, job_in

SIZES = (60, 15, 31)
LEARNT = Rope(theta=37.0, scaling=LinearScaling(factor=4.0))


@frozen
class Numbered:
    """Sentences of `length` ids, each a walk by a stride of its own; remembers what was drawn."""

    count: int
    length: int = 12
    seed: int = 5
    order: str = "shuffle"
    drawn: list[Draw] = Factory(list)

    def size(self, split: str) -> int:
        """Return the number of sentences."""
        return self.count

    def example(self, split: str, draw: Draw) -> Example:
        """Return the sentence of a draw."""
        self.drawn.append(draw)
        tokens = (draw.index + (1 + draw.index % 7) * np.arange(self.length)) % 31
        return Example(tokens.astype(np.int32), np.arange(self.length) < self.length - 1)


def staged_job(
    folder: Path,
    sizes: tuple[int, int, int] = SIZES,
    blocks: tuple[int, int, int] = (0, 0, 1),
    schedule: Schedule = Cosine(warmup=Steps(3)),  # noqa: B008
    own: Schedule | None = None,
    **changes: Any,
) -> TrainJob:
    """Return a training of 5, 4 and 3 steps in a folder; where sizes are the same all stages share one data set."""
    lengths = (12, 24, 12)
    data = [Numbered(size, length) for size, length in zip(sizes, lengths, strict=True)]
    if len(set(sizes)) == 1:
        data = [data[0]] * 3
    models = [MODEL, evolve(MODEL, positions=LEARNT), MODEL]
    stages = tuple(
        Stage(
            name=name,
            steps=Steps(steps),
            tokens=steps * batch * length,
            batch=batch,
            data=f"d{block}",
            block=block,
            model="m",
            lr=1e-3 if schedule_of else 3e-3,
            schedule=schedule_of,
        )
        for name, steps, batch, length, block, schedule_of in zip(
            ("short", "long", "again"), (5, 4, 3), (6, 3, 2), lengths, blocks, (None, own, None), strict=True
        )
    )
    changes = {"every": Every(log=Steps(1), checkpoint=Steps(1)), **changes}
    job = job_in(folder, steps=Steps(12), schedule=schedule, stages=stages, **changes)
    return evolve(job, staged=list(zip(data, models, strict=True)), seq_lens=lengths)
