"""A plan as lines of canonical JSON, and back: what is read equals what was written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from .canonical import Texts, canonical_json, members, object_text
from .diagnostic import Diagnostic, LmcError
from .plain import unstructure
from .plan import FORMAT, Header, Lack, Node, Place, Plan, Point, Target
from .schema import fields
from .spec_text import spec_text

_POINT = members({name: name for name in fields(Point)})


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield the header, then nodes, points and targets, one JSON object a line."""
    yield canonical_json({"header": unstructure(plan.header)})
    texts = Texts()
    written = {id(node.place): node.place for node in plan.nodes.values()}
    places = {key: canonical_json(_place(place)) for key, place in written.items()}
    for node in plan.nodes.values():
        lacks = [[lack.what, _place(lack.place)] for lack in node.lacks]
        told = f'"lacks":{canonical_json(lacks)},' if lacks else ""
        name, spec = canonical_json(node.name), spec_text(node.spec, texts)
        yield f'{{"node":{{"id":"{node.id}",{told}"name":{name},"place":{places[id(node.place)]},"spec":{spec}}}}}'
    for point in plan.points:
        yield f'{{"point":{_point_text(point)}}}'
    for target in plan.targets:
        yield canonical_json({"target": unstructure(target)})
    yield canonical_json({"end": {"nodes": len(plan.nodes), "points": len(plan.points)}})


def _point_text(point: Point) -> str:
    """Return the canonical JSON of a point, whose members are texts and objects of plain values."""
    said = zip(_POINT.heads, _POINT.read(point), strict=True)
    texts = [head + (object_text(v) if isinstance(v, dict) else canonical_json(v)) for head, v in said]
    return "{" + ",".join(texts) + "}"


def parse_plan(lines: Iterable[str], path: str) -> Plan:
    """Return the plan that lines hold.

    Raises LmcError: LM0801 for lines that are no whole plan, LM0802 for a plan of another version.
    """
    from .codec import structure, structure_spec  # takes long to load, and who writes a plan needs none of it

    header: Header | None = None
    nodes: dict[str, Node] = {}
    points: list[Point] = []
    targets: list[Target] = []
    whole = False
    for number, line in enumerate(lines, 1):
        try:
            ((what, data),) = json.loads(line).items()
            if what == "header":
                if data.get("format") != FORMAT:
                    raise _error(
                        "LM0802", f"plan `{path}` has format {data.get('format')}; this version reads {FORMAT}"
                    )
                header = structure(data, Header)
            elif what == "node":
                lacks = tuple(Lack(what, Place(*place)) for what, place in data.get("lacks", ()))
                node = Node(data["id"], structure_spec(data["spec"]), data["name"], _read_place(data["place"]), lacks)
                nodes[node.id] = node
            elif what == "point":
                points.append(structure(data, Point))
            elif what == "target":
                targets.append(structure(data, Target))
            elif what == "end":
                whole = data == {"nodes": len(nodes), "points": len(points)}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _error("LM0801", f"plan `{path}` is damaged at line {number}") from error
    if header is None or not whole:
        raise _error("LM0801", f"plan `{path}` is not whole")
    return Plan(header, nodes, tuple(points), tuple(targets))


def parse_header(line: str, path: str) -> Header:
    """Return the header that a plan's first line holds. Raises LmcError: LM0801, LM0802."""
    try:
        return _header(json.loads(line)["header"], path)
    except (ValueError, KeyError, TypeError) as error:
        raise _error("LM0801", f"plan `{path}` is damaged at line 1") from error


def _header(data: Any, path: str) -> Header:
    if data.get("format") != FORMAT:
        raise _error("LM0802", f"plan `{path}` has format {data.get('format')}; this version reads {FORMAT}")
    from .codec import structure

    return structure(data, Header)


def _place(place: Place | None) -> Any:
    return None if place is None else [place.path, place.line, place.column, place.text]


def _read_place(data: Any) -> Place | None:
    return None if data is None else Place(*data)


def _error(code: str, message: str) -> LmcError:
    return LmcError(Diagnostic(code, message, None, help="compile it again"))
