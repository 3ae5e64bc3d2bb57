"""Cross-checks of schedules: of the learning rate, of the batch and of the length of examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from .data import Dialogues
from .schedule import Part, Product, Schedule, StepTable, WarmupStableDecay
from .train import Train
from .violation import Lookup, Violation


@frozen
class Curve:
    """A schedule of a train, and what it is a schedule of.

    Attributes:
        schedule, path: what it is, and the field. peak, at: what its values are of at most, and the path of that.
        noun: what a reader calls the peak. steps: of the whole training; None while they are unknown.
    """

    schedule: Schedule
    path: str
    peak: float
    at: str
    noun: str
    steps: int | None

    @property
    def written(self) -> str:
        """The peak as an expression of the language."""
        return self.at.replace(":", ".")


def rate_violations(spec: Train) -> Iterator[Violation]:
    """Yield what is wrong with the schedule of the learning rate."""
    yield from _curve(Curve(spec.schedule, "schedule", spec.optim.lr, "optim.lr", "learning rate", spec.steps))


def size_violations(spec: Train, lookup: Lookup) -> Iterator[Violation]:
    """Yield what is wrong with the schedules of the batch and of the length."""
    if spec.batch_schedule is not None:
        yield from _whole(Curve(spec.batch_schedule, "batch_schedule", spec.batch, "batch", "batch", spec.steps))
    if spec.length_schedule is None:
        return
    if _has_dialogues(spec.data, lookup):
        message = "`length_schedule` crops examples, and dialogues are never cut"
        yield Violation("LM0303", message, ("length_schedule", "data"), "drop it, or train on a text")
        return
    length = lookup(spec.data).seq_len
    yield from _whole(Curve(spec.length_schedule, "length_schedule", length, "data:seq_len", "length", spec.steps))


def _has_dialogues(data: str, lookup: Lookup) -> bool:
    """Whether a data set, or a part of it, is made of dialogues."""
    spec: Any = lookup(data)
    return isinstance(spec, Dialogues) or any(_has_dialogues(part, lookup) for part in getattr(spec, "read", ()))


def _whole(curve: Curve) -> Iterator[Violation]:
    """Yield what is wrong with a schedule whose peak is a whole number that is the most there may be."""
    for path, part, _ in _parts(curve):
        if isinstance(part, StepTable) and max(part.factors, default=0.0) > 1:
            message = f"a multiplier of {max(part.factors):g} is above 1, where the {curve.noun} is {curve.peak:g}"
            help = f"raise `{curve.written}`, and lower the multipliers"
            yield Violation("LM0303", message, (f"{path}.factors", curve.at), help)
    yield from _curve(curve)


def _parts(curve: Curve) -> Iterator[tuple[str, Part, str]]:
    """Yield path and schedule of the parts of a product, or of the schedule; and which part it is, for messages."""
    if isinstance(curve.schedule, Product):
        for name, part in curve.schedule.parts.items():
            yield f"{curve.path}.{name}", part, f" in part `{name}`"
    else:
        yield curve.path, curve.schedule, ""


def _curve(curve: Curve) -> Iterator[Violation]:
    if isinstance(curve.schedule, Product) and not curve.schedule.parts:
        paths = (f"{curve.path}.parts",)
        yield Violation("LM0209", "a product needs a `part`", paths, "write part NAME : linear { }")
    for path, part, whose in _parts(curve):
        if isinstance(part, StepTable):
            yield from _table(part, path, whose)
        else:
            yield from _warmed(curve, part, path, whose)


def _table(part: StepTable, path: str, whose: str) -> Iterator[Violation]:
    if len(part.at) != len(part.factors):
        message = f"{len(part.at)} steps and {len(part.factors)} multipliers{whose}"
        yield Violation("LM0303", message, (f"{path}.factors", f"{path}.at"), "write one multiplier for each step")


def _warmed(curve: Curve, part: Any, path: str, whose: str) -> Iterator[Violation]:
    """Yield what is wrong with a schedule that begins with a warm-up."""
    if curve.steps is not None and part.warmup > curve.steps:
        message = f"a warm-up of {part.warmup:,} steps{whose} is longer than the run of {curve.steps:,}"
        yield Violation("LM0303", message, (f"{path}.warmup", "steps"), "shorten the warm-up")
    floor: float = getattr(part, "floor", 0.0)
    if floor > curve.peak:
        message = f"a floor of {floor:g}{whose} is above the {curve.noun} of {curve.peak:g}"
        help = f"lower it, as in floor = {curve.written} / 10"
        yield Violation("LM0303", message, (f"{path}.floor", curve.at), help)
    if isinstance(part, WarmupStableDecay):
        yield from _cooldown(curve, part, path, whose)


def _cooldown(curve: Curve, part: WarmupStableDecay, path: str, whose: str) -> Iterator[Violation]:
    if part.shape == "lingua" and part.floor == 0:
        message = f'`shape = "lingua"`{whose} divides by the floor, which is 0'
        help = f"set a floor, as in floor = {curve.written} / 100"
        yield Violation("LM0303", message, (f"{path}.floor", f"{path}.shape"), help)
    if curve.steps is not None and part.warmup <= curve.steps < part.warmup + part.cooldown:
        both = f"{part.warmup + part.cooldown:,} steps{whose}"
        message = f"warm-up and cooldown of {both} are longer than the run of {curve.steps:,}"
        paths = (f"{path}.cooldown", f"{path}.warmup", "steps")
        yield Violation("LM0303", message, paths, "shorten the cooldown")
