"""Random masks, and a reading of their definitions pair by pair."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from lmc.runtime.models.lowered import Shape
from lmc.runtime.models.masks import Causal, Document, Full, Mask, Memory, Prefix, Sliding, Tree

CPU = torch.device("cpu")
SIZES = st.integers(1, 6)


class Case:
    """A mask as nested tuples, how to build it, and a reading of the definitions pair by pair."""

    def __init__(self, expression: tuple[Any, ...], rows: int, queries: int, keys: int, past: list[int] | None) -> None:
        self.expression, self.rows, self.queries, self.keys, self.past = expression, rows, queries, keys, past

    def __repr__(self) -> str:
        return f"Case({self.expression}, {self.rows}, {self.queries}, {self.keys}, {self.past})"

    @property
    def mask(self) -> Mask:
        return self.build(self.expression)

    def build(self, expression: tuple[Any, ...]) -> Mask:
        kind, *args = expression
        if kind in ("and", "or"):
            left, right = map(self.build, args)
            return left & right if kind == "and" else left | right
        if kind == "document":
            ids, keys = (None if ids is None else torch.tensor(ids, dtype=torch.int32) for ids in args)
            assert ids is not None
            return Document(ids, keys)
        tensors = [torch.tensor(arg) if isinstance(arg, list) else arg for arg in args]
        atoms = {"causal": Causal, "full": Full, "prefix": Prefix, "sliding": Sliding, "tree": Tree, "memory": Memory}
        return atoms[kind](*tensors)

    def shape(self, dtype: torch.dtype = torch.float64) -> Shape:
        past = None if self.past is None else torch.tensor(self.past)
        return Shape(self.rows, self.queries, self.keys, dtype, CPU, past)

    def visible(self) -> Tensor:
        rows, queries, keys = range(self.rows), range(self.queries), range(self.keys)
        return torch.tensor([[[self.sees(self.expression, b, i, j) for j in keys] for i in queries] for b in rows])

    def sees(self, expression: tuple[Any, ...], b: int, i: int, j: int) -> bool:
        kind, *args = expression
        before = 0 if self.past is None else self.past[b]
        at = before + i
        if kind == "and":
            return self.sees(args[0], b, i, j) and self.sees(args[1], b, i, j)
        if kind == "or":
            return self.sees(args[0], b, i, j) or self.sees(args[1], b, i, j)
        if kind == "document":
            document = args[0][b][i]
            return j == at if document == -1 else (args[1] or args[0])[b][j] == document
        if kind == "tree":
            line, slot = list(range(before)), i
            while slot != -1:
                line.append(before + slot)
                slot = args[0][b][slot]
            return j in line
        return {
            "full": lambda: True,
            "causal": lambda: j <= at,
            "prefix": lambda: j < args[0][b] or j <= at,
            "sliding": lambda: at - j < args[0],
            "memory": lambda: j < args[0],
        }[kind]()


def atoms(rows: int, queries: int, keys: int, square: bool) -> st.SearchStrategy[tuple[Any, ...]]:
    def table(width: int) -> st.SearchStrategy[list[list[int]]]:
        return st.lists(st.lists(st.integers(-1, 2), min_size=width, max_size=width), min_size=rows, max_size=rows)

    parents = st.tuples(*[st.tuples(*[st.integers(-1, i - 1) for i in range(queries)]).map(list) for _ in range(rows)])
    return st.one_of(
        st.just(("causal",)),
        st.just(("full",)),
        st.tuples(st.just("prefix"), st.lists(st.integers(0, keys), min_size=rows, max_size=rows)),
        st.tuples(st.just("document"), table(queries), table(keys)),
        *([st.tuples(st.just("document"), table(queries), st.none())] if square else []),
        st.tuples(st.just("sliding"), st.integers(1, 6)),
        st.tuples(st.just("tree"), parents.map(list)),
        st.tuples(st.just("memory"), st.integers(0, keys)),
    )


def grow(expression: st.SearchStrategy[tuple[Any, ...]], depth: int) -> st.SearchStrategy[tuple[Any, ...]]:
    if depth == 0:
        return expression
    inner = grow(expression, depth - 1)
    return st.one_of(expression, st.tuples(st.sampled_from(["and", "or"]), inner, inner))


@st.composite
def cases(draw: st.DrawFn, depth: int = 3) -> Case:
    rows, queries, square = draw(st.integers(1, 3)), draw(SIZES), draw(st.booleans())
    keys = queries if square else draw(st.integers(1, 10))
    past = None if square or draw(st.booleans()) else [draw(st.integers(0, 5)) for _ in range(rows)]
    return Case(draw(grow(atoms(rows, queries, keys, square), depth)), rows, queries, keys, past)


@st.composite
def packings(draw: st.DrawFn) -> tuple[Case, Tensor, Mask]:
    """Documents side by side with padding behind them, their ids, and the rest of the mask: causal, windowed or not."""
    rows, width = draw(st.integers(1, 3)), draw(st.integers(1, 12))
    ids = []
    for _ in range(rows):
        lengths = draw(st.lists(st.integers(1, 6), max_size=5))
        row = [number for number, length in enumerate(lengths) for _ in range(length)]
        ids.append((row + [-1] * width)[:width])
    expression: tuple[Any, ...] = ("and", ("document", ids, None), ("causal",))
    window = draw(st.one_of(st.none(), st.integers(1, 5)))
    rest: Mask = Causal() if window is None else Causal() & Sliding(window)
    if window is not None:
        expression = ("and", ("sliding", window), expression)
    return Case(expression, rows, width, width, None), torch.tensor(ids, dtype=torch.int32), rest
