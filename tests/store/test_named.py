"""Which run of a store a word means, and what is said where it means several."""

import re
from pathlib import Path

import pytest
from support.planned import SPEC, plan_of, record

from lmc.compiler.cli import main
from lmc.runtime.finished import kept_plan
from lmc.runtime.overview.running import progress
from lmc.runtime.overview.status import status_text
from lmc.runtime.store.named import find
from lmc.runtime.store.run_store import RunStore
from lmc.runtime.training.profile_report import run_folder
from lmc.spec.diagnostic import LmcError

NAME = "w16-lr0.001-s0"


@pytest.fixture
def changed(tmp_path: Path) -> tuple[RunStore, list[str]]:
    """A store that has a run over a text and over the same text changed, and their folders."""
    store = RunStore(tmp_path / "runs")
    old = record(plan_of(tmp_path), store, NAME)
    (tmp_path / "book.txt").write_text("a tale of two other cities", encoding="utf-8")
    new = record(plan_of(tmp_path), store, NAME)
    return store, [old.path.name, new.path.name]


def refused(store: RunStore, word: str) -> list[str]:
    """Return the spellings that a refusal offers, from loading a run as from its profile."""
    offered = []
    for look in (kept_plan, run_folder):
        with pytest.raises(LmcError) as caught:
            look(store.path, word)
        assert caught.value.diagnostic.code == "LM0809"
        offered.append(re.findall("`([^`]+)`", caught.value.diagnostic.help or ""))
    assert offered[0] == offered[1]
    return offered[0]


def test_runs_of_one_id_are_told_apart_by_their_folders(changed: tuple[RunStore, list[str]]) -> None:
    store, folders = changed
    node_id = folders[0].partition("-")[0]
    for word in (NAME, node_id, node_id[:6]):
        assert refused(store, word) == folders
    for folder in folders:
        for word in (folder, str(store.path / folder), f"{store.path}/{folder}/", folder[: len(node_id) + 4]):
            assert kept_plan(store.path, word)[0] == run_folder(store.path, word) == store.path / folder


def test_a_folder_is_a_path_from_where_the_command_runs(
    changed: tuple[RunStore, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, folders = changed
    monkeypatch.chdir(store.path.parent)
    assert main(["export", f"runs/{folders[1]}", "--format", "json"]) == 0
    assert folders[1].partition("-")[0] in capsys.readouterr().out
    assert main(["export", f"other/{folders[1]}", "--format", "json"]) == 1
    assert main(["export", NAME, "--format", "json"]) == 1
    assert "step 10, done 20" in capsys.readouterr().err


def test_runs_of_one_name_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    text = SPEC.split("grid ")[0] + "overlay quick : base { steps = 4 }\n"
    store = RunStore(tmp_path / "runs")
    quick = record(plan_of(tmp_path, text, overlays=["quick"]), store, "base").path
    full = record(plan_of(tmp_path, text), store, "base").path
    offered = refused(store, "base")
    assert offered == [path.name.partition("-")[0] for path in (quick, full)]
    assert [kept_plan(store.path, word)[0] for word in offered] == [quick, full]
    with pytest.raises(LmcError) as caught:
        run_folder(store.path, "base")
    assert "(--with quick, step 10, done " in (caught.value.diagnostic.help or "")


def test_a_name_is_not_the_beginning_of_an_id(tmp_path: Path) -> None:
    text, store = SPEC.split("grid ")[0], RunStore(tmp_path / "runs")
    first = record(plan_of(tmp_path, text), store, "base").path
    letter = first.name[0]
    named = record(plan_of(tmp_path, text.replace("base", letter).replace("steps = 10", "steps = 9")), store, letter)
    assert [entry.folder for entry in find(store, letter)] == [named.path.name]


def test_the_screen_names_what_means_a_run_alone(changed: tuple[RunStore, list[str]], tmp_path: Path) -> None:
    store, folders = changed
    record(plan_of(tmp_path), store, "w32-lr0.01-s1")
    lines = [line.split() for line in status_text(progress(store), [], 0.0, False) if " step " in line]
    assert [words[:2] for words in lines] == [[NAME, folders[0]], [NAME, folders[1]], ["w32-lr0.01-s1", "step"]]
