"""Keystroke to diagnostics of the language server, on a spec of 300 lines: a client over pipes, as an editor is one.

    python benchmarks/bench_lsp.py [--repeat N] [--json FILE]

Goal: 60 ms. Every edit makes or mends a mistake, so that diagnostics are sent; measured is what the server computed
from the edit to them, and the time on the clock, which is longer on a machine that does other things. The edits are
made in the first, the middle and the last study.
Needs pygls. A calibration loop in the same run tells machines apart.
"""

import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench_language import spec
from processes import CALIBRATION, cpu_seconds, read_options

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from support.lsp import Client

NAME = "spec.lmspec"
EDITS = {
    "a name": ("width     = 128", "widt     = 128"),
    "a value": ("attention { heads = 4 }", "attention { heads = 5 }"),
    "a line half written": ("  layers    = 4", "  layers    ="),
    "an axis": ("model.width = [64, 128, 256]", "model.width = [64, 128, 254]"),
    "a reference": ("run = base_{}, split", "run = bas_{}, split"),
    "a bracket": ("schedule : cosine {{ warmup = 100, floor = optim.lr / 10 }}", "schedule : cosine {{ warmup = 100,"),
}
PAUSE = 0.1
"""Seconds between two keystrokes."""


def computed(client: Client) -> float:
    """Seconds that the threads of the server have computed for."""
    threads = Path(f"/proc/{client.process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def typed(client: Client, text: str, version: int) -> tuple[float, float]:
    """Seconds from an edit to its diagnostics: on the clock, and computed."""
    time.sleep(PAUSE)
    before, began = computed(client), time.perf_counter()
    client.change(NAME, text, version)
    client.diagnostics(NAME)
    return time.perf_counter() - began, computed(client) - before


def measure(client: Client, text: str, repeat: int) -> dict[str, list[tuple[float, float]]]:
    studies = text.count("\ntrain ")
    found: dict[str, list[tuple[float, float]]] = {}
    version = 1
    for number in range(repeat):
        for name, edit in EDITS.items():
            for study in (0, studies // 2, studies - 1):
                good, bad = (part.format(study) if "{}" in part or "{{" in part else part for part in edit)
                start = text.index(f"# Study {study}")
                changed = text[:start] + text[start:].replace(good, bad, 1)
                assert changed != text, name
                for now in (changed, text):
                    version += 1
                    times = typed(client, now, version)
                    if number:
                        found.setdefault(name, []).append(times)
    return found


def told(times: list[float]) -> str:
    return f"{statistics.median(times):5.1f} ms, 95 of 100 within {statistics.quantiles(times, n=20)[-1]:5.1f} ms"


def main() -> None:
    chosen = read_options(__doc__, repeat=4)
    text = spec()
    with tempfile.TemporaryDirectory() as folder:
        client = Client(Path(folder).resolve())
        client.open(NAME, text)
        assert client.diagnostics(NAME) == []
        found = measure(client, text, chosen.repeat)
        client.close()
    every = [times for listed in found.values() for times in listed]
    calibration = statistics.median(cpu_seconds(CALIBRATION) for _ in range(3))
    print(f"Python {platform.python_version()}, {len(text.splitlines())} lines, {len(every)} edits;", end=" ")
    print(f"calibration (10M additions) {calibration:.3f} s CPU")
    for name, listed in {**found, "every edit": every}.items():
        wall, cpu = (told([1000 * times[at] for times in listed]) for at in (0, 1))
        print(f"{name:<20} computed {cpu}; on the clock {wall}")
    if chosen.json:
        report = {"python": platform.python_version(), "calibration": calibration, "seconds": found}
        chosen.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
