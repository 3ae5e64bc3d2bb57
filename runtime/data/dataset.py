"""Data sets: numbered examples, and the questions that dialogues ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
from attrs import frozen

from ...spec.data import Dialogues, Order, Text
from ...spec.diagnostic import Diagnostic, LmcError
from ..inputs import existing, expand
from .batch import Example
from .order import Draw, mix
from .sqlite import Database, Row, TableView
from .templates import Template, read_template
from .tokenizer import Tokenizer

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

    def bytes_trained(self, split: Split, index: int) -> int:
        """Return how many bytes the trained targets of an example stand for; special tokens count none."""

    def describe(self) -> str:
        """Return the counts that are printed before the first step."""


@frozen(eq=False)
class TextDataset:
    """A text cut into sequences of `seq_len` tokens and their next tokens."""

    spec: Text
    parts: dict[str, npt.NDArray[np.int32]]

    @property
    def order(self) -> Order:
        """How a training draws examples."""
        return self.spec.order

    @property
    def seed(self) -> int:
        """Seed of the order."""
        return self.spec.seed

    def size(self, split: Split) -> int:
        """Return the number of whole sequences."""
        return max(0, (len(self.parts[split]) - 1) // self.spec.seq_len)

    def example(self, split: Split, draw: Draw) -> Example:
        """Return seq_len + 1 tokens; all but the last are trained."""
        at = draw.index * self.spec.seq_len
        tokens = self.parts[split][at : at + self.spec.seq_len + 1]
        trained = np.ones(len(tokens), dtype=np.bool_)
        trained[-1] = False
        return Example(tokens, trained)

    def bytes_trained(self, split: Split, index: int) -> int:
        """Return the number of byte targets."""
        return int((self.example(split, Draw(index, 0)).tokens[1:] < 256).sum())

    def describe(self) -> str:
        """Return counts of tokens and sequences."""
        kept = {split: len(tokens) for split, tokens in self.parts.items()}
        return f"text of {kept['train']:,} + {kept['valid']:,} tokens, {self.size('train'):,} sequences an epoch"


def build_text(spec: Text, tokenizer: Tokenizer, root: Path) -> TextDataset:
    """Read and tokenise a text. Raises LmcError: LM0701 missing, LM0702 not UTF-8, LM0705 shorter than one sequence."""
    path = existing(root / spec.source)
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise LmcError(Diagnostic("LM0702", f"`{path}` is not UTF-8: {error.reason}", None)) from error
    tokens = np.array(tokenizer.encode(text), dtype=np.int32)
    cut = round(len(tokens) * spec.split.train)
    end = cut + round(len(tokens) * spec.split.valid)
    dataset = TextDataset(spec, {"train": tokens[:cut], "valid": tokens[cut:end]})
    if dataset.size("train") < 1:
        message = f"`{path}` has {len(tokens):,} tokens, less than one sequence of {spec.seq_len}"
        raise LmcError(Diagnostic("LM0705", message, None, help="lower `seq_len`"))
    return dataset


@frozen
class Question:
    """What an evaluation asks: a dialogue up to the first learned speaker, and the row and template it comes from."""

    prompt: tuple[int, ...]
    row: int
    template: Template

    def gold(self, values: Mapping[str, str]) -> str:
        """Return the right answer for given values."""
        return self.template.answer.render(values)


@frozen(eq=False)
class DialogueDataset:
    """A dialogue per row and template; example i is row i // templates and template i % templates, less the dropped."""

    spec: Dialogues
    tokenizer: Tokenizer
    table: TableView
    rows: list[Row]
    templates: tuple[Template, ...]
    kept: tuple[int, ...]
    examples: tuple[Example, ...]

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
        example = render(template, self.fresh(row, draw.number), self.tokenizer, self.spec)
        if len(example.tokens) > self.spec.seq_len:
            raise too_long(template, row[self.table.key], len(example.tokens), self.spec.seq_len)
        return example

    def fresh(self, row: Row, number: int) -> Row:
        """Return a row of the same name whose values are keyed by (seed, number)."""
        assert self.table.pools is not None
        draw = Random(mix(mix(self.seed) ^ mix(number)))
        return {self.table.key: row[self.table.key], **self.table.pools.values(draw)}

    def bytes_trained(self, split: Split, index: int) -> int:
        """Return the number of trained byte targets."""
        example = self.examples[index]
        targets = example.tokens[1:][example.trained[:-1]]
        return int((targets < 256).sum())

    def questions(self) -> Iterator[Question]:
        """Yield the question of every dialogue."""
        for number in self.kept:
            row, template = self._source(number)
            prompt: list[int] = []
            for turn in template.turns:
                prompt.append(self.tokenizer.specials[turn.speaker])
                if turn.speaker in self.spec.learn:
                    break
                prompt += encode_turn(turn.parts, row, self.tokenizer)
            yield Question(tuple(prompt), number // len(self.templates), template)

    def describe(self) -> str:
        """Return counts of dialogues, tokens, trained tokens and dropped dialogues."""
        tokens = sum(len(example.tokens) for example in self.examples)
        trained = sum(int(example.trained.sum()) for example in self.examples)
        dropped = len(self.rows) * len(self.templates) - len(self.kept)
        text = f"{len(self.kept):,} dialogues, {tokens:,} tokens, {trained:,} trained"
        return text + (f", {dropped:,} dropped for length" if dropped else "")

    def _source(self, number: int) -> tuple[Row, Template]:
        row, template = divmod(number, len(self.templates))
        return self.rows[row], self.templates[template]


def build_dialogues(spec: Dialogues, tokenizer: Tokenizer, root: Path, database: Database) -> DialogueDataset:
    """Write and tokenise every dialogue.

    Raises LmcError: LM0701, LM0704 and LM0609 for templates, LM0702 and LM0705 for the table, LM0703 for a
    dialogue longer than `seq_len` unless `overflow` drops it, LM0702 if fresh values have no pools.
    """
    table = database.tables[spec.rows.split("/")[1]]
    if spec.values == "fresh" and table.pools is None:
        raise LmcError(
            Diagnostic("LM0702", f"fresh values need a made table; `{table.name}` is read from a file", None)
        )
    rows = table.rows(spec.count)
    fields = (table.key, *table.columns)
    specials = tuple(tokenizer.specials)
    templates = tuple(read_template(path, specials, fields) for path in expand(spec.templates, root))
    kept, examples = [], []
    for number in range(len(rows) * len(templates)):
        row, template = rows[number // len(templates)], templates[number % len(templates)]
        example = render(template, row, tokenizer, spec)
        if len(example.tokens) <= spec.seq_len:
            kept.append(number)
            examples.append(example)
        elif spec.overflow == "error":
            raise too_long(template, row[table.key], len(example.tokens), spec.seq_len)
    if not kept:
        raise LmcError(Diagnostic("LM0703", f"every dialogue is longer than seq_len = {spec.seq_len}", None))
    return DialogueDataset(spec, tokenizer, table, rows, templates, tuple(kept), tuple(examples))


def render(template: Template, row: Mapping[str, str], tokenizer: Tokenizer, spec: Dialogues) -> Example:
    """Return a dialogue's tokens and which of its positions are trained.

    A position is trained when its token belongs to a learned turn, the speaker's id included; its target is the
    token that follows, whoever speaks it, so the last token of a learned turn chooses the next speaker.
    """
    learned = {*spec.learn, *spec.replies_learned}
    tokens: list[int] = []
    trained: list[bool] = []
    for turn in template.turns:
        said = [tokenizer.specials[turn.speaker], *encode_turn(turn.parts, row, tokenizer)]
        tokens += said
        trained += [turn.speaker in learned] * len(said)
    trained[-1] = False
    return Example(np.array(tokens, dtype=np.int32), np.array(trained, dtype=np.bool_))


def encode_turn(parts: Sequence[str], row: Mapping[str, str], tokenizer: Tokenizer) -> list[int]:
    """Return a turn's tokens: marked text for what the template says, ordinary text for values."""
    tokens: list[int] = []
    for number, part in enumerate(parts):
        tokens += tokenizer.encode(row[part]) if number % 2 else tokenizer.encode_marked(part)
    return tokens


def too_long(template: Template, name: str, length: int, limit: int) -> LmcError:
    """Return the error for a dialogue that does not fit."""
    message = f"the dialogue of `{template.path.name}` for `{name}` has {length} tokens; seq_len is {limit}"
    return LmcError(Diagnostic("LM0703", message, None, help='raise `seq_len`, or set overflow = "drop"'))


def build_dataset(spec: Text | Dialogues, tokenizer: Tokenizer, root: Path, database: Database | None) -> Dataset:
    """Return the data set of a spec; dialogues need their database."""
    if isinstance(spec, Text):
        return build_text(spec, tokenizer, root)
    assert database is not None
    return build_dialogues(spec, tokenizer, root, database)
