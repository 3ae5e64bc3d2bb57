"""What a diff compares: a spec, a plan folder or a spec of a git revision, each a plan and the places of its values."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from ...spec.diagnostic import Diagnostics, fail
from ...spec.plan import Node, Place, Plan
from ..pipeline import compile_spec
from .write import SOURCEMAP

Origins = dict[str, list[list[str]]]
"""Chains of [source, place, text] by `RUN BLOCK/BLOCK.path`, as a source map holds them."""


@frozen(eq=False)
class Side:
    """One side of a diff.

    Attributes:
        label: what the user called it. stripped: what is put before places in place of a scratch folder.
        declared: kinds and names of the blocks of its files; None where a plan alone is known.
    """

    label: str
    plan: Plan
    origins: Origins
    declared: frozenset[tuple[str, str]] | None = None
    scratch: str = ""
    stripped: str = ""

    def place(self, node: Node | None) -> str:
        """Return where a node's block was declared."""
        return "" if node is None or node.place is None else self.shown(node.place)

    def shown(self, place: Place | str) -> str:
        """Return `file:line` of a place."""
        text = str(place)
        if self.scratch and text.startswith(self.scratch):
            text = self.stripped + text[len(self.scratch) :].lstrip("/")
        return text.rpartition(":")[0]

    def origin(self, run: str, block: str, path: str) -> tuple[str, str]:
        """Return where a value of a run's block was set, and how, if not there."""
        parts = path.split(".")
        for end in range(len(parts), 0, -1):
            chain = self.origins.get(f"{run}/{block}.{'.'.join(parts[:end])}")
            if chain:
                source, place, text = chain[0]
                return (self.shown(place), "") if place else ("", text if source == "schema" else source)
        return "", ""


def read_side(
    text: str,
    overlays: Sequence[str],
    settings: Sequence[str],
    read_plan: Callable[[Path], Plan],
    report: Callable[[Diagnostics], None],
) -> Side | None:
    """Return what a word of the command line stands for; None after `report` has told its mistakes.

    Raises LmcError: LM0803 for a word that is neither file, plan nor revision; what `read_plan` raises.
    """
    path = Path(text)
    if path.is_dir():
        lines = (path / SOURCEMAP).read_text(encoding="utf-8") if (path / SOURCEMAP).is_file() else ""
        return Side(text, read_plan(path), _origins(lines.splitlines()))
    if path.is_file():
        return _compiled(text, path, overlays, settings, report)
    revision, colon, name = text.partition(":")
    if not colon:
        raise fail("LM0803", f"there is no spec or plan `{text}`", help="name a .lmspec, a plan folder, or REV:FILE")
    with tempfile.TemporaryDirectory(prefix="lmc-") as scratch:
        there = checked_out(revision, name, Path(scratch))
        return _compiled(text, there, overlays, settings, report, scratch, f"{revision}:")


def checked_out(revision: str, name: str, folder: Path) -> Path:
    """Put the specs of a git revision into a folder and return the one of that name.

    The name is relative to the working directory, or else to the top of its repository. Raises LmcError (LM0803).
    """
    top = Path(_git("rev-parse", "--show-toplevel").decode().strip())
    if subprocess.run(["git", "rev-parse", "-q", "--verify", f"{revision}^{{commit}}"], capture_output=True).returncode:
        raise fail("LM0803", f"git knows no revision `{revision}`", help="write REV:FILE, such as HEAD~1:exp.lmspec")
    specs = _git("archive", "--format=tar", revision, "--", ":(top,glob)**/*.lmspec", cwd=top)
    with tarfile.open(fileobj=io.BytesIO(specs)) as archive:
        archive.extractall(folder, filter="data")
    here = Path.cwd().resolve()
    below = here.relative_to(top.resolve()) if here.is_relative_to(top.resolve()) else Path()
    for found in (folder / below / name, folder / name):
        if found.is_file():
            return found
    raise fail("LM0803", f"`{name}` is no spec of revision `{revision}`", help="paths are as in the working directory")


def _git(*arguments: str, cwd: Path | None = None) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, cwd=cwd)
    except OSError as error:
        raise fail("LM0803", "git cannot be started", help="compare files or plan folders") from error
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().split("\n")[0]
        raise fail("LM0803", f"git says: {reason}", help="revisions are those of the repository around this folder")
    return done.stdout


def _compiled(
    label: str,
    path: Path,
    overlays: Sequence[str],
    settings: Sequence[str],
    report: Callable[[Diagnostics], None],
    scratch: str = "",
    stripped: str = "",
) -> Side | None:
    compiled = compile_spec(path, overlays, settings)
    report(compiled.diagnostics)
    if compiled.plan is None or compiled.builder is None:
        return None
    modules = compiled.builder.program.modules
    declared = frozenset((d.kind, d.name) for module in modules for d in module.decls if d.kind != "overlay")
    return Side(label, compiled.plan, _origins(compiled.sourcemap()), declared, scratch, stripped)


def _origins(lines: Iterable[str]) -> Origins:
    found: dict[str, Any] = {}
    for line in lines:
        found |= json.loads(line)
    return found
