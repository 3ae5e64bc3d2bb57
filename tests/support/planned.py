"""Plans of texts, and stores in which their runs are as far as a test says, without a training."""

from pathlib import Path
from typing import Any

from lmc.compiler.pipeline import compile_spec
from lmc.runtime.inputs import InputDigests
from lmc.runtime.store.made import Made, blocks_of, source_of
from lmc.runtime.store.run_store import NodeFolder, RunStore
from lmc.spec.plan import Plan, closure
from lmc.spec.plan_text import plan_lines

SPEC = """
tokenizer bytes : byte { specials = ["<|eod|>"] }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 2, width = 8, mixer : attention { heads = 2 } }
train base {
  model = small, data = book, steps = 10, batch = 2
  optim : adamw { lr = 1e-3 }
}
eval held_out : loss { run = base }
grid sweep {
  base = base
  over { model.width = [16, 32], optim.lr = [1e-3, 1e-2] }
  seeds = range(2)
  name = f"w{model.width}-lr{optim.lr}-s{seed}"
}
"""


def plan_of(folder: Path, text: str = SPEC, **changes: Any) -> Plan:
    """Return the plan of a text, written to `case.lmspec` beside a `book.txt`."""
    (folder / "case.lmspec").write_text(text, encoding="utf-8")
    if not (folder / "book.txt").exists():
        (folder / "book.txt").write_text("a tale of two cities", encoding="utf-8")
    compiled = compile_spec(folder / "case.lmspec", **changes)
    assert compiled.plan is not None, [item.message for item in compiled.diagnostics.items]
    return compiled.plan


def record(plan: Plan, store: RunStore, name: str, *, attached: bool = True) -> NodeFolder:
    """Leave the run of a name done in a store, and what is attached to it; return its folder."""
    store.create()
    digests, blocks = InputDigests(plan), blocks_of(plan)
    point = next(point for point in plan.points if point.name == name)
    ids = (point.run, *(point.evals.values() if attached else ()))
    for node_id in reversed(ids):
        made = Made(source_of(plan.header, store.path), blocks[node_id], digests.files(node_id))
        folder = store.open_node(plan.nodes[node_id], digests.of(node_id), name, made)
        folder.create()
        folder.finish({"step": 10, "loss": 1.0, "params": 1})
    nodes = {node_id: plan.nodes[node_id] for node_id in closure(plan.nodes, [point.run])}
    lines = plan_lines(Plan(plan.header, nodes, (), ()))
    (folder.path / "graph.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return folder
