"""Answers to the questions of dialogues, greedy, through the real tools.

`accuracy` counts answers that meet the gold turn with the values of the table. `follows` asks the same questions of a
store whose values were permuted between rows and counts answers that meet the new values: a model that reads follows,
one that remembers does not.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from attrs import evolve

from ...spec.evaluation import AnswersEval
from ..data.dataset import DialogueDataset, Question
from ..data.sqlite import Database, Row, permuted_store
from ..generation.engine import Engine, Request, Transcript
from ..generation.toolkit import Toolkit
from ..models.transformer import TransformerModel
from ..tools.sql import SqlTool
from .context import EvalContext, EvalResult


def evaluate_answers(spec: AnswersEval, model: TransformerModel, context: EvalContext) -> EvalResult:
    """Return `accuracy`, and with protocols `follows` and `calls`; rows hold every transcript."""
    dataset = context.dataset
    if not isinstance(dataset, DialogueDataset):
        raise ValueError("answers need a dialogue data set")
    questions = _chosen(dataset, spec)
    transcripts = _ask(spec, model, context, context.toolkit, questions)
    gold = [question.gold(dataset.rows[question.row]) for question in questions]
    right = [_meets(spec, t, g, context) for t, g in zip(transcripts, gold, strict=True)]
    metrics = {"accuracy": sum(right) / len(right)}
    if context.toolkit is not None:
        metrics["follows"] = _follows(spec, model, context, dataset, questions)
        answered = [any(call.outcome == "answered" for call in t.calls) for t in transcripts]
        metrics["calls"] = sum(answered) / len(answered)
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
    engine = Engine(model, context.tokenizer, toolkit)
    return engine.run([Request(question.prompt, spec.max_tokens) for question in questions])


def _follows(
    spec: AnswersEval,
    model: TransformerModel,
    context: EvalContext,
    dataset: DialogueDataset,
    questions: Sequence[Question],
) -> float:
    assert context.toolkit is not None
    path = context.folder / "permuted.db.tmp"
    database = permuted_store(dataset.table, dataset.rows, spec.seed, path)
    try:
        rows: list[Row] = database.tables[dataset.table.name].rows(len(dataset.rows))
        transcripts = _ask(spec, model, context, _rebound(context.toolkit, database), questions)
        gold = [question.gold(rows[question.row]) for question in questions]
        right = [_meets(spec, t, g, context) for t, g in zip(transcripts, gold, strict=True)]
    finally:
        path.unlink(missing_ok=True)
    return sum(right) / len(right)


def _rebound(toolkit: Toolkit, database: Database) -> Toolkit:
    """Return the toolkit with its tools on another database."""
    protocols = tuple(
        evolve(protocol, tool=SqlTool(protocol.spec, database.path, frozenset(database.tables)))
        for protocol in toolkit.protocols
    )
    return evolve(toolkit, protocols=protocols)


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
            {"captures": call.captures, "outcome": call.outcome, "reply": call.reply} for call in transcript.calls
        ],
    }
