"""Schedules: their formulas, their ends and joints, torch's and transformers' schedules, and what a file may say.

An update is counted from 1 here, and from 0 in `LambdaLR`: update t has the rate that theirs call step t.
"""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from lmc.compiler.pipeline import compile_spec
from lmc.runtime.training.schedule import value_at
from lmc.spec.identity import identity
from lmc.spec.schedule import (
    Constant,
    Cosine,
    InverseSqrt,
    Linear,
    Part,
    Product,
    Schedule,
    StepTable,
    WarmupStableDecay,
)
from lmc.spec.train import Train
from lmc.spec.units import Steps

PEAK, STEPS = 3e-3, 100
SHAPES = ("linear", "sqrt", "cosine", "lingua")


def rates(schedule: Schedule, peak: float = PEAK, steps: int = STEPS) -> list[float]:
    """Rates of updates 1 to `steps`, behind one at index 0 so that indices are updates."""
    return [math.nan, *(value_at(schedule, peak, step, steps) for step in range(1, steps + 1))]


def wsd(shape: Any = "linear", warmup: int = 10, cooldown: int = 40, floor: float = 0.0) -> WarmupStableDecay:
    return WarmupStableDecay(warmup=Steps(warmup), cooldown=Steps(cooldown), shape=shape, floor=floor)


def table(at: list[int], factors: list[float], between: Any = "linear") -> StepTable:
    return StepTable(at=tuple(map(Steps, at)), factors=tuple(factors), between=between)


W10, FLOOR = Steps(10), 3e-4
POINTS: list[tuple[Schedule, dict[int, float]]] = [
    (Constant(), {1: 1, 50: 1, 100: 1}),
    (Constant(warmup=W10), {1: 0.1, 9: 0.9, 10: 1, 11: 1, 100: 1}),
    (Cosine(warmup=W10, floor=FLOOR), {5: 0.5, 10: 1, 40: 0.775, 55: 0.55, 70: 0.325, 100: 0.1}),
    (Linear(warmup=W10), {1: 0.1, 10: 1, 19: 0.9, 55: 0.5, 91: 0.1, 100: 0}),
    (Linear(warmup=W10, floor=FLOOR), {10: 1, 55: 0.55, 100: 0.1}),
    (Linear(), {1: 0.99, 25: 0.75, 100: 0}),
    (InverseSqrt(warmup=Steps(4)), {1: 0.25, 4: 1, 9: 2 / 3, 16: 0.5, 64: 0.25, 100: 0.2}),
    (InverseSqrt(warmup=Steps(4), power=1.0, floor=FLOOR), {4: 1, 8: 0.5, 40: 0.1, 41: 0.1, 100: 0.1}),
    (wsd(), {5: 0.5, 10: 1, 11: 1, 60: 1, 61: 0.975, 80: 0.5, 99: 0.025, 100: 0}),
    (wsd(floor=FLOOR), {60: 1, 80: 0.55, 100: 0.1}),
    (wsd("sqrt"), {60: 1, 70: 0.5, 82: 1 - math.sqrt(0.55), 100: 0}),
    (wsd("sqrt", floor=FLOOR), {60: 1, 70: 0.55, 100: 0.1}),
    (wsd("cosine", floor=FLOOR), {60: 1, 80: 0.55, 100: 0.1}),
    (wsd("lingua", floor=FLOOR), {60: 1, 70: 1 / 3.25, 80: 1 / 5.5, 90: 1 / 7.75, 100: 0.1}),
    (wsd(cooldown=0), {10: 1, 100: 1}),
    (wsd(warmup=0, cooldown=100), {1: 0.99, 50: 0.5, 100: 0}),
    (table([1, 11, 51], [0, 1, 0.2]), {1: 0, 6: 0.5, 11: 1, 31: 0.6, 51: 0.2, 100: 0.2}),
    (table([20, 60], [0.4, 0.8], "constant"), {1: 0.4, 20: 0.4, 59: 0.4, 60: 0.8, 100: 0.8}),
    (table([30], [0.5]), {1: 0.5, 30: 0.5, 100: 0.5}),
    (Product(parts={"warm": Constant(warmup=W10)}), {1: 0.1, 10: 1, 100: 1}),
    (
        Product(parts={"down": Linear(floor=FLOOR), "stairs": table([0, 50], [1, 0.5], "constant")}),
        {25: 0.775, 49: 0.559, 50: 0.275, 100: 0.05},
    ),
]


@pytest.mark.parametrize(("schedule", "points"), POINTS, ids=[str(schedule) for schedule, _ in POINTS])
def test_ends_and_joints_are_where_the_formulas_put_them(schedule: Schedule, points: dict[int, float]) -> None:
    found = rates(schedule)
    assert {step: found[step] / PEAK for step in points} == pytest.approx(points, abs=1e-12)


def reference(schedule: Part, t: int, steps: int, peak: float) -> float:
    """The multiplier s(t) in exact words of the definitions, for schedules that warm up."""
    w = int(schedule.warmup)  # type: ignore[union-attr]
    r = getattr(schedule, "floor", 0.0) / peak
    if t < w:
        return t / w
    if isinstance(schedule, Constant):
        return 1.0
    if isinstance(schedule, InverseSqrt):
        return max(r, math.exp(schedule.power * (math.log(w) - math.log(t))))
    if isinstance(schedule, WarmupStableDecay):
        start, shape = steps - int(schedule.cooldown), schedule.shape
        x = 0.0 if t <= start else (t - start) / (steps - start)
    else:
        x, shape = (t - w) / max(1, steps - w), "cosine" if isinstance(schedule, Cosine) else "linear"
    if shape == "lingua":
        return 1 / (x / r + 1 - x)
    done = {"linear": x, "sqrt": x**0.5, "cosine": math.sin(math.pi * x / 2) ** 2}[shape]
    return 1 - (1 - r) * done


@st.composite
def warmed(draw: st.DrawFn) -> tuple[Part, int, float]:
    """A schedule that warms up, the steps of its run, and its peak."""
    steps = draw(st.integers(2, 400))
    peak = draw(st.floats(1e-5, 1.0))
    floor = peak * draw(st.sampled_from([0.01, 0.1, 0.5, 1.0]) | st.floats(1e-3, 1.0))
    warmup = Steps(draw(st.integers(1, steps)))
    cooldown = Steps(draw(st.integers(0, steps - warmup)))
    shape: Any = draw(st.sampled_from(SHAPES))
    choices: list[Part] = [
        Constant(warmup=warmup),
        Cosine(warmup=warmup, floor=floor),
        Linear(warmup=warmup, floor=floor),
        InverseSqrt(warmup=warmup, floor=floor, power=draw(st.floats(0.1, 2.0))),
        WarmupStableDecay(warmup=warmup, cooldown=cooldown, shape=shape, floor=floor),
    ]
    return draw(st.sampled_from(choices)), steps, peak


@settings(max_examples=200, deadline=None)
@given(warmed())
def test_rates_are_the_definitions_rise_and_fall_once_and_stay_in_bounds(case: tuple[Part, int, float]) -> None:
    schedule, steps, peak = case
    found = rates(schedule, peak, steps)
    warmup, floor = int(schedule.warmup), getattr(schedule, "floor", 0.0)  # type: ignore[union-attr]
    slack = 1e-12 * peak
    for t in range(1, steps + 1):
        assert found[t] == pytest.approx(peak * reference(schedule, t, steps, peak), rel=1e-9, abs=1e-12 * peak)
    assert found[warmup] == pytest.approx(peak, rel=1e-12)
    assert all(b > a for a, b in pairwise(found[1 : warmup + 1]))
    assert all(b <= a + slack for a, b in pairwise(found[warmup:]))
    assert all(floor - slack <= rate <= peak + slack for rate in found[warmup:])
    if not isinstance(schedule, Constant | InverseSqrt) and getattr(schedule, "cooldown", 1) and warmup < steps:
        assert found[steps] == pytest.approx(floor, rel=1e-9, abs=slack)


@settings(max_examples=100, deadline=None)
@given(warmed(), st.integers(2, 30))
def test_finer_steps_leave_no_jumps(case: tuple[Part, int, float], finer: int) -> None:
    """Stretched over `finer` times the steps, rates at the same fractions are the same: they sample one curve."""
    schedule, steps, peak = case
    names = [name for name in ("warmup", "cooldown") if hasattr(schedule, name)]
    stretched = evolve(schedule, **{name: Steps(getattr(schedule, name) * finer) for name in names})
    coarse, fine = rates(schedule, peak, steps), rates(stretched, peak, steps * finer)
    assert fine[finer::finer] == pytest.approx(coarse[1:], rel=1e-9, abs=1e-12 * peak)
    middle = fine[finer:]
    steepest = max((abs(b - a) for a, b in pairwise(coarse[1:])), default=0.0)
    if not (isinstance(schedule, WarmupStableDecay) and schedule.shape == "lingua"):
        assert max((abs(b - a) for a, b in pairwise(middle)), default=0.0) <= steepest + 1e-9


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.integers(0, 120), st.floats(0, 2), min_size=1, max_size=6))
def test_a_table_is_interpolation(points: dict[int, float]) -> None:
    import numpy

    at = sorted(points)
    factors = [points[step] for step in at]
    steps = numpy.arange(1, STEPS + 1)
    line = rates(table(at, factors), 1.0)[1:]
    assert line == pytest.approx(numpy.interp(steps, at, factors).tolist(), abs=1e-12)
    stairs = rates(table(at, factors, "constant"), 1.0)[1:]
    assert stairs == [points[max((a for a in at if a <= step), default=at[0])] for step in steps.tolist()]


@settings(max_examples=50, deadline=None)
@given(warmed(), st.floats(0, 1), st.floats(0, 1))
def test_a_product_multiplies(case: tuple[Part, int, float], first: float, last: float) -> None:
    schedule, steps, peak = case
    line = table([0, steps], [first, last])
    both = rates(Product(parts={"a": schedule, "b": line}), peak, steps)[1:]
    one, other = rates(schedule, peak, steps)[1:], rates(line, 1.0, steps)[1:]
    assert both == pytest.approx([a * b for a, b in zip(one, other, strict=True)], rel=1e-9, abs=1e-15)
    assert both == pytest.approx(rates(Product(parts={"b": line, "a": schedule}), peak, steps)[1:], rel=1e-12)


def of_scheduler(make: Any, updates: int = STEPS) -> list[float]:
    """Rates of steps 1 to `updates` in a scheduler's own count; step 0 comes before the first of ours."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = make(optimizer)
    found = []
    for _ in range(updates):
        optimizer.step()
        scheduler.step()
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_rates_are_those_of_torch() -> None:
    of = torch.optim.lr_scheduler
    ours = rates(Cosine(floor=FLOOR))[1:]
    assert ours == pytest.approx(of_scheduler(lambda o: of.CosineAnnealingLR(o, STEPS, eta_min=FLOOR)), rel=1e-9)
    ours = rates(Linear(floor=FLOOR))[1:]
    assert ours == pytest.approx(of_scheduler(lambda o: of.LinearLR(o, 1.0, FLOOR / PEAK, STEPS)), rel=1e-9)
    ours = rates(table([0, 30, 70], [1, 0.5, 0.25], "constant"))[1:]
    assert ours == pytest.approx(of_scheduler(lambda o: of.MultiStepLR(o, [30, 70], 0.5)), rel=1e-9)
    ours = rates(table([0, 20], [0.1, 1]))[1:]
    assert ours == pytest.approx(of_scheduler(lambda o: of.LinearLR(o, 0.1, 1.0, 20)), rel=1e-9)


@pytest.mark.transformers
@pytest.mark.parametrize("warmup", [1, 7, 40])
def test_rates_are_those_of_transformers(warmup: int) -> None:
    theirs = pytest.importorskip("transformers", reason="needs the transformers library")
    w = Steps(warmup)
    for ours, make in (
        (Constant(warmup=w), lambda o: theirs.get_constant_schedule_with_warmup(o, warmup)),
        (Cosine(warmup=w), lambda o: theirs.get_cosine_schedule_with_warmup(o, warmup, STEPS)),
        (Linear(warmup=w), lambda o: theirs.get_linear_schedule_with_warmup(o, warmup, STEPS)),
        (InverseSqrt(warmup=w), lambda o: theirs.get_inverse_sqrt_schedule(o, warmup)),
    ):
        assert rates(ours)[1:] == pytest.approx(of_scheduler(make), rel=1e-9, abs=1e-18), ours


@pytest.mark.transformers
@pytest.mark.parametrize(("shape", "name"), [("linear", "linear"), ("cosine", "cosine"), ("sqrt", "1-sqrt")])
@pytest.mark.parametrize("floor", [0.0, FLOOR])
def test_rates_of_wsd_are_those_of_transformers(shape: Any, name: str, floor: float) -> None:
    """Theirs begins the warm-up at the floor, ours at 0; from the end of the warm-up on they are the same."""
    theirs = pytest.importorskip("transformers", reason="needs the transformers library")
    found = of_scheduler(
        lambda o: theirs.get_wsd_schedule(
            o, 10, 40, num_training_steps=STEPS, decay_type=name, min_lr_ratio=floor / PEAK
        )
    )
    first = 1 if floor == 0 else 10
    ours = rates(wsd(shape, floor=floor))[first:]
    assert ours == pytest.approx(found[first - 1 :], rel=1e-9, abs=1e-18)


FILE = """\
edition = 1
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 1k, batch = 4, optim.lr = 1e-2, schedule : SCHEDULE }
"""


def compiled(schedule: str, folder: Path) -> Any:
    path = folder / "case.lmspec"
    path.write_text(FILE.replace("SCHEDULE", schedule), encoding="utf-8")
    return compile_spec(path)


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("wsd { warmup = 0.02 * steps, cooldown = 0.2 * steps }", wsd(warmup=20, cooldown=200)),
        ("cosine { warmup = 100, floor = optim.lr / 10 }", Cosine(warmup=Steps(100), floor=1e-3)),
        ('wsd { cooldown = 9, shape = "lingua", floor = 1e-4 }', wsd("lingua", 0, 9, 1e-4)),
        ("linear { warmup = 0.0015 * steps }", Linear(warmup=Steps(2))),
        ("inverse_sqrt { warmup = 10, power = 1 }", InverseSqrt(warmup=W10, power=1.0)),
        ("table { at = [1, steps // 2, 0.75 * steps], factors = [0, 1, 0.5] }", table([1, 500, 750], [0, 1, 0.5])),
        (
            "product { part a : linear { floor = optim.lr / 2 }, part b : table { at = [steps], factors = [1] } }",
            Product(parts={"a": Linear(floor=5e-3), "b": table([1000], [1.0])}),
        ),
    ],
)
def test_what_a_file_says_is_what_runs(text: str, schedule: Schedule, tmp_path: Path) -> None:
    plan = compiled(text, tmp_path)
    assert plan.diagnostics.items == []
    (train,) = (node.spec for node in plan.plan.nodes.values() if isinstance(node.spec, Train))
    assert train.schedule == schedule


@pytest.mark.parametrize(
    ("text", "code", "words", "marked"),
    [
        ('wsd { cooldown = 9, shape = "lingua" }', "LM0303", "divides by the floor, which is 0", "schedule"),
        ("wsd { warmup = 600, cooldown = 500 }", "LM0303", "1,100 steps are longer than the run of 1,000", "500"),
        ("wsd { warmup = 10 }", "LM0209", "needs `cooldown`", "schedule"),
        ("linear { warmup = 2k }", "LM0303", "a warm-up of 2,000 steps is longer", "2k"),
        ("linear { floor = 0.1 }", "LM0303", "a floor of 0.1 is above the learning rate of 0.01", "0.1"),
        ("inverse_sqrt { warmup = 0 }", "LM0303", "`warmup` must be at least 1", "0"),
        ("table { at = [5, 5], factors = [1, 2] }", "LM0303", "list of rising steps", "[5, 5]"),
        ("table { at = [5, 6], factors = [1] }", "LM0303", "2 steps and 1 multipliers", "[1]"),
        ("table { at = [5], factors = [-1] }", "LM0303", "at least 0", "[-1]"),
        ("product {}", "LM0209", "a product needs a `part`", "schedule"),
        ("product { part a : linear { floor = 1 } }", "LM0303", "a floor of 1 in part `a` is above", ""),
        ("product { part a : product {} }", "LM0202", "product", "product"),
    ],
)
def test_mistakes_are_told_where_they_are(text: str, code: str, words: str, marked: str, tmp_path: Path) -> None:
    (found,) = compiled(text, tmp_path).diagnostics.items
    assert (found.code, words in found.message) == (code, True), found.message
    assert found.span.text.startswith(marked)


def test_identities_of_constant_and_cosine_are_what_they_were() -> None:
    train = Train(model="m" * 16, data="d" * 16, steps=Steps(100), tokens=0, batch=8)
    assert identity(train) == "r43ocbk64zlf7f6c"
    assert identity(evolve(train, schedule=Cosine(warmup=W10, floor=1e-4))) == "ci6hicre344gwnyn"
