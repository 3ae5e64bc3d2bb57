"""What `lmc run` prints at the end: the table of runs, the figures, a transcript with a tool call."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from ..spec.evaluation import AnswersEval, GenerateEval
from ..spec.plan import Plan
from ..spec.schema import kind_of
from .inputs import InputDigests
from .plots.copies import put_copies
from .plots.results import Results
from .plots.table import show_table, write_csv
from .store.files import read_lines
from .store.run_store import RunStore
from .talk.visible import visible


def show_results(plan: Plan, nodes: Sequence[str], blocks: Sequence[str], path: Path) -> None:
    """Print the results of the nodes that are done, and write every run of blocks to a CSV file in the store.

    Figures are copied to where the plots want them, if they are not there.
    Runs are those that are named, those of the named blocks, or of the plan's default ones if none is named.
    """
    store, digests = RunStore(path), InputDigests(plan)
    done = store.statuses([(node_id, digests.of(node_id)) for node_id in nodes])
    finished = {node_id for node_id, status in done.items() if status == "done"}
    named = set(blocks) or {target.name for target in plan.targets if target.default}
    runs = [point for point in plan.points if point.run in finished]
    points = [point for point in runs if point.grid in named or point.name in named] or runs
    results = Results(plan, store, digests)
    models = list(results.models(nodes))
    if points or models:
        rows = [*results.final(points), *models]
        print()
        show_table(rows)
        _show_transcript(plan, finished, store, digests)
        print()
        if not named.intersection(point.name for point in points if point.grid not in named):
            table = path / f"{plan.header.name}.csv"
            write_csv(rows, table)
            print(f"table    {table}")
    for node_id in nodes:
        if kind_of(type(plan.nodes[node_id].spec)) == "plot" and node_id in finished:
            node, folder = plan.nodes[node_id], path / f"{node_id}-{digests.of(node_id)}"
            copies = put_copies(node.spec.file, [folder / "figure.svg", folder / "figure.png"])
            print(f"figure   {node.name:<12} {folder / 'figure.png'}  (and {', '.join(['.svg', *map(str, copies)])})")


def _show_transcript(plan: Plan, finished: set[str], store: RunStore, digests: InputDigests) -> None:
    """Print one transcript, best one in which a tool answered, or one sample."""
    best: str | None = None
    for node_id in finished:
        spec = plan.nodes[node_id].spec
        if isinstance(spec, AnswersEval | GenerateEval):
            rows = read_lines(store.path / f"{node_id}-{digests.of(node_id)}" / "rows.jsonl")
            for row in rows:
                if row.get("calls") and row.get("correct"):
                    _print_transcript("a transcript: call, the database's reply, answer", row["text"])
                    return
                if isinstance(spec, GenerateEval) and best is None:
                    best = row["text"]
    if best is not None:
        _print_transcript("a sample", best)


def _print_transcript(title: str, text: str) -> None:
    print(f"\n{title}:")
    for mark in ("<|assistant|>", "<|database|>", "<|eod|>"):
        text = text.replace(mark, "\n" + mark)
    print(textwrap.indent(visible(text) if sys.stdout.isatty() else text, "  | "))
