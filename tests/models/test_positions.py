"""Windows, sinks, ALiBi and learned positions: every pass equals the dense definition, written out with numpy."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from attrs import evolve

from lmc.runtime.generation.engine import Engine
from lmc.runtime.generation.prefix_tree import PrefixTree
from lmc.runtime.generation.requests import Request
from lmc.runtime.generation.score import score
from lmc.runtime.models.attend import lower
from lmc.runtime.models.build import build_model
from lmc.runtime.models.decode import Decoder, StepWeights
from lmc.runtime.models.inits import lr_factor
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.models.lowered import Additive, Rows, Shape
from lmc.runtime.models.masks import Causal, Document, Tree
from lmc.runtime.models.reach import slopes_of
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.runtime.tokenizers.byte import Bytes
from lmc.runtime.training.resume import resized
from lmc.spec.init import (
    Init,
    InitGPT2,
    InitITL,
    InitKaiming,
    InitLlama,
    InitMuP,
    InitOrthogonal,
    InitSmall,
    InitXavier,
)
from lmc.spec.model import Alibi, Attention, GatedRecurrence, Learned, Nope, SwiGLU, Transformer
from lmc.spec.rules import violations

Floats = npt.NDArray[np.float64]
LENGTH = 14
VOCAB = 260
PLAIN = Transformer(
    vocab=VOCAB, layers=2, width=24, mixer=Attention(heads=3, kv_heads=3), mlp=SwiGLU(hidden=20), positions=Nope()
)
GROUPED = Attention(heads=6, kv_heads=2)
SPECS = {
    "window": evolve(PLAIN, mixer=evolve(GROUPED, window=3)),
    "window of one": evolve(PLAIN, mixer=evolve(GROUPED, window=1)),
    "window, sinks": evolve(PLAIN, mixer=evolve(GROUPED, window=3, sinks=2)),
    "window and sinks of all": evolve(PLAIN, mixer=evolve(GROUPED, window=9, sinks=9)),
    "alibi": evolve(PLAIN, positions=Alibi()),
    "alibi, groups, muP": evolve(PLAIN, mixer=GROUPED, positions=Alibi(), init=InitMuP(base=8)),
    "alibi, window, sinks": evolve(PLAIN, mixer=evolve(GROUPED, window=4, sinks=1), positions=Alibi()),
    "learned": evolve(PLAIN, positions=Learned(length=LENGTH)),
    "learned, window, sinks": evolve(
        PLAIN, mixer=evolve(GROUPED, window=2, sinks=1), positions=Learned(length=LENGTH), tied=True
    ),
}


def slopes(heads: int) -> list[float]:
    """The code of the paper's repository (Press et al. 2022), as it stands there."""

    def power(n: int) -> list[float]:
        start = 2 ** (-(2 ** -(math.log2(n) - 3)))
        return [start * start**i for i in range(n)]

    if math.log2(heads).is_integer():
        return power(heads)
    closest = int(2 ** math.floor(math.log2(heads)))
    return power(closest) + slopes(2 * closest)[0::2][: heads - closest]


def dense(model: TransformerModel, tokens: Sequence[int]) -> Floats:
    """Logits of one document, one query and one key at a time."""
    spec, mixer = model.spec, model.spec.mixer
    assert isinstance(mixer, Attention)
    w = {name: p.detach().double().numpy() for name, p in model.named_parameters()}
    size, muP = mixer.head_size(spec.width), isinstance(spec.init, InitMuP)
    falls = slopes(mixer.heads) if isinstance(spec.positions, Alibi) else [0.0] * mixer.heads

    def normed(x: Floats, gain: Floats) -> Floats:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + spec.norm.eps) * gain

    x = w["embed.weight"][list(tokens)]
    if isinstance(spec.positions, Learned):
        x = x + w["positions.weight"][: len(tokens)]
    for n in range(spec.layers):
        block = f"blocks.{n}."
        h = normed(x, w[block + "mixer_norm.gain"])
        q, k, v = (h @ w[f"{block}mixer.{name}.weight"].T for name in "qkv")
        mixed = np.zeros_like(q)
        for head in range(mixer.heads):
            own = slice(head * size, (head + 1) * size)
            shared = head * mixer.kv_heads // mixer.heads
            theirs = slice(shared * size, (shared + 1) * size)
            for i in range(len(tokens)):
                seen = [j for j in range(i + 1) if mixer.window is None or i - j < mixer.window or j < mixer.sinks]
                scores = np.array(
                    [q[i, own] @ k[j, theirs] / (size if muP else size**0.5) - falls[head] * (i - j) for j in seen]
                )
                shares = np.exp(scores - scores.max())
                mixed[i, own] = shares / shares.sum() @ v[seen][:, theirs]
        x = x + mixed @ w[block + "mixer.o.weight"].T
        h = normed(x, w[block + "mlp_norm.gain"])
        gate, up = (h @ w[f"{block}mlp.{name}.weight"].T for name in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[block + "mlp.down.weight"].T
    head_weight = w["embed.weight"] if spec.tied else w["unembed.weight"]
    scale = spec.init.base / spec.width if isinstance(spec.init, InitMuP) else 1.0
    return normed(x, w["norm.gain"]) @ head_weight.T * scale  # type: ignore[no-any-return]


def texts(*lengths: int) -> list[list[int]]:
    generator = np.random.default_rng(5)
    return [generator.integers(0, 256, length).tolist() for length in lengths]


def padded(rows: Sequence[Sequence[int]], width: int) -> torch.Tensor:
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])


def assert_close(found: torch.Tensor, want: Floats) -> None:
    np.testing.assert_allclose(found.detach().numpy(), want, rtol=0, atol=1e-11)


@pytest.fixture(params=SPECS.values(), ids=list(SPECS))
def model(request: pytest.FixtureRequest, exact: Placement) -> TransformerModel:
    built = build_model(request.param, exact, 3)
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            if ".mixer.q." in name or ".mixer.k." in name:  # sharp attention, so that a key too many shows
                parameter.mul_(4)
    return built


@pytest.mark.parametrize("heads", range(1, 25))
def test_slopes_are_those_of_the_paper(heads: int) -> None:
    np.testing.assert_allclose(slopes_of(heads), slopes(heads), rtol=1e-14)
    assert len(slopes_of(heads)) == heads


def test_rows_of_a_document_each(model: TransformerModel) -> None:
    rows = texts(LENGTH, 1, 6)
    found = model(padded(rows, LENGTH), SequenceLayout.rows([len(r) for r in rows]))
    for row, tokens in enumerate(rows):
        assert_close(found[row, : len(tokens)], dense(model, tokens))


@pytest.mark.parametrize("lengths", [[[5, 4, 5], [14], [1, 9]], [[1] * 14, [13, 1], [2, 2]]], ids=str)
def test_documents_packed_in_rows_count_their_own_positions(lengths: list[list[int]], model: TransformerModel) -> None:
    layout = SequenceLayout.pack(lengths, 14)
    documents = [texts(*row) for row in lengths]
    tokens = padded([[t for document in row for t in document] for row in documents], 14)
    found = model(tokens, layout)
    # The same once more with the mask written out in place of documents set apart.
    written = model(tokens, evolve(layout, mask=Causal() & Document(layout.documents)))
    for row, listed in enumerate(documents):
        at = 0
        for document in listed:
            want = dense(model, document)
            assert_close(found[row, at : at + len(document)], want)
            assert_close(written[row, at : at + len(document)], want)
            at += len(document)


@pytest.mark.parametrize("name", ["window", "window, sinks", "alibi", "alibi, window, sinks"])
def test_documents_set_apart_see_what_the_mask_shows(name: str, exact: Placement) -> None:
    model = build_model(SPECS[name], exact, 3)
    lengths = [[300, 1, 150, 149], [20] * 30]
    layout = SequenceLayout.pack(lengths)
    shape = Shape(2, 600, 600, torch.float64, torch.device("cpu"), slopes=model.reach.slopes)
    mask = model.reach.mask(layout)
    apart, written = lower(mask, shape), Additive.of(mask, shape)
    assert isinstance(apart, Rows)
    heads = SPECS[name].mixer.heads  # type: ignore[union-attr]
    q, k, v = torch.randn(3, 2, heads, 600, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(apart.attend(q, k, v), written.attend(q, k, v), rtol=0, atol=1e-12)
    starts = torch.tensor([[0] * 300 + [300] + [301] * 150 + [451] * 149, [20 * (i // 20) for i in range(600)]])
    at, slot = torch.arange(600) - starts, torch.arange(600)
    mixer = SPECS[name].mixer
    assert isinstance(mixer, Attention)
    same = (starts[:, :, None] == starts[:, None]) & (slot[:, None] >= slot)
    near = slot[:, None] - slot < (mixer.window or 600)
    assert torch.equal(written.bias[:, 0] > -torch.inf, same & (near | (at[:, None] < mixer.sinks)))


def test_gradients_of_packed_rows_are_those_of_rows_apart(model: TransformerModel) -> None:
    documents = texts(9, 5)
    model(torch.tensor([documents[0] + documents[1]]), SequenceLayout.pack([[9, 5]])).logsumexp(-1).sum().backward()
    packed = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model(padded(documents, 9), SequenceLayout.rows([9, 5])).logsumexp(-1)[
        [0] * 9 + [1] * 5, [*range(9), *range(5)]
    ].sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(packed[name], parameter.grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("width", [1, 2, 5, 9])
def test_chunks_behind_a_cache(width: int, model: TransformerModel) -> None:
    rows = texts(LENGTH, 3, 8)
    wants, cache = [dense(model, tokens) for tokens in rows], model.new_cache(3, LENGTH)
    for at in range(0, LENGTH, width):
        chunk = [tokens[at : at + width] for tokens in rows]
        counts = torch.tensor([len(part) for part in chunk])
        found = model(padded(chunk, width), SequenceLayout.chunk(counts, cache.lengths, width), cache)
        for row, part in enumerate(chunk):
            assert_close(found[row, : len(part)], wants[row][at : at + len(part)])


def test_chunks_side_by_side(model: TransformerModel) -> None:
    rows = texts(LENGTH, 6, 9)
    wants, cache, past = [dense(model, tokens) for tokens in rows], model.new_cache(3, LENGTH), [0, 0, 0]
    for counts in ([7, 2, 1], [1, 4, 3], [6, 0, 5]):
        chosen = [row for row, count in enumerate(counts) if count]
        sent = [rows[row][past[row] : past[row] + counts[row]] for row in chosen]
        layout = SequenceLayout.packed_chunk(
            [counts[row] for row in chosen], [past[row] for row in chosen], torch.device("cpu")
        )
        part = cache.select(torch.tensor(chosen))
        tokens = torch.tensor([[token for part in sent for token in part]])
        found = model(tokens, layout, part)[0].split([counts[row] for row in chosen])
        for row, logits in zip(chosen, found, strict=True):
            assert_close(logits, wants[row][past[row] : past[row] + counts[row]])
            past[row] += counts[row]


@pytest.mark.parametrize("even", [True, False])
def test_steps(even: bool, model: TransformerModel) -> None:
    rows = texts(LENGTH, LENGTH, LENGTH)
    starts = [4, 4, 4] if even else [1, 6, 4]
    wants, one, other = [dense(model, tokens) for tokens in rows], model.new_cache(3, 20), model.new_cache(3, 20)
    for cache in (one, other):
        model(padded([r[:s] for r, s in zip(rows, starts, strict=True)], 6), SequenceLayout.rows(starts, 6), cache)
    decoder = Decoder(StepWeights.of(model), one)
    assert decoder.blocks
    past = list(starts)
    for step in range(LENGTH - 1):
        active = torch.tensor([p < LENGTH and (even or (step + row) % 4 != 0) for row, p in enumerate(past)])
        if not active.any():
            break
        tokens = torch.tensor([rows[row][min(p, LENGTH - 1)] for row, p in enumerate(past)])
        for found in (decoder.step(tokens, active, max(past) + 1, even), model.step(tokens, other, active)):
            for row in active.nonzero()[:, 0].tolist():
                assert_close(found[row], wants[row][past[row]])
        past = [p + int(a) for p, a in zip(past, active, strict=True)]
    assert max(past) == LENGTH


def greedy(model: TransformerModel, prompt: list[int], length: int, ends: set[int]) -> list[int]:
    tokens = list(prompt)
    while len(tokens) < length:
        tokens.append(int(dense(model, tokens)[-1].argmax()))
        if tokens[-1] in ends:
            break
    return tokens


def test_the_engine_with_and_without_a_prefix_tree(model: TransformerModel) -> None:
    shared, *tails = texts(5, 1, 3, 2)
    requests = [Request((*shared, *tail), 20) for tail in tails] + [Request(tuple(tails[1]), 4)]
    for tree in (None, PrefixTree(1 << 24)):
        engine = Engine(model, Bytes(()), lanes=2, context=LENGTH, tree=tree)
        for _ in range(2):
            for request, transcript in zip(requests, engine.run(requests, share=tree is not None), strict=True):
                length = min(LENGTH, len(request.prompt) + request.max_tokens)
                assert list(transcript.tokens) == greedy(model, list(request.prompt), length, set())


def test_scores(model: TransformerModel) -> None:
    prompt, one, other = texts(5, 8, 3)
    found = score(model, [(prompt, one), (prompt, other)], budget=16)
    for continuation, scored in zip((one, other), found, strict=True):
        logits = dense(model, prompt + continuation)[len(prompt) - 1 : -1]
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        np.testing.assert_allclose(scored, logs[range(len(continuation)), continuation], rtol=0, atol=1e-11)


def test_a_trie_in_one_row_counts_along_its_paths(model: TransformerModel) -> None:
    """Two texts of a common beginning: positions are depths, slots are not."""
    common, one, other = texts(4, 6, 5)
    parents = [-1, 0, 1, 2, *range(3, 9), 3, *range(10, 14)]
    depths = [*range(10), *range(4, 9)]
    layout = evolve(
        SequenceLayout.rows([15]), positions=torch.tensor([depths]), mask=Tree(torch.tensor([parents])), packed=True
    )
    found = model(torch.tensor([common + one + other]), layout)[0]
    assert_close(found[:10], dense(model, common + one))
    assert_close(found[10:], dense(model, common + other)[4:])


def test_what_a_table_does_not_hold_is_refused(exact: Placement) -> None:
    model = build_model(SPECS["learned"], exact, 3)
    tokens = torch.zeros(1, LENGTH + 2, dtype=torch.int64)
    with pytest.raises(ValueError, match="has learned 14 positions; a text is longer"):
        model(tokens, SequenceLayout.rows([LENGTH + 2]))
    model(tokens, SequenceLayout.pack([[LENGTH, 2]]))
    target_only = model(tokens[:, 1:], SequenceLayout.rows([LENGTH + 1]))[0, :LENGTH]
    assert_close(target_only, dense(model, [0] * LENGTH))
    with pytest.raises(ValueError, match="pair 0: 16 tokens; the model has learned 14 positions"):
        score(model, [([1] * 10, [2] * 6)])
    (transcript,) = Engine(model, Bytes(()), context=100).run([Request((1,) * LENGTH, 5)])
    assert transcript.stop == "refused"
    assert "the context of 14 has no room" in str(transcript.error)


@pytest.mark.parametrize("name", SPECS)
def test_the_compiler_counts_what_torch_builds(name: str) -> None:
    with torch.device("meta"):
        built = TransformerModel(SPECS[name])
    assert sum(p.numel() for p in built.parameters()) == SPECS[name].params


@pytest.mark.parametrize("fields", [{"window": None, "sinks": 0}, {"window": 64, "sinks": 1}], ids=str)
def test_a_window_wider_than_the_text_changes_no_bit(fields: dict[str, Any], exact: Placement) -> None:
    model = build_model(evolve(PLAIN, mixer=evolve(GROUPED, **fields)), exact, 3)
    plain = build_model(evolve(PLAIN, mixer=GROUPED), exact, 3)
    x = torch.tensor(texts(LENGTH))
    for layout in (SequenceLayout.rows([LENGTH]), SequenceLayout.pack([[9, 5]])):
        assert torch.equal(model(x, layout), plain(x, layout))


RULES: list[tuple[dict[str, Any], str, str]] = [
    ({"mixer": evolve(GROUPED, sinks=2)}, "LM0309", "`sinks` are seen beside a `window`"),
    ({"mixer": GatedRecurrence(), "positions": Alibi()}, "LM0309", "the mixer has none"),
]


@pytest.mark.parametrize(("changes", "code", "words"), RULES, ids=[words for *_, words in RULES])
def test_what_means_nothing_is_refused(changes: dict[str, Any], code: str, words: str) -> None:
    (found,) = violations(evolve(PLAIN, **changes), lambda node_id: None)
    assert found.code == code
    assert words in found.message


def test_a_recurrence_may_learn_positions(exact: Placement) -> None:
    spec = evolve(PLAIN, mixer=GatedRecurrence(), positions=Learned(length=LENGTH))
    assert not list(violations(spec, lambda node_id: None))
    model = build_model(spec, exact, 3)
    assert sum(p.numel() for p in model.parameters()) == spec.params
    tokens = torch.tensor(texts(LENGTH))
    whole, cache = model(tokens, SequenceLayout.rows([LENGTH])), model.new_cache(1, LENGTH)
    parts = [
        model(tokens[:, a : a + 5], SequenceLayout.chunk(torch.tensor([5]), cache.lengths, 5), cache) for a in (0, 5)
    ]
    torch.testing.assert_close(torch.cat(parts, 1), whole[:, :10], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("init", "std"),
    [
        (InitITL(), 64**-0.5),
        (InitGPT2(), 0.02),
        (InitLlama(), 64**-0.5),
        (InitSmall(), (2 / (5 * 64)) ** 0.5),
        (InitXavier(), (2 / (4096 + 64)) ** 0.5),
        (InitKaiming(), (2 / 64) ** 0.5),
        (InitOrthogonal(), 64**-0.5),
        (InitMuP(base=16), 1.0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_table_is_drawn_as_the_embedding_is(init: Init, std: float) -> None:
    cut = 1.0 if isinstance(init, InitXavier | InitKaiming) else 0.9866  # std of a normal that is cut at 3 sigma
    spec = Transformer(
        vocab=4096,
        layers=1,
        width=64,
        mixer=Attention(heads=2, kv_heads=2),
        mlp=SwiGLU(hidden=64),
        positions=Learned(length=4096),
        init=init,
    )
    model = build_model(spec, Placement(torch.device("cpu")), 1)
    assert model.positions is not None
    for table in (model.positions, model.embed):
        assert float(table.weight.detach().std()) == pytest.approx(std * cut, rel=0.01)
    assert not torch.equal(model.positions.weight, model.embed.weight)
    assert lr_factor(spec, "positions.weight") == 1.0


@pytest.mark.parametrize(("before", "after"), [(4, 9), (9, 4), (7, 7), (1, 5), (5, 1)])
def test_a_table_is_resized_between_its_rows(before: int, after: int) -> None:
    table = torch.randn(before, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    places = np.linspace(0, before - 1, after)
    want = np.stack([np.interp(places, np.arange(before), column) for column in table.numpy().T], axis=1)
    np.testing.assert_allclose(resized(table, after).numpy(), want, rtol=0, atol=1e-12)
