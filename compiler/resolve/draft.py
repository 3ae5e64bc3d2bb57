"""What the statements of a grid say, before any axis is computed: base chain, overlays, `--with` and `--set`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from attrs import Factory, define, evolve, frozen

from ...spec.diagnostic import Diagnostic, Edit, Label
from ...spec.span import Span
from ..syntax import tree
from .declare import Decl, Module, find_block
from .world import Program, named_overlays

FIELDS = ("seeds", "where", "name", "ceiling")
"""Fields of a grid that hold one expression."""
STATEMENTS = (*FIELDS, "base", "over", "zip", "draw", "set", "identity", "with")
"""What is a grid's own; all else is an edit of its base."""
DRAW = ("n", "seed")


@frozen(eq=False)
class Written:
    """An expression and the file whose names it reads."""

    expr: tree.Expr
    module: Module


@frozen(eq=False)
class AxisText:
    """An axis as written: a path into the base and a list, or with `free` a name of its own."""

    names: tuple[tree.Name, ...]
    written: Written
    free: bool

    @property
    def path(self) -> str:
        """The path as `a.b.c`."""
        return ".".join(name.text for name in self.names)


@define(eq=False)
class Draft:
    """What a grid's statements say, strongest last.

    Attributes:
        told: whether it was told what is wrong with `base`.
        over: axes of the product. zips: axes that go in step, by the name of their block, "" for that without one.
        fields: what `seeds`, `where`, `name` and `ceiling` are. draw: what `draw` says. identity: lists of names.
        late: edits of the base and `set`, which come after the axes.
    """

    decl: Decl
    program: Program
    base: Decl | None = None
    told: bool = False
    over: dict[str, AxisText] = Factory(dict)
    zips: dict[str, dict[str, AxisText]] = Factory(dict)
    fields: dict[str, Written] = Factory(dict)
    draw: dict[str, Written] = Factory(dict)
    identity: list[Written] = Factory(list)
    late: list[tuple[tuple[tree.Item, ...], Module, str]] = Factory(list)

    def groups(self) -> Iterator[dict[str, AxisText]]:
        """Yield the axes of `over`, then those of each `zip`."""
        yield self.over
        yield from self.zips.values()

    def collapse(self, path: str, item: tree.Item, origin: str) -> None:
        """Take an axis away because `item` sets what it varies, with a warning."""
        found = [axes for axes in self.groups() if path in axes]
        if path == "seed" and "seeds" in self.fields:
            found.append({})
            del self.fields["seeds"]
        for axes in found:
            axes.pop(path, None)
        if found:
            message = f"the axis `{path}` of grid `{self.decl.name}` is set to one value by {origin}"
            help = "drop the setting, or the axis"
            self.program.diagnostics.add(Diagnostic("LM0510", message, item.span, help=help, severity="warning"))


def read_draft(decl: Decl, program: Program) -> Draft:
    """Return what a grid, those that it starts from and the overlays on it say."""
    draft = Draft(decl, program)
    for part in decl.chain:
        for overlay in named_overlays(part, program):
            _collect(draft, overlay.items, overlay.module, f"overlay `{overlay.name}`")
        _collect(draft, part.items, part.module, f"grid `{part.name}`")
    for amendment in program.amendments:
        if amendment.target is decl:
            _collect(draft, amendment.items, amendment.module, amendment.origin)
    _check_once(draft)
    return draft


def _collect(draft: Draft, items: tuple[tree.Item, ...], module: Module, origin: str) -> None:
    blocks = [item for item in items if isinstance(item, tree.Block) and item.kind.text in ("over", "zip")]
    _check_named([block for block in blocks if block.kind.text == "zip" and block.name is None], draft)
    for block in blocks:
        _axes(draft, block, module)
    for item in items:
        if isinstance(item, tree.Assign):
            _assign(draft, item, module, origin)
        elif isinstance(item, tree.Block) and item not in blocks:
            _block(draft, item, module, origin)
        elif isinstance(item, tree.Let | tree.Import):
            help = "write it at top level, or as an axis: over { let x = [...] }"
            draft.program.diagnostics.error("LM0214", item.name.span, "a grid has no constants of its own", help=help)
        elif isinstance(item, tree.Assert):
            draft.late.append(((item,), module, origin))


def _check_named(unnamed: list[tree.Block], draft: Draft) -> None:
    for block in unnamed[1:]:
        labels = (Label(unnamed[0].kind.span, "first here"),)
        message, help = "several `zip` blocks are named", "write zip NAME { ... }: named blocks multiply"
        draft.program.diagnostics.error("LM0210", block.kind.span, message, labels=labels, help=help)


def _block(draft: Draft, block: tree.Block, module: Module, origin: str) -> None:
    if block.kind.text == "set":
        draft.late.append((block.items, module, f"set of {origin}"))
    elif block.kind.text == "base" and block.base is None:
        for item in block.items:
            if isinstance(item, tree.Assign):
                draft.collapse(item.dotted, item, origin)
        draft.late.append((block.items, module, origin))
    elif block.kind.text == "draw":
        for item in block.items:
            if isinstance(item, tree.Assign):
                _draw(draft, item.path, item.value, module)
    else:
        if block.base is not None:
            draft.collapse(block.kind.text, block, origin)
        draft.late.append(((block,), module, origin))


def _assign(draft: Draft, item: tree.Assign, module: Module, origin: str) -> None:
    head, rest = item.path[0].text, item.path[1:]
    if not rest and head == "base":
        _base(draft, item, module)
    elif not rest and head in FIELDS:
        if _is_unset(item.value):
            draft.fields.pop(head, None)
        else:
            draft.fields[head] = Written(item.value, module)
    elif not rest and head == "identity":
        if item.op == "=":
            draft.identity.clear()
        if not _is_unset(item.value):
            draft.identity.append(Written(item.value, module))
    elif not rest and head == "with":
        return
    elif head == "draw":
        _draw(draft, rest, item.value, module)
    elif rest and head == "over":
        _axis(draft, draft.over, rest, item.value, module, False)
    else:
        path = rest if head == "base" else item.path
        draft.collapse(".".join(name.text for name in path), item, origin)
        draft.late.append(((evolve(item, path=path),), module, origin))


def _base(draft: Draft, item: tree.Assign, module: Module) -> None:
    found = find_block(module, item.value) if isinstance(item.value, tree.Ref) else None
    if isinstance(found, Decl) and (found.kind == "train" or found.unread):
        draft.base = found
        return
    draft.told = True
    if isinstance(found, Decl) and found.poisoned:
        return
    if found is not None or not isinstance(item.value, tree.Ref):
        _no_base(draft, item.value.span, "LM0310", "`base` needs a train", "", module)
    elif module.whole:
        name = item.value.dotted or item.value.span.text
        _no_base(draft, item.value.span, "LM0207", f"`{name}` is not defined", name, module)


def _no_base(draft: Draft, span: Span, code: str, message: str, written: str, module: Module) -> None:
    """Record that no train is named, with the one that is meant: of a like name, or the only one."""
    trains = [decl.name for decl in module.decls if decl.kind == "train"]
    near = difflib.get_close_matches(written, trains, 1) or (trains if len(trains) == 1 else [])
    help = f"write `{near[0]}`" if near else f"name one of {', '.join(trains)}" if trains else "write a train first"
    edits = (Edit(span, near[0]),) if near else ()
    draft.program.diagnostics.error(code, span, message, help=help, edits=edits)


def _draw(draft: Draft, path: tuple[tree.Name, ...], value: tree.Expr, module: Module) -> None:
    if len(path) == 1 and path[0].text in DRAW:
        draft.draw[path[0].text] = Written(value, module)
    elif path:
        message = f"`draw` has no field `{path[0].text}`"
        draft.program.diagnostics.error("LM0203", path[0].span, message, help="fields are n, seed")


def _axes(draft: Draft, block: tree.Block, module: Module) -> None:
    error = draft.program.diagnostics.error
    if block.kind.text == "over" and block.name is not None:
        error("LM0214", block.name.span, "`over` has no name", help="one `over` holds all axes of the product")
        return
    name = "" if block.name is None else block.name.text
    axes = draft.over if block.kind.text == "over" else draft.zips.setdefault(name, {})
    for item in block.items:
        if isinstance(item, tree.Let):
            _axis(draft, axes, (item.name,), item.value, module, True)
        elif isinstance(item, tree.Assign) and item.op == "=":
            _axis(draft, axes, item.path, item.value, module, False)
        elif not isinstance(item, tree.Bad):
            error("LM0214", item.span, "an axis is `path = list`", help="or `let name = list` for a free one")


def _axis(
    draft: Draft,
    axes: dict[str, AxisText],
    names: tuple[tree.Name, ...],
    value: tree.Expr,
    module: Module,
    free: bool,
) -> None:
    axis = AxisText(names, Written(value, module), free)
    if _is_unset(value):
        axes.pop(axis.path, None)
        return
    axes[axis.path] = axis
    draft.late = [edit for edit in draft.late if not _sets(edit[0], axis.path)]


def _sets(items: tuple[tree.Item, ...], path: str) -> bool:
    """Whether an edit of the base is just the setting of one path."""
    return len(items) == 1 and isinstance(items[0], tree.Assign) and items[0].dotted == path


def _check_once(draft: Draft) -> None:
    """Record axes that stand in several places (LM0205)."""
    seen: dict[str, AxisText] = {}
    for axes in draft.groups():
        for path, axis in axes.items():
            first = seen.setdefault(path, axis)
            if first is not axis:
                labels = (Label(first.names[0].span, "first here"),)
                message, help = f"`{path}` is an axis twice", f"drop one of them, or write {path} = unset there"
                draft.program.diagnostics.error("LM0205", axis.names[0].span, message, labels=labels, help=help)
    if "seed" in seen and "seeds" in draft.fields:
        span = draft.fields["seeds"].expr.span
        labels = (Label(seen["seed"].names[0].span, "an axis here"),)
        draft.program.diagnostics.error("LM0205", span, "`seed` is an axis twice", labels=labels, help="drop one")


def _is_unset(expr: tree.Expr) -> bool:
    return isinstance(expr, tree.Literal) and expr.word == "unset"
