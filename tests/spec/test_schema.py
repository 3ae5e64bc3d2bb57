"""The schema: every variant is documented, read back as written, and built by the runtime exactly once."""

import json
from typing import Any

import attrs
import pytest

from lmc.spec import schema
from lmc.spec.codec import CodecError, structure_spec, unstructure
from lmc.spec.data import Dialogues
from lmc.spec.expr import Expr
from lmc.spec.model import Attention, SwiGLU, Transformer
from lmc.spec.plan import Node, closure, references
from lmc.spec.plot import LinePlot
from lmc.spec.protocol import CalculatorProtocol, PythonProtocol, SearchProtocol, SqlProtocol, ToolCall
from lmc.spec.store import Duckdb, People, Postgres, Sqlite, Table
from lmc.spec.train import Train
from lmc.spec.units import Duration, Env, FilePath, Glob, Pattern, Size, Steps

VARIANTS = [cls for variants in schema.REGISTRY.values() for cls in variants.values()]
CALL = ToolCall(open=Pattern("<c>"), body=Pattern("(?<x>.)", True), close=Pattern("</c>"), overlap="longest")
EXAMPLES = [
    Transformer(tokenizer=None, vocab=9, layers=1, width=8, mixer=Attention(heads=2, kv_heads=1), mlp=SwiGLU(hidden=3)),
    Sqlite(file=FilePath("a.db"), tables={"p": People(seed=1), "q": Table(columns=("a", "b"))}),
    Dialogues(tokenizer="t", rows="s/people", count=3, templates=Glob("t/*.txt"), seq_len=9, protocols=("p",)),
    LinePlot(
        sources=("g",),
        x=Expr(("name", "data.count"), "data.count"),
        y=(Expr(("call", "min", (("name", "model.params"),)), "min(model.params)"),),
        where=Expr(("op", ">=", (("name", "exact.accuracy"), ("value", 0.95))), "exact.accuracy >= 0.95"),
    ),
    Train(model="m", data="d", steps=Steps(3), tokens=4, batch=2),
    Duckdb(file=FilePath("a.db"), tables={"p": People(seed=1), "q": Table(columns=("a", "b"))}),
    Postgres(url=Env("URL"), schema="s", tables={"q": Table(columns=())}),
    Postgres(url="postgresql://u@h/d"),
    SqlProtocol(store="s", call=CALL, query="{sql}", allow={"sql": "read_only", "column": ("a", "b")}, max_rows=2),
    CalculatorProtocol(call=CALL, expression=":x", constrain="inside"),
    PythonProtocol(call=CALL, function="m:f", timeout=Duration(0.5), max_bytes=Size(9)),
    SearchProtocol(call=CALL, table="s/t", query=":q", columns=("a",)),
    SearchProtocol(call=CALL, table="s/t", query=":q"),
]


@pytest.mark.parametrize("cls", VARIANTS, ids=lambda cls: cls.__name__)
def test_every_variant_and_field_is_documented(cls: type) -> None:
    assert (cls.__doc__ or "").strip()
    for name, field in schema.fields(cls).items():
        assert field.metadata["doc"].endswith("."), f"{cls.__name__}.{name}"


@pytest.mark.parametrize("cls", VARIANTS, ids=lambda cls: cls.__name__)
def test_every_variant_is_frozen(cls: Any) -> None:
    assert cls.__setattr__ is not object.__setattr__
    assert attrs.has(cls)


@pytest.mark.parametrize("spec", EXAMPLES, ids=lambda spec: type(spec).__name__)
def test_what_is_read_back_equals_what_was_written(spec: Any) -> None:
    assert structure_spec(json.loads(json.dumps(unstructure(spec)))) == spec


@pytest.mark.parametrize("data", [{}, {"kind": "model", "variant": "nope"}, {"kind": "train", "variant": ""}, 3])
def test_foreign_data_is_refused(data: Any) -> None:
    with pytest.raises(CodecError):
        structure_spec(data)


def test_supported_and_unsupported_variants_are_apart() -> None:
    for kind, names in schema.UNSUPPORTED.items():
        assert not names & set(schema.REGISTRY.get(kind, {}))


def test_references_and_closure_follow_the_fields() -> None:
    data, model = EXAMPLES[2], EXAMPLES[0]
    train = Train(model="m", data="d", steps=Steps(1), batch=1)
    nodes = {name: Node(name, spec) for name, spec in [("m", model), ("d", data), ("run", train), ("other", train)]}
    assert list(references(data)) == ["t", "s", "p"]
    assert closure({**nodes, "d": Node("d", model)}, ["run"]) == ["m", "d", "run"]


@pytest.mark.parametrize("spec", EXAMPLES, ids=lambda spec: type(spec).__name__)
def test_a_spec_is_shown_as_the_call_that_makes_it(spec: Any) -> None:
    known = {cls.__name__: cls for cls in [*VARIANTS, Env, Expr, Glob, Pattern]}
    assert eval(repr(spec), known) == spec
