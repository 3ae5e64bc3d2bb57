"""Definition, uses and renaming of what files name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ...spec.diagnostic import Edit
from ...spec.span import Span
from ..resolve.cells import Cell
from ..syntax.parse import KEYWORDS
from .names import Names, Occurrence
from .places import Symbol
from .workspace import Analysis, Workspace

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NAMED = ("block", "let", "import", "part", "variable")
"""What a file names, and what can so be renamed."""


class NotRenamed(Exception):
    """A new name cannot be given; says why."""


def occurrence_at(analysis: Analysis, offset: int) -> Occurrence | None:
    """Return the name at a character of the file."""
    return None if analysis.names is None else analysis.names.at(str(analysis.path), offset)


def definition(analysis: Analysis, offset: int) -> Span | None:
    """Return where the name at a character is made; for a field, where its value was set before."""
    found = occurrence_at(analysis, offset)
    if found is None:
        return None
    if found.symbol.definition is not None or found.place is None:
        return found.symbol.definition
    return _setting(found.place.cell, found.symbol.name, found.span)


def _setting(cell: Cell, name: str, span: Span) -> Span | None:
    """Return the strongest statement about a field that is not at `span`."""
    for setting in reversed(cell.fields.get(name, [])):
        if setting.span != span:
            return setting.span
    return None


def references(workspace: Workspace, analysis: Analysis, offset: int) -> list[Occurrence]:
    """Return every use of the name at a character, its definition included, in the file and those that import it."""
    found = occurrence_at(analysis, offset)
    return [] if found is None else list(dict.fromkeys(_uses(workspace, analysis, found.symbol)))


def _uses(workspace: Workspace, analysis: Analysis, symbol: Symbol) -> Iterator[Occurrence]:
    for path in dict.fromkeys((analysis.path, *workspace.files())):
        if path == analysis.path:
            names = analysis.names
        elif symbol.role == "variable" or symbol.name not in workspace.text(path):
            continue
        else:
            names = workspace.names(path)
        if names is not None:
            yield from _equal(names, symbol)


def _equal(names: Names, symbol: Symbol) -> Iterator[Occurrence]:
    for occurrences in names.all.values():
        yield from (occurrence for occurrence in occurrences if occurrence.symbol == symbol)


def renamable(analysis: Analysis, offset: int) -> Span:
    """Return the name at a character. Raises NotRenamed if no file names it."""
    found = occurrence_at(analysis, offset)
    if found is None or found.symbol.role not in NAMED:
        what = "nothing" if found is None else f"the {found.symbol.role} `{found.symbol.name}`"
        raise NotRenamed(f"{what} is named by a file; blocks, parts, constants, imports and variables can be renamed")
    return found.span


def rename(workspace: Workspace, analysis: Analysis, offset: int, name: str) -> list[Edit]:
    """Return the edits of every file that give the name at a character another one.

    Raises NotRenamed: for what no file names, for a word that is no name, and for one that is taken.
    """
    renamable(analysis, offset)
    if not NAME.fullmatch(name) or name in KEYWORDS.values():
        raise NotRenamed(f"`{name}` is no name: letters, digits and _, no keyword")
    found = occurrence_at(analysis, offset)
    assert found is not None
    uses = references(workspace, analysis, offset)
    _check_free(analysis, found.symbol, name)
    return [Edit(use.span, f'"{name}"' if use.span.text.startswith('"') else name) for use in uses]


def _check_free(analysis: Analysis, symbol: Symbol, name: str) -> None:
    if symbol.role not in ("block", "let", "import"):
        return
    assert analysis.program is not None
    home = next((m for m in analysis.program.modules if m.source.path == symbol.home[0]), None)
    if home is not None and name in home.names:
        raise NotRenamed(f"`{name}` is already a name of {Path(home.source.path).name}")
