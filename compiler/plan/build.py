"""Pass: worlds become nodes, points and targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from attrs import Factory, define, evolve, field

from ...spec.automaton import Automata
from ...spec.diagnostic import Diagnostics, Edit
from ...spec.identity import identity
from ...spec.plan import Header, Lack, Node, Place, Plan, Point, Target
from ...spec.rules import violations
from ...spec.schema import fields, slot
from ...spec.span import Span
from ..resolve.cells import Cell, Scope
from ..resolve.declare import Decl
from ..resolve.grids import AxisValue, Grid, plain, read_grid
from ..resolve.problems import Problem, Unknown, problem
from ..resolve.specs import slots_of
from ..resolve.values import DeclRef, PartRef, shown
from ..resolve.world import Program, World
from ..syntax import tree
from .ahead import lacks
from .failures import Failures
from .marks import check_marks
from .overlays import check_overlays
from .places import diagnosis, place_of, root_of
from .plots import plan_plot
from .protocols import automaton_node, check_unspoken
from .shared import Running, claim, in_order
from .stopping import check_watched, watched
from .values import values_of


@define(eq=False)
class PlanBuilder:
    """Collects what a program's runs need.

    Attributes:
        paths: names in plots that are paths into runs, by grid or train, and where they are written. unknown, misread:
            those that have no value yet, or none at all, by grid or train and name.
        spoken: automata by what they are made of. walk: which points of a grid are looked at. right: which overlays
            are known to be right and need not be tried.
        owners: by id, the first run that goes without being named. running: the one that is planned now. replaced:
            whether such a run has put its settings in the place of those of a base.
    """

    program: Program
    nodes: dict[str, Node] = Factory(dict)
    points: list[Point] = Factory(list)
    targets: list[Target] = Factory(list)
    automata: dict[tuple[tuple[str, ...], str], Node] = Factory(dict)
    worlds: dict[str, list[World]] = Factory(dict)
    grids: dict[str, Grid] = Factory(dict)
    paths: dict[str, dict[str, Span | None]] = Factory(dict)
    unknown: dict[tuple[str, str], str] = Factory(dict)
    misread: dict[tuple[str, str], Problem] = Factory(dict)
    compiled: set[Decl] = Factory(set)
    spoken: dict[Any, Automata] = Factory(dict)
    lookers: dict[tuple[Decl, str], list[Decl]] = field(init=False, factory=dict)
    places: dict[Decl, Place] = field(init=False, factory=dict)
    walk: Callable[[Grid], Iterator[tuple[World, tuple[AxisValue, ...]]]] = Grid.points
    right: Callable[[Decl], bool] = lambda decl: False
    owners: dict[str, str] = Factory(dict)
    running: Running | None = None
    replaced: bool = False
    null: World = field(init=False)

    @property
    def diagnostics(self) -> Diagnostics:
        """Where mistakes go."""
        return self.program.diagnostics

    def build(self, header: Header) -> Plan:
        """Return the plan of the main file's runs."""
        decls = self.program.main.decls
        self.null = World(self.program, None)
        grids = [(decl, read_grid(decl, self.program)) for decl in decls if decl.kind == "grid" and not decl.poisoned]
        bases = {grid.base for _, grid in grids if grid} | {
            base for d in decls if d.kind == "train" for base in d.bases
        }
        for decl in decls:
            if decl.kind == "train" and not decl.poisoned:
                self._train(decl, default=decl not in bases)
        for decl, grid in grids:
            if grid is not None:
                self._grid(decl, grid)
        for decl in decls:
            if decl.kind == "eval" and not decl.poisoned:
                self._guard(lambda decl=decl: self._model_eval(decl))
        self._check_unreached()
        check_overlays(self)
        for decl in decls:
            if decl.kind == "plot" and not decl.poisoned:
                self._guard(lambda decl=decl: plan_plot(self, decl))
        main = self.program.main
        for item in main.asserts:
            self._guard(lambda item=item: self.null.check(item, Scope((), main)))
        for let in main.names.values():
            if isinstance(let, tree.Let):
                self._guard(lambda let=let: self._check_constant(let))
        nodes = in_order(self.nodes) if self.replaced else self.nodes
        return Plan(header, nodes, tuple(self.points), tuple(self.targets))

    def _check_constant(self, let: tree.Let) -> None:
        """Raise Problem if a constant has no value; one that only a run knows is no mistake."""
        try:
            self.null.evaluator.expr(let.value, Scope((), self.program.main))
        except Unknown:
            return

    def _guard(self, action: Any) -> None:
        try:
            action()
        except Problem as error:
            error.report(self.diagnostics)

    def _train(self, decl: Decl, *, default: bool) -> None:
        """Plan a train on its own; one that others start from must only make sense with them."""
        program = self.program if default else evolve(self.program, diagnostics=Diagnostics())
        builder = self if default else evolve_builder(self, program)
        try:
            world = World(program, decl)
            running = Running(root_of(world), decl.name, (), set()) if default else None
            point = builder._point(world, decl, decl.name, {}, {}, running)
        except Problem as error:
            if default:
                error.report(self.diagnostics)
            return
        if not default and program.diagnostics.failed:
            return
        self.nodes.update(builder.nodes)
        self.points.append(point)
        self.worlds[decl.name] = [world]
        self._run_targets(decl.name, "train", [point], default)

    def _grid(self, decl: Decl, grid: Grid) -> None:
        self.grids[decl.name] = grid
        failures = Failures()
        points: list[Point] = []
        names: dict[str, int] = {}
        told: set[str] = set()
        shown = {value: plain(value.value) for axis in grid.axes for value in axis.values}
        for world, values in self.walk(grid):
            failures.seen += 1
            axes = {axis.path: shown[value] for axis, value in zip(grid.axes, values, strict=True)}
            try:
                if not self._kept(grid, world):
                    continue
                name = self._name(grid, world, values)
                running = Running(root_of(world), name, axes, told)
                point = self._point(world, grid.base, decl.name, axes, name, running)
                points.append(point)
                names[point.name] = names.get(point.name, 0) + 1
            except Problem as error:
                failures.add(error, axes)
        for found in failures.diagnostics(grid):
            if found.code != "LM0507":
                self.diagnostics.add(found)
            elif found not in self.diagnostics.items:  # several at one grid
                self.diagnostics.items.append(found)
        if not points and not failures.failed and failures.seen == grid.total:
            self.diagnostics.error("LM0502", decl.name_span, f"`where` leaves no point of grid `{decl.name}`")
        twice = next((name for name, count in names.items() if count > 1), None)
        if twice is not None and "name" in grid.draft.fields and len({p.run for p in points if p.name == twice}) > 1:
            span, (help, edits) = grid.draft.fields["name"].expr.span, _unnamed(grid)
            self.diagnostics.error("LM0508", span, f"several runs are called `{twice}`", help=help, edits=edits)
        self.points += points
        self.worlds[decl.name] = list(grid.worlds.values())
        self._run_targets(decl.name, "grid", points, True)

    def _kept(self, grid: Grid, world: World) -> bool:
        if "where" not in grid.draft.fields:
            return True
        where = grid.draft.fields["where"]
        expr, module = where.expr, where.module
        kept = world.memo.once(("where", id(expr)), lambda: world.evaluator.expr(expr, grid.scope(world, module)))
        if not isinstance(kept, bool):
            raise problem("LM0301", expr.span, "`where` needs a Bool")
        return kept

    def _name(self, grid: Grid, world: World, values: tuple[AxisValue, ...]) -> str:
        if "name" not in grid.draft.fields:
            parts = [f"{axis.path.split('.')[-1]}{_named(v)}" for axis, v in zip(grid.axes, values, strict=True)]
            return "-".join([grid.draft.decl.name, *parts])
        written = grid.draft.fields["name"].expr
        said = written.parts if isinstance(written, tree.FString) else (written,)
        return "".join([part if isinstance(part, str) else self._name_part(grid, world, part) for part in said])

    @staticmethod
    def _name_part(grid: Grid, world: World, part: tree.Interpolation | tree.Expr) -> str:
        """Return a part of a name, which reads fewer axes than all of it."""

        def read() -> Any:
            scope = grid.scope(world, grid.draft.fields["name"].module)
            if isinstance(part, tree.Interpolation):
                return world.evaluator.interpolated(part, scope)
            return world.evaluator.expr(part, scope)

        found = world.memo.once(("name", id(part)), read)
        if not isinstance(found, str):
            raise problem("LM0301", part.span, "`name` needs a Str")
        return found

    def _point(
        self, world: World, base: Decl, grid: str, axes: dict[str, Any], name: Any, running: Running | None
    ) -> Point:
        """Plan a run; `running` unless it goes only if it is named."""
        root, self.running = root_of(world), running
        try:
            run = self.register(world, root)
        finally:
            self.running = None
        evals, probes = {}, {}
        for decl in self.attached(base, "eval"):
            evals[decl.name] = self._attached(world, decl, run)
        for metric, path in watched(self.nodes[run].spec):  # of an imported train, in the file that says so
            head = metric.split(".")[0]
            found = None if head in evals else world.evaluation(root, *path, head)
            if found is not None and self._looks_at(found, base):
                evals[found.name] = self._attached(world, found, run)
        for decl in self.attached(base, "probe"):
            probes[decl.name] = self._attached(world, decl, run)
        check_watched(self, root, self.nodes[run].spec, evals)
        values = {**axes, **values_of(self, world, grid)}
        return Point(grid, name or base.name, axes, run, evals, probes, values)

    def attached(self, base: Decl, kind: str) -> list[Decl]:
        """Return the evaluations or probes whose run is `base` or a block that it starts from."""
        if (base, kind) not in self.lookers:
            decls = (d for d in self.program.main.decls if d.kind == kind and not d.poisoned)
            found = [d for d in decls if self._looks_at(d, base)]
            self.lookers[base, kind] = found
        return self.lookers[base, kind]

    def _looks_at(self, decl: Decl, base: Decl) -> bool:
        return any(run is base or run in base.bases for run in self._runs_of(decl))

    def _runs_of(self, decl: Decl) -> tuple[Decl, ...]:
        def resolve() -> tuple[Decl, ...]:
            value = self.null.evaluator.value(self.null.instance(decl), "run")
            return tuple(ref.decl for ref in (value if isinstance(value, tuple) else (value,)))

        try:
            found: tuple[Decl, ...] = self.null.memo.once(("run", decl), resolve)
        except Problem as error:
            error.report(self.diagnostics)
            return ()
        return found

    def register(self, world: World, cell: Cell) -> str:
        """Return the id of a block's node, made with its inputs once per distinct spec."""
        result: str = world.memo.once(("node", cell), lambda: self._register(world, cell))
        return result

    def _register(self, world: World, cell: Cell) -> str:
        spec = world.spec(cell)
        world.memo.once(("read", cell), lambda: self._register_reads(world, cell))
        lacking = world.checked(("rules", cell), (cell,), lambda: self._check(world, cell, spec))
        for item, scope in cell.asserts:
            world.check(item, scope)
        node_id = world.node_id(cell)
        if cell.kind == "data" and getattr(spec, "protocols", None):
            automaton = automaton_node(self, world, cell)
            if getattr(spec, "spoken", None):
                spec = evolve(spec, automaton=automaton)
        known = self.nodes.get(node_id)
        if known is None or (cell.kind == "train" and self.running is not None):
            node = Node(node_id, spec, cell.name, self._place_of(cell.root), lacking)
            self.nodes.setdefault(node_id, node)
            if cell.kind == "train":
                claim(self, world, cell, node)
        return node_id

    def _check(self, world: World, cell: Cell, spec: Any) -> tuple[Lack, ...]:
        """Raise Problem for a rule that a spec breaks; return what of it cannot be run."""
        for violation in violations(spec, lambda node_id: self.nodes[node_id].spec):
            raise Problem(diagnosis(world, cell, violation))
        return lacks(cell, spec)

    def _register_reads(self, world: World, cell: Cell) -> None:
        """Register the blocks that a cell and what is nested in it refer to."""
        named = (inner for blocks in cell.named.values() for inner in blocks.values())
        for owner in (cell, *named, *_referring(cell)):
            self._register_read(world, owner)
        for fork in world.border(cell.root).stages.values() if cell.kind == "train" else ():
            self._register_read(fork, root_of(fork))

    def _register_read(self, world: World, cell: Cell) -> None:
        for name in _references(cell.cls):
            value = world.evaluator.value(cell, name)
            for ref in value if isinstance(value, tuple) else (value,):
                if isinstance(ref, DeclRef | PartRef):
                    read = world.border(ref.decl) if ref.decl.kind == "train" else world
                    self.register(read, read.instance(ref.decl))

    def _place_of(self, decl: Decl) -> Place:
        """Return where a block is declared, one object for all of its nodes."""
        if decl not in self.places:
            self.places[decl] = place_of(decl.name_span)
        return self.places[decl]

    def _attached(self, world: World, decl: Decl, run: str) -> str:
        """Return the id of an evaluation's or probe's node at a run."""
        cell = world.instance(decl)
        spec = world.spec(cell)
        if getattr(spec, "data", None) is not None:
            self.register(world, world.instance(world.evaluator.value(cell, "data").decl))
        for inner in _referring(cell):
            self._register_read(world, inner)
        if getattr(spec, "protocols", ()):
            spoken = world.memo.once(("automaton", cell), lambda: automaton_node(self, world, cell))
            spec = evolve(spec, run=run, automaton=spoken)
        else:
            spec = evolve(spec, run=run)
        looked = (cell,) if world.root is None else (cell, world.root)
        lacking = world.checked(("rules", cell), looked, lambda: self._check_looker(world, cell, spec))
        node_id = identity(spec, world.neutral(cell), self.program.texts)
        if node_id not in self.nodes:
            self.nodes[node_id] = Node(node_id, spec, decl.name, self._place_of(decl), lacking)
        return node_id

    def _model_eval(self, decl: Decl) -> None:
        """Plan an evaluation of a model, which is looked at as trainings of it start."""
        for model in self._runs_of(decl):
            if model.kind == "model" and not model.poisoned:
                node_id = self._attached(self.null, decl, self.register(self.null, self.null.instance(model)))
                self.targets.append(Target(decl.name, "eval", (node_id,), default=True))

    def _check_looker(self, world: World, cell: Cell, spec: Any) -> tuple[Lack, ...]:
        check_marks(self, world, cell, spec)
        return self._check(world, cell, spec)

    def _check_unreached(self) -> None:
        """Check the blocks that no run reaches: their mistakes are mistakes all the same."""
        reached = {cell.root for worlds in self.worlds.values() for world in worlds for cell in world.reached()}
        for decl in self.program.main.decls:
            if decl in reached or decl.poisoned or decl.kind in ("grid", "overlay", "plot", "train", "eval", "probe"):
                continue
            self._guard(lambda decl=decl: self.register(self.null, self.null.instance(decl)))
        for decl in self.program.main.decls:
            if decl.kind in ("eval", "probe") and not decl.poisoned and decl not in reached:
                self._guard(lambda decl=decl: self.null.spec(self.null.instance(decl)))
        for decl in self.program.main.decls:
            if decl.kind == "protocol" and not decl.poisoned and decl not in self.compiled:
                self._guard(lambda decl=decl: check_unspoken(self, decl))

    def _run_targets(self, name: str, kind: str, points: list[Point], default: bool) -> None:
        nodes: dict[str, None] = {}
        for point in points:
            nodes.update(dict.fromkeys([point.run, *point.evals.values(), *point.probes.values()]))
        self.targets.append(Target(name, kind, tuple(nodes), default))


def evolve_builder(builder: PlanBuilder, program: Program) -> PlanBuilder:
    """Return a builder that reports elsewhere and keeps its own nodes."""
    other = PlanBuilder(
        program, dict(builder.nodes), automata=builder.automata, paths=builder.paths, unknown=builder.unknown
    )
    other.compiled, other.spoken, other.misread = builder.compiled, builder.spoken, builder.misread
    other.null = builder.null
    return other


def _named(value: AxisValue) -> str:
    """Return a value of an axis as the name of a run has it."""
    found = plain(value.value)
    return shown(found) if isinstance(found, bool) or found is None else str(found)


def _referring(cell: Cell) -> list[Cell]:
    """Return the nested blocks of a cell that refer to other blocks."""
    written = (cell.slot(name) for name in _referring_slots(cell.cls) if name in cell.slots)
    return [inner for inner in written if inner is not None]


@cache
def _referring_slots(cls: Any) -> tuple[str, ...]:
    """Return the slots of a class whose blocks may refer to other blocks."""
    return tuple(name for name in slots_of(cls) if any(map(_references, slot(cls, name).values())))


@cache
def _references(cls: Any) -> tuple[str, ...]:
    """Return the fields of a class that refer to blocks and can be written."""
    return tuple(name for name, a in fields(cls).items() if a.metadata["ref"] and not a.metadata["hidden"])


def _unnamed(grid: Grid) -> tuple[str, tuple[Edit, ...]]:
    """Return what to do about a `name` that does not tell runs apart, and edits: a text without `f` has no braces."""
    expr = grid.draft.fields["name"].expr
    missing = [f"{{{axis.path}}}" for axis in grid.axes if axis.path not in expr.span.text]
    if isinstance(expr, tree.String) and expr.span.text == f'"{expr.value}"' and "{" in expr.value:
        text = f'f"{"-".join([expr.value, *missing])}"'
        return f"braces are read in a text that begins with f: {text}", (Edit(expr.span, text),)
    return f"add {', '.join(missing)} to it" if missing else "name every axis in `name`", ()
