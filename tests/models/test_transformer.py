"""Models: what a cache, a layout or a placement must not change."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lmc.runtime.models.build import build_model
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.spec.model import Attention, GatedRecurrence, Nope, RMSNorm, Rope, SwiGLU, Transformer

MIXERS = [Attention(heads=4, kv_heads=2), Attention(heads=2, kv_heads=2), GatedRecurrence()]
VOCAB = 37


def spec_of(mixer: Attention | GatedRecurrence, **changes: object) -> Transformer:
    fields = {"vocab": VOCAB, "layers": 2, "width": 16, "mlp": SwiGLU(hidden=24), "positions": Rope(unit="turns")}
    return Transformer(mixer=mixer, **{**fields, **changes})  # type: ignore[arg-type]


def tokens_of(*shape: int) -> torch.Tensor:
    return torch.randint(0, VOCAB, shape, generator=torch.Generator().manual_seed(7))


@pytest.fixture(params=MIXERS, ids=["grouped", "full", "recurrence"])
def model(request: pytest.FixtureRequest, exact: Placement) -> TransformerModel:
    return build_model(spec_of(request.param), exact, 3)


def test_building_over_meta_equals_building_directly_even_from_garbage() -> None:
    for mixer in MIXERS:
        spec = spec_of(mixer)
        built = build_model(spec, Placement(torch.device("cpu")), 5)
        direct = TransformerModel(spec)
        for tensor in [*direct.parameters(), *direct.buffers()]:
            tensor.data.fill_(math.nan)
        direct.init_weights(5)
        for name, tensor in [*direct.named_parameters(), *direct.named_buffers()]:
            assert torch.isfinite(tensor).all(), name
        assert all(torch.equal(a, b) for a, b in zip(built.parameters(), direct.parameters(), strict=True))
        x = tokens_of(1, 6)
        assert torch.equal(built(x, SequenceLayout.rows([6])), direct(x, SequenceLayout.rows([6])))


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([(1, 1), (2, 1), (4, 2), (4, 4)]),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 50),
    st.integers(2, 300),
    st.booleans(),
)
def test_the_compiler_counts_what_torch_builds(
    heads: tuple[int, int], layers: int, scale: int, hidden: int, vocab: int, tied: bool
) -> None:
    spec = spec_of(
        Attention(heads=heads[0], kv_heads=heads[1]),
        layers=layers,
        width=8 * scale,
        mlp=SwiGLU(hidden=hidden),
        vocab=vocab,
        tied=tied,
    )
    with torch.device("meta"):
        model = TransformerModel(spec)
    assert sum(p.numel() for p in model.parameters()) == spec.params


@pytest.mark.parametrize("width", [4, 8, 16, 32, 64, 128])
def test_parameters_follow_the_published_formula(width: int) -> None:
    spec = spec_of(Attention(heads=2, kv_heads=2), vocab=260, width=width, mlp=SwiGLU(hidden=4 * width))
    assert spec.params == 32 * width**2 + 525 * width


def test_tied_weights_are_one(cpu: Placement) -> None:
    model = build_model(spec_of(MIXERS[1], tied=True), cpu, 0)
    assert model.unembed.weight is model.embed.weight
    assert torch.isfinite(model(tokens_of(1, 3), SequenceLayout.rows([3]))).all()


def test_cached_decoding_equals_uncached(model: TransformerModel) -> None:
    x, lengths = tokens_of(3, 14), [14, 9, 5]
    whole = model(x, SequenceLayout.rows(lengths))
    cache = model.new_cache(3, 20)
    first = model(x[:, :6], SequenceLayout.rows([6, 4, 5], 6), cache)
    torch.testing.assert_close(first[0], whole[0, :6], rtol=0, atol=1e-12)
    chunk = SequenceLayout.chunk(torch.tensor([3, 2, 0]), cache.lengths, 3)
    parts = torch.stack((x[0, 6:9], x[1, 4:7], x[2, :3]))
    second = model(parts, chunk, cache)
    torch.testing.assert_close(second[0], whole[0, 6:9], rtol=0, atol=1e-12)
    torch.testing.assert_close(second[1, :2], whole[1, 4:6], rtol=0, atol=1e-12)
    for t in range(3):
        step = model.step(torch.stack((x[0, 9 + t], x[1, 6 + t], x[2, 0])), cache, torch.tensor([True, True, False]))
        torch.testing.assert_close(step[0], whole[0, 9 + t], rtol=0, atol=1e-12)
        torch.testing.assert_close(step[1], whole[1, 6 + t], rtol=0, atol=1e-12)
    assert cache.lengths.tolist() == [12, 9, 5]


def test_cached_decoding_equals_uncached_in_single_precision(cpu: Placement) -> None:
    for mixer in MIXERS:
        model = build_model(spec_of(mixer), cpu, 3)
        x = tokens_of(1, 12)
        whole = model(x, SequenceLayout.rows([12]))
        cache = model.new_cache(1, 12)
        steps = [model.step(x[:, t], cache, torch.tensor([True])) for t in range(12)]
        torch.testing.assert_close(torch.stack(steps, dim=1), whole, rtol=0, atol=1e-5)


def test_packed_documents_equal_separate_ones(model: TransformerModel) -> None:
    x = tokens_of(1, 11)
    packed = model(x, SequenceLayout.pack([[6, 5]]))[0]
    torch.testing.assert_close(packed[:6], model(x[:, :6], SequenceLayout.rows([6]))[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(packed[6:], model(x[:, 6:], SequenceLayout.rows([5]))[0], rtol=0, atol=1e-12)


def test_a_document_does_not_move_its_neighbour_by_a_bit(model: TransformerModel) -> None:
    x = tokens_of(1, 11)
    changed = x.clone()
    changed[0, :6] = (changed[0, :6] + 1) % VOCAB
    layout = SequenceLayout.pack([[6, 5]])
    assert torch.equal(model(x, layout)[0, 6:], model(changed, layout)[0, 6:])


def test_padding_does_not_reach_what_is_used(model: TransformerModel) -> None:
    x = tokens_of(2, 8)
    changed = x.clone()
    changed[1, 5:] = 0
    layout = SequenceLayout.rows([8, 5])
    assert torch.equal(model(x, layout)[1, :5], model(changed, layout)[1, :5])


def test_too_long_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        SequenceLayout.pack([[4, 4]], width=7)


def dense_reference(model: TransformerModel, tokens: torch.Tensor) -> torch.Tensor:
    """One document through the same weights, written from the papers with loops over heads and positions."""
    spec = model.spec
    mixer = spec.mixer
    assert isinstance(mixer, Attention)
    size = spec.width // mixer.heads
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def norm(x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + spec.norm.eps) * gain

    def turn(vector: torch.Tensor, position: int) -> torch.Tensor:
        if not isinstance(spec.positions, Rope):
            return vector
        turned = vector.clone()
        for i in range(size // 2):
            angle = position * spec.positions.theta ** (-2 * i / size)
            angle *= 2 * math.pi if spec.positions.unit == "turns" else 1
            a, b = vector[i], vector[i + size // 2]
            turned[i] = a * math.cos(angle) - b * math.sin(angle)
            turned[i + size // 2] = a * math.sin(angle) + b * math.cos(angle)
        return turned

    x = weights["embed.weight"][tokens]
    for n in range(spec.layers):
        w = {name.removeprefix(f"blocks.{n}."): p for name, p in weights.items() if name.startswith(f"blocks.{n}.")}
        h = norm(x, w["mixer_norm.gain"])
        q, k, v = (h @ w[f"mixer.{name}.weight"].T for name in "qkv")
        out = torch.zeros_like(x)
        for head in range(mixer.heads):
            kv = head // (mixer.heads // mixer.kv_heads)
            for t in range(len(tokens)):
                query = turn(q[t, head * size : (head + 1) * size], t)
                keys = torch.stack([turn(k[s, kv * size : (kv + 1) * size], s) for s in range(t + 1)])
                weight = torch.softmax(keys @ query / math.sqrt(size), dim=0)
                out[t, head * size : (head + 1) * size] = weight @ v[: t + 1, kv * size : (kv + 1) * size]
        x = x + out @ w["mixer.o.weight"].T
        h = norm(x, w["mlp_norm.gain"])
        gate = h @ w["mlp.gate.weight"].T
        x = x + (gate * torch.sigmoid(gate) * (h @ w["mlp.up.weight"].T)) @ w["mlp.down.weight"].T
    return norm(x, weights["norm.gain"]) @ weights["unembed.weight"].T


@pytest.mark.parametrize("positions", [Rope(), Rope(theta=100.0), Rope(unit="turns"), Nope()])
@pytest.mark.parametrize("mixer", MIXERS[:2])
def test_the_model_is_what_the_papers_say(mixer: Attention, positions: Rope | Nope, exact: Placement) -> None:
    model = build_model(spec_of(mixer, positions=positions, norm=RMSNorm(eps=1e-3)), exact, 4)
    x = tokens_of(1, 7)
    torch.testing.assert_close(
        model(x, SequenceLayout.rows([7]))[0], dense_reference(model, x[0]), rtol=1e-9, atol=1e-10
    )


def test_in_turns_the_first_pair_does_not_rotate() -> None:
    model = build_model(spec_of(MIXERS[1]), Placement(torch.device("cpu"), torch.float64), 0)
    assert model.rope is not None
    cos, sin = model.rope.tables(torch.arange(50)[None], torch.float64)
    half = model.rope.size // 2
    torch.testing.assert_close(cos[0, 0, :, 0], torch.ones(50, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(sin[0, 0, :, half], torch.zeros(50, dtype=torch.float64), rtol=0, atol=1e-9)


def test_a_site_that_nobody_observes_adds_nothing(model: TransformerModel) -> None:
    x = torch.zeros(3)
    assert all(site(x) is x for site in model.sites().values())
    assert not [key for key in model.state_dict() if "site" in key]
    assert {"embed", "blocks.0.mixer.out", "blocks.1.mlp.out", "blocks.1.out", "head"} <= set(model.sites())
