"""The tool loop: what protocols cost per step, and how full the steps of an evaluation with tools are.

    python benchmarks/bench_tools.py [overhead | evaluation] [--windows 5] [--folder FOLDER] [--core N] [--out FILE]

overhead    a byte model with random weights (width 64, 2 layers) says 128 tokens in 64 lanes: without tools, under a
            protocol that only watches, under a constrained one while nobody calls, and inside constrained calls.
            Microseconds of CPU per token step; calls alternate in one process, ratios are within a window.
evaluation  the in-tool run of examples/memory.lmspec, trained if the folder has none, answers 512 questions in 64 lanes
            through its database. `useful` is the share of computed rows whose token was kept.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SPECIALS = ("<|user|>", "<|assistant|>", "<|database|>", "<|eod|>")
LANES, PROMPT, NEW, QUESTIONS = 64, 64, 128, 512
WINDOW = 0.5
PARTS = ("overhead", "evaluation")
RUN = "tool-n32-d64-s0"
ONLY = 'overlay benchmarked : fine { where = data.mode == "tool" and data.count == 32 and model.width == 64 }\n'


def random_model() -> Any:
    """Return a byte model that never says a special token or closes a call, so that every lane says all its tokens."""
    import torch

    from lmc.runtime.models.build import build_model
    from lmc.runtime.placement import Placement
    from lmc.spec.model import Attention, SwiGLU, Transformer

    mixer, mlp = Attention(heads=2, kv_heads=2), SwiGLU(hidden=256)
    spec = Transformer(vocab=256 + len(SPECIALS), layers=2, width=64, mixer=mixer, mlp=mlp)
    model = build_model(spec, Placement(torch.device("cpu")), 0).eval()
    with torch.no_grad():
        model.unembed.weight[[ord("`"), *range(256, 256 + len(SPECIALS))]] = 0
    return model


def toolkits(folder: Path) -> dict[str, Any]:
    """Return the toolkits by what is measured; the last one has every row in a call from its first token on."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support.generation import CALCULATOR, LOOKUP, changed, toolkit_for

    from lmc.runtime.stores.open import make_store
    from lmc.runtime.tokenizers.byte import Bytes
    from lmc.spec.store import People, Sqlite
    from lmc.spec.units import FilePath, Pattern

    store = make_store(Sqlite(file=FilePath("people.db"), tables={"people": People()}), folder, folder)
    tokenizer = Bytes(SPECIALS)
    lookup = changed(LOOKUP, body=Pattern(r"FIND (?<attribute>[a-z_]+) FOR (?<name>[^\n]{1,64})", True))
    text = {"open": Pattern(r"[^`]", True), "body": Pattern(r"[^`]*", True), "close": Pattern("```")}
    always = changed(CALCULATOR, constrain="inside", **text)
    return {
        "no tools": None,
        "watched": toolkit_for(store, tokenizer, lookup),
        "constrained": toolkit_for(store, tokenizer, changed(lookup, constrain="inside")),
        "inside calls": toolkit_for(store, tokenizer, always),
    }


def overhead(windows: int) -> dict[str, list[float]]:
    """Print and return microseconds per step of every toolkit, by window."""
    import random

    from lmc.runtime.generation.engine import Engine
    from lmc.runtime.generation.requests import Request
    from lmc.runtime.tokenizers.byte import Bytes

    model, draw = random_model(), random.Random(0)
    requests = [Request(tuple(draw.randrange(256) for _ in range(PROMPT)), NEW) for _ in range(LANES)]
    with tempfile.TemporaryDirectory() as folder:
        made = toolkits(Path(folder)).items()
        engines = {name: Engine(model, Bytes(SPECIALS), toolkit, lanes=LANES) for name, toolkit in made}
        said = {name: engine.run(requests) for name, engine in engines.items()}
        check(said)
        found: dict[str, list[float]] = {name: [] for name in engines}
        for _ in range(windows):
            for name, spent in window({name: engine.run for name, engine in engines.items()}, requests).items():
                found[name].append(spent / NEW * 1e6)
    show(found)
    return found


def check(said: dict[str, Sequence[Any]]) -> None:
    """See that all lanes say all their tokens, and the same wherever nothing is forbidden."""
    for name, transcripts in said.items():
        if any(len(t.tokens) != PROMPT + NEW or t.calls for t in transcripts):
            raise ValueError(f"{name}: a lane ended early, or called")
    for name in ("watched", "constrained"):
        if [t.tokens for t in said[name]] != [t.tokens for t in said["no tools"]]:
            raise ValueError(f"{name}: the text is another one")


def window(calls: dict[str, Callable[[Any], Any]], given: Any) -> dict[str, float]:
    """Return CPU-seconds per call; the calls take turns until each has had `WINDOW`."""
    spent, turns = dict.fromkeys(calls, 0.0), 0
    while min(spent.values()) < WINDOW:
        for name, call in calls.items():
            began = time.process_time()
            call(given)
            spent[name] += time.process_time() - began
        turns += 1
    return {name: seconds / turns for name, seconds in spent.items()}


def show(found: dict[str, list[float]]) -> None:
    plain = found["no tools"]
    for name, spent in found.items():
        over = [100 * (mine / bare - 1) for mine, bare in zip(spent, plain, strict=True)]
        line = f"{name:14}{spread(spent, 0):>24} us per step"
        print(line if name == "no tools" else f"{line}   {spread(over, 1):>20} % over no tools")


def spread(values: Sequence[float], digits: int) -> str:
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}..{max(values):,.{digits}f})"


def train(folder: Path) -> None:
    """Have `folder/runs` hold the in-tool run; one that is there is not trained again."""
    lmc, spec, plan = Path(sys.executable).with_name("lmc"), folder / "memory.lmspec", folder / "plan"
    folder.mkdir(parents=True, exist_ok=True)
    spec.write_text((ROOT / "examples" / spec.name).read_text(encoding="utf-8") + ONLY, encoding="utf-8")
    shutil.copytree(ROOT / "examples" / "templates", folder / "templates", dirs_exist_ok=True)
    compiled = [lmc, "compile", spec, "--with", "quick", "--with", "benchmarked", "-o", plan]
    for command in (compiled, [lmc, "run", plan, "fine", "--store", folder / "runs"]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def evaluation(windows: int, folder: Path) -> dict[str, Any]:
    """Print and return what answering questions through the database takes."""
    import torch

    from lmc.runtime.components.tools import AutomatonNode
    from lmc.runtime.finished import open_run
    from lmc.runtime.generation.engine import Engine
    from lmc.runtime.generation.requests import Request
    from lmc.runtime.training.resume import load_model

    found = open_run(folder / "runs", RUN, "cpu")
    dataset = found.session.product(found.run.data)
    tokenizer = found.session.product(found.run.data.tokenizer)
    torch.set_num_threads(1)
    model = load_model(found.folder, found.run.architecture(found.session), found.session.placement)
    spoken = next(node for node in found.session.components.values() if isinstance(node, AutomatonNode))
    toolkit = found.session.product(spoken)
    questions = [question.prompt for question in dataset.questions()]
    requests = [Request(questions[number % len(questions)], 256) for number in range(QUESTIONS)]
    rounds = []
    for _ in range(windows + 1):
        engine, began = Engine(model, tokenizer, toolkit, lanes=LANES), time.process_time()
        transcripts = engine.run(requests)
        rounds.append(measured(engine.stats, transcripts, time.process_time() - began))
    return report(rounds[1:])


def measured(stats: Any, transcripts: Sequence[Any], spent: float) -> dict[str, float]:
    """Return the figures of one evaluation."""
    answered = sum(any(call.outcome == "answered" for call in t.calls) for t in transcripts)
    said = sum(len(t.tokens) - t.prompt - sum(end - start for start, end in t.injected) for t in transcripts)
    return {
        "dialogues_per_cpu_second": len(transcripts) / spent,
        "said_per_cpu_second": said / spent,
        "useful_share": stats.useful / stats.slots,
        "steps": stats.steps,
        "slots": stats.slots,
        "prefilled": stats.prefilled,
        "answered_share": answered / len(transcripts),
    }


def report(rounds: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    found = {name: [figures[name] for figures in rounds] for name in rounds[0]}
    for name, values in found.items():
        print(f"{name.replace('_', ' '):26}{spread(values, 3 if name.endswith('share') else 0)}")
    return found


def environment() -> dict[str, str]:
    """Return what `lmc` gives a worker of its own."""
    from lmc.runtime.training.environment import environment as of_workers

    return {**os.environ, **of_workers(1), "OMP_NUM_THREADS": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", nargs="?", choices=PARTS, help="default: both")
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the trained run is kept (default: nowhere)")
    parser.add_argument("--core", type=int, default=min(os.sched_getaffinity(0)), help="the core that all run on")
    parser.add_argument("--out", type=Path, help="a JSON file to merge the figures into")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for part in [options.part] if options.part else PARTS:
            if part == "evaluation":
                train(folder)
            command = [sys.executable, __file__, part, "--worker", "--windows", str(options.windows)]
            command += ["--folder", str(folder), "--core", str(options.core)]
            command += ["--out", str(options.out)] if options.out else []
            subprocess.run(command, env=environment(), check=True)


def work(options: argparse.Namespace) -> None:
    """Measure one part in this process."""
    os.sched_setaffinity(0, {options.core})
    import torch

    torch.set_num_threads(1)
    print(f"{options.part}: {platform.machine()}, torch {torch.__version__}, one thread, {options.windows} windows")
    found = overhead(options.windows) if options.part == "overhead" else evaluation(options.windows, options.folder)
    if options.out:
        kept = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
        machine = {"machine": platform.machine(), "python": platform.python_version(), "torch": torch.__version__}
        options.out.write_text(json.dumps({**kept, **machine, options.part: found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
