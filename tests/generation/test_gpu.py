"""On a GPU: the same tokens, no step that waits for the device, steps as graphs, and how near to the limit they are."""

import time

import pytest
import torch
from support.generation import CALCULATOR, changed, toolkit_for

from lmc.runtime.generation.engine import Engine
from lmc.runtime.generation.loop import Loop
from lmc.runtime.generation.requests import Request
from lmc.runtime.generation.sampling import Sampling
from lmc.runtime.models.build import build_model
from lmc.runtime.models.decode import Decoder, StepWeights
from lmc.runtime.models.graphed import GraphedDecoder
from lmc.runtime.placement import Placement
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.spec.model import Attention, SwiGLU, Transformer
from lmc.spec.units import Pattern

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SPEC = Transformer(vocab=260, layers=2, width=64, mixer=Attention(heads=4, kv_heads=2), mlp=SwiGLU(hidden=96))


def cuda(dtype: torch.dtype = torch.float64) -> Placement:
    return Placement(torch.device("cuda"), dtype)


def test_captured_steps_equal_launched_ones() -> None:
    model, notes = build_model(SPEC, cuda(), 1), []
    one, other = model.new_cache(5, 300), model.new_cache(5, 300)
    graphed, eager = (
        GraphedDecoder(Decoder(StepWeights.of(model), one), notes.append),
        Decoder(StepWeights.of(model), other),
    )
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for step in range(200):
            rows = 5 if step < 120 else 3
            tokens = torch.randint(0, 260, (rows,), generator=generator).cuda()
            active = (torch.rand(rows, generator=generator) < 0.8).cuda()
            live = int(one.lengths.max()) + 1
            found = graphed.step(tokens, active, live, False)
            want = eager.step(tokens, active, live, False)
            torch.testing.assert_close(found[active], want[active], rtol=0, atol=1e-10)
            assert one.lengths.tolist() == other.lengths.tolist()
    assert not notes
    assert len(graphed.captured) >= 3


@pytest.mark.parametrize("seed", range(3))
def test_a_gpu_says_what_a_cpu_says(seed: int, tokenizer: Tokenizer) -> None:
    spec = changed(CALCULATOR, open=Pattern("a"), close=Pattern("b"), body=Pattern("[0-9]{1,3}", True))
    letters = tuple((ord(letter), 6.0) for letter in "ab123")
    requests = [
        Request(tuple(b"prompt" * (1 + number % 5)), 40, Sampling(1.0, 50, bias=letters, seed=number + seed))
        for number in range(20)
    ]
    found = []
    for placement in (Placement(torch.device("cpu"), torch.float64), cuda()):
        model = build_model(SPEC, placement, 1)
        found.append(Engine(model, tokenizer, toolkit_for(None, tokenizer, spec), lanes=7).run(requests))
    assert found[0] == found[1]


def test_a_step_waits_for_nothing(tokenizer: Tokenizer) -> None:
    model = build_model(SPEC, cuda(torch.float32), 1)
    engine = Engine(model, tokenizer, lanes=8)
    requests = [(number, Request((65, 66, 67), 60, Sampling(1.0, top_p=0.9, seed=number))) for number in range(8)]
    with torch.inference_mode():
        decoder = GraphedDecoder(Decoder(engine.weights, model.new_cache(8, 128)), print)
        loop = Loop(engine, requests, decoder, listening=False, keep=False)
        loop._admit()
        loop.prefill.run()
        for _ in range(4):
            loop._decode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(8):
                loop._decode()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_batch_one_comes_near_the_bandwidth() -> None:
    """Printed, not gated: the share of the time that reading the weights once per token would take."""
    spec = Transformer(
        vocab=49152, layers=30, width=576, mixer=Attention(heads=9, kv_heads=3), mlp=SwiGLU(hidden=1536), tied=True
    )
    model = build_model(spec, cuda(torch.bfloat16), 1)
    big = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    with torch.inference_mode():
        cache = model.new_cache(1, 512)
        decoder = GraphedDecoder(Decoder(StepWeights.of(model), cache), print)
        tokens, active = torch.zeros(1, dtype=torch.int64).cuda(), torch.ones(1, dtype=torch.bool).cuda()
        seconds = []
        for step in (lambda n: decoder.step(tokens, active, n + 1, False), lambda n: big.sum(dtype=torch.uint8)):
            for n in range(20):
                step(n)
            torch.cuda.synchronize()
            began = time.perf_counter()
            for n in range(20, 120):
                step(n)
            torch.cuda.synchronize()
            seconds.append((time.perf_counter() - began) / 100)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    bandwidth = big.numel() / seconds[1]
    share = weights / bandwidth / seconds[0]
    print(f"{1 / seconds[0]:,.0f} tokens/s, {share:.2f} of the bandwidth limit of {bandwidth / 1e12:.2f} TB/s")
    assert share > 0.05
