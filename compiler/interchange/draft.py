"""A spec while it is written: blocks whose fields are expressions as text."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from attrs import Factory, define

from ...spec.units import COUNT_SUFFIXES, written

WIDTH = 100
_DECIMAL = {suffix: size for suffix, size in COUNT_SUFFIXES.items() if suffix in ("", "k", "M", "B")}


@define
class Block:
    """A block: fields are expressions as text, or nested blocks. `name` is empty for a nested block without one."""

    kind: str
    name: str = ""
    variant: str = ""
    fields: dict[str, str | Block] = Factory(dict)

    @property
    def head(self) -> str:
        """What stands before the braces."""
        named = f"{self.kind} {self.name}" if self.name else self.kind
        return f"{named} : {self.variant}" if self.variant else named

    @property
    def inline(self) -> str:
        """The block as an expression, which starts from its variant."""
        return f"{self.variant} {self._braces()}"

    def _braces(self) -> str:
        items = [f.one_line if isinstance(f, Block) else f"{name} = {f}" for name, f in self.fields.items()]
        return f"{{ {', '.join(items)} }}" if items else "{}"

    @property
    def one_line(self) -> str:
        """The block on a line."""
        return f"{self.head} {self._braces()}"

    def lines(self, indent: int = 0) -> Iterator[str]:
        """Yield the block on one line if it is nested and fits, else a field a line."""
        margin = " " * indent
        if indent and len(self.one_line) + indent < WIDTH:
            yield margin + self.one_line
            return
        yield f"{margin}{self.head} {{"
        for name, value in self.fields.items():
            if isinstance(value, Block):
                yield from value.lines(indent + 2)
            else:
                yield f"{margin}  {name} = {value}"
        yield f"{margin}}}"


@define
class Draft:
    """The blocks of a run.

    `reach` says how a path of a block begins, seen from the train: `model.` of a model. `implied` are values by path
    that follow from others where nothing is written.
    """

    train: Block
    blocks: list[Block] = Factory(list)
    evals: list[Block] = Factory(list)
    reach: dict[str, str] = Factory(dict)
    implied: dict[str, str] = Factory(dict)

    @property
    def every(self) -> list[Block]:
        """All blocks in an order in which they can be written."""
        return [*self.blocks, self.train, *self.evals]

    def leaves(self) -> dict[str, str | Block]:
        """Return every value by its path from the train, and every nested block whose variant is said."""
        found: dict[str, str | Block] = {}
        for block in (*self.blocks, self.train):
            if block.name in self.reach or block is self.train:
                found |= dict(_leaves(block, self.reach.get(block.name, "")))
        return found


def _leaves(block: Block, path: str) -> Iterator[tuple[str, str | Block]]:
    for name, value in block.fields.items():
        if isinstance(value, Block):
            key = path + (value.name or value.kind)
            if value.variant:
                yield key, value
            yield from _leaves(value, key + ".")
        else:
            yield path + name, value


def number(value: Decimal | int) -> str:
    """Return a number as the language writes it: `100k`, `0.033`, `3e-4`."""
    exact = Decimal(value)
    if exact == exact.to_integral_value() and abs(exact) < 10**15:
        return written(int(exact), _DECIMAL) if exact else "0"
    sign, digits, exponent = exact.normalize().as_tuple()
    assert isinstance(exponent, int)
    if len(digits) + exponent > -2:
        return f"{exact.normalize():f}"
    mantissa = str(digits[0]) + ("." + "".join(map(str, digits[1:])) if len(digits) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{len(digits) + exponent - 1}"


def decimal(value: Decimal | int) -> str:
    """Return a number for a field that need not be whole: `1.0`, `0.1`, `3e-4`."""
    text = number(value)
    return f"{text}.0" if text.isdigit() else text


def quoted(text: str) -> str:
    """Return a string literal."""
    escaped = (
        text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    )
    return f'"{escaped}"'


def words(texts: list[str]) -> str:
    """Return a list of string literals."""
    return f"[{', '.join(map(quoted, texts))}]"


def path(text: str, *parts: str) -> str:
    """Return a path that is put together, as a string literal."""
    return quoted(str(Path(text, *parts)))
