"""Repositories of the hub: the same files as a folder, and clear words where they cannot be had."""

import sys
from pathlib import Path

import pytest
import torch

from lmc.runtime.weights import files
from lmc.spec.model import HfWeights

from .made import refused, saved, shard, start


class Hub:
    """A hub that has some files of one repository; it keeps what it was asked."""

    class errors:
        class EntryNotFoundError(Exception):
            pass

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, []

    def hf_hub_download(self, repo: str, name: str, revision: str | None) -> str:
        self.asked.append((repo, name, revision))
        if repo != "a/b":
            raise OSError("no connection\nand more")
        if not (self.folder / name).is_file():
            raise self.errors.EntryNotFoundError(f"404 {name}")
        return str(self.folder / name)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    found = Hub(tmp_path / "w")
    monkeypatch.setattr(files, "library", lambda name, extra, purpose: found)
    return found


@pytest.mark.parametrize("sharded", [False, True])
def test_a_repository_is_read_like_a_folder(sharded: bool, tmp_path: Path, hub: Hub) -> None:
    model = saved(tmp_path / "w")
    parts = shard(tmp_path / "w") if sharded else [tmp_path / "w" / files.WHOLE]
    loaded = start(tmp_path / "elsewhere", HfWeights(repo="a/b", revision="abc"))
    assert torch.equal(loaded.embed.weight, model.embed.weight)
    wanted = {files.CONFIG, files.WHOLE, *(part.name for part in parts)} | ({files.INDEX} if sharded else set())
    assert {name for _, name, _ in hub.asked} == wanted
    assert {revision for _, _, revision in hub.asked} == {"abc"}


def test_a_hub_that_does_not_answer_says_what_to_do(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    code, message = refused(lambda: start(tmp_path, HfWeights(repo="c/d")))
    assert (code, message) == ("LM0715", "weights of `c/d` cannot be loaded: no connection")
    saved(tmp_path / "w")
    (tmp_path / "w" / files.WHOLE).unlink()
    code, message = refused(lambda: start(tmp_path, HfWeights(repo="a/b")))
    assert (code, message) == ("LM0715", f"weights of `a/b` cannot be loaded: 404 {files.INDEX}")

    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert refused(lambda: start(tmp_path, HfWeights(repo="a/b")))[0] == "LM0709"
