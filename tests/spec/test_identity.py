"""Identity: what changes an id and what does not."""

import base64
import hashlib
import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from lmc.spec.canonical import canonical_json
from lmc.spec.identity import base32, identity
from lmc.spec.mesh import Mesh
from lmc.spec.model import Attention, GatedRecurrence, Rope, SwiGLU, Transformer
from lmc.spec.schedule import Cosine
from lmc.spec.train import AdamW, Every, Train
from lmc.spec.units import Steps

MODEL = Transformer(
    tokenizer="t" * 16, vocab=260, layers=2, width=64, mixer=Attention(heads=2, kv_heads=2), mlp=SwiGLU(hidden=256)
)
TRAIN = Train(model="m" * 16, data="d" * 16, steps=Steps(100), tokens=0, batch=8)
NEUTRAL = {"vocab": 260, "mixer.kv_heads": 2, "mlp.hidden": 256}


def test_the_id_is_the_hash_that_the_reference_describes() -> None:
    written = {
        "kind": "model",
        "variant": "transformer",
        "revision": 1,
        "tokenizer": "t" * 16,
        "layers": 2,
        "width": 64,
        "mixer": {"kind": "mixer", "variant": "attention", "revision": 1, "heads": 2},
    }
    text = json.dumps(written, sort_keys=True, separators=(",", ":"))
    want = base64.b32encode(hashlib.blake2b(text.encode(), digest_size=10).digest()).decode().lower()
    assert identity(MODEL, NEUTRAL) == want
    assert len(want) == 16


@given(st.binary(min_size=10, max_size=10))
def test_digests_are_written_in_base32(digest: bytes) -> None:
    assert base32(digest) == base64.b32encode(digest).decode().lower()


@pytest.mark.parametrize(
    "changed",
    [
        evolve(MODEL, width=128),
        evolve(MODEL, layers=3),
        evolve(MODEL, tied=True),
        evolve(MODEL, mixer=GatedRecurrence()),
        evolve(MODEL, mixer=Attention(heads=2, kv_heads=1)),
        evolve(MODEL, positions=Rope(unit="turns")),
        evolve(MODEL, mlp=SwiGLU(hidden=128)),
    ],
)
def test_meaning_changes_the_id(changed: Transformer) -> None:
    assert identity(changed, NEUTRAL) != identity(MODEL, NEUTRAL)


@pytest.mark.parametrize(
    "changed",
    [
        evolve(TRAIN, every=Every(eval=Steps(7), checkpoint=Steps(3), log=Steps(1))),
        evolve(TRAIN, micro_batch=4),
        evolve(TRAIN, mesh="x" * 16),
        evolve(TRAIN, optim=AdamW()),
    ],
)
def test_how_it_is_watched_or_cut_does_not(changed: Train) -> None:
    assert identity(changed) == identity(TRAIN)


def test_precision_of_floats_and_their_type_count() -> None:
    schedule = Cosine(warmup=Steps(5), floor=0.1)
    assert identity(evolve(TRAIN, schedule=schedule)) != identity(
        evolve(TRAIN, schedule=evolve(schedule, floor=0.1 + 1e-17 + 1e-16))
    )
    assert canonical_json([1, 1.0, 1e-3]) == "[1,1.0,0.001]"


def test_a_mesh_has_no_identity_of_its_own() -> None:
    assert identity(Mesh(devices=4, dp=2, tp=2)) == identity(Mesh())


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))
