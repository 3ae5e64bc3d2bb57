"""Repositories of a hub, served here to the real library: a lock says their commits, and runs keep to them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hub import Hub, serving

from lmc.compiler.pipeline import compile_spec
from lmc.runtime.data.documents import documents_of
from lmc.runtime.inputs import InputDigests
from lmc.runtime.repositories import Repository, newest_commit, pinned
from lmc.spec.data import Text
from lmc.spec.diagnostic import LmcError
from lmc.spec.lock import Input, Lock

from ..tokenizers.made import byte_level
from ..weights.made import saved

pytest.importorskip("huggingface_hub", reason="needs the huggingface_hub library")

SPEC = """
tokenizer theirs : hf { repo = "some/words", specials = ["<|eod|>"] }
data book : text { source = file("book.txt"), tokenizer = theirs, seq_len = 16 }
model small : transformer {
  tokenizer = theirs, vocab = 512, layers = 2, width = 16
  norm : rms { eps = 1e-4 }
  mixer : attention { heads = 4, kv_heads = 2 }
  mlp : swiglu { hidden = 24 }
  positions : rope { theta = 100 }
  weights : hf { repo = "some/weights" }
}
train base { model = small, data = book, steps = 1, batch = 2 }
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "book.txt").write_text("the quick brown fox. " * 60)
    (tmp_path / "case.lmspec").write_text(SPEC)
    for name, specials in (("old", ("</s>",)), ("new", ("</s>", "<|pad|>", "<|more|>"))):
        (tmp_path / name).mkdir()
        byte_level(tmp_path / name / "tokenizer.json", specials)
    return tmp_path


def lmc(folder: Path, hub: Hub, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, for the library reads its environment once."""
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-m", "lmc.compiler.cli", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_runs_read_the_commit_of_the_lock(folder: Path, hub: Hub) -> None:
    old = hub.commit("models/some/words", folder / "old")
    saved(folder / "w", vocab=512)
    weights = hub.commit("models/some/weights", folder / "w")
    first = lmc(folder, hub, "lock", "case.lmspec")
    assert first.returncode == 0, first.stderr
    vocabulary = hashlib.sha256((folder / "old" / "tokenizer.json").read_bytes()).hexdigest()
    lines = (folder / "case.lock").read_text().splitlines()
    assert lines[2:] == [
        f"hub commit:{weights} models/some/weights",
        f"hub commit:{old} models/some/words",
        f"vocabulary sha256:{vocabulary} models/some/words/tokenizer.json",
    ]

    new = hub.commit("models/some/words", folder / "new")
    hub.asked.clear()
    ran = lmc(folder, hub, "run", "case.lmspec", "--device", "cpu", "--jobs", "1")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not [path for path in hub.asked if path.startswith("/api")]
    assert {path.split("/")[4] for path in hub.asked} <= {old, weights}
    (run,) = (folder / "runs").glob("*/graph.jsonl")
    nodes = [json.loads(line)["node"]["spec"] for line in run.read_text().splitlines() if "node" in json.loads(line)]
    assert {spec["commit"] for spec in nodes if spec.get("repo")} == {old}
    assert {spec["weights"]["commit"] for spec in nodes if "weights" in spec} == {weights}

    assert lmc(folder, hub, "lock", "case.lmspec", "--check").returncode == 0
    moved = lmc(folder, hub, "lock", "case.lmspec")
    assert f"  ~ hub `models/some/words`  {old[:12]} -> {new[:12]}\n" in moved.stdout
    assert "  ~ vocabulary `models/some/words/tokenizer.json`  " in moved.stdout
    planned = lmc(folder, hub, "plan", "case.lmspec")
    assert f"base: models/some/words {old[:8]} -> {new[:8]}" in planned.stdout
    again = lmc(folder, hub, "run", "case.lmspec", "--device", "cpu", "--jobs", "1")
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(list((folder / "runs").glob("*/graph.jsonl"))) == 2


def test_a_repository_that_the_lock_lacks_is_added_and_others_stay(folder: Path, hub: Hub) -> None:
    old = hub.commit("models/some/words", folder / "old")
    text = SPEC.replace('  weights : hf { repo = "some/weights" }\n', "")
    (folder / "case.lmspec").write_text(text)
    assert lmc(folder, hub, "lock", "case.lmspec").returncode == 0
    hub.commit("models/some/words", folder / "new")
    saved(folder / "w", vocab=512)
    weights = hub.commit("models/some/weights", folder / "w", "stable")
    (folder / "case.lmspec").write_text(SPEC.replace('"some/weights"', '"some/weights", revision = "stable"'))
    refused = lmc(folder, hub, "run", "case.lmspec")
    assert refused.returncode == 1
    assert "`case.lock` does not list hub `models/some/weights@stable`" in refused.stderr
    ran = lmc(folder, hub, "run", "case.lmspec", "--device", "cpu", "--jobs", "1", "--relock")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = (folder / "case.lock").read_text().splitlines()
    assert lines[2:4] == [
        f"hub commit:{weights} models/some/weights@stable",
        f"hub commit:{old} models/some/words",
    ]


def test_the_hub_is_the_one_of_the_environment(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    data, model = (hub.commit(f"{kind}/a/b", tmp_path) for kind in ("datasets", "models"))
    assert data != model
    assert newest_commit(Repository("dataset", "a/b", None)) == data
    assert newest_commit(Repository("model", "a/b", "main")) == model
    with pytest.raises(LmcError, match="the commit of `a/b` cannot be asked for") as caught:
        newest_commit(Repository("dataset", "a/b", "gone"))
    assert caught.value.diagnostic.code == "LM0717"


def test_a_commit_in_the_spec_needs_no_hub(folder: Path, hub: Hub) -> None:
    old = hub.commit("models/some/words", folder / "old")
    text = SPEC.replace('  weights : hf { repo = "some/weights" }\n', "")
    (folder / "case.lmspec").write_text(text.replace('"some/words"', f'"some/words", revision = "{old}"'))
    assert lmc(folder, hub, "lock", "case.lmspec").returncode == 0
    assert not [path for path in hub.asked if path.startswith("/api")]
    lines = (folder / "case.lock").read_text().splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["file", "vocabulary"]
    hub.asked.clear()
    assert lmc(folder, hub, "lock", "case.lmspec").returncode == 0
    assert hub.asked == []


def test_a_data_set_is_read_at_the_commit_of_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="needs the datasets library")
    asked = []

    def load_dataset(*place: str, split: str, revision: str) -> None:
        asked.append((place, split, revision))
        raise OSError("no connection")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    text = SPEC.replace(
        'file("book.txt")', 'hf { repo = "a/texts", name = "en", revision = "v2" }, document_end = "<|eod|>"'
    )
    (tmp_path / "case.lmspec").write_text(text.replace('hf { repo = "some/words"', 'hf { file = file("t.json")'))
    plan = compile_spec(tmp_path / "case.lmspec").plan
    assert plan is not None
    byte_level(tmp_path / "t.json")
    saved(tmp_path / "w", vocab=512)
    locks = [Lock({Input("hub", "datasets/a/texts@v2"): f"commit:{digit * 40}"}) for digit in "12"]
    (node,) = (node for node in plan.nodes.values() if isinstance(node.spec, Text))
    digests = set()
    for lock in (Lock(), *locks):
        held = pinned(plan, lock)
        assert held.nodes.keys() == plan.nodes.keys()
        digests.add(InputDigests(held).of(node.id))
        with pytest.raises(LmcError, match="no connection"):
            documents_of(held.nodes[node.id].spec.source, tmp_path)
    assert asked == [(("a/texts", "en"), "train", revision) for revision in ("v2", "1" * 40, "2" * 40)]
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("vocab = 512", "vocab = 300", "LM0406", "the tokenizer has 402 ids; the model has 300"),
        (
            "hidden = 24",
            "hidden = 32",
            "LM0713",
            "`mlp.hidden` is 32 in the model and 24 in config.json of `some/weights`",
        ),
        ("vocab = 512, ", "", "LM0713", "`vocab` is 402 in the model and 512 in config.json of `some/weights`"),
    ],
)
def test_rules_that_wait_for_the_hub_are_kept_before_a_lock_is_written(
    old: str, new: str, code: str, message: str, folder: Path, hub: Hub
) -> None:
    hub.commit("models/some/words", folder / "old")
    saved(folder / "w", vocab=512)
    hub.commit("models/some/weights", folder / "w")
    (folder / "case.lmspec").write_text(SPEC.replace(old, new))
    found = lmc(folder, hub, "lock", "case.lmspec")
    assert found.returncode == 1
    assert f"error[{code}]: {message}" in found.stderr
    assert "case.lmspec:4:7" in found.stderr
    assert not (folder / "case.lock").exists()
    assert not [path for path in hub.asked if "safetensors" in path]


def test_the_hub_is_shown_the_secret_that_a_training_names(
    folder: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit("models/some/words", folder / "old")
    saved(folder / "w", vocab=512)
    hub.commit("models/some/weights", folder / "w")
    (folder / "case.lmspec").write_text(SPEC.replace("steps = 1,", 'steps = 1, secrets { hub = env("OURS") },'))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert lmc(folder, hub, "lock", "case.lmspec").returncode == 0
    assert hub.shown == {None}
    shutil.rmtree(folder / "hf")
    hub.shown.clear()
    monkeypatch.setenv("OURS", "hf_ours")
    assert lmc(folder, hub, "lock", "case.lmspec").returncode == 0
    assert hub.shown == {"Bearer hf_ours"}
    assert "hf_ours" not in (folder / "case.lock").read_text()
