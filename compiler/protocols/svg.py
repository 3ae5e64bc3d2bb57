"""A drawing of an automaton as SVG, in lines from free text on; common moves back stand below each state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from attrs import frozen

from .draw import Drawing, Edge, Node

COLUMN, ROW, RADIUS, MARGIN, COLUMNS = 190, 112, 22, 70, 8
CHARACTER = 7
FAILURES = ("abort", "malformed", "rejected")
COLOURS = {"free": "#eef2f7", "inside": "#fff4d6", "call": "#dff3e4", "malformed": "#fde2e1"}
STYLE = (
    "text{font:11px ui-monospace,Menlo,Consolas,monospace;fill:#1f2933}"
    ".number{font-weight:bold;text-anchor:middle}.title{font-size:14px;font-weight:bold}"
    ".small{font-size:9px;fill:#7b8794;text-anchor:middle}.does{fill:#b54708;font-weight:bold}"
    "path{fill:none;stroke:#9aa5b1;stroke-width:1.2}circle{stroke:#52606d;stroke-width:1.4}"
    ".label{text-anchor:middle}.behind{fill:#fff;fill-opacity:.85;stroke:none}"
)


@frozen
class Place:
    """The middle of a state, in pixels."""

    x: int
    y: int


def as_svg(drawing: Drawing) -> str:
    """Return a drawing as one SVG document."""
    drawn = _drawn(drawing)
    places = _places(drawn)
    width = max(place.x for place in places) + COLUMN
    height = max(place.y for place in places) + ROW + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" style="fill:#9aa5b1;stroke:none"/></marker></defs>',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text class="title" x="20" y="28">{escape(drawing.title)}</text>',
    ]
    circles: list[str] = []
    for number, node in enumerate(drawing.nodes):
        for target, edges in drawn[number].items():
            parts += _edge(places[number], places[target], edges)
        back = {edge.target for edge in node.edges} - drawn[number].keys() - {number}
        circles += _node(number, node, places[number], sorted(back))
    return "\n".join([*parts, *circles, "</svg>"]) + "\n"


def _drawn(drawing: Drawing) -> list[dict[int, list[Edge]]]:
    """Return, by node and target, the edges that are drawn.

    Left out are moves to where most of a phase lead, those that this state has as well, and ends of failed calls.
    """
    usual: dict[str, Counter[int]] = {}
    for node in drawing.nodes:
        usual.setdefault(node.phase, Counter()).update(e.target for e in node.edges if not e.does)
    homes = {phase: 0 if phase == "free text" else counts.most_common(1)[0][0] for phase, counts in usual.items()}
    drawn = []
    for number, node in enumerate(drawing.nodes):
        home = homes[node.phase]
        shared = {(e.target, e.does) for e in drawing.nodes[home].edges} if number != home else set()
        kept: dict[int, list[Edge]] = {}
        for edge in node.edges:
            failed = edge.does.split(" ")[0] in FAILURES
            known = (edge.target, edge.does) in shared or (edge.target in (0, home) and not edge.does)
            if not failed and (not known or edge.target == number):
                kept.setdefault(edge.target, []).append(edge)
        drawn.append(kept)
    return drawn


def _places(drawn: Sequence[dict[int, list[Edge]]]) -> list[Place]:
    """Return a place per node: breadth first from the start along the drawn edges, then whatever is left."""
    depths = {0: 0}
    queue = [0]
    for number in queue:
        for target in drawn[number]:
            if target not in depths:
                depths[target] = depths[number] + 1
                queue.append(target)
    last = max(depths.values()) + 1
    columns: dict[int, list[int]] = {}
    for number in range(len(drawn)):
        columns.setdefault(depths.get(number, last), []).append(number)
    places, top = {}, MARGIN + 50
    for first in range(0, last + 1, COLUMNS):
        band = [columns.get(depth, []) for depth in range(first, min(first + COLUMNS, last + 1))]
        for column, numbers in enumerate(band):
            for row, number in enumerate(numbers):
                places[number] = Place(MARGIN + column * COLUMN, top + row * ROW)
        top += max(map(len, band)) * ROW + ROW // 4
    return [places[number] for number in range(len(drawn))]


def _edge(start: Place, end: Place, edges: list[Edge]) -> list[str]:
    if start == end:
        x, y = start.x, start.y - RADIUS
        path = f"M{x - 8} {y + 2}C{x - 30} {y - 38} {x + 30} {y - 38} {x + 8} {y + 2}"
        at = Place(x, y - 32)
    elif end.x > start.x:
        bend = (end.x - start.x) // 2
        path = (
            f"M{start.x + RADIUS} {start.y}C{start.x + bend} {start.y} {end.x - bend} {end.y} {end.x - RADIUS} {end.y}"
        )
        at = Place((start.x + end.x) // 2, (start.y + end.y) // 2 - 5)
    else:
        low = max(start.y, end.y) + ROW // 2
        path = f"M{start.x} {start.y + RADIUS}C{start.x} {low} {end.x} {low} {end.x} {end.y + RADIUS}"
        at = Place((start.x + end.x) // 2, low - 10)
    lines = [f'<path d="{path}" marker-end="url(#arrow)"/>']
    for row, edge in enumerate(edges[:3]):
        text = escape(edge.label if len(edge.label) <= 18 else edge.label[:16] + "…")
        if row == 2 and len(edges) > 3:
            text = f"{len(edges) - 2} more"
        lines += _text("label", at.x, at.y + 12 * row, text)
    done = ", ".join(dict.fromkeys(edge.does for edge in edges if edge.does))
    if done:
        lines += _text(
            "label does", at.x, at.y + 17 if len(edges) == 1 else at.y + 12 * min(len(edges), 3), escape(done)
        )
    return lines


def _text(classes: str, x: int, y: int, text: str) -> list[str]:
    size = CHARACTER * len(text)
    return [
        f'<rect class="behind" x="{x - size // 2}" y="{y - 10}" width="{size}" height="13"/>',
        f'<text class="{classes}" x="{x}" y="{y}">{text}</text>',
    ]


def _node(number: int, node: Node, place: Place, back: Sequence[int]) -> list[str]:
    fill = COLOURS[node.phase.split()[0]]
    dashed = "" if node.live else ' stroke-dasharray="3 3"'
    states = f"{len(node.states)} states" if len(node.states) > 1 else ""
    notes = [node.phase, states, f"else → {', '.join(map(str, back))}" if back else ""]
    lines = [
        f'<circle cx="{place.x}" cy="{place.y}" r="{RADIUS}" fill="{fill}"{dashed}/>',
        f'<text class="number" x="{place.x}" y="{place.y + 4}">{number}</text>',
    ]
    for row, note in enumerate(note for note in notes if note):
        lines.append(f'<text class="small" x="{place.x}" y="{place.y + RADIUS + 11 + 10 * row}">{escape(note)}</text>')
    return lines
