"""Specs as text, written field by field with shared parts: the same as through plain JSON values."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from lmc.compiler.pipeline import compile_spec
from lmc.spec.canonical import Texts
from lmc.spec.codec import unstructure
from lmc.spec.data import Dialogues, Text
from lmc.spec.evaluation import AnswersEval
from lmc.spec.expr import Expr
from lmc.spec.identity import meaning
from lmc.spec.model import Attention, GatedRecurrence, Learned, Rope, SwiGLU, Transformer
from lmc.spec.optim import AdamW
from lmc.spec.schedule import Constant, Cosine
from lmc.spec.schema import fields
from lmc.spec.spec_text import spec_text
from lmc.spec.tokenizer import HfTokenizer
from lmc.spec.train import Train
from lmc.spec.units import Glob, Steps

ROOT = Path(__file__).resolve().parents[2]


def plain_meaning(spec: Any, neutral: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return what an identity covers as plain JSON values; a default that is circular is none to compare with."""
    cls = type(spec)
    found: dict[str, Any] = {"kind": cls.lmc_kind, "variant": cls.lmc_variant, "revision": cls.lmc_revision}
    head = set(found)
    for name, field in fields(cls).items():
        value, path, default = getattr(spec, name), prefix + name, field.metadata["neutral"]
        if not field.metadata["identity"]:
            continue
        if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            default = default.factory()
        if field.metadata["derived"]:
            if not field.metadata["circular"] and path in neutral and value == neutral[path]:
                continue
        elif type(value) is type(default) and value == default:
            continue
        plain = plain_value(value, neutral, path + ".")
        if type(value) is type(default) and isinstance(plain, dict) and set(plain) == head:
            continue
        found[name] = plain
    return found


def plain_value(value: Any, neutral: dict[str, Any], prefix: str) -> Any:
    if isinstance(value, Expr):
        return value.tree
    if attrs.has(type(value)):
        return plain_meaning(value, neutral, prefix) if hasattr(type(value), "lmc_kind") else attrs.asdict(value)
    if isinstance(value, dict):
        return {key: plain_value(item, neutral, f"{prefix}{key}.") for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain_value(item, neutral, prefix) for item in value]
    return value


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


few = st.integers(1, 3)
names = st.text(max_size=3)
mixers = st.one_of(
    st.builds(Attention, heads=few, kv_heads=few, window=st.none() | few),
    st.just(GatedRecurrence()),
)
models = st.builds(
    Transformer,
    tokenizer=names,
    vocab=st.none() | few,
    layers=few,
    width=few,
    mixer=mixers,
    mlp=st.builds(SwiGLU, hidden=few),
    positions=st.one_of(st.builds(Rope, theta=st.floats(1, 9)), st.just(Rope()), st.builds(Learned, length=few)),
    tied=st.booleans(),
)
data = st.one_of(
    st.builds(Text, source=st.builds(Glob, names), tokenizer=names, seq_len=few),
    st.builds(Dialogues, tokenizer=names, rows=names, count=few, templates=st.builds(Glob, names), seq_len=few),
)
trains = st.builds(
    Train,
    model=names,
    data=names,
    steps=st.none() | st.builds(Steps, few),
    tokens=st.none() | few,
    batch=few,
    seed=few,
    optim=st.one_of(st.just(AdamW()), st.builds(AdamW, lr=st.floats(0, 1, exclude_min=True))),
    schedule=st.one_of(st.just(Constant()), st.builds(Cosine, warmup=st.builds(Steps, few), floor=st.floats(0, 1))),
)
evals = st.builds(AnswersEval, run=names, protocols=st.lists(names, max_size=2).map(tuple), automaton=st.none() | names)
paths = st.sampled_from(["vocab", "mixer.kv_heads", "mlp.hidden", "positions.length", "steps", "tokens", "every.log"])
tokenizers = st.builds(HfTokenizer, repo=names, revision=st.none() | names)
neutrals = st.dictionaries(paths, st.none() | few)
specs = st.one_of(models, data, trains, evals, tokenizers)


@given(st.lists(st.tuples(specs, neutrals), min_size=1, max_size=8))
def test_what_an_identity_covers_is_the_same_text(listed: list[tuple[Any, dict[str, Any]]]) -> None:
    texts = Texts()
    for spec, neutral in listed:
        assert meaning(spec, neutral, texts) == dumped(plain_meaning(spec, neutral))


@given(st.lists(specs, min_size=1, max_size=8))
def test_what_a_plan_holds_is_the_same_text(listed: list[Any]) -> None:
    texts = Texts()
    for spec in listed:
        assert spec_text(spec, texts) == dumped(unstructure(spec))


@given(st.lists(st.tuples(models, st.integers(1, 4), neutrals), min_size=1, max_size=8))
def test_texts_are_shared_by_specs_of_which_one_field_changes(listed: list[tuple[Any, int, dict[str, Any]]]) -> None:
    texts, shown = Texts(), Texts()
    for spec, count, neutral in listed:
        for width in range(count):
            changed = evolve(spec, width=width + 1)
            assert meaning(changed, neutral, texts) == dumped(plain_meaning(changed, neutral))
            assert spec_text(changed, shown) == dumped(unstructure(changed))


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*.lmspec")), ids=lambda path: path.stem)
def test_every_spec_of_the_examples_is_the_same_text(path: Path) -> None:
    overlays = ["quick"] if path.stem == "memory" else []
    plan = compile_spec(path, overlays).plan
    assert plan is not None
    texts, shown = Texts(), Texts()
    for node in plan.nodes.values():
        assert spec_text(node.spec, shown) == dumped(unstructure(node.spec))
        assert meaning(node.spec, {}, texts) == dumped(plain_meaning(node.spec, {}))
