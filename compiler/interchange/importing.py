"""Pass: configurations of other codebases become one spec, and a list of what it could not say.

YAML -> leaves (yaml_read) -> blocks (itl, lingua) -> axes of what varies (sweeps) -> text of a `.lmspec`
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from attrs import Factory, define, frozen

from ...spec.diagnostic import Diagnostic, Diagnostics, fail
from ...spec.span import Source, Span
from ..format.format import format_source
from ..syntax.parse import read_source
from . import itl, lingua
from .config import Config
from .draft import Block, Draft
from .shared import OF_RATE
from .sweeps import Axes, axes_of, copies, sweeps
from .yaml_read import Items, Leaf, read_leaves

DIALECTS: tuple[ModuleType, ...] = (itl, lingua)
NO_COUNTERPART = "lmc has no counterpart"


@frozen
class Left:
    """A path of a configuration that was not carried over, where it is, and why."""

    path: str
    span: Span
    reason: str


@define
class Imported:
    """What configurations became: the text of a spec, what it could not say, and what to know about it."""

    text: str
    left: list[Left]
    advice: list[str] = Factory(list)


def import_configurations(paths: Sequence[Path], diagnostics: Diagnostics) -> Imported | None:
    """Return the spec of configurations, or None after recording why there is none.

    Several files are near-copies: one training, and a grid of what differs.
    """
    configs = [config for path in paths if (config := _config(path, diagnostics)) is not None]
    if diagnostics.failed:
        return None
    dialect = _dialect(configs)
    drafts = [dialect.convert(config) for config in configs]
    if diagnostics.failed:
        return None
    axes = _axes(configs, drafts, dialect)
    if diagnostics.failed:
        return None
    left = list(_left(configs, dialect))
    for note in _grouped(left):
        places = ", ".join(f"{item.path} (line {item.span.line})" for item in note)
        message = f"not carried over: {places}: {note[0].reason}"
        diagnostics.add(Diagnostic("LM1005", message, note[0].span, severity="warning"))
    advice = dialect.advice(drafts[0])
    text = "\n".join(_lines(paths, drafts[0], axes, left, advice)) + "\n"
    source = Source("the imported spec", text)
    return Imported(format_source(source, diagnostics) or text, left, advice)


def _config(path: Path, diagnostics: Diagnostics) -> Config | None:
    source = read_source(path, str(path), diagnostics)
    leaves = None if source is None else read_leaves(source, diagnostics)
    return None if leaves is None or source is None else Config(source, leaves, diagnostics)


def _dialect(configs: Sequence[Config]) -> ModuleType:
    found = [next((dialect for dialect in DIALECTS if dialect.recognises(config)), None) for config in configs]
    for config, dialect in zip(configs, found, strict=True):
        span = Span(config.source, 0, 0)
        if dialect is None:
            help = "it has neither `run_config` and `model.emb_dim` nor `model.dim` and `data.root_dir`"
            raise fail("LM1006", "this is no configuration of ITL or of lingua", span, help=help)
        if dialect is not found[0]:
            raise fail("LM1006", "the configurations are of different codebases", span, help="import them one by one")
    assert found[0] is not None
    return found[0]


def _axes(configs: Sequence[Config], drafts: Sequence[Draft], dialect: ModuleType) -> list[Axes]:
    """Return what varies: between the files, and by the grid that all of them have."""
    config = configs[0]
    target = "run_config." if config.has("run_config") else ""
    swept = [sweeps(each, dialect.GRID, target) for each in configs]
    said = [[(sweep.path, [value.text for value in sweep.values]) for sweep in found] for found in swept]
    for each, values, found in zip(configs, said, swept, strict=True):
        if values != said[0]:
            span = found[0].span if found else Span(each.source, 0, 0)
            raise fail("LM1006", "the configurations have different grids", span, help="import them one by one")
    between = copies(drafts)
    within = axes_of(config, swept[0], dialect.convert, drafts[0])
    both = {path for axes in between for path in axes.paths} & {path for axes in within for path in axes.paths}
    if both:
        span = swept[0][0].span
        raise fail("LM1006", f"`{min(both)}` differs between the files and is swept in them as well", span)
    return [*between, *within]


def _left(configs: Sequence[Config], dialect: ModuleType) -> Iterator[Left]:
    """Yield what no conversion took, once per path; of several files, also whether it tells them apart."""
    seen: set[str] = set()
    for config in configs:
        for path, leaf in config.leaves.items():
            if path in config.used or path in seen or _says_nothing(path, leaf, dialect):
                continue
            seen.add(path)
            values = {_written(other.leaves.get(path)) for other in configs}
            apart = "; it differs between the files" if len(values) > 1 else ""
            yield Left(path, leaf.span, _reason(path, dialect) + apart)


def _says_nothing(path: str, leaf: Leaf, dialect: ModuleType) -> bool:
    """Whether a value is null, or what lmc does anyway."""
    if isinstance(leaf, Items):
        return False
    return leaf.empty or leaf.text.lower() == dialect.ANYWAY.get(path)


def _written(leaf: Leaf | None) -> tuple[str, ...]:
    return (
        () if leaf is None else tuple(scalar.text for scalar in (leaf.values if isinstance(leaf, Items) else (leaf,)))
    )


def _reason(path: str, dialect: ModuleType) -> str:
    reasons: dict[str, str] = dialect.NOT_CARRIED
    known = [name for name in reasons if re.match(rf"{re.escape(name)}(\.|\[|$)", path)]
    return reasons[max(known, key=len)] if known else NO_COUNTERPART


def _grouped(left: Sequence[Left]) -> list[list[Left]]:
    """Return neighbours that were left for the same reason together."""
    groups: list[list[Left]] = []
    for item in left:
        same = groups and groups[-1][0].reason == item.reason and groups[-1][0].span.source is item.span.source
        groups[-1].append(item) if same else groups.append([item])
    return groups


def _lines(
    paths: Sequence[Path], draft: Draft, axes: Sequence[Axes], left: Sequence[Left], advice: Sequence[str]
) -> Iterator[str]:
    names = [_printable(path.name) for path in paths]
    shown = names[0] if len(names) == 1 else f"{len(names)} configurations, {names[0]} to {names[-1]}"
    yield f"# Written by lmc import from {shown}."
    yield from (f"# {line}." for line in advice)
    if left:
        yield "#"
        yield "# Not carried over:"
    for item in left:
        place = f"line {item.span.line}" if len(paths) == 1 else f"{Path(item.span.source.path).name}:{item.span.line}"
        yield f"#   {_printable(item.path)} ({_printable(place)}): {item.reason}"
    yield "edition = 1"
    for block in draft.every:
        yield ""
        yield from block.lines()
    if axes:
        yield ""
        yield from _grid(draft, axes).lines()


def _printable(text: str) -> str:
    """Return a text that stays on its line: a key of YAML may hold line ends."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _grid(draft: Draft, axes: Sequence[Axes]) -> Block:
    taken = {block.name for block in draft.every}
    name = next(name for name in ("sweep", "runs", "points", "all_points") if name not in taken)
    fields: dict[str, str | Block] = {"base": draft.train.name}
    over: dict[str, str | Block] = {}
    follows: dict[str, str | Block] = {}
    for found in axes:
        if len(found.paths) == 1:
            over |= _axis(found, 0, follows)
    seeds = over.pop("seed", None)
    fields |= {"over": Block("over", fields=over)} if over else {}
    stepped = [found for found in axes if len(found.paths) > 1]
    for found in stepped:
        called = "" if len(stepped) == 1 else "_and_".join(path.rpartition(".")[2] for path in found.paths)
        values = dict(pair for column in range(len(found.paths)) for pair in _axis(found, column, follows).items())
        fields[f"zip {called}"] = Block("zip", called, fields=values)
    fields |= {"set": Block("set", fields=follows)} if follows else {}
    fields |= {"seeds": seeds} if seeds else {}
    return Block("grid", name, fields=fields)


def _axis(axes: Axes, column: int, follows: dict[str, str | Block]) -> dict[str, str | Block]:
    """Return an axis by its path; values that are shares of the learning rate follow from a free axis of the shares."""
    path, values = axes.paths[column], [row[column] for row in axes.rows]
    if not any(value.endswith(OF_RATE) for value in values):
        return {path: axes.text or f"[{', '.join(values)}]"}
    share = f"{path.rpartition('.')[2]}_share"
    follows[path] = f"{share}{OF_RATE}"
    return {f"let {share}": f"[{', '.join(value.removesuffix(OF_RATE) for value in values)}]"}
