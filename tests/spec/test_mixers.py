"""Parameter counts of mixers that are not run yet, against torch.nn and transformers; rules of recall data."""

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from lmc.compiler.pipeline import compile_spec
from lmc.spec.mixers import Based, Hyena, Mamba
from lmc.spec.model import Attention, Learned, Residual


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize(("width", "order", "hidden"), [(8, 2, 4), (12, 3, 16)])
def test_parameters_of_hyena(width: int, order: int, hidden: int) -> None:
    inner, filters = (order + 1) * width, (order - 1) * width
    want = count(
        nn.Linear(width, inner),
        nn.Conv1d(inner, inner, 3, groups=inner),
        nn.Linear(3, hidden),
        nn.Linear(hidden, hidden),
        nn.Linear(hidden, hidden),
        nn.Linear(hidden, filters, bias=False),
        nn.Linear(width, width),
    )
    skip = filters  # a weight per filter
    assert Hyena(l_max=64, order=order, filter_width=hidden).num_params(width) == want + skip


@pytest.mark.parametrize(("width", "features", "heads"), [(8, 4, 1), (16, 8, 2)])
def test_parameters_of_based(width: int, features: int, heads: int) -> None:
    keys = [nn.Linear(width, features * heads, bias=False) for _ in range(2)]
    want = count(*keys, nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False))
    assert Based(features=features, heads=heads).num_params(width) == want


@pytest.mark.parametrize(("width", "state", "expand", "conv"), [(16, 4, 2, 4), (40, 16, 1, 3)])
def test_parameters_of_mamba(width: int, state: int, expand: int, conv: int) -> None:
    transformers = pytest.importorskip("transformers", reason="the oracle is MambaMixer of transformers")
    config = transformers.MambaConfig(
        vocab_size=8, hidden_size=width, state_size=state, expand=expand, conv_kernel=conv, num_hidden_layers=1
    )
    mixer = transformers.MambaModel(config).layers[0].mixer
    assert Mamba(state=state, expand=expand, conv=conv).num_params(width) == count(mixer)


def test_parameters_of_a_residual_model() -> None:
    spec = Residual(vocab=50, layers=2, width=8, mixer=Attention(heads=1, kv_heads=1), positions=Learned(length=16))
    attention = [nn.Linear(8, 8, bias=False) for _ in range(4)]
    norms = [nn.RMSNorm(8) for _ in range(2)]
    want = 2 * count(*attention, *norms) + count(nn.Embedding(50, 8), nn.Embedding(16, 8), nn.RMSNorm(8))
    assert spec.params == want


TEXT = """
data recall : mqar {{ vocab = {vocab}, seq_len = {seq_len}, pairs = {pairs} }}
model lm : residual {{ vocab = {ids}, layers = 1, width = 12, mixer : {mixer} }}
train learn {{ model = lm, data = recall, steps = 4, batch = 2 }}
eval exact : per_token {{ run = learn, slice = ["pairs"] }}
"""
SOUND = {"vocab": 16, "seq_len": 16, "pairs": 4, "ids": "recall.vocab", "mixer": "attention { heads = 1 }"}


@pytest.fixture
def codes(tmp_path: Path) -> Callable[..., list[str]]:
    def run(**changed: object) -> list[str]:
        path = tmp_path / "case.lmspec"
        path.write_text(TEXT.format(**{**SOUND, **changed}), encoding="utf-8")
        return [d.code for d in compile_spec(path).diagnostics.items]

    return run


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, []),
        ({"pairs": 5}, ["LM0303"]),
        ({"seq_len": 17}, ["LM0303"]),
        ({"vocab": 8}, ["LM0303"]),
        ({"ids": 15}, ["LM0406"]),
        ({"ids": 17}, []),
        ({"mixer": "hyena { l_max = 15 }"}, ["LM0303"]),
        ({"mixer": "hyena { l_max = recall.seq_len }"}, []),
        ({"mixer": "based { heads = 5 }"}, ["LM0401"]),
        ({"mixer": "mamba {}"}, []),
    ],
)
def test_rules_of_recall(changed: dict[str, object], found: list[str], codes: Callable[..., list[str]]) -> None:
    assert codes(**changed) == found
