"""Fields that say they are free: no rule between fields changes its mind with them, so it is asked once for all."""

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import lmc.spec
from lmc.spec.data import Text
from lmc.spec.mesh import Mesh
from lmc.spec.model import Attention, Learned, Rope, SwiGLU, Transformer
from lmc.spec.rules import violations
from lmc.spec.schedule import Cosine
from lmc.spec.schema import REGISTRY, fields
from lmc.spec.tokenizer import ByteTokenizer
from lmc.spec.train import Train
from lmc.spec.units import Glob, Steps

FREE = [
    (cls, name)
    for variants in REGISTRY.values()
    for cls in variants.values()
    for name, field in fields(cls).items()
    if field.metadata["free"]
]
RULES = sorted(Path(inspect.getfile(lmc.spec)).parent.glob("*rules.py"))
few = st.integers(1, 100)


def test_the_seed_of_a_train_is_free_and_nothing_else() -> None:
    assert [(Train, "seed")] == FREE


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_no_module_of_rules_names_a_free_field(path: Path) -> None:
    named = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert not named & {name for _, name in FREE}


@given(
    st.builds(
        Train,
        model=st.sampled_from(["rope", "learned"]),
        data=st.just("book"),
        mesh=st.none() | st.just("mesh"),
        steps=st.builds(Steps, few),
        batch=few,
        micro_batch=st.none() | few,
        schedule=st.builds(Cosine, warmup=st.builds(Steps, few), floor=st.floats(0, 1)),
    ),
    st.lists(st.integers(), min_size=1, max_size=4),
)
def test_rules_say_the_same_of_every_seed(train: Train, seeds: list[int]) -> None:
    model = Transformer(tokenizer="t", vocab=256, width=64, layers=1, mixer=Attention(heads=3), mlp=SwiGLU(hidden=8))
    nodes: dict[str, Any] = {
        "t": ByteTokenizer(),
        "rope": evolve(model, positions=Rope()),
        "learned": evolve(model, positions=Learned(length=16)),
        "book": Text(source=Glob("*.txt"), tokenizer="t", seq_len=32),
        "mesh": Mesh(devices=2, tp=2),
    }
    told = list(violations(train, nodes.__getitem__))
    for seed in seeds:
        assert list(violations(evolve(train, seed=seed), nodes.__getitem__)) == told
