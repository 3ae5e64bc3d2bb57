"""A tiny training over text that needs no store, and ways to look at what it left."""

import json
from pathlib import Path

import numpy as np
import torch
from attrs import evolve, frozen

from lmc.runtime.data.batch import Example
from lmc.runtime.data.order import Draw
from lmc.runtime.placement import Placement
from lmc.runtime.training.job import TrainJob
from lmc.runtime.training.resume import load_model
from lmc.spec.model import Attention, SwiGLU, Transformer
from lmc.spec.schedule import Cosine
from lmc.spec.train import AdamW, Every, Train
from lmc.spec.units import Steps

MODEL = Transformer(
    tokenizer="t", vocab=31, layers=3, width=16, mixer=Attention(heads=2, kv_heads=2), mlp=SwiGLU(hidden=48)
)
TRAIN = Train(
    model="m",
    data="d",
    steps=Steps(12),
    batch=6,
    optim=AdamW(lr=3e-3, clip=1.0),
    schedule=Cosine(warmup=Steps(3)),
    every=Every(log=Steps(1)),
)


@frozen
class Sentences:
    """Sixty sentences of 8 to 23 ids, each a walk by a stride of its own; the second half of each is trained."""

    seed: int = 5
    order: str = "shuffle"

    def size(self, split: str) -> int:
        """Return the number of sentences."""
        return 60

    def trained(self, split: str, draw: Draw) -> int:
        """Return the number of positions of a sentence that are trained."""
        return int(self.example(split, draw).trained.sum())

    def example(self, split: str, draw: Draw) -> Example:
        """Return the sentence of a draw."""
        length, stride = 8 + draw.index % 16, 1 + draw.index % 7
        tokens = (draw.index + stride * np.arange(length)) % 31
        return Example(tokens.astype(np.int32), (np.arange(length) >= length // 2) & (np.arange(length) < length - 1))


def job_in(folder: Path, **changes: object) -> TrainJob:
    """Return a training of twelve steps in a new folder; `changes` are of its Train."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = evolve(TRAIN, **changes)
    return TrainJob(
        spec=spec, model=MODEL, dataset=Sentences(), placement=Placement(torch.device("cpu")), folder=folder
    )


def losses(folder: Path) -> dict[int, float]:
    """Return the recorded losses by step."""
    return {r["step"]: r["loss"] for r in map(json.loads, (folder / "records.jsonl").read_text().splitlines())}


def weights(folder: Path, step: int | None = None) -> dict[str, torch.Tensor]:
    """Return the weights of the last checkpoint, or of that of a step."""
    return load_model(folder, MODEL, Placement(torch.device("cpu")), step).state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal to the bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def steps_kept(folder: Path) -> list[int]:
    """Return the steps that have a checkpoint folder."""
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").glob("step-*") if path.name[5:].isdigit())
