"""Going on after SIGKILL at random moments equals not being killed, to the bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from attrs import evolve
from support.training import MODEL, TRAIN, job_in, losses, same, steps_kept, weights

from lmc.runtime.models.build import build_model
from lmc.runtime.placement import Placement
from lmc.runtime.registry import BUILDERS
from lmc.runtime.training import checkpoint
from lmc.runtime.training.job import Interrupted, Origin
from lmc.runtime.training.loop import train
from lmc.runtime.training.loss import batch_loss
from lmc.runtime.training.optimizer import adamw
from lmc.runtime.training.resume import begin
from lmc.runtime.training.step import step_batches
from lmc.spec.diagnostic import LmcError
from lmc.spec.optim import SGD, AdamW
from lmc.spec.schedule import Constant, Linear
from lmc.spec.train import Every

ROOT = Path(__file__).parent.parent.parent
KILLS = 20

KILLER = """
import json, os, random, signal, sys, time
from pathlib import Path
import torch
from support.training import job_in
from lmc.runtime.training.loop import train
from lmc.spec.train import Every

torch.set_num_threads(1)
folder, kills, ends = Path(sys.argv[1]), int(sys.argv[2]), time.monotonic() + 100
draw, done, torn = random.Random(7), 0, 0
job = job_in(folder, steps=160, every=Every(log=1, checkpoint=2))
while done < kills and time.monotonic() < ends:
    child = os.fork()
    if child == 0:
        train(job)
        os._exit(0)
    records = folder / "records.jsonl"
    before = records.stat().st_size if records.exists() else 0
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if records.exists() and records.stat().st_size != before:
            time.sleep(draw.uniform(0, 0.2 if done % 2 else 1.2))
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            done += os.WIFSIGNALED(status)
            break
        time.sleep(0.001)
    torn += any((folder / "checkpoints").glob("step-*.tmp"))
print(json.dumps({"kills": done, "torn": torn}))
"""


@pytest.mark.slow
def test_killing_at_twenty_random_moments_and_going_on_equals_not_being_killed(tmp_path: Path) -> None:
    every = Every(log=1, checkpoint=2)
    killed = job_in(tmp_path / "killed", steps=160, every=every)
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLER, str(killed.folder), str(KILLS)]
    run = subprocess.run(command, capture_output=True, text=True, env=env)
    assert run.returncode == 0, run.stderr
    counts = json.loads(run.stdout)
    assert counts["kills"] >= KILLS // 2
    assert counts["torn"] >= 1, "no moment was in the middle of a checkpoint"
    warnings: list[str] = []
    assert checkpoint.latest(killed.folder / "checkpoints", warnings.append) is not None
    assert not warnings

    train(killed)
    whole = job_in(tmp_path / "whole", steps=160, every=every)
    train(whole)
    assert steps_kept(killed.folder) == steps_kept(whole.folder)
    assert same(weights(killed.folder), weights(whole.folder))
    assert losses(killed.folder) == losses(whole.folder)


def test_what_was_seen_is_counted_over_a_resume(tmp_path: Path) -> None:
    whole = job_in(tmp_path / "whole")
    wanted = train(whole)
    half = job_in(tmp_path / "half", steps=5)
    train(half)
    resumed = train(evolve(half, spec=whole.spec))
    assert (resumed.step, resumed.tokens, resumed.loss_tokens) == (12, wanted.tokens, wanted.loss_tokens)


def test_a_cooldown_begins_with_a_kept_checkpoint_of_another_run(tmp_path: Path) -> None:
    long = job_in(tmp_path / "long", steps=24, schedule=Constant(), every=Every(log=1, checkpoint=8))
    train(long)
    cooldown = Linear(floor=0.0)
    taken = job_in(tmp_path / "taken", steps=6, schedule=cooldown)
    train(evolve(taken, origin=Origin(long.folder, 8, optimizer=True)))
    weights_only = job_in(tmp_path / "weights", steps=6, schedule=cooldown)
    train(evolve(weights_only, origin=Origin(long.folder, 8)))

    for folder, moments in ((taken.folder, True), (weights_only.folder, False)):
        model = build_model(MODEL, long.placement, None)
        optimizer = adamw(long.spec.optim, model)
        checkpoint.load(long.folder / "checkpoints" / "step-8", model, optimizer if moments else None)
        for step in range(1, 7):
            for batch in step_batches(taken.dataset, taken.spec, step - 1, None):
                batch_loss(model, batch).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = 3e-3 * (1 - step / 6)
            optimizer.step()
            optimizer.zero_grad()
        for name, value in weights(folder).items():
            torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-5, atol=1e-6)
    assert losses(taken.folder)[1] == losses(weights_only.folder)[1]
    assert losses(taken.folder)[6] != losses(weights_only.folder)[6]


def test_a_run_that_began_with_another_resumes_from_its_own_checkpoints(tmp_path: Path) -> None:
    long = job_in(tmp_path / "long", every=Every(log=1, checkpoint=4))
    train(long)
    origin = Origin(long.folder, 4, optimizer=True)
    whole = evolve(job_in(tmp_path / "whole"), origin=origin)
    train(whole)
    stopped = evolve(job_in(tmp_path / "stopped"), origin=origin)
    calls = iter(range(1, 100))
    with pytest.raises(Interrupted):
        train(evolve(stopped, stop=lambda: next(calls) == 5))
    train(stopped)
    assert same(weights(whole.folder), weights(stopped.folder))
    assert losses(whole.folder) == losses(stopped.folder)
    with pytest.raises(LmcError, match="keeps no checkpoint of step 5") as caught:
        train(evolve(job_in(tmp_path / "lost"), origin=Origin(long.folder, 5)))
    assert caught.value.diagnostic.code == "LM0805"
    help = "kept are 4, 8, 12; name one of them, or remove the folder to train it again as the file keeps it now"
    assert caught.value.diagnostic.help == help
    with pytest.raises(LmcError, match="no checkpoint of step 16: the run is at step 12") as caught:
        train(evolve(job_in(tmp_path / "lost"), origin=Origin(long.folder, 16)))
    assert caught.value.diagnostic.help == "kept are 4, 8, 12; name one of them"


def test_what_is_taken_over_leaves_rates_and_decays_alone(tmp_path: Path) -> None:
    train(job_in(tmp_path / "first"))
    spec = evolve(TRAIN, optim=AdamW(lr=1e-3, betas=(0.5, 0.6), weight_decay=0.0, eps=1e-3))
    model = build_model(MODEL, Placement(torch.device("cpu")), 1)
    optimizer = BUILDERS[AdamW](spec.optim, model)
    begin(Origin(tmp_path / "first", 12, True), model, optimizer)
    settings = [(tuple(g["betas"]), g["weight_decay"], g["eps"]) for g in optimizer.param_groups]
    assert set(settings) == {((0.5, 0.6), 0.0, 1e-3)}
    assert all(float(state["step"]) == 12 for state in optimizer.state.values())


def test_another_kind_of_state_is_one_clear_error(tmp_path: Path) -> None:
    train(job_in(tmp_path / "first"))
    model = build_model(MODEL, Placement(torch.device("cpu")), 1)
    optimizer = BUILDERS[SGD](SGD(lr=0.1, momentum=0.9), model)
    with pytest.raises(LmcError, match="does not fit") as caught:
        begin(Origin(tmp_path / "first", 12, True), model, optimizer)
    assert caught.value.diagnostic.code == "LM0805"
