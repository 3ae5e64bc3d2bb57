"""Answers to the questions of dialogues, through the real tools.

`accuracy` counts answers that meet the gold turn with the values of the table. `follows` asks the same questions of a
store whose values were permuted between rows and counts answers that meet the new values: a model that reads follows,
one that remembers does not.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from attrs import evolve

from ...spec.diagnostic import LmcError
from ...spec.evaluation import AnswersEval
from ..data.dataset import DialogueDataset, Question
from ..generation.engine import Engine
from ..generation.requests import Request, Transcript
from ..generation.settings import sampling_of
from ..generation.toolkit import Toolkit
from ..models.transformer import TransformerModel
from ..stores.base import Database, Row
from ..stores.permuted import permuted_store
from ..tools.make import moved
from .context import EvalContext, EvalResult


def evaluate_answers(spec: AnswersEval, model: TransformerModel, context: EvalContext) -> EvalResult:
    """Return `accuracy`, with protocols `calls`, and of a store in a file `follows`; rows hold every transcript."""
    dataset = context.dataset
    assert dataset is not None
    if not isinstance(dataset, DialogueDataset):
        raise ValueError("answers need a dialogue data set")
    questions = _chosen(dataset, spec)
    transcripts = _ask(spec, model, context, context.toolkit, questions)
    gold = dataset.golds(questions)
    right = [_meets(spec, t, g, context) for t, g in zip(transcripts, gold, strict=True)]
    metrics = {"accuracy": sum(right) / len(right)}
    if context.toolkit is not None:
        follows = _follows(spec, model, context, dataset, questions)
        if follows is not None:
            metrics["follows"] = follows
        metrics |= _calls(transcripts, context.toolkit)
    rows = [_row(*item, context) for item in zip(transcripts, gold, right, strict=True)]
    return EvalResult(metrics, rows)


def _chosen(dataset: DialogueDataset, spec: AnswersEval) -> list[Question]:
    questions = list(dataset.questions())
    if spec.examples is None or spec.examples >= len(questions):
        return questions
    return [questions[i] for i in sorted(random.Random(spec.seed).sample(range(len(questions)), spec.examples))]


def _ask(
    spec: AnswersEval,
    model: TransformerModel,
    context: EvalContext,
    toolkit: Toolkit | None,
    questions: Sequence[Question],
) -> list[Transcript]:
    engine = Engine(model, context.tokenizer, toolkit, note=context.note)
    sampling = sampling_of(spec.sample, context.tokenizer, spec.seed)
    return engine.run(
        [
            Request(question.prompt, spec.max_tokens, evolve(sampling, seed=spec.seed + number))
            for number, question in enumerate(questions)
        ]
    )


def _follows(
    spec: AnswersEval,
    model: TransformerModel,
    context: EvalContext,
    dataset: DialogueDataset,
    questions: Sequence[Question],
) -> float | None:
    """Return the share of answers that meet a permuted store; None, and a note, where there can be none."""
    assert context.toolkit is not None
    assert context.database is not None
    path = context.folder / "permuted.db.tmp"
    database = permuted_store(context.database, dataset.table.name, dataset.rows, spec.seed, path)
    if database is None:
        context.note(f"`follows` is left out: no copy of `{dataset.table.source.place}` can be made")
        return None
    try:
        rows = database.tables[dataset.table.name].rows(len(dataset.rows))
        with moved(context.toolkit.executor, context.database, database) as executor:
            transcripts = _ask(spec, model, context, evolve(context.toolkit, executor=executor), questions)
        gold = _moved_golds(context, dataset, questions, rows, database)
        right = [_meets(spec, t, g, context) for t, g in zip(transcripts, gold, strict=True)]
    except LmcError as error:
        if error.diagnostic.code != "LM0704":
            raise
        context.note(f"`follows` is left out: with permuted values, {error.diagnostic.message}")
        return None
    finally:
        path.unlink(missing_ok=True)
    return sum(right) / len(right)


def _moved_golds(
    context: EvalContext,
    dataset: DialogueDataset,
    questions: Sequence[Question],
    rows: Sequence[Row],
    database: Database,
) -> list[str]:
    """Return the right answers for the values of a permuted store, which tools are asked where they give them."""
    toolkit = dataset.writer.toolkit
    if toolkit is None or not any(template.answer.asks for template in dataset.templates):
        return dataset.golds(questions, rows)
    assert context.database is not None
    with moved(toolkit.executor, context.database, database) as executor:
        return dataset.golds(questions, rows, evolve(toolkit, executor=executor))


def _calls(transcripts: Sequence[Transcript], toolkit: Toolkit) -> dict[str, float]:
    """Return the share of dialogues in which a tool answered; of several protocols also by protocol."""
    answered = [{call.protocol for call in t.calls if call.outcome == "answered"} for t in transcripts]
    names = [protocol.name for protocol in toolkit.protocols] if len(toolkit.protocols) > 1 else []
    shares = {f"calls.{name}": sum(name in found for found in answered) / len(answered) for name in names}
    return {"calls": sum(map(bool, answered)) / len(answered), **shares}


def _meets(spec: AnswersEval, transcript: Transcript, gold: str, context: EvalContext) -> bool:
    """Whether the model's last turn meets the gold answer."""
    said = _last_turn(transcript, context)
    if spec.match == "ends":
        return said.endswith(gold)
    return gold in said if spec.match == "contains" else said == gold


def _last_turn(transcript: Transcript, context: EvalContext) -> str:
    tokens = list(transcript.tokens)
    specials = set(context.tokenizer.specials.values())
    if tokens[-1] in specials:
        tokens.pop()
    start = max((at + 1 for at, token in enumerate(tokens) if token in specials), default=0)
    return context.tokenizer.decode(tokens[start:])


def _row(transcript: Transcript, gold: str, right: bool, context: EvalContext) -> dict[str, Any]:
    return {
        "text": context.tokenizer.decode(transcript.tokens),
        "gold": gold,
        "correct": right,
        "stop": transcript.stop,
        "calls": [
            {"protocol": call.protocol, "captures": call.captures, "outcome": call.outcome, "reply": call.reply}
            for call in transcript.calls
        ],
    }
