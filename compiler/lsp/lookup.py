"""What a name in an expression stands for, and what the statements of a block see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import Factory, define, evolve, field, frozen

from ...spec.schema import SPELLINGS
from ...spec.span import Span
from ..plan.plots import RECORD_COLUMNS
from ..resolve.cells import Scope
from ..resolve.declare import Decl, Module, find_block
from ..resolve.problems import Problem
from ..resolve.world import Program
from ..syntax import tree
from .places import Place, Places, Symbol, Target, declared_symbol, place_of


@frozen(eq=False)
class View:
    """What names in an expression are looked up in: places from inside out, variables, then the file.

    `late` says that the expression is read over results: columns and evaluations come first.
    """

    module: Module
    places: tuple[Place, ...] = ()
    variables: Mapping[str, Symbol] = Factory(dict)
    late: bool = False

    def inside(self, place: Place | None) -> View:
        """Return what statements of a nested block see."""
        return self if place is None else evolve(self, places=(place, *self.places))

    @property
    def scope(self) -> Scope:
        """The same for the compiler."""
        return Scope(tuple(place.cell for place in self.places), self.module)


@define(eq=False)
class Lookup:
    """Follows the names of a program."""

    program: Program
    places: Places = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.places = Places(self.program)

    def block_view(self, module: Module, decl: Decl | None, target: Decl | None) -> View:
        """Return what the statements of a top-level block see; `target` is what an overlay lies over."""
        view = View(module).inside(None if decl is None else self.places.of(decl))
        if target is None or target.kind != "grid":
            return view
        return evolve(view, variables=_free_axes((*target.chain, decl or target)))

    def constant(self, let: tree.Let) -> Any:
        """Return the value of a constant, None where it has none."""
        world = self.places.null
        try:
            module = next(m for m in self.program.modules if m.names.get(let.name.text) is let)
            return world.evaluator.expr(let.value, Scope((), module))
        except (Problem, StopIteration):
            return None

    def aliases(self, module: Module) -> dict[str, Span]:
        """Return where the imports of a file are named."""
        return {item.name.text: item.name.span for item in module.file.items if isinstance(item, tree.Import)}

    def over_results(self, view: View) -> View:
        """Return what a column of a plot or a condition of a run sees: columns, evaluations, the run."""
        place = view.places[-1]
        sources = place.cell.fields.get("sources") if place.cell.kind == "plot" else None
        if sources:
            expr: Any = sources[-1].expr
            first = expr.items[0] if isinstance(expr, tree.ListExpr) and expr.items else expr
            found = find_block(view.module, first) if isinstance(first, tree.Ref) else None
            run = self.places.of(found) if isinstance(found, Decl) else None
            return View(view.module, () if run is None else (run,), late=True)
        return View(view.module, (place,) if place.cell.kind == "train" else (), late=True)

    def head(
        self, ref: tree.Ref, view: View, defining: tuple[Place, str] | None = None
    ) -> tuple[Symbol | None, Target, Place | None]:
        """Return what the first name of a reference stands for, what follows behind it, and the block it is of."""
        name = ref.head.text
        if name in view.variables:
            return view.variables[name], None, None
        top = view.module.names.get(name)
        if view.late and (ref.dotted in RECORD_COLUMNS or name in RECORD_COLUMNS):
            return Symbol("column", ref.dotted if ref.dotted in RECORD_COLUMNS else name), None, None
        if not (view.late and isinstance(top, Decl) and top.kind == "eval"):
            for place in view.places:
                if defining is not None and place is defining[0] and SPELLINGS.get(name, name) == defining[1]:
                    continue
                symbol, at = self.places.member(place, name)
                if symbol is not None:
                    return symbol, at, place
        if name == "this" and view.places:
            return Symbol("keyword", name), view.places[0], None
        if name == "file":
            return Symbol("keyword", name), view.module, None
        return (None, None, None) if top is None else (*self._declared(top, name, view.module), None)

    def follow(self, at: Target, name: str) -> tuple[Symbol | None, Target, Place | None]:
        """Return what a name behind a dot stands for, what follows behind it, and the block it is of."""
        if isinstance(at, Module):
            found = at.names.get(name)
            return (None, None, None) if found is None else (*self._declared(found, name, at), None)
        if isinstance(at, Place):
            symbol, behind = self.places.member(at, name)
            return symbol, behind, at
        return None, None, None

    def walk(self, chain: Sequence[str], view: View) -> Target:
        """Return what stands behind the dotted names of an expression."""
        span = Span(view.module.source, 0, 0)
        at = self.head(tree.Ref(tree.Name(chain[0], span), (), span), view)[1] if chain else None
        for name in chain[1:]:
            at = self.follow(at, name)[1]
        return at

    def _declared(self, found: Decl | Module | tree.Let, name: str, module: Module) -> tuple[Symbol, Target]:
        symbol = declared_symbol(found, name, self.aliases(module))
        if isinstance(found, Decl):
            return symbol, self.places.of(found)
        if isinstance(found, tree.Let):
            value = found.value
            return symbol, self.head(value, View(module))[1] if isinstance(value, tree.Ref) and not value.tail else None
        return symbol, found


def _free_axes(decls: Sequence[Decl]) -> dict[str, Symbol]:
    """Return the axes of grids that have names of their own."""
    blocks = [item for decl in decls for item in decl.items if isinstance(item, tree.Block)]
    lets = [i for b in blocks if b.kind.text in ("over", "zip") for i in b.items if isinstance(i, tree.Let)]
    return {
        let.name.text: Symbol("variable", let.name.text, place_of(let.name.span), let.name.span)
        for let in reversed(lets)
    }
