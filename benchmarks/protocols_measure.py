"""What bench_protocols.py measures of one engine, in seconds of CPU time of its process."""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from protocols_engines import Engine, Lmc
from protocols_samples import BATCH, BOUNDED, MONITOR, pattern_of, staggered, streams, together

CPU = time.process_time
BLOCK = 50
"""Steps that are timed together where one is too short for the clock."""
FIRST = 10
"""Masks that count as a start."""
WARM = 20
"""Steps after which the allocator has the pages it needs."""
WINDOW = 32
BOUNDS = (50, 100, 200, 500, 1000)
PEERS_BOUND = 200
LONG = 100_000
Summary = dict[str, float]
Steps = Sequence[Sequence[int]]


def summary(values: Sequence[float]) -> Summary:
    found = {
        "median": statistics.median(values),
        "mean": statistics.fmean(values),
        "least": min(values),
        "most": max(values),
    }
    return {name: float(f"{value:.4g}") for name, value in found.items()} | {"count": len(values)}


class Meter:
    """Repeats what is measured, less often once a budget of wall time is used up."""

    def __init__(self, runs: int, budget: float) -> None:
        self.runs, self.budget = runs, budget

    def repeat(self, once: Callable[[], Any], times: int = 1) -> list[Any]:
        """Return what `once` returns; garbage is collected before each of the runs, `times` of which stand for one."""
        found, until = [], time.perf_counter() + self.budget
        while not found or (len(found) < times * self.runs and time.perf_counter() < until):
            if len(found) % times == 0:
                gc.collect()
            found.append(once())
        return found

    def timed(self, work: Callable[[], object]) -> Summary:
        return summary(self.repeat(lambda: cpu(work)))

    def compilation(self, engine: Engine, pattern: str | None) -> dict[str, Summary]:
        """Return the time of each stage and of all of them."""

        def once() -> dict[str, float]:
            engine.forget()
            return {name: cpu(stage) for name, stage in engine.stages(pattern).items()}

        found = self.repeat(once)
        stages = {name: summary([times[name] for times in found]) for name in found[0]}
        return stages | {"total": summary([sum(times.values()) for times in found])}

    def advance(self, engine: Engine, steps: Steps, **options: int) -> Summary:
        """Return the time of reading one token per row."""
        count = len(steps[0])

        def once() -> float:
            batches = [engine.rows(count, **options) for _ in range(-(-BLOCK // len(steps)))]
            work = [(rows, [engine.ready(rows, tokens) for tokens in steps]) for rows in batches]
            return cpu(lambda: read(engine, work)) / (len(steps) * len(work))

        once()
        return summary(self.repeat(once, 10))

    def along(self, engine: Engine, steps: Steps, work: Callable[[Any], object]) -> tuple[Summary, Summary]:
        """Return the times of some work at every step of the samples: the first time, and afterwards."""
        began = time.perf_counter()

        def once() -> list[float]:
            rows, found = engine.rows(len(steps[0])), []
            for tokens in steps:
                found.append(cpu(lambda: work(rows)))
                engine.accept(rows, engine.ready(rows, tokens))
            return found

        first = once()
        more = self.repeat(once) if time.perf_counter() - began < self.budget else []
        return summary(first), summary([value for found in more or [first] for value in found])

    def start(self, engine: Engine, pattern: str | None, steps: Steps) -> Summary:
        """Return the time of compiling and of the first masks of a batch, tokens read in between."""

        def work() -> None:
            for stage in engine.stages(pattern).values():
                stage()
            for at in range(FIRST):
                if at % len(steps) == 0:
                    rows = engine.rows(BATCH)
                engine.fill(rows)
                engine.accept(rows, engine.ready(rows, steps[at % len(steps)]))

        def once() -> float:
            engine.forget()
            return cpu(work)

        return summary(self.repeat(once))


def cpu(work: Callable[[], object]) -> float:
    began = CPU()
    work()
    return CPU() - began


def read(engine: Engine, work: Sequence[tuple[Any, Sequence[Any]]]) -> None:
    for rows, steps in work:
        for ready in steps:
            engine.accept(rows, ready)


def choices(engine: Engine, steps: Steps) -> list[int]:
    """Return how many ordinary tokens each mask along the first sample leaves, which engines should agree on."""
    rows, words = engine.rows(len(steps[0])), sum(text is not None for text in engine.words.texts)
    found = []
    for tokens in steps:
        found.append(int(np.unpackbits(engine.fill(rows)[0], bitorder="little", count=words).sum()))
        accepted = engine.accept(rows, engine.ready(rows, tokens))
        assert isinstance(engine, Lmc) or np.all(accepted), "a sample does not match"
    return found


def measure(engine: Engine, key: str, meter: Meter) -> dict[str, Any]:
    """Return the figures of one pattern."""
    pattern = pattern_of(key)
    found: dict[str, Any] = {"compile": meter.compilation(engine, pattern), **engine.sizes()}
    if not engine.decodes:
        return found
    samples = streams(engine.encoding, key)
    steps, one = together(samples, BATCH), together(samples, 1)
    found |= {"start": meter.start(engine, pattern, steps)}
    found |= {"advance_64": meter.advance(engine, steps), "advance_1": meter.advance(engine, one)}
    found |= dict(zip(("mask_first", "mask"), meter.along(engine, steps, engine.fill), strict=True))
    found["choices"] = choices(engine, steps)
    if engine.constrain(engine.rows(BATCH), logits(engine)) is not None:
        found["constrain"] = meter.along(engine, steps, lambda rows: engine.constrain(rows, logits(engine)))[1]
    return found | (ours(engine, key, samples, meter) if isinstance(engine, Lmc) else {})


@cache
def logits(engine: Engine) -> Any:
    """Return the logits of a batch, the same every time."""
    import torch

    return torch.zeros(BATCH, engine.size)


def ours(engine: Lmc, key: str, samples: list[list[int]], meter: Meter) -> dict[str, Any]:
    """Return what has no counterpart elsewhere: tokens to take back, events at every step, any 64 states."""
    mixed = staggered(samples, BATCH)
    calls = mixed if key == MONITOR else [[engine.words.specials["<|call|>"]] * BATCH] * BLOCK
    steps, one = together(samples, BATCH), together(samples, 1)
    found: dict[str, Any] = {
        "window_64": meter.advance(engine, steps, window=WINDOW),
        "window_1": meter.advance(engine, one, window=WINDOW),
        "events_64": meter.advance(engine, calls),
        "events_window_64": meter.advance(engine, calls, window=WINDOW),
    }
    if key != MONITOR:
        found["events_1"] = meter.advance(engine, [step[:1] for step in calls])
    return found | any_states(engine, meter)


def any_states(engine: Lmc, meter: Meter) -> dict[str, Any]:
    """Return the times of masks of 64 states drawn at random."""
    import torch

    rows = engine.rows(BATCH)
    rows[0].states.copy_(torch.from_numpy(np.random.default_rng(0).integers(0, len(engine.lifted.table), BATCH)))
    constrain = partial(engine.constrain, rows, logits(engine))
    engine.tables = None
    engine.rows(1)
    first, first_constrain = cpu(lambda: engine.fill(rows)), cpu(constrain)
    for _ in range(WARM):
        constrain()
    return {
        "any_first": first,
        "any_constrain_first": first_constrain,
        "any_mask": summary(meter.repeat(lambda: cpu(lambda: engine.fill(rows)), 10)),
        "any_constrain": summary(meter.repeat(lambda: cpu(constrain), 5)),
    }


def growth(engine: Engine, meter: Meter) -> dict[str, Any]:
    """Return the compile times and sizes of a bounded repeat, by its bound."""
    bounds = [bound for bound in BOUNDS if isinstance(engine, Lmc) or bound <= PEERS_BOUND]
    return {
        str(bound): {"compile": meter.compilation(engine, BOUNDED.format(bound)), **engine.sizes()} for bound in bounds
    }


def long_text(engine: Lmc) -> dict[str, float]:
    """Return the time per step of the first and of the last thousand tokens of a long text, in a batch."""
    engine.forget()
    for stage in engine.stages(None).values():
        stage()
    rows = engine.rows(BATCH, window=WINDOW)
    steps = staggered(streams(engine.encoding, MONITOR), BATCH)
    ready = [engine.ready(rows, tokens) for tokens in steps] * (1000 // len(steps) + 1)
    thousand = [(rows, ready[:1000])]
    read(engine, thousand)
    found = [cpu(lambda: read(engine, thousand)) / 1000 for _ in range(LONG // 1000)]
    return {"first": found[0], "last": found[-1], "most": max(found), "least": min(found)}
