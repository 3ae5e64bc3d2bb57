"""Tables of all runs: on a terminal, as plain lines when piped, and as CSV."""

from __future__ import annotations

import csv
import io
import math
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..store.files import write_whole
from .results import Row

HIDDEN = ("run", "grid", "source", "step")
MOST_ROWS = 40
"""Rows that a terminal is shown; the CSV file has them all."""


def columns(rows: list[Row]) -> list[str]:
    """Return the columns that say something: all but internal ones and those with one value only in many rows."""
    names = [name for name in dict.fromkeys(key for row in rows for key in row) if name not in HIDDEN]
    metrics = [n for n in names if "." in n and any(isinstance(row.get(n), float) for row in rows)]
    varying = [n for n in names if len(rows) == 1 or len({repr(row.get(n)) for row in rows}) > 1]
    return [n for n in names if n == "name" or n in metrics or n in varying]


def cell(value: Any) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        plain = not math.isfinite(value) or value != int(value)
        return f"{value:.4g}" if plain or abs(value) > 1e6 else f"{value:.1f}"
    return f"{value:,}" if _large(value) else str(value)


def column(values: list[Any]) -> list[str]:
    """Return the values of a column as a table shows them: with commas in all whole numbers if any is large."""
    commas = any(map(_large, values))
    return [f"{value:,}" if commas and _whole(value) else cell(value) for value in values]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _large(value: Any) -> bool:
    return _whole(value) and abs(value) >= 10_000


def show_table(rows: list[Row]) -> None:
    """Print rows as a table, the first of many."""
    shown = rows[:MOST_ROWS]
    names = columns(rows)
    cells = list(zip(*(column([row.get(name) for row in shown]) for name in names), strict=True))
    if sys.stdout.isatty():
        table = Table(box=None, header_style="bold")
        for name in names:
            numeric = all(isinstance(row.get(name), int | float | None) for row in rows)
            table.add_column(name, justify="right" if numeric else "left", overflow="fold")
        for texts in cells:
            table.add_row(*texts)
        Console().print(table)
    else:
        lines = [tuple(names), *cells]
        widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
        for line in lines:
            print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    if len(rows) > len(shown):
        print(f"... and {len(rows) - len(shown):,} more runs")


def write_csv(rows: list[Row], path: Path) -> None:
    """Write all rows and columns as CSV."""
    names = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())
