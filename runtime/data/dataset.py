"""Data sets: numbered examples, and the questions that dialogues ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Literal, Protocol

import numpy as np
from attrs import evolve, frozen

from ...spec.data import Dialogues, Order, Text
from ...spec.diagnostic import Diagnostic, LmcError
from ..generation.toolkit import Toolkit
from ..inputs import expand
from ..stores.base import Database, Row, TableView
from ..tokenizers.base import Tokenizer
from .batch import Example, padding
from .dialogues import DialogueWriter
from .examples import Examples
from .order import Draw, draws, mix
from .templates import REPLY, Template, read_template, wrong_template
from .text import TextDataset, build_text
from .token_cache import Say, silent

__all__ = ["Dataset", "DialogueDataset", "Question", "TextDataset", "build_dataset", "build_dialogues", "build_text"]

Split = Literal["train", "valid"]


class Dataset(Protocol):
    """What a training and its evaluations read."""

    @property
    def order(self) -> Order:
        """How a training draws examples."""

    @property
    def seed(self) -> int:
        """Seed of the order."""

    def size(self, split: Split) -> int:
        """Return the number of examples of a split."""

    def example(self, split: Split, draw: Draw) -> Example:
        """Return an example; `draw.number` keys what a training draws afresh."""

    def trained(self, split: Split, draw: Draw) -> int:
        """Return how many positions of an example are trained, which may be known without reading it."""

    def bytes_trained(self, split: Split, index: int) -> int:
        """Return how many bytes the trained targets of an example stand for; special tokens count none."""

    def describe(self, batch: int = 128) -> str:
        """Return the counts that are printed before the first step, and the padding of steps of `batch` examples."""


@frozen
class Question:
    """What an evaluation asks: a dialogue up to the first learned speaker, and the row and template it comes from."""

    prompt: tuple[int, ...]
    row: int
    template: Template


@frozen(eq=False)
class DialogueDataset:
    """A dialogue per row and template; example i is row i // templates and template i % templates, less the dropped.

    `starts` are the lengths of the questions.
    """

    spec: Dialogues
    table: TableView
    rows: list[Row]
    templates: tuple[Template, ...]
    writer: DialogueWriter
    kept: tuple[int, ...]
    examples: Examples
    starts: tuple[int, ...]

    @property
    def order(self) -> Order:
        """How a training draws examples."""
        return self.spec.order

    @property
    def seed(self) -> int:
        """Seed of the order and of fresh values."""
        return self.spec.seed

    def size(self, split: Split) -> int:
        """Return the number of dialogues; both splits ask the same questions."""
        return len(self.kept)

    def example(self, split: Split, draw: Draw) -> Example:
        """Return a dialogue; in training under `fresh`, with values drawn for this draw alone."""
        if split == "valid" or self.spec.values == "table":
            return self.examples[draw.index]
        row, template = self._source(self.kept[draw.index])
        (written,) = self.writer.write([(template, self.fresh(row, draw.number))])
        if len(written.example.tokens) > self.spec.seq_len:
            raise too_long(template, row[self.table.key], len(written.example.tokens), self.spec.seq_len)
        return written.example

    def trained(self, split: Split, draw: Draw) -> int:
        """Return the number of positions that an assistant's turns train."""
        return int(np.count_nonzero(self.example(split, draw).trained))

    def fresh(self, row: Row, number: int) -> Row:
        """Return a row of the same name whose values are keyed by (seed, number)."""
        assert self.table.pools is not None
        draw = Random(mix(mix(self.seed) ^ mix(number)))
        return {self.table.key: row[self.table.key], **self.table.pools.values(draw)}

    def bytes_trained(self, split: Split, index: int) -> int:
        """Return the bytes of the trained targets."""
        example = self.examples[index]
        targets = example.tokens[1:][example.trained[:-1]]
        return int(self.writer.tokenizer.byte_lengths()[targets].sum())

    def questions(self) -> Iterator[Question]:
        """Yield the question of every dialogue."""
        for number, example, start in zip(self.kept, self.examples, self.starts, strict=True):
            row, template = divmod(number, len(self.templates))
            yield Question(tuple(example.tokens[:start].tolist()), row, self.templates[template])

    def golds(
        self, questions: Sequence[Question], rows: Sequence[Row] | None = None, toolkit: Toolkit | None = None
    ) -> list[str]:
        """Return the right answers to questions, for other values of the rows and other tools if they are given.

        Raises LmcError (LM0704) for an answer that is the reply to a call which a tool does not answer.
        """
        values = self.rows if rows is None else rows
        writer = self.writer if toolkit is None else evolve(self.writer, toolkit=toolkit)
        asked = [(q.template, values[q.row]) for q in questions if q.template.answer.asks]
        replies = iter([written.reply for written in writer.write(asked)])
        return [
            q.template.answer.render(
                {**values[q.row], REPLY: next(replies)} if q.template.answer.asks else values[q.row]
            )
            for q in questions
        ]

    def describe(self, batch: int = 128) -> str:
        """Return counts of dialogues, tokens and trained tokens, padding, and how many dialogues were dropped."""
        examples = self.examples
        dropped = len(self.rows) * len(self.templates) - len(self.kept)
        first = draws(self.order, mix(self.seed), 0, min(batch, len(self.kept)), len(self.kept))
        share = padding([int(examples.lengths[draw.index]) for draw in first])
        text = f"{len(self.kept):,} dialogues, {len(examples.tokens):,} tokens, {int(examples.trained.sum()):,} trained"
        return f"{text}, {share:.1%} padding in a step of {batch:,}, {dropped:,} dropped for length"

    def _source(self, number: int) -> tuple[Row, Template]:
        row, template = divmod(number, len(self.templates))
        return self.rows[row], self.templates[template]


def build_dialogues(
    spec: Dialogues, tokenizer: Tokenizer, root: Path, database: Database, toolkit: Toolkit | None = None
) -> DialogueDataset:
    """Write and tokenise every dialogue; `toolkit` answers `{{reply}}`.

    Raises LmcError: LM0701, LM0704 and LM0609 for templates, LM0702 and LM0705 for the table, LM0703 for a
    dialogue longer than `seq_len` unless `overflow` drops it, LM0702 if fresh values have no pools.
    """
    table = database.tables[spec.rows.split("/")[1]]
    if spec.values == "fresh" and table.pools is None:
        raise LmcError(
            Diagnostic("LM0702", f"fresh values need a made table; `{table.name}` is read from a file", None)
        )
    rows = table.rows(spec.count)
    templates = _templates(spec, tokenizer, root, (table.key, *table.columns))
    writer = DialogueWriter(spec, tokenizer, table.key, toolkit, _stale(spec, database, toolkit))
    kept, examples, starts = [], [], []
    for number, written in enumerate(writer.write((t, row) for row in rows for t in templates)):
        if len(written.example.tokens) <= spec.seq_len:
            kept.append(number)
            examples.append(written.example)
            starts.append(written.question)
        elif spec.overflow == "error":
            name, template = rows[number // len(templates)][table.key], templates[number % len(templates)]
            raise too_long(template, name, len(written.example.tokens), spec.seq_len)
    if not kept:
        raise LmcError(Diagnostic("LM0703", f"every dialogue is longer than seq_len = {spec.seq_len}", None))
    return DialogueDataset(spec, table, rows, templates, writer, tuple(kept), Examples.of(examples), tuple(starts))


def _templates(spec: Dialogues, tokenizer: Tokenizer, root: Path, fields: Sequence[str]) -> tuple[Template, ...]:
    """Read the templates. Raises LmcError: LM0704 also for a `{{reply}}` where replies are written."""
    paths = expand(spec.templates.pattern, root)
    templates = tuple(read_template(path, tuple(tokenizer.specials), fields) for path in paths)
    for template in templates:
        asking = next((turn for turn in template.turns if turn.asks), None)
        if asking is not None and spec.replies != "tools":
            line = asking.line_of(asking.parts.index(REPLY))
            message = "the data do not say that tools are asked for `{{reply}}`"
            raise wrong_template(template.path, line, message, 'say so beside `templates`: replies = "tools"')
    return templates


def _stale(spec: Dialogues, database: Database, toolkit: Toolkit | None) -> frozenset[int]:
    """Return the protocols that ask the store of the rows, if the values of a dialogue are not in it."""
    if toolkit is None or spec.values != "fresh":
        return frozenset()
    tools = enumerate(toolkit.executor.tools)
    return frozenset(number for number, tool in tools if getattr(tool, "database", None) == database)


def too_long(template: Template, name: str, length: int, limit: int) -> LmcError:
    """Return the error for a dialogue that does not fit."""
    message = f"the dialogue of `{template.path.name}` for `{name}` has {length} tokens; seq_len is {limit}"
    return LmcError(Diagnostic("LM0703", message, None, help='raise `seq_len`, or set overflow = "drop"'))


def build_dataset(
    spec: Text | Dialogues,
    tokenizer: Tokenizer,
    root: Path,
    database: Database | None,
    toolkit: Toolkit | None = None,
    say: Say = silent,
) -> Dataset:
    """Return the data set of a spec; dialogues need their database, and the tools that their templates ask."""
    if isinstance(spec, Text):
        return build_text(spec, tokenizer, root, say)
    assert database is not None
    return build_dialogues(spec, tokenizer, root, database, toolkit)
