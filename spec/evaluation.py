"""Evaluations: numbers about a trained model."""

from __future__ import annotations

from typing import Any, Literal

from attrs import frozen
from attrs.validators import ge, optional

from .sample import Sample
from .schema import allows, option, variant
from .units import Steps

Checkpoint = Literal["last", "best"] | Steps
SMALLER_IS_BETTER = frozenset({"loss", "bits_per_byte"})
"""Metrics that are better when smaller; of others the larger value is the better one."""


def checkpoint_option() -> Any:
    """Return the field that says which checkpoint of a run is meant."""
    return option(
        'Which checkpoint of `run`: its "last", its "best" by `keep.best`, or that of a step which the run keeps.',
        default="last",
        ahead=lambda value: value != "last",
    )


def run_option() -> Any:
    """Return the field that says what is evaluated."""
    return option("The training; or a model, with the weights that trainings of it start from.", ref="run")


def every_option(otherwise: str) -> Any:
    """Return the field that says how often a training stops to be evaluated; `otherwise` is what none means."""
    text = f"Steps between evaluations in training; none: {otherwise}."
    return option(text, default=None, identity=False, validator=optional(ge(0)))


def examples_option(text: str) -> Any:
    """Return the field that bounds how many examples are looked at."""
    return option(text, default=None, validator=optional(ge(1)))


@allows(items={"minLength": 1})
def _texts(instance: Any, attribute: Any, value: tuple[str, ...]) -> None:
    """None empty."""
    if "" in value:
        raise ValueError("'stop' must be a list of texts that are not empty")


@variant("eval", "loss")
@frozen(kw_only=True, repr=False)
class LossEval:
    """Mean cross entropy of trained positions. Metrics: `loss` (nats per token), `bits_per_byte`."""

    run: str = run_option()
    checkpoint: Checkpoint = checkpoint_option()
    data: str | None = option("Data; the training's own if none.", ref="data", default=None)
    split: Literal["train", "valid"] = option("Which part.", default="valid")
    unit: Literal["nats", "bits/byte"] = option("Unit that tables show.", default="nats", identity=False)
    examples: int | None = examples_option("How many examples, from the first; all if none.")
    every: Steps | None = every_option("`every.eval`")


@variant("eval", "answers")
@frozen(kw_only=True, repr=False)
class AnswersEval:
    """Answers to the questions of a dialogue data set, through the real tools; greedy unless `sample` says otherwise.

    Metrics: `accuracy`, `follows` (share of answers equal to what the store holds after its values are permuted
    between rows; with protocols only), `calls` (share of dialogues in which a tool answered; of several protocols
    `calls.NAME` tells each).
    """

    run: str = run_option()
    checkpoint: Checkpoint = checkpoint_option()
    data: str | None = option("Data; the training's own if none.", ref="data", default=None)
    protocols: tuple[str, ...] = option("Protocols that are executed.", ref="protocol", default=())
    match: Literal["ends", "contains", "exact"] = option("How the last turn must meet the answer turn.", default="ends")
    examples: int | None = examples_option("How many questions, drawn by `seed`; all if none.")
    max_tokens: int = option("Longest continuation.", unit="tokens", default=256, validator=ge(1))
    seed: int = option("Seed of drawn questions, of the permutation and of the first answer's tokens.", default=0)
    temperature: float = option("0 is greedy.", default=0.0, validator=ge(0.0))
    sample: Sample = option("How tokens are drawn.", default=Sample(temperature=0.0))
    every: Steps | None = every_option("only at the end")
    automaton: str | None = option("Automaton of `protocols`.", ref="automaton", default=None, hidden=True)


@variant("eval", "generate", revision=2)
@frozen(kw_only=True, repr=False)
class GenerateEval:
    """Samples, written to `samples.jsonl` and `samples.txt`. Metrics: `tokens`."""

    run: str = run_option()
    checkpoint: Checkpoint = checkpoint_option()
    prompt: str = option("Text that is continued; the spelling of a declared special is that special.", default="")
    samples: int = option("How many continuations.", default=1, validator=ge(1))
    max_tokens: int = option("Longest continuation.", unit="tokens", default=256, validator=ge(1))
    temperature: float = option("0 is greedy.", default=1.0, validator=ge(0.0))
    sample: Sample = option("How tokens are drawn.", default=Sample())
    stop: tuple[str, ...] = option("Texts that end a sample and are no part of it.", default=(), validator=_texts)
    seed: int = option("Seed of the first sample; each next one adds one.", default=0)
    protocols: tuple[str, ...] = option("Protocols that are executed.", ref="protocol", default=())
    every: Steps | None = every_option("only at the end")
    automaton: str | None = option("Automaton of `protocols`.", ref="automaton", default=None, hidden=True)


@variant("eval", "per_token", runs=False)
@frozen(kw_only=True, repr=False)
class PerTokenEval:
    """Share of trained positions whose likeliest token is right, the mean over examples. Metrics: `accuracy`."""

    run: str = run_option()
    checkpoint: Checkpoint = checkpoint_option()
    data: str | None = option("Data; the training's own if none.", ref="data", default=None)
    split: Literal["train", "valid"] = option("Which part.", default="valid")
    slice: tuple[Literal["pairs", "seq_len", "position"], ...] = option(
        "What accuracy is told by as well.", default=(), many=True
    )
    examples: int | None = examples_option("How many examples, from the first; all if none.")
    every: Steps | None = every_option("only at the end")
