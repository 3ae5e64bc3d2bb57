"""Sessions: a fork equals a replay, costs nothing, and reads nothing again."""

import gc
import random
import time

import pytest
import torch
from support.generation import CALCULATOR, toolkit_for

from lmc.runtime.generation.engine import Engine, Stats
from lmc.runtime.generation.prefix_tree import PrefixTree
from lmc.runtime.generation.requests import Finished, Request, Said
from lmc.runtime.generation.sampling import Sampling
from lmc.runtime.generation.session import Session, generate_all
from lmc.runtime.models.build import build_model
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.placement import Placement
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.spec.diagnostic import LmcError
from lmc.spec.model import Attention, GatedRecurrence, SwiGLU, Transformer

WARM = Sampling(1.0, seed=3)


def engine_of(
    placement: Placement, tokenizer: Tokenizer, mixer: Attention | GatedRecurrence, **fields: object
) -> Engine:
    spec = Transformer(vocab=260, layers=2, width=16, mixer=mixer, mlp=SwiGLU(hidden=32))
    toolkit = toolkit_for(None, tokenizer, CALCULATOR)
    tree = PrefixTree(fields.pop("budget", None))  # type: ignore[arg-type]
    return Engine(build_model(spec, placement, 1), tokenizer, toolkit, tree=tree, **fields)  # type: ignore[arg-type]


@pytest.fixture(params=[Attention(heads=2, kv_heads=1), GatedRecurrence()], ids=["attention", "recurrence"])
def engine(request: pytest.FixtureRequest, exact: Placement, tokenizer: Tokenizer) -> Engine:
    return engine_of(exact, tokenizer, request.param)


def fresh(engine: Engine, session: Session, max_tokens: int) -> tuple[int, ...]:
    """What a new engine says to the same text, nothing cached."""
    other = Engine(engine.model, engine.tokenizer, engine.toolkit)
    return other.run([Request(session.tokens, max_tokens, session.sampling)])[0].tokens


def test_a_fork_says_what_a_replay_says_and_reads_nothing(engine: Engine) -> None:
    session = Session(engine, WARM).say("<|user|>once upon a time<|assistant|>")
    session.generate(20)
    fork, other = session.fork(), session.fork(seed=9)
    engine.stats = Stats()
    for branch in (session, fork, other):
        want = fresh(engine, branch, 30)
        branch.generate(30)
        assert branch.tokens == want
    assert session.tokens == fork.tokens != other.tokens
    assert engine.stats.prefilled == 1


def test_generating_twice_equals_generating_once(engine: Engine) -> None:
    one, two = Session(engine, WARM).say("abc"), Session(engine, WARM).say("abc")
    one.generate(24)
    for count in (1, 7, 16):
        two.generate(count)
    assert one.tokens == two.tokens


def test_a_prompt_is_read_once_by_all_forks(engine: Engine) -> None:
    session = Session(engine, WARM).say("a long beginning that all share ")
    forks = [session.fork(seed=seed) for seed in range(5)]
    engine.stats = Stats()
    want = [fresh(engine, fork, 8) for fork in forks]
    generate_all(forks, 8)
    assert [fork.tokens for fork in forks] == want
    assert engine.stats.prefilled == len(session.tokens)


def test_trees_of_dialogues_equal_uncached_runs(engine: Engine) -> None:
    """Sessions that say, go on, fork and go back at random; each equals a run without any cache."""
    rng = random.Random(1)
    sessions = [Session(engine, WARM)]
    for _ in range(40):
        session = rng.choice(sessions)
        move = rng.random()
        if move < 0.25 and session.tokens:
            sessions.append(session.fork(seed=rng.randrange(3)))
        elif move < 0.35 and session._before:
            session.back()
        else:
            session.say(rng.choice(["<|user|>hi<|assistant|>", "what? ", "<calc>1+2</calc>", "x"]))
            want = fresh(engine, session, 9)
            session.generate(9)
            assert session.tokens == want


def test_a_fork_takes_less_than_50_microseconds_at_any_length(cpu: Placement, tokenizer: Tokenizer) -> None:
    engine = engine_of(cpu, tokenizer, Attention(heads=2, kv_heads=1))
    session = Session(engine, WARM).say("x" * 20_000)
    session.generate(2)
    gc.collect()
    times = []
    for _ in range(50):
        began = time.perf_counter()
        fork = session.fork()
        times.append(time.perf_counter() - began)
    assert sorted(times)[25] < 50e-6
    engine.stats = Stats()
    fork.generate(1)
    assert engine.stats.prefilled <= 1


def test_a_small_budget_changes_nothing_but_the_work(exact: Placement, tokenizer: Tokenizer) -> None:
    engine = engine_of(exact, tokenizer, Attention(heads=2, kv_heads=1), budget=20_000)
    sessions = [Session(engine, WARM).say(text * 8) for text in ("abc", "abd", "xyz", "q")]
    for _ in range(3):
        for session in sessions:
            want = fresh(engine, session, 10)
            session.generate(10)
            assert session.tokens == want
    del sessions, session
    gc.collect()
    assert engine.tree is not None
    assert engine.tree.bytes <= 20_000


def test_going_back_and_scoring_leave_the_dialogue_whole(engine: Engine) -> None:
    session = Session(engine, WARM).say("<|user|>a<|assistant|>")
    before = session.tokens
    scores = session.score("bcd")
    assert session.tokens == before
    with torch.inference_mode():
        tokens = (*before, *b"bcd")
        logits = engine.model(torch.tensor([tokens]), SequenceLayout.rows([len(tokens)]))[0].log_softmax(-1)
    want = [float(logits[at - 1, tokens[at]]) for at in range(len(before), len(tokens))]
    assert scores == pytest.approx(want, abs=1e-9)
    session.generate(5)
    session.back()
    assert session.tokens == before
    session.back()
    assert session.tokens == ()
    with pytest.raises(IndexError, match="nothing has been said"):
        session.back()
    with pytest.raises(LmcError, match="empty"):
        session.generate(5)
    with pytest.raises(LmcError, match="say something first"):
        session.score("a")


def test_a_full_context_is_one_clear_error(exact: Placement, tokenizer: Tokenizer) -> None:
    engine = engine_of(exact, tokenizer, Attention(heads=2, kv_heads=1), context=16)
    session = Session(engine, WARM).say("0123456789")
    session.generate(50)
    assert len(session.tokens) == 16
    with pytest.raises(LmcError, match="context of 16"):
        session.generate(5)
    session.back()
    assert len(session.tokens) == 10


def test_a_session_streams_and_shows_its_tools(engine: Engine) -> None:
    session = Session(engine, WARM).say("<|user|>")
    told = [*session.tokens]
    for happening in session.stream(25):
        if isinstance(happening, Said):
            told += happening.tokens
        elif isinstance(happening, Finished):
            assert tuple(told) == session.tokens == happening.transcript.tokens
