"""What was measured on a machine: kept whole, by all processes, and measured again where it cannot be read."""

import json
import multiprocessing
from functools import partial
from pathlib import Path

import pytest

from lmc.runtime.training.machine import remembered

MANY = 6


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "lmc" / "machine.json"


def _remember(name: str) -> None:
    for number in range(MANY):
        assert remembered(f"{name} {number}", partial(int, number), int) == number


def test_processes_take_nothing_from_one_another(file: Path) -> None:
    names = ("a", "b", "c")
    others = [multiprocessing.get_context("fork").Process(target=_remember, args=(name,)) for name in names]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert [other.exitcode for other in others] == [0, 0, 0]
    assert json.loads(file.read_text()) == {f"{name} {number}": number for name in names for number in range(MANY)}
    assert sorted(path.name for path in file.parent.iterdir()) == ["machine.json", "machine.lock"]


def test_all_go_by_what_is_written_first(file: Path) -> None:
    def measure() -> float:
        assert remembered("rate", lambda: 1.0, float) == 1.0  # another process is done before this one
        return 2.0

    assert remembered("rate", measure, float) == 1.0
    assert json.loads(file.read_text()) == {"rate": 1.0}


@pytest.mark.parametrize(
    "text", ["", "[]", "[1, 2]", '["rate"]', "3", "null", "{ torn", '{"rate": "fast"}', '{"rate": [1]}', "[" * 100_000]
)
def test_a_strange_file_is_measured_again(text: str, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert remembered("rate", lambda: 4.0, float) == 4.0
    assert remembered("rate", lambda: 5.0, float) == 4.0


def test_what_is_not_utf8_is_measured_again(file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\xff\xfe{}")
    assert remembered("rate", lambda: 4.0, float) == 4.0


def test_a_failed_measurement_keeps_nothing(file: Path) -> None:
    def fail() -> float:
        raise RuntimeError("no room")

    with pytest.raises(RuntimeError):
        remembered("rate", fail, float)
    assert not file.exists()


def test_a_folder_in_the_place_of_the_file_ends_no_run(file: Path) -> None:
    file.mkdir(parents=True)
    assert remembered("rate", lambda: 4.0, float) == 4.0
