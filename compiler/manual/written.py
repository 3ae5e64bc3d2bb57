"""What no attrs class says: the kinds in a sentence each, and the blocks whose statements the compiler reads itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from ...spec.train import Train
from ..resolve.lengths import LENGTHS
from ..resolve.stages import MAY_SET

if TYPE_CHECKING:
    from .describe import FieldDoc

OF_TRAIN = "that of the train"
KINDS: dict[str, str] = {
    "data": "What a training reads: examples of tokens, and which of their positions are trained.",
    "eval": "Numbers about a trained model, taken while it trains or at its end.",
    "grid": "Many runs from one train: axes, filters and replicates over paths into it.",
    "mesh": "How many devices a run uses, and along which axes it is cut.",
    "model": "An architecture and how its weights are drawn or loaded.",
    "overlay": "Edits of a block that are applied on demand, by `with = [NAME]` or `--with NAME`.",
    "plot": "A figure or table over the results of runs.",
    "probe": "What is recorded at named sites of a model while it trains; observing changes no bit.",
    "protocol": "How a model calls a tool in the middle of its text, and what it is told.",
    "store": "A database that tools query and data sets are made from.",
    "tokenizer": "How text becomes token ids; in a world it is one for data and model.",
    "train": "A training run: a model, its data, how long, and by which rule.",
}


@frozen
class Written:
    """A block whose statements are no fields of an attrs class."""

    doc: str
    fields: Callable[[Callable[[type, str], FieldDoc]], tuple[FieldDoc, ...]]


def _grid(describe: Callable[[type, str], FieldDoc]) -> tuple[FieldDoc, ...]:
    from .describe import FieldDoc

    return (
        FieldDoc("base", "Ref[train]", "The train that every run starts from; keys are paths into it.", required=True),
        FieldDoc(
            "over",
            "block of PATH = List",
            "Axes: their product, in written order, the last varying fastest. `let x = [...]` is a free one.",
        ),
        FieldDoc(
            "zip", "block of PATH = List", "Axes that go in step; all have the same length. Blocks with names multiply."
        ),
        FieldDoc(
            "draw", "block of n and seed", "How often the distributions in `over` are drawn from, and by which seed."
        ),
        FieldDoc("where", "Bool", "Which points stay; read at each of them.", default="true"),
        FieldDoc("set", "block", "Statements that derive values at each point, stronger than axes."),
        FieldDoc("seeds", "List[Int]", "An axis over `seed` that plots know as replicates."),
        FieldDoc("ceiling", "Int", "Most points that the grid may have.", default="100000"),
        FieldDoc("identity", "List[Str]", 'Fields that count as identity here, though not elsewhere: `+= ["mesh"]`.'),
        FieldDoc("name", "Str", 'What a run is called: `f"d{model.width}-s{seed}"`; must tell every axis.'),
        FieldDoc("with", "List[Ref[overlay]]", "Overlays that lie over the grid before it is expanded."),
    )


def _overlay(describe: Callable[[type, str], FieldDoc]) -> tuple[FieldDoc, ...]:
    return ()


def _stage(describe: Callable[[type, str], FieldDoc]) -> tuple[FieldDoc, ...]:
    from .describe import FieldDoc

    own = {
        "steps": FieldDoc(
            "steps", "Steps", "Optimiser steps of the stage; that or `tokens` is written.", range="at least 1"
        ),
        "tokens": FieldDoc("tokens", "Int", "Tokens of the stage; that or `steps` is written."),
        "model": FieldDoc("model.positions", "Variant", "How the model knows positions."),
        "optim": FieldDoc("optim.lr", "Float", "Peak learning rate of the stage.", range="above 0"),
    }
    kept = {name: evolve(own.get(name) or describe(Train, name), required=False, default="") for name in MAY_SET}
    return tuple(field if name in LENGTHS else evolve(field, default=OF_TRAIN) for name, field in kept.items())


BLOCKS: dict[str, Written] = {
    "grid": Written(
        "Runs over a product of axes. What stands beside these statements edits the base in every run.", _grid
    ),
    "overlay": Written(
        "`overlay NAME : TARGET { ... }` holds statements as the target itself would: fields and blocks of it, and "
        "paths through its references. It is checked where it is written, and changes nothing until it is applied.",
        _overlay,
    ),
    "stage": Written(
        "A stretch of a training: the train with these statements on top. Stages run in the order in which they are "
        "written, and the length of the train is the sum of theirs.",
        _stage,
    ),
}

TYPES: dict[str, str] = {
    "Bool": "`true`, `false`",
    "Int": "`8`, `5k`, `1.5B`, `8Ki`, `0x1f`; suffixes k M B T (powers of 1000), Ki Mi Gi (powers of 1024)",
    "Float": "`1e-3`, `0.9`, or an Int",
    "Steps": "an Int; a computed value is rounded to one: `0.02 * steps`",
    "Size": "`16KiB`, `70GiB`; suffixes KiB MiB GiB TiB",
    "Duration": "`10ms`, `30s`, `5min`, `2h`, `1d`",
    "Str": '`"..."` with escapes, `r"..."` raw, `f"...{expr:format}..."`; triple quotes span lines',
    "Regex": '`re"..."`',
    "Path": '`file("a.txt")`, `files("t/*.txt")`, relative to the file that wrote them',
    "List": "`[1, 2]`, `[2 * x for x in list if x > 1]`",
    "Ref": "the name of a block of that kind, without quotes",
    "Variant": "a block with one of the names behind a colon, `mixer : attention { heads = 2 }`, or as a value, "
    "`attention { heads = 2 }`",
    "Column": "an expression over the results of runs: `min(held_out.loss)`",
    "Live": "a condition over metrics while a run goes on: `held_out.loss < 1.2`",
    "none": "`none`, where a field may be without a value",
}


@frozen
class FunctionDoc:
    """How a function of the language is called, and what it gives."""

    call: str
    doc: str


FUNCTION_DOCS: dict[str, FunctionDoc] = {
    "range": FunctionDoc(
        "range([start,] end [, step])", "Whole numbers from start, 0 if it is left out, to before end."
    ),
    "pow2": FunctionDoc("pow2(low, high)", "Powers of two, both exponents included: pow2(1, 3) is [2, 4, 8]."),
    "geom": FunctionDoc("geom(start, stop, count)", "Points in equal ratios, both ends included."),
    "linspace": FunctionDoc("linspace(start, stop, count)", "Points in equal distances, both ends included."),
    "logspace": FunctionDoc("logspace(start, stop, count)", "10 to the points of linspace: logspace(-4, -2, 3)."),
    "uniform": FunctionDoc("uniform(low, high)", "An axis that is drawn evenly from low to before high; see `draw`."),
    "loguniform": FunctionDoc("loguniform(low, high)", "The same of the logarithm."),
    "choice": FunctionDoc("choice(list)", "An axis that is drawn from the items of a list."),
    "min": FunctionDoc("min(list) or min(a, b, ...)", "The smallest; in a plot, reduces the axes that are left."),
    "max": FunctionDoc("max(list) or max(a, b, ...)", "The largest; in a plot, reduces the axes that are left."),
    "sum": FunctionDoc("sum(list) or sum(a, b, ...)", "The sum."),
    "len": FunctionDoc("len(list)", "How many items a list, or characters a string, has."),
    "sqrt": FunctionDoc("sqrt(x)", "The square root, to 34 digits."),
    "round": FunctionDoc(
        "round(x [, digits])", "The nearest whole number, halves to the even one; or to so many digits."
    ),
    "file": FunctionDoc("file(path)", "A file, relative to the file that wrote it."),
    "files": FunctionDoc("files(pattern)", "The files that match, sorted by code point."),
    "env": FunctionDoc("env(name)", "A variable of the environment of the run; its value is written nowhere."),
}
