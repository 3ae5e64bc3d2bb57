"""From a path to a plan: the passes in order, each over what the one before gave.

text -> tree (parse) -> declarations (declare) -> worlds (resolve) -> specs, rules, ids (build) -> plan
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import evolve, frozen

from ..spec.canonical import canonical_json
from ..spec.diagnostic import Diagnostics, Edit, Enough
from ..spec.plan import Header, Plan, SourceFile
from ..spec.span import SETTING, Source, Span
from .diagnostics.once import once
from .plan.build import PlanBuilder
from .plan.origins import leaves, staged
from .resolve.declare import Decl, Loader, Module, find_block
from .resolve.world import Amendment, Program
from .syntax import tree
from .syntax.parse import parse_assignment

MOST_MISTAKES = 1000


@frozen(eq=False)
class Compiled:
    """What a compilation gives; `plan` is None if there were errors."""

    plan: Plan | None
    diagnostics: Diagnostics
    builder: PlanBuilder | None = None

    def strictly(self) -> Compiled:
        """Return it with warnings as errors, and without a plan if there are any."""
        found = [evolve(d, severity="error") if d.severity == "warning" else d for d in self.diagnostics.items]
        diagnostics = Diagnostics(found)
        return Compiled(None if diagnostics.failed else self.plan, diagnostics, self.builder)

    def sourcemap(self) -> Iterator[str]:
        """Yield where every value comes from, a line per block of a run or grid and field."""
        assert self.builder is not None
        for name, worlds in self.builder.worlds.items():
            for world in worlds[:1]:
                own = (leaf for cell in world.cells.values() for leaf in leaves(world, cell, f"{name}/{cell.name}."))
                for path, origins in (*own, *staged(world, f"{name}/")):
                    listed = [[o.source, str(o.place) if o.place else "", o.text] for o in origins]
                    yield canonical_json({path: listed})


def compile_spec(path: Path, overlays: Sequence[str] = (), settings: Sequence[str] = ()) -> Compiled:
    """Compile a file, with overlays and settings of the command line, weakest first.

    Diagnostics come in the order of the files, as they are imported, and of the places in them; a mistake gives one.
    """
    loader = Loader(Diagnostics(most=MOST_MISTAKES))
    compiled = _attempted(loader, path, overlays, settings)
    diagnostics = compiled.diagnostics
    diagnostics.sort([module.source.path for module in loader.modules.values()])
    diagnostics.items = once(diagnostics.items)
    return compiled


def _attempted(loader: Loader, path: Path, overlays: Sequence[str], settings: Sequence[str]) -> Compiled:
    try:
        return _compiled(loader, path, overlays, settings)
    except Enough:
        pass
    except RecursionError:
        message = "values follow from each other through too many steps"
        span = Span(Source(str(path), ""), 0, 0)
        loader.diagnostics.error("LM0105", span, message, help="shorten a chain of references")
    return Compiled(None, loader.diagnostics)


def _compiled(loader: Loader, path: Path, overlays: Sequence[str], settings: Sequence[str]) -> Compiled:
    program = load_program(loader, path, overlays, settings)
    if program is None:
        return Compiled(None, loader.diagnostics)
    builder = PlanBuilder(program)
    name = "-".join([path.stem, *overlays])
    plan = builder.build(_header(name, path, program.modules, overlays, settings))
    return Compiled(None if program.diagnostics.failed else plan, program.diagnostics, builder)


def load_program(
    loader: Loader, path: Path, overlays: Sequence[str] = (), settings: Sequence[str] = ()
) -> Program | None:
    """Return the declarations of a file and its imports, or None after recording why it cannot be read."""
    module = loader.load(path, str(path))
    if module is None:
        return None
    modules = tuple(loader.modules.values())
    amendments = tuple(_amendments(module, overlays, settings, loader.diagnostics))
    _check_overlays(module, loader.diagnostics)
    known = {d.name: d for d in module.decls if d.kind == "overlay"}
    return Program(module, modules, known, amendments, loader.diagnostics, path.resolve().parent)


def _header(
    name: str, path: Path, modules: Sequence[Module], overlays: Sequence[str], settings: Sequence[str]
) -> Header:
    root = path.resolve().parent
    sources = tuple(SourceFile(str(m.path.resolve()), hashlib.sha256(m.path.read_bytes()).hexdigest()) for m in modules)
    return Header(name, str(root), sources, tuple(overlays), tuple(settings))


def _amendments(
    module: Module, overlays: Sequence[str], settings: Sequence[str], diagnostics: Diagnostics
) -> Iterator[Amendment]:
    for name in overlays:
        overlay = module.names.get(name)
        target = _target(module, overlay) if isinstance(overlay, Decl) and overlay.kind == "overlay" else None
        if not isinstance(overlay, Decl) or target is None:
            known = ", ".join(d.name for d in module.decls if d.kind == "overlay") or "none"
            diagnostics.error("LM0509", None, f"there is no overlay `{name}`", help=f"overlays of the file: {known}")
        else:
            yield Amendment(target, overlay.items, overlay.module, f"overlay `{name}`")
    for setting in settings:
        amendment = _setting(module, setting, diagnostics)
        if amendment is not None:
            yield amendment


def _setting(module: Module, text: str, diagnostics: Diagnostics) -> Amendment | None:
    """Return one `--set block.path=expr`."""
    source = Source(SETTING, text)
    assign = parse_assignment(source, diagnostics)
    if assign is None:
        return None
    target = module.names.get(assign.path[0].text)
    if not isinstance(target, Decl) or len(assign.path) < 2:
        _no_target(module, assign.path, diagnostics)
        return None
    rest = assign.path[1:]
    span = Span(source, rest[0].span.start, len(text))
    beside = Module(Path.cwd() / SETTING, source, module.file, module.names)
    return Amendment(target, (tree.Assign(rest, assign.op, assign.value, span),), beside, SETTING)


def _no_target(module: Module, path: tuple[tree.Name, ...], diagnostics: Diagnostics) -> None:
    """Record that a setting begins with no block of the file: with another file, or a name like that of one."""
    head, names = path[0], [d.name for d in module.decls]
    imported = module.names.get(head.text)
    inner = imported.names.get(path[1].text) if isinstance(imported, Module) and len(path) > 1 else None
    message, help = "a setting begins with the name of a block", f"blocks are {', '.join(names)}"
    if isinstance(inner, Decl):
        rest = "".join(f".{name.text}" for name in path[2:])
        message = f"`{head.text}` is a file that is imported; a setting changes a block of this one"
        help = f"write {inner.kind} NAME : {head.text}.{inner.name} {{}} into it, and --set NAME{rest}=..."
    elif near := difflib.get_close_matches(head.text, names, 1):
        help = f"did you mean `{near[0]}`?"
    diagnostics.error("LM0207", head.span, message, help=help)


def _target(module: Module, overlay: Decl) -> Decl | None:
    found = find_block(overlay.module, overlay.base) if overlay.base is not None else None
    return found if isinstance(found, Decl) and found.kind != "overlay" else None


def _check_overlays(module: Module, diagnostics: Diagnostics) -> None:
    for decl in module.decls:
        if decl.kind == "overlay" and _target(module, decl) is None:
            span = decl.base.span if decl.base is not None else decl.name_span
            message = f"overlay `{decl.name}` has no block to lie over"
            known = [block.name for block in module.decls if block.kind != "overlay"]
            near = difflib.get_close_matches(decl.base.dotted or "", known, 1) if decl.base is not None else []
            help = f"did you mean `{near[0]}`?" if near else "write overlay NAME : BLOCK { ... }"
            edits = (Edit(span, near[0]),) if near else ()
            diagnostics.error("LM0509", span, message, help=help, edits=edits)
