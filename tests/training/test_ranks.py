"""Ranks share the examples of a step: each reads its own, and what they compute adds up to the step."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from attrs import evolve
from support.training import MODEL, TRAIN, Sentences, losses, same, weights

from lmc.runtime.data.batch import Batch
from lmc.runtime.data.dataset import Dataset, build_dataset
from lmc.runtime.data.mixture import build_mixture
from lmc.runtime.data.order import Draw
from lmc.runtime.models.build import build_model
from lmc.runtime.placement import Placement
from lmc.runtime.stores.base import Database
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.runtime.training.job import TrainJob
from lmc.runtime.training.loop import train
from lmc.runtime.training.loss import batch_loss
from lmc.runtime.training.step import micro_seed, step_batches
from lmc.spec.data import Dialogues, Mixture, Part, Text
from lmc.spec.units import FilePath, Glob

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def sources(people: Database, tokenizer: Tokenizer, tmp_path: Path) -> dict[str, Dataset]:
    """A text, dialogues with values drawn afresh, and a mixture of both."""
    (tmp_path / "book.txt").write_text("".join(f"line {n} of the book\n" for n in range(200)), encoding="utf-8")
    spec = Text(source=FilePath("book.txt"), tokenizer="t", seq_len=24)
    text = build_dataset(spec, tokenizer, tmp_path, None)
    asked = Dialogues(
        tokenizer="t", rows="s/people", count=8, templates=Glob("templates/qa[0-9].txt"), seq_len=300, values="fresh"
    )
    dialogues = build_dataset(asked, tokenizer, ROOT / "examples", people)
    parts = {"book": Part(data="x", weight=0.6), "people": Part(data="y", weight=0.4)}
    mixed = build_mixture(Mixture(tokenizer="t", seq_len=300, parts=parts, read=("x", "y")), (text, dialogues))
    return {"text": text, "dialogues": dialogues, "mixture": mixed}


def rows_of(batches: list[Batch]) -> list[list[int]]:
    """The examples of batches as lists of their ids, the trained targets behind a -1."""
    found = []
    for batch in batches:
        slots = batch.tokens.shape[1]
        for row, length in enumerate(batch.layout.lengths.tolist()):
            mine = (batch.loss_index // slots) == row
            found.append([*batch.tokens[row, :length].tolist(), -1, *batch.targets[mine].tolist()])
    return sorted(found)


@pytest.mark.parametrize("ranks", [2, 3, 7])
@pytest.mark.parametrize("kind", ["text", "dialogues", "mixture"])
def test_ranks_read_each_example_of_a_step_once_and_know_what_the_step_trains(
    kind: str, ranks: int, sources: dict[str, Dataset]
) -> None:
    spec = evolve(TRAIN, batch=7, seed=4)
    for done in (0, 5, 40):
        whole = step_batches(sources[kind], spec, done, None)
        parts = [step_batches(sources[kind], spec, done, None, rank=rank, ranks=ranks) for rank in range(ranks)]
        assert sorted(row for part in parts for row in rows_of(part)) == rows_of(whole)
        trained = float(sum(len(batch.targets) for batch in whole))
        assert {batch.n_loss for part in parts for batch in part} == {trained}


def test_what_an_example_trains_is_known_without_reading_it(sources: dict[str, Dataset]) -> None:
    for data in sources.values():
        for draw in (Draw(3, 50, 9), Draw(2, 2)):
            assert data.trained("train", draw) == int(data.example("train", draw).trained.sum())


def test_more_ranks_than_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="a step of 6 examples cannot be shared by 7 ranks"):
        step_batches(Sentences(), TRAIN, 0, None, rank=0, ranks=7)


def test_every_micro_batch_of_every_rank_is_seeded_apart() -> None:
    seeds = {micro_seed(1, step, n, rank) for step in range(1, 60) for n in range(8) for rank in range(8)}
    assert len(seeds) == 59 * 8 * 8


def test_a_rank_of_several_trains_on_its_own_examples(tmp_path: Path, cpu: Placement) -> None:
    """Without anyone to add to it, rank 1 of 2 is a training on its half of each step, with its share of the loss."""

    def trained(name: str, **changes: object) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        spec = evolve(TRAIN, steps=2)
        placement = evolve(cpu, **changes)
        train(TrainJob(spec=spec, model=MODEL, dataset=Sentences(), placement=placement, folder=folder))
        return folder

    whole, first, second = trained("whole"), trained("first", ranks=2), trained("second", rank=1, ranks=2)
    assert losses(first)[1] + losses(second)[1] == pytest.approx(losses(whole)[1], rel=1e-6)
    assert not same(weights(first), weights(second))


PROGRAM = """
import sys
import torch
import torch.distributed as dist
from support.training import MODEL, TRAIN, Sentences
from lmc.runtime.models.build import build_model
from lmc.runtime.placement import Placement
from lmc.runtime.training.loss import batch_loss
from lmc.runtime.training.step import step_batches

rank, ranks, meeting, result = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=ranks)
model = build_model(MODEL, Placement(torch.device("cpu")), 0)
for done in (0, 3):
    for batch in step_batches(Sentences(), TRAIN, done, None, rank=rank, ranks=ranks):
        batch_loss(model, batch).backward()
for parameter in model.parameters():
    dist.all_reduce(parameter.grad)
if rank == 0:
    torch.save({path: p.grad for path, p in model.named_parameters()}, result)
dist.destroy_process_group()
"""


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch was built without gloo")
def test_gradients_summed_over_two_processes_are_those_of_one(tmp_path: Path, cpu: Placement) -> None:
    paths = os.pathsep.join([str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(rank), "2", str(tmp_path / "meeting"), str(tmp_path / "sum.pt")],
            env={**os.environ, "PYTHONPATH": paths, "GLOO_SOCKET_IFNAME": "lo"},
        )
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=120) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
    model = build_model(MODEL, cpu, 0)
    for done in (0, 3):
        for batch in step_batches(Sentences(), TRAIN, done, None):
            batch_loss(model, batch).backward()
    found = torch.load(tmp_path / "sum.pt")
    assert found.keys() == dict(model.named_parameters()).keys()
    for path, parameter in model.named_parameters():
        torch.testing.assert_close(found[path], parameter.grad, rtol=0, atol=1e-6)
