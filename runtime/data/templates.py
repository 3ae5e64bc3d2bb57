"""Templates of dialogues: text files with turns and places for values.

    <|user|>How old did {{name}} turn in 2020?
    <|assistant|>FIND birth_year FOR {{name}}
    <|database|>{{reply}}
    <|assistant|>{{name}} turned <calc>2020-{{birth_year}}</calc>{{reply}}.
    <|eod|>
    <|answer|>{{reply}}.

A line that begins with `<|speaker|>` starts a turn; its text goes on to the next such line, without the last line
end. `{{field}}` stands for a value of the row, `{{reply}}` for what a tool says to the call right before it. The turn
`<|answer|>` gives the gold answer and is no part of the dialogue; there `{{reply}}` is the text of the last answer.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.tokenizer import MARK

ANSWER = "<|answer|>"
REPLY = "reply"
SPEAKER = re.compile(f"^{MARK}", re.MULTILINE)
FIELD = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


@frozen
class Turn:
    """A speaker and what is said: texts and, at odd places, names of fields; `line` is where it starts."""

    speaker: str
    parts: tuple[str, ...]
    line: int

    @property
    def asks(self) -> bool:
        """Whether a tool's reply stands in it."""
        return REPLY in self.parts[1::2]

    def line_of(self, part: int) -> int:
        """Return the line of a part."""
        return self.line + sum(text.count("\n") for text in self.parts[:part:2])

    def render(self, values: Mapping[str, str]) -> str:
        """Return the text with values filled in."""
        return "".join(values[part] if i % 2 else part for i, part in enumerate(self.parts))


@frozen
class Template:
    """The turns of one dialogue and its gold answer."""

    path: Path
    turns: tuple[Turn, ...]
    answer: Turn

    @property
    def asks(self) -> bool:
        """Whether tools are asked for what is said in it."""
        return any(turn.asks for turn in self.turns)


def read_template(path: Path, specials: Sequence[str], fields: Sequence[str]) -> Template:
    """Read one template. Raises LmcError: LM0704 with file and line, LM0609 for an undeclared speaker."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LmcError(Diagnostic("LM0704", f"`{path}` is not UTF-8: {error.reason}", None)) from error
    marks = list(SPEAKER.finditer(text))
    if not marks or text[: marks[0].start()].strip():
        raise wrong_template(path, 1, "the file must begin with a line `<|speaker|>...`")
    turns = []
    for mark, after in zip(marks, [*(m.start() for m in marks[1:]), len(text)], strict=True):
        line = text.count("\n", 0, mark.start()) + 1
        if mark.group() not in specials and mark.group() != ANSWER:
            message = f"{path}:{line}: `{mark.group()}` is no special token of the tokenizer"
            raise LmcError(Diagnostic("LM0609", message, None, help=f"declared are {', '.join(specials)}"))
        turn = Turn(mark.group(), tuple(FIELD.split(text[mark.end() : after].removesuffix("\n"))), line)
        _check_fields(turn, path, fields)
        turns.append(turn)
    answers = [turn for turn in turns if turn.speaker == ANSWER]
    if len(answers) != 1:
        message = f"a template has one turn `{ANSWER}`; this one has {len(answers)}"
        raise wrong_template(path, len(text.splitlines()), message)
    template = Template(path, tuple(turn for turn in turns if turn.speaker != ANSWER), answers[0])
    if template.answer.asks and not template.asks:
        raise wrong_template(path, template.answer.line, "the answer is a reply, and no turn has one")
    return template


def _check_fields(turn: Turn, path: Path, fields: Sequence[str]) -> None:
    for part in range(1, len(turn.parts), 2):
        name, line = turn.parts[part], turn.line_of(part)
        if name == REPLY and name in fields:
            message = "`{{reply}}` is what a tool says, and the table has a column of that name"
            raise wrong_template(path, line, message, "give the column another name")
        if name not in (*fields, REPLY):
            near = difflib.get_close_matches(name, (*fields, REPLY), 1)
            hint = f"did you mean `{near[0]}`?" if near else f"the table has {', '.join(fields)}"
            raise wrong_template(path, line, f"the table has no column `{name}`", hint)


def wrong_template(path: Path, line: int, message: str, help: str = "") -> LmcError:
    """Return the error (LM0704) for what is wrong at a line of a template."""
    return LmcError(Diagnostic("LM0704", f"{path}:{line}: {message}", None, help=help))
