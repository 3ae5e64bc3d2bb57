"""How two specs differ in what they mean: field by field, through what they refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
from attrs import define, frozen

from .exported import spelt, without_password
from .expr import Expr
from .schema import fields, kind_of, variant_of
from .units import Glob, Pattern

Read = Callable[[str], Any]
"""Gives the spec of a node id; None for one that is not known."""


@frozen
class Change:
    """A value that differs. `path` is written as in a file; None stands for what one side does not have."""

    path: str
    old: Any
    new: Any


class FieldWalk:
    """Compares specs field by field; what a field refers to is left to a subclass.

    `meant`: of the fields that identities cover alone.
    """

    meant = True

    def specs(self, old: Any, new: Any, path: str) -> Iterator[Change]:
        """Yield the changes between two specs whose place is `path`."""
        if type(old) is not type(new):
            yield Change(path or kind_of(type(new)), shown(old), shown(new))
            return
        found = list(self._fields(old, new, path, hidden=False))
        yield from found or (self._fields(old, new, path, hidden=True) if self.meant else ())

    def _fields(self, old: Any, new: Any, path: str, *, hidden: bool) -> Iterator[Change]:
        """Yield the changes of the fields that are written, or of those that the compiler fills."""
        for name, field in fields(type(new)).items():
            if (self.meant and not field.metadata["identity"]) or field.metadata["hidden"] != hidden:
                continue
            before, after = getattr(old, name), getattr(new, name)
            if field.metadata["ref"]:
                yield from self.references(before, after, _join(path, spelt(name)))
            elif before != after or type(before) is not type(after):
                yield from self._values(before, after, _join(path, spelt(name)))

    def references(self, old: Any, new: Any, path: str) -> Iterator[Change]:
        """Yield the changes of a field that refers to blocks, whose values are node ids, tuples of them, or None."""
        raise NotImplementedError

    def _values(self, old: Any, new: Any, path: str) -> Iterator[Change]:
        if _is_spec(old) and _is_spec(new):
            yield from self.specs(old, new, path)
        elif isinstance(old, dict) and isinstance(new, dict):
            for key in dict.fromkeys([*old, *new]):
                if old.get(key) != new.get(key):
                    yield from self._values(old.get(key), new.get(key), _join(path, key))
        elif isinstance(old, tuple) and isinstance(new, tuple) and any(map(_is_spec, old + new)):
            for number in range(max(len(old), len(new))):
                pair = [side[number] if number < len(side) else None for side in (old, new)]
                if pair[0] != pair[1]:
                    name = getattr(pair[0] or pair[1], "name", str(number))
                    yield from self._values(pair[0], pair[1], _join(path, spelt(name)))
        else:
            yield Change(path, plain(old), plain(new))


@define
class Difference(FieldWalk):
    """Compares nodes of two sides and all that they refer to; a pair that many runs share is compared once."""

    old: Read
    new: Read
    known: dict[tuple[str, str], tuple[Change, ...]] = attrs.Factory(dict)

    def between(self, old_id: str, new_id: str) -> tuple[Change, ...]:
        """Return the changes from a node of the old side to one of the new."""
        if old_id == new_id:
            return ()
        key = (old_id, new_id)
        if key not in self.known:
            self.known[key] = ()
            old, new = self.old(old_id.split("/")[0]), self.new(new_id.split("/")[0])
            table = [("/" + part.partition("/")[2] if "/" in part else "") for part in key]
            found = [Change("", table[0], table[1])] if table[0] != table[1] else []
            if old is None or new is None:
                found.append(Change("", old and shown(old), new and shown(new)))
            else:
                found += self.specs(old, new, "")
            self.known[key] = tuple(found)
        return self.known[key]

    def references(self, old: Any, new: Any, path: str) -> Iterator[Change]:
        """Yield the changes of the blocks that a field refers to."""
        if isinstance(old, str) and isinstance(new, str):
            for change in self.between(old, new):
                yield Change(_join(path, change.path), change.old, change.new)
        elif isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new):
            for number, (one, other) in enumerate(zip(old, new, strict=True)):
                yield from self.references(one, other, path if len(old) == 1 else f"{path}[{number}]")
        elif old != new:
            yield Change(path, _count(old), _count(new))


def shown(spec: Any) -> str:
    """Return the variant of a spec, its kind where that has a single form."""
    return variant_of(type(spec)) or kind_of(type(spec))


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, str):
        return without_password(value)
    if _is_spec(value):
        return shown(value)
    if isinstance(value, Expr | Pattern):
        return value.text
    if isinstance(value, Glob):
        return value.pattern
    if attrs.has(type(value)):
        return attrs.asdict(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def _is_spec(value: Any) -> bool:
    return hasattr(type(value), "lmc_kind")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def _count(value: Any) -> Any:
    return f"{len(value)} of them" if isinstance(value, tuple) else "a block" if value else None
