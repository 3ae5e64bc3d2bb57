"""What is shown: the lines of a run's files as named numbers, and its settings."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import Factory, define

from ...spec.codec import unstructure
from ...spec.plan import Node, closure
from ...spec.schema import fields, kind_of

Scalars = dict[str, float]


@define
class Tail:
    """The lines of a growing file of records, each read once.

    Attributes:
        name: what its numbers are grouped under. waiting: lines of later steps than were asked for.
    """

    name: str
    path: Path
    at: int = 0
    waiting: list[dict[str, Any]] = Factory(list)

    def upto(self, step: int) -> list[tuple[int, Scalars]]:
        """Return the new lines of steps up to `step`; a line that is not whole yet is left for later."""
        self.waiting += self._fresh()
        ready = [line for line in self.waiting if line["step"] <= step]
        self.waiting = [line for line in self.waiting if line["step"] > step]
        return [(line["step"], scalars(self.name, line)) for line in ready]

    def _fresh(self) -> Iterable[dict[str, Any]]:
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            file.seek(self.at)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.at += len(line)
                yield json.loads(line)


def scalars(name: str, line: Mapping[str, Any]) -> Scalars:
    """Return the finite numbers of a record, or of its `metrics`, as `name/key`; the step is none of them."""
    values = line.get("metrics", line)
    return {
        f"{name}/{key}": float(value)
        for key, value in values.items()
        if key != "step" and isinstance(value, int | float) and math.isfinite(value)
    }


def settings_of(nodes: Mapping[str, Node], run: str) -> dict[str, str | int | float | bool]:
    """Return every setting of a run and of what it reads as `kind.path`, `kind.name.path` where there are several."""
    reached = [nodes[node_id] for node_id in closure(dict(nodes), [run])]
    kinds = [kind_of(type(node.spec)) for node in reached]
    found: dict[str, str | int | float | bool] = {}
    for node, kind in zip(reached, kinds, strict=True):
        references = {name for name, field in fields(type(node.spec)).items() if field.metadata["ref"]}
        plain = {key: value for key, value in unstructure(node.spec).items() if key not in references | {"kind"}}
        _flatten(kind if kinds.count(kind) == 1 else f"{kind}.{node.name}", plain, found)
    return found


def _flatten(path: str, value: Any, found: dict[str, Any]) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "variant":
                found |= {f"{path}.{key}": item} if item else {}
            elif key != "kind":
                _flatten(f"{path}.{key}", item, found)
    elif isinstance(value, str | int | float | bool):
        found[path] = value
    elif value:
        found[path] = json.dumps(value)
