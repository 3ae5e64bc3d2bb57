"""Advancing rows on a device: the compiled step equals the eager one; on a GPU it never waits and a graph holds it."""

import shutil

import numpy as np
import pytest
import torch
from support.protocols import DB, FIND, Reader, compiled, protocol, vocabulary

from lmc.runtime.protocols.lift import TokenAutomaton, lift
from lmc.runtime.protocols.state import AutomatonState, DeviceAutomaton, advance_rows

WORDS = vocabulary([b"```sql\n", b"FIND a FOR B", b"\n```", b" FOR x", b"a"])
FIELDS = ("states", "held", "history", "count", "floor")
HARD = [*range(90, 123), 10, 32, 96, 256, 257, 258, 259, WORDS.specials[DB]]


def automaton() -> TokenAutomaton:
    return lift(compiled(protocol(FIND, allow={"attribute": ["a", "b_c"]}, constrained=True)).monitor, WORDS)


def steps(rows: int, count: int, device: torch.device) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Random tokens, of which many make calls, and which rows read them."""
    rng = np.random.default_rng(0)
    tokens = rng.choice(HARD, (count, rows))
    active = rng.random((count, rows)) < 0.8
    return [
        (torch.from_numpy(t).to(device), torch.from_numpy(a).to(device)) for t, a in zip(tokens, active, strict=True)
    ]


def equal(one: AutomatonState, other: AutomatonState) -> bool:
    return all(torch.equal(getattr(one, field).cpu(), getattr(other, field).cpu()) for field in FIELDS)


@pytest.mark.parametrize("window", [0, 4])
def test_rows_advance_as_a_single_reader_does(window: int) -> None:
    device = DeviceAutomaton(automaton(), torch.device("cpu"))
    state = device.initial(16, window)
    readers = [Reader(device.automaton) for _ in range(16)]
    happened = 0
    for tokens, active in steps(16, 200, device.device):
        effects = device.advance(state, tokens, active)
        happened += int((effects > 0).sum())
        for row, reader in enumerate(readers):
            if active[row]:
                reader.read([int(tokens[row])])
            assert reader.state == state.states[row]
            assert reader.position == state.positions[row]
            assert reader.registers == state.registers[row].tolist()
    assert happened > 100


def test_rollback_by_any_number_of_tokens() -> None:
    device = DeviceAutomaton(automaton(), torch.device("cpu"))
    state = device.initial(8, window=6)
    taken = steps(8, 100, device.device)
    for at, (tokens, active) in enumerate(taken):
        device.advance(state, tokens, active)
        if at % 9 == 8:
            back = torch.arange(8) % 7
            device.rollback(state, torch.minimum(back, state.count))
            for row in range(8):
                said = [int(t[row]) for t, a in taken[: at + 1] if a[row]]
                kept = said[: len(said) - min(int(back[row]), len(said))]
                reader = Reader(device.automaton).read(kept)
                assert (reader.state, reader.position) == (state.states[row], state.positions[row])
                assert reader.registers == state.registers[row].tolist()
            state = device.initial(8, window=6)
            taken[: at + 1] = [(t, torch.zeros_like(a)) for t, a in taken[: at + 1]]


def test_tensors_alone_do_what_the_host_does() -> None:
    for window in (0, 3):
        host, device = (DeviceAutomaton(automaton(), torch.device("cpu")) for _ in range(2))
        device.compiled = advance_rows
        one, other = host.initial(32, window), device.initial(32, window)
        for tokens, active in steps(32, 120, host.device):
            assert torch.equal(host.advance(one, tokens, active), device.advance(other, tokens, active))
            assert equal(one, other)


def test_rollback_goes_no_further_than_the_window() -> None:
    device = DeviceAutomaton(automaton(), torch.device("cpu"))
    active = torch.tensor([True])
    state = device.initial(1, window=2)
    for token in b"```sq":
        device.advance(state, torch.tensor([token]), active)
    for _ in range(2):
        device.rollback(state, torch.tensor([2]))
        assert (state.count.tolist(), state.positions.tolist()) == ([3], [3])
        assert state.states.tolist() == [Reader(device.automaton).read(b"```").state]
    device.start(state, 0, 0)
    device.rollback(state, torch.tensor([2]))
    assert (state.count.tolist(), state.positions.tolist(), state.states.tolist()) == ([0], [0], [0])


def test_masks_on_the_host_equal_those_of_the_device() -> None:
    device = DeviceAutomaton(automaton(), torch.device("cpu"))
    states = torch.arange(device.num_states)
    mask = device.mask(states)
    logits = torch.randn(device.num_states, len(WORDS.texts))
    want = logits.masked_fill(~mask, -torch.inf)
    assert torch.equal(device.constrain(logits, states), want)
    packed = np.unpackbits(device.masks.packed(states.numpy()), axis=1, count=len(WORDS.texts), bitorder="little")
    assert (packed == mask.numpy()).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:dynamo_pgo")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_the_compiled_step_is_one_graph_of_few_kernels_and_equals_the_eager_one() -> None:
    from torch._inductor import config, metrics

    eager_device = DeviceAutomaton(automaton(), torch.device("cpu"))
    for window in (0, 4):
        device = DeviceAutomaton(automaton(), torch.device("cpu"))
        device.compiled = torch.compile(advance_rows, dynamic=True, fullgraph=True)
        eager, state = eager_device.initial(64, window), device.initial(64, window)
        metrics.reset()
        with config.patch(force_disable_caches=True):
            for tokens, active in steps(64, 60, eager_device.device):
                assert torch.equal(device.advance(state, tokens, active), eager_device.advance(eager, tokens, active))
        assert equal(eager, state)
        assert window or 0 < metrics.generated_kernel_count <= 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("rows", [64, 512])
def test_a_step_on_a_gpu_waits_for_nothing_and_fits_a_graph(rows: int) -> None:
    cuda = torch.device("cuda")
    host, device = DeviceAutomaton(automaton(), torch.device("cpu")), DeviceAutomaton(automaton(), cuda)
    eager, state = host.initial(rows), device.initial(rows)
    taken = steps(rows, 60, torch.device("cpu"))
    tokens, active = taken[0][0].to(cuda), torch.zeros(rows, dtype=torch.bool, device=cuda)
    for _ in range(3):
        device.advance(state, tokens, active)
    torch.cuda.set_sync_debug_mode("error")
    try:
        device.advance(state, tokens, active)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        device.advance(state, tokens, active)
        torch.cuda.synchronize()
    kernels = [
        e for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA and "Memcpy" not in e.name
    ]
    assert 0 < len(kernels) <= 4
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        effects = device.advance(state, tokens, active)
    for said, speaking in taken:
        tokens.copy_(said)
        active.copy_(speaking)
        graph.replay()
        assert torch.equal(effects.cpu(), host.advance(eager, said, speaking))
    assert equal(eager, state)
