"""Dialogues: a template and a row become tokens, and which of their positions are trained.

A token is a trained target if a learned speaker says it, the mark of the next speaker included; tokens of a reply are
by `reply.loss`. After a reply speaks whom its suffix names last, else who called.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from itertools import islice

import numpy as np
from attrs import Factory, define, frozen

from ...spec.data import Dialogues
from ...spec.diagnostic import LmcError
from ..generation.toolkit import Toolkit
from ..stores.base import Row
from ..tokenizers.base import Tokenizer
from ..tools.base import Answer
from .batch import Example
from .replies import Asked, Call, CallReader
from .templates import REPLY, Template, Turn, wrong_template

WINDOW = 1024
"""Dialogues whose calls are under way at once."""


@frozen(eq=False)
class Written:
    """A dialogue in tokens.

    Attributes:
        question: how many of its tokens come before the first that a learned speaker says.
        reply: the text of the last answer of a tool; "" without one.
    """

    example: Example
    question: int
    reply: str


@frozen(eq=False)
class DialogueWriter:
    """Writes dialogues; `toolkit` answers `{{reply}}`.

    Attributes:
        key: the column that names a row.
        stale: protocols whose tools ask a store that lacks the values that are written.
    """

    spec: Dialogues
    tokenizer: Tokenizer
    key: str
    toolkit: Toolkit | None = None
    stale: frozenset[int] = frozenset()

    def write(self, sources: Iterable[tuple[Template, Row]]) -> Iterator[Written]:
        """Yield the dialogue of each template and row, in order.

        A position is trained to predict the token that follows; the last one is not.
        Raises LmcError: LM0704 for a `{{reply}}` that no tool answers, LM0609 for an undeclared special token.
        """
        asked = None if self.toolkit is None else Asked(self.toolkit.executor)
        rest = iter(sources)
        while drafts := [_Draft.of(self, asked, *source) for source in islice(rest, WINDOW)]:
            yield from (draft.finish() for draft in drafts)

    def learns(self, speaker: str) -> bool:
        """Whether what a speaker says is trained."""
        return speaker in self.spec.learn or speaker in self.spec.replies_learned


@frozen
class _Said:
    """Tokens that one speaker says; whether the first, and the others, are trained targets."""

    tokens: list[int]
    first: bool
    rest: bool


@frozen
class _Reply:
    """A reply under way; `line` is its place in the template."""

    call: Call
    answer: Future[Answer]
    line: int


@define
class _Draft:
    """A dialogue whose replies have not all come.

    Attributes:
        pending: what is said since the last reply or mark of a speaker. speaker: who speaks.
        opened: the speaker whom a reply has just given the turn to, "" if it names none; None if it was no reply.
        start: the part in which the first learned turn begins, and whether its mark stands there.
    """

    writer: DialogueWriter
    asked: Asked | None
    template: Template
    row: Row
    reader: CallReader | None = None
    parts: list[_Said | _Reply] = Factory(list)
    pending: list[str | int] = Factory(list)
    speaker: str = ""
    opened: str | None = None
    start: tuple[int, bool] | None = None

    @classmethod
    def of(cls, writer: DialogueWriter, asked: Asked | None, template: Template, row: Row) -> _Draft:
        """Say every turn and make its calls."""
        draft = cls(writer, asked, template, row)
        if writer.toolkit is not None and template.asks:
            draft.reader = CallReader(writer.toolkit)
        for turn in template.turns:
            draft._turn(turn)
        return draft

    def _turn(self, turn: Turn) -> None:
        caller, marked = self.speaker, self.opened != turn.speaker
        if self.opened is not None and marked and turn.speaker in self.writer.spec.learn:
            raise self._never_opened(turn)
        self.pending = [self.writer.tokenizer.specials[turn.speaker]] if marked else []
        if self.start is None and turn.speaker in self.writer.spec.learn:
            self.start = (len(self.parts), marked)
            if self.reader is not None:
                self.reader.forget()
        self.speaker, self.opened = turn.speaker, None
        for number, part in enumerate(turn.parts):
            if number % 2 == 0:
                self.pending += self.writer.tokenizer.pieces(part)
            elif part != REPLY:
                self.pending.append(self.row[part])
            else:
                handed_over = marked and len(self.pending) == 1
                call = self._say(caller if marked else None)
                self._reply(call, turn.line_of(number), caller if handed_over else turn.speaker)
                marked = False
        self._say(caller if marked else None)

    def _say(self, before: str | None) -> Call | None:
        """End what is said; `before` spoke if it begins with the mark of a speaker. Return the call that ends it."""
        tokens = self.writer.tokenizer.encode_pieces(self.pending, start=False)
        self.pending = []
        if not tokens:
            return None
        learned = self.writer.learns(self.speaker)
        self.parts.append(_Said(tokens, learned if before is None else self.writer.learns(before), learned))
        self.opened = None
        return None if self.reader is None else self.reader.read(tokens)

    def _reply(self, call: Call | None, line: int, caller: str) -> None:
        """Ask a tool; it speaks whom the reply names last, else who called."""
        toolkit = self.writer.toolkit
        if toolkit is None or self.asked is None or self.reader is None:
            raise self._wrong(line, "`{{reply}}` needs protocols", "name them: protocols = [...]")
        if call is None:
            help = "write it right behind the call, where a model's turn would end"
            raise self._wrong(line, "`{{reply}}` stands behind no call", help)
        protocol = toolkit.protocols[call.protocol]
        if call.captures is None:
            message = f"no well-formed call of `{protocol.name}` stands before `{{{{reply}}}}`"
            raise self._wrong(line, message, "the call must match the protocol's `body`")
        if call.protocol in self.writer.stale:
            message = f"the values are fresh, and the store that `{protocol.name}` asks does not hold them"
            raise self._wrong(line, message, "write the value, such as {{birth_date}}, in place of {{reply}}")
        self.parts.append(_Reply(call, self.asked.answer(call), line))
        suffix = toolkit.executor.protocols[call.protocol].reply.suffix
        named = [piece for piece in self.writer.tokenizer.pieces(suffix) if isinstance(piece, int)]
        self.opened = self.writer.tokenizer.decode(named[-1:])
        self.speaker = self.opened or caller

    def finish(self) -> Written:
        """Put the replies in, once they have come."""
        tokens: list[int] = []
        targets: list[bool] = []
        question, reply = None, ""
        for number, part in enumerate(self.parts):
            if self.start is not None and self.start[0] == number:
                question = len(tokens) + self.start[1]
            if isinstance(part, _Said):
                tokens += part.tokens
                targets += [part.first] + [part.rest] * (len(part.tokens) - 1)
                continue
            ids, reply, learned = self._answered(part)
            tokens += ids
            targets += [learned] * len(ids)
        trained = np.array([*targets[1:], False], dtype=np.bool_)
        return Written(
            Example(np.array(tokens, dtype=np.int32), trained), len(tokens) if question is None else question, reply
        )

    def _answered(self, part: _Reply) -> tuple[list[int], str, bool]:
        """Return a reply's tokens, the text of the answer, and whether it is trained."""
        toolkit, number = self.writer.toolkit, part.call.protocol
        assert toolkit is not None
        answer = part.answer.result()
        if answer.text is None:
            said = answer.outcome + (f" ({answer.detail})" if answer.detail else "")
            message = f"the tool of `{toolkit.protocols[number].name}` answers {said}"
            raise self._wrong(part.line, message, "`{{reply}}` needs a call that the tool answers")
        return toolkit.reply(number, answer), answer.text, toolkit.executor.protocols[number].reply.loss

    def _never_opened(self, turn: Turn) -> LmcError:
        given = f"gives the turn to `{self.opened}`" if self.opened else "gives the turn to nobody"
        message = f"the reply before {given}, so a model would end where it should speak as `{turn.speaker}`"
        return self._wrong(turn.line, message, f'end the protocol\'s reply with it: suffix = "{turn.speaker}"')

    def _wrong(self, line: int, message: str, help: str) -> LmcError:
        named = f"{message} (row `{self.row[self.writer.key]}`)"
        return wrong_template(self.template.path, line, named, help)
