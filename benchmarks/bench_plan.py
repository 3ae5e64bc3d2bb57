"""CPU time of `lmc plan` against a store of 7,800 finished runs, whole processes, one core.

    python benchmarks/bench_plan.py [--repeat N] [--json FILE]

Goal: 1.5 s. The store has the folder of every run and evaluation, as `lmc run` leaves them, without what a training
writes beside. `lmc check` of the same file stands beside it: what is above that is the reading of the store.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

from processes import CALIBRATION, EXAMPLE, LMC, cpu_seconds, processes, read_options, report

from lmc.compiler.pipeline import compile_spec
from lmc.runtime.inputs import InputDigests
from lmc.runtime.store.made import Made, source_of
from lmc.runtime.store.run_store import RunStore
from lmc.spec.codec import unstructure
from lmc.spec.plan import Plan
from lmc.spec.schema import kind_of


def finish_all(plan: Plan, store: RunStore) -> None:
    """Leave a folder for every run and evaluation of a plan, done; the index is made from them."""
    digests, source = InputDigests(plan), source_of(plan.header, store.path)
    for point in plan.points:
        for node_id in (point.run, *point.evals.values()):
            node = plan.nodes[node_id]
            made = Made(source, point.grid, digests.files(node_id))
            folder = store.path / f"{node_id}-{digests.of(node_id)}"
            folder.mkdir(exist_ok=True)
            data = {
                "id": node_id,
                "name": point.name,
                "kind": kind_of(type(node.spec)),
                "spec": unstructure(node.spec),
                "status": "done",
                "summary": {"step": 100_000, "loss": 1.25, "params": 1},
                "made": {"source": made.source, "block": made.block, "inputs": made.inputs},
                "time": time.time(),
            }
            (folder / "node.json").write_text(json.dumps(data, indent=1))


def main() -> None:
    chosen = read_options(__doc__, repeat=5)
    with tempfile.TemporaryDirectory() as scratch:
        store = RunStore(Path(scratch) / "runs")
        store.create()
        plan = compile_spec(EXAMPLE).plan
        assert plan is not None
        finish_all(plan, store)
        asked = [*LMC, "plan", str(EXAMPLE), "--store", str(store.path)]
        cpu_seconds([*asked[:-1], f"{scratch}/none"])
        first = cpu_seconds(asked)
        commands = {
            "calibration (10M additions)": CALIBRATION,
            "lmc check, 7,800 runs": [*LMC, "check", str(EXAMPLE)],
            "lmc plan, 7,800 runs done": asked,
            "lmc plan --format json": [*asked, "--format", "json"],
        }
        times = processes(commands, chosen.repeat)
    report(times, chosen)
    once = first - statistics.median(times["lmc plan, 7,800 runs done"])
    print(f"the index made from 15,600 folders, once: {once:.2f} s CPU")


if __name__ == "__main__":
    main()
