"""Protocols of a plan: which are spoken together over which tokenizer, and the automata that they make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...spec.automaton import Automata
from ...spec.diagnostic import Diagnostics
from ...spec.identity import identity
from ...spec.plan import Node
from ...spec.protocol import Automaton
from ...spec.schema import fields
from ...spec.units import Pattern
from ..resolve.cells import Cell
from ..resolve.declare import Decl
from ..resolve.problems import poison
from ..resolve.world import World
from ..syntax import tree
from .places import place_of, root_of

if TYPE_CHECKING:
    from ..protocols.compile import ProtocolSource
    from .build import PlanBuilder


def automaton_node(builder: PlanBuilder, world: World, cell: Cell) -> str:
    """Return the id of the token automaton of the protocols of an evaluation or of data."""
    protocols = [world.instance(ref.decl) for ref in world.evaluator.value(cell, "protocols")]
    ids = tuple(builder.register(world, protocol) for protocol in protocols)
    owner = cell if cell.kind == "data" else data_of(world, cell)
    tokenizer = builder.register(world, world.instance(world.evaluator.value(owner, "tokenizer").decl))
    if (ids, tokenizer) not in builder.automata:
        compiled = compile_together(builder, world, protocols, builder.nodes[tokenizer].spec.specials)
        if compiled is None:
            raise poison()
        spec = Automaton(protocols=ids, tokenizer=tokenizer, automata=compiled)
        place = place_of(protocols[0].span)
        builder.automata[ids, tokenizer] = Node(identity(spec), spec, protocols[0].name, place)
    node = builder.automata[ids, tokenizer]
    builder.nodes.setdefault(node.id, node)
    return node.id


def data_of(world: World, cell: Cell) -> Cell:
    """Return the data that an evaluation asks about: its own, or the training's; the model if there is none."""
    own = world.evaluator.value(cell, "data") if "data" in fields(cell.cls) else None
    if own is None and world.root is None:
        return world.instance(world.evaluator.value(cell, "run").decl)
    return world.instance((own or world.evaluator.value(root_of(world), "data")).decl)


def compile_together(
    builder: PlanBuilder, world: World, protocols: Sequence[Cell], specials: Sequence[str]
) -> Automata | None:
    """Return the automata of protocols, or None after recording what is wrong with them."""
    from ..protocols.compile import compile_protocols  # most specs have no protocol

    builder.compiled |= {cell.root for cell in protocols}
    sources = [source_of(world, cell) for cell in protocols]
    content = (tuple(source.content for source in sources), tuple(specials))
    if content not in builder.spoken:
        own = Diagnostics()
        automata = compile_protocols(sources, specials, own)
        for diagnostic in own.items:
            builder.diagnostics.add(diagnostic)
        if automata is None or own.items:
            return automata
        builder.spoken[content] = automata
    return builder.spoken[content]


def check_unspoken(builder: PlanBuilder, decl: Decl) -> None:
    """Compile a protocol that nothing speaks, with any special token of the file: its mistakes are mistakes too."""
    world = builder.null
    declared = [d for d in builder.program.main.decls if d.kind == "tokenizer" and not d.poisoned]
    specials = [spelling for d in declared for spelling in world.spec(world.instance(d)).specials]
    if declared:
        compile_together(builder, world, [world.instance(decl)], list(dict.fromkeys(specials)))


def source_of(world: World, cell: Cell) -> ProtocolSource:
    """Return a protocol as it was written."""
    from ..protocols.compile import ProtocolSource

    spec, call = world.spec(cell), cell.slot("call")
    assert call is not None
    opening, closing = _literal(call, "open", spec.call.open), _literal(call, "close", spec.call.close)
    assert opening is not None
    assert closing is not None
    template = type(spec).template_field
    return ProtocolSource(
        name=cell.name,
        open=opening,
        body=_literal(call, "body", spec.call.body),
        close=closing,
        handover=_literal(call, "handover", spec.call.handover),
        template=_literal(cell, template, getattr(spec, template)) if template else None,
        allow=getattr(spec, "allow", {}),
        span=cell.span,
        match=spec.call.match,
        longest=spec.call.overlap == "longest",
        constrained=spec.constrain == "inside",
        told=_told(cell, spec),
        allow_spans={name: setting.span for name, setting in cell.maps.get("allow", {}).items()},
    )


def _told(cell: Cell, spec: Any) -> list[tree.String]:
    reply = cell.slot("reply")
    assert reply is not None
    found = [_literal(reply, name, getattr(spec.reply, name)) for name in ("prefix", "suffix") if name in reply.fields]
    return [literal for literal in found if literal is not None]


def _literal(owner: Cell, name: str, value: Any) -> tree.String | None:
    """Return a field as it was written, for spans inside it; None for `none`."""
    if value is None:
        return None
    expr = owner.fields[name][-1].expr
    if isinstance(expr, tree.String):
        return expr
    pattern = value if isinstance(value, Pattern) else Pattern(value)
    return tree.String(pattern.text, "re" if pattern.regex else "", expr.span)
