"""What people see of long work: bars on a terminal, a line now and then when piped."""

import io
from typing import Any

import pytest
from rich.console import Console

from lmc.runtime import progress
from lmc.runtime.events import Event
from lmc.runtime.progress import BarReporter, PlainReporter


def tokenised(share: float | None, **more: Any) -> Event:
    text = "tokenised 1.0 MB in 1.0 s" if share is None else f"tokenised {share:.0%}  9.9 MB/s  7 s left"
    return Event("note", "n", "data book", "book", {"text": text, "share": share, **more})


def test_on_a_terminal_long_work_is_a_bar_that_moves_and_goes() -> None:
    out = io.StringIO()
    shown = BarReporter(lambda data: "", console=Console(file=out, force_terminal=True, width=100))
    try:
        for share in (0.1, 0.2, 0.9):
            shown.show(tokenised(share))
        (task,) = shown.progress.tasks
        assert (task.completed, task.total, task.description) == (90.0, 100, "book")
        assert task.fields["detail"] == "tokenised 90%  9.9 MB/s  7 s left"
        shown.show(tokenised(None))
        assert shown.progress.tasks == []
    finally:
        shown.close()
    assert "tokenised 1.0 MB in 1.0 s" in out.getvalue()


def test_when_piped_it_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    shown = PlainReporter(lambda data: "")
    for share in range(40):
        now += 1.0
        shown.show(tokenised(share / 40))
    shown.show(tokenised(None))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines] == ["0%", "25%", "50%", "75%", "1.0"]
