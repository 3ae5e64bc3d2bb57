"""Training: the same bits whatever looks at it, wherever it was interrupted, however a step is cut."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from attrs import evolve

from lmc.runtime.data.batch import Example, collate
from lmc.runtime.data.dataset import DialogueDataset, build_dataset
from lmc.runtime.data.order import Draw
from lmc.runtime.models.build import build_model
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.runtime.probes.observer import ProbeObserver
from lmc.runtime.stores.base import Database
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.runtime.training import checkpoint
from lmc.runtime.training.job import Interrupted, TrainJob
from lmc.runtime.training.loop import train
from lmc.runtime.training.loss import batch_loss
from lmc.runtime.training.optimizer import adamw
from lmc.runtime.training.resume import load_model
from lmc.runtime.training.schedule import value_at
from lmc.spec.data import Dialogues
from lmc.spec.diagnostic import LmcError
from lmc.spec.model import Attention, SwiGLU, Transformer
from lmc.spec.probe import ActivationsProbe, GradientsProbe
from lmc.spec.records import Execution, TrainRecord
from lmc.spec.schedule import Constant, Cosine
from lmc.spec.train import AdamW, Every, Train
from lmc.spec.units import Glob, Steps

ROOT = Path(__file__).parent.parent.parent
MODEL = Transformer(
    tokenizer="t", vocab=260, layers=2, width=16, mixer=Attention(heads=2, kv_heads=2), mlp=SwiGLU(hidden=64)
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


@pytest.fixture(scope="module")
def dataset(people: Database, tokenizer: Tokenizer) -> DialogueDataset:
    spec = Dialogues(tokenizer="t", rows="s/people", count=8, templates=Glob("templates/qa[0-9].txt"), seq_len=257)
    built = build_dataset(spec, tokenizer, ROOT / "examples", people)
    assert isinstance(built, DialogueDataset)
    return built


@pytest.fixture
def job(dataset: DialogueDataset, cpu: Placement, tmp_path: Path) -> TrainJob:
    folder = tmp_path / "run"
    folder.mkdir()
    return TrainJob(spec=TRAIN, model=MODEL, dataset=dataset, placement=cpu, folder=folder)


def elsewhere(job: TrainJob, name: str, **changes: object) -> TrainJob:
    folder = job.folder.parent / name
    folder.mkdir()
    return evolve(job, folder=folder, **changes)


def losses(folder: Path) -> dict[int, float]:
    return {r["step"]: r["loss"] for r in map(json.loads, (folder / "records.jsonl").read_text().splitlines())}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(folder, MODEL, Placement(torch.device("cpu"))).state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class Noisy:
    """An observer that draws random numbers and evaluates, as badly behaved as one may be."""

    def due(self, step: int, last: int) -> bool:
        return True

    def before(self, step: int, model: TransformerModel) -> None:
        pass

    def after(self, step: int, model: TransformerModel) -> None:
        torch.rand(7)
        model.eval()
        with torch.no_grad():
            batch = collate([Example(torch.arange(9).int().numpy(), (torch.arange(9) < 8).numpy())])[0]
            batch_loss(model, batch)


def test_no_observer_log_or_checkpoint_changes_a_bit(job: TrainJob) -> None:
    train(job)
    probes = [
        ProbeObserver(ActivationsProbe(run="r", at=("*",), every=Steps(2)), lambda line: None),
        ProbeObserver(GradientsProbe(run="r", at=("blocks.*.out", "head"), every=Steps(3)), lambda line: None),
    ]
    every = Every(log=Steps(5), checkpoint=Steps(4))
    watched = elsewhere(job, "watched", observers=[*probes, Noisy()], spec=evolve(TRAIN, every=every))
    train(watched)
    assert same(weights(job.folder), weights(watched.folder))
    plain, seen = losses(job.folder), losses(watched.folder)
    assert seen == {step: plain[step] for step in (5, 10, 12)}
    assert sorted(checkpoint.kept_steps(watched.folder / "checkpoints")) == [4, 8, 12]


class Failing:
    """An observer that breaks on its second look, before or after the step."""

    def __init__(self, where: str) -> None:
        self.where, self.looks = where, 0

    def due(self, step: int, last: int) -> bool:
        return True

    def before(self, step: int, model: TransformerModel) -> None:
        self.looks += 1
        if self.where == "before" and self.looks == 2:
            model.eval()
            raise RuntimeError("broken glass")

    def after(self, step: int, model: TransformerModel) -> None:
        if self.where == "after" and self.looks == 2:
            raise RuntimeError("broken glass")


@pytest.mark.parametrize("where", ["before", "after"])
def test_an_observer_that_fails_is_let_go_and_harms_nothing(job: TrainJob, where: str) -> None:
    train(job)
    warnings: list[str] = []
    observer = Failing(where)
    watched = elsewhere(job, "watched", observers=[observer], warn=warnings.append)
    train(watched)
    assert same(weights(job.folder), weights(watched.folder))
    assert observer.looks == 2
    assert len(warnings) == 1
    assert "broken glass" in warnings[0]


@pytest.mark.parametrize("at", [1, 5, 11])
def test_stopping_and_going_on_equals_not_stopping(job: TrainJob, at: int) -> None:
    train(job)
    stopped = elsewhere(job, "stopped")
    counter = iter(range(1, 100))
    with pytest.raises(Interrupted) as caught:
        train(evolve(stopped, stop=lambda: next(counter) == at))
    assert caught.value.step == at
    train(stopped)
    assert same(weights(job.folder), weights(stopped.folder))
    assert losses(job.folder) == losses(stopped.folder)


PROGRAM = """
import sys
from pathlib import Path
import torch
from attrs import evolve
from lmc.runtime.data.dataset import build_dataset
from lmc.runtime.stores.base import Database, TableView
from lmc.runtime.stores.sqlite import SqliteFile
from lmc.runtime.tokenizers.build import build_tokenizer
from lmc.runtime.placement import Placement
from lmc.runtime.training.job import TrainJob
from lmc.runtime.training.loop import train
from lmc.spec.data import Dialogues
from lmc.spec.model import Attention, SwiGLU, Transformer
from lmc.spec.schedule import Cosine
from lmc.spec.tokenizer import ByteTokenizer
from lmc.spec.train import AdamW, Every, Train
from lmc.spec.units import Glob, Steps

folder, database, root = map(Path, sys.argv[1:4])
torch.set_num_threads(1)
source = SqliteFile(database)
view = TableView(source, "people", "name", ("birth_date", "birth_place", "current_address", "occupation"))
tokenizer = build_tokenizer(ByteTokenizer(specials=("<|user|>", "<|assistant|>", "<|database|>", "<|eod|>")))
data = Dialogues(tokenizer="t", rows="s/people", count=8, templates=Glob("templates/qa[0-9].txt"), seq_len=257)
dataset = build_dataset(data, tokenizer, root, Database(source, {"people": view}))
model = Transformer(
    tokenizer="t", vocab=260, layers=2, width=16, mixer=Attention(heads=2, kv_heads=2), mlp=SwiGLU(hidden=64)
)
spec = Train(
    model="m", data="d", steps=Steps(40), batch=6, optim=AdamW(lr=3e-3, clip=1.0), schedule=Cosine(warmup=Steps(3)),
    every=Every(log=Steps(1), checkpoint=Steps(2)),
)
train(TrainJob(spec=spec, model=model, dataset=dataset, placement=Placement(torch.device("cpu")), folder=folder))
"""


@pytest.mark.slow
def test_killing_at_any_moment_and_going_on_equals_not_being_killed(people: Database, tmp_path: Path) -> None:
    def start(folder: Path) -> subprocess.Popen[bytes]:
        folder.mkdir(exist_ok=True)
        arguments = [str(folder), str(people.path), str(ROOT / "examples")]
        return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments])

    assert start(tmp_path / "whole").wait() == 0
    killed = tmp_path / "killed"
    kills = 0
    for lines in (1, 7, 16, 29):
        process = start(killed)
        while process.poll() is None:
            records = killed / "records.jsonl"
            if records.exists() and len(records.read_text().splitlines()) >= lines:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 2
    assert start(killed).wait() == 0
    assert same(weights(tmp_path / "whole"), weights(killed))
    assert losses(tmp_path / "whole") == losses(killed)


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 6])
def test_micro_batches_with_unequal_losses_give_equal_gradients(
    dataset: DialogueDataset, exact: Placement, micro_batch: int
) -> None:
    examples = [dataset.example("train", Draw(i, 0)) for i in range(6)]
    assert len({int(e.trained.sum()) for e in examples}) > 2

    def gradients(cut: int) -> list[torch.Tensor]:
        model = build_model(MODEL, exact, 0)
        for batch in collate(examples, cut):
            batch_loss(model, batch.to(exact)).backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    for a, b in zip(gradients(6), gradients(micro_batch), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_packed_and_separate_documents_have_equal_losses_and_gradients(
    dataset: DialogueDataset, exact: Placement
) -> None:
    from lmc.runtime.models.layout import SequenceLayout

    examples = [dataset.example("train", Draw(i, 0)) for i in (0, 5)]
    separate, packed = build_model(MODEL, exact, 0), build_model(MODEL, exact, 0)
    rows = sum(batch_loss(separate, b.to(exact)) for b in collate(examples, 1))
    tokens = torch.cat([torch.from_numpy(e.tokens).long() for e in examples])[None]
    trained = torch.cat([torch.from_numpy(e.trained) for e in examples])
    index = trained.nonzero()[:, 0]
    batch = evolve(
        collate(examples, 2)[0].to(exact),
        tokens=tokens,
        layout=SequenceLayout.pack([[len(e.tokens) for e in examples]]),
        loss_index=index,
        targets=tokens[0, index + 1],
        weight=torch.ones(len(index), dtype=torch.float64),
    )
    side_by_side = batch_loss(packed, batch)
    torch.testing.assert_close(rows, side_by_side, rtol=0, atol=1e-12)
    rows.backward()  # type: ignore[union-attr]
    side_by_side.backward()
    for a, b in zip(separate.parameters(), packed.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-12)


def test_an_untrained_target_changes_nothing(dataset: DialogueDataset, exact: Placement) -> None:
    example = dataset.example("train", Draw(0, 0))
    last_question = int(example.trained.argmax()) - 1
    assert last_question > 3
    assert not example.trained[:last_question].any()

    def result(tokens: list[int]) -> tuple[float, list[torch.Tensor]]:
        model = build_model(MODEL, exact, 0)
        (batch,) = collate([Example(torch.tensor(tokens).int().numpy(), example.trained)])
        batch = evolve(batch.to(exact), tokens=torch.tensor(example.tokens)[None].long())
        loss = batch_loss(model, batch)
        loss.backward()
        return float(loss.detach()), [p.grad for p in model.parameters() if p.grad is not None]

    changed = example.tokens.tolist()
    changed[last_question] = 65
    (loss_a, grads_a), (loss_b, grads_b) = result(example.tokens.tolist()), result(changed)
    assert loss_a == loss_b
    assert all(torch.equal(a, b) for a, b in zip(grads_a, grads_b, strict=True))


def test_records_carry_what_they_promise(job: TrainJob, dataset: DialogueDataset) -> None:
    seen: list[TrainRecord] = []
    train(evolve(job, report=seen.append))
    assert [r.step for r in seen] == list(range(1, 13))
    for record in seen:
        assert record.lr == value_at(TRAIN.schedule, 3e-3, record.step, 12)
        assert record.grad_norm > 0
    lengths = [len(e.tokens) for e in dataset.examples]
    assert seen[-1].tokens <= 72 * max(lengths)
    assert seen[-1].loss_tokens < seen[-1].tokens
    assert losses(job.folder)[12] == seen[-1].loss


@pytest.mark.parametrize(
    ("schedule", "shape"),
    [
        (Constant(), lambda t: 1.0),
        (Constant(warmup=Steps(10)), lambda t: min(1.0, t / 10)),
        (
            Cosine(warmup=Steps(10), floor=0.2),
            lambda t: t / 10 if t < 10 else 0.2 + 0.8 * (1 + math.cos(math.pi * (t - 10) / 90)) / 2,
        ),
    ],
)
def test_schedules_are_their_formulas(schedule: Constant | Cosine, shape: Callable[[int], float]) -> None:
    for step in (1, 5, 9, 10, 11, 50, 99, 100):
        assert value_at(schedule, 1.0, step, 100) == pytest.approx(shape(step), abs=1e-12)


def test_weight_decay_spares_vectors_unless_told(cpu: Placement) -> None:
    model = build_model(MODEL, cpu, 0)
    groups = adamw(AdamW(weight_decay=0.3), model).param_groups
    assert [g["weight_decay"] for g in groups] == [0.3, 0.0]
    assert all(p.ndim == 1 for p in groups[1]["params"])
    (group,) = adamw(AdamW(weight_decay=0.3, decay="all"), model).param_groups
    assert len(group["params"]) == len(list(model.parameters()))


@pytest.fixture
def two_checkpoints(job: TrainJob) -> Path:
    train(evolve(job, spec=evolve(TRAIN, every=Every(checkpoint=Steps(6)))))
    return job.folder / "checkpoints"


@pytest.mark.parametrize("fault", ["flip", "cut", "no manifest", "other manifest", "no object", "missing file"])
def test_a_damaged_checkpoint_is_skipped_with_a_warning(two_checkpoints: Path, fault: str) -> None:
    path = two_checkpoints / "step-12"
    data = next(path.glob("*.distcp"))
    if fault == "flip":
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 1
        data.write_bytes(content)
    elif fault == "cut":
        data.write_bytes(data.read_bytes()[:-7])
    elif fault == "no manifest":
        (path / "manifest.json").unlink()
    elif fault == "other manifest":
        manifest = path / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"step": 12', '"step": 13'))
    elif fault == "no object":
        (path / "manifest.json").write_text("[]")
    else:
        data.unlink()
    warnings: list[str] = []
    assert checkpoint.latest(two_checkpoints, warnings.append) == 6
    assert len(warnings) == 1
    assert "step-12" in warnings[0]
    with pytest.raises(LmcError, match="step-12") as caught:
        weights(two_checkpoints.parent)
    assert caught.value.diagnostic.code == "LM0805"


def test_without_a_whole_checkpoint_nothing_is_guessed(two_checkpoints: Path) -> None:
    for path in two_checkpoints.glob("*/manifest.json"):
        path.unlink()
    with pytest.raises(LmcError) as caught:
        checkpoint.latest(two_checkpoints, lambda text: None)
    assert caught.value.diagnostic.code == "LM0805"


def test_a_save_that_fails_leaves_no_half_product(two_checkpoints: Path, cpu: Placement, tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root to mount a small file system")
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"mount is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        model = build_model(MODEL, cpu, 0)
        with pytest.raises(LmcError, match="No space left") as caught:
            checkpoint.save(small, 1, model, adamw(AdamW(), model), {})
        assert caught.value.diagnostic.code == "LM0903"
        assert checkpoint.latest(small, lambda text: None) is None
        with pytest.raises(LmcError, match="No space left") as caught:
            checkpoint.consolidate(model, small)
        assert caught.value.diagnostic.code == "LM0903"
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_loss_that_is_not_finite_stops_the_run_and_harms_no_checkpoint(job: TrainJob) -> None:
    train(evolve(job, spec=evolve(TRAIN, steps=Steps(4))))
    before = weights(job.folder)
    wild = evolve(job, spec=evolve(TRAIN, optim=AdamW(lr=1e30), schedule=Constant()))
    with pytest.raises(LmcError, match=r"at step \d+, examples") as caught:
        train(wild)
    assert caught.value.diagnostic.code == "LM0901"
    assert same(before, weights(job.folder))


def test_a_resumed_run_says_what_its_machine_has_changed(job: TrainJob) -> None:
    kept: list[Execution] = []
    with pytest.raises(Interrupted):
        train(evolve(job, keep=kept.append, stop=lambda: True))
    abandoned = job.folder / "checkpoints" / "step-7.tmp"
    abandoned.mkdir()
    elsewhere_begun = evolve(kept[0], versions={**kept[0].versions, "torch": "1.0"}, micro_batch=2)
    warnings: list[str] = []
    train(evolve(job, execution=elsewhere_begun, keep=kept.append, warn=warnings.append))
    assert len(warnings) == 1
    (seam,) = map(json.loads, (job.folder / "seams.jsonl").read_text().splitlines())
    assert seam == {"step": 1, "changed": f"torch 1.0 -> {torch.__version__}"}
    assert kept[1] == evolve(kept[0], micro_batch=2)
    assert not abandoned.exists()


def test_a_finished_run_is_consolidated(job: TrainJob) -> None:
    from safetensors.torch import load_file

    from lmc.spec.codec import structure_spec

    train(job)
    assert same(load_file(job.folder / "model.safetensors"), weights(job.folder))
    assert structure_spec(json.loads((job.folder / "params.json").read_text())) == MODEL


@pytest.mark.slow
def test_eight_people_are_learnt_by_heart(people: Database, tokenizer: Tokenizer, job: TrainJob) -> None:
    spec = evolve(TRAIN, steps=Steps(500), batch=32, optim=AdamW(lr=3e-3, decay="all"), every=Every(log=Steps(100)))
    train(evolve(job, spec=evolve(spec, schedule=Cosine(warmup=Steps(50)))))
    model = load_model(job.folder, MODEL, job.placement)
    with torch.no_grad():
        for index in range(job.dataset.size("train")):
            (batch,) = collate([job.dataset.example("valid", Draw(index, 0))])
            logits = model(batch.tokens, batch.layout).flatten(0, 1)[batch.loss_index]
            assert torch.equal(logits.argmax(-1), batch.targets)
