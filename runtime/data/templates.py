"""Templates of dialogues: text files with turns and places for values.

    <|user|>When was {{name}} born?
    <|assistant|>{{name}} was born on {{birth_date}}.
    <|eod|>
    <|answer|>{{birth_date}}.

A line that begins with `<|speaker|>` starts a turn; its text goes on to the next such line, without the last line
end. `{{field}}` stands for a value of the row. The turn `<|answer|>` gives the gold answer and is no part of the
dialogue.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from ...spec.diagnostic import Diagnostic, LmcError

ANSWER = "<|answer|>"
SPEAKER = re.compile(r"^<\|[^|<>\s]+\|>", re.MULTILINE)
FIELD = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


@frozen
class Turn:
    """A speaker and what is said: texts and, at odd places, names of fields."""

    speaker: str
    parts: tuple[str, ...]

    def render(self, values: Mapping[str, str]) -> str:
        """Return the text with values filled in."""
        return "".join(values[part] if i % 2 else part for i, part in enumerate(self.parts))


@frozen
class Template:
    """The turns of one dialogue and its gold answer."""

    path: Path
    turns: tuple[Turn, ...]
    answer: Turn


def read_template(path: Path, specials: Sequence[str], fields: Sequence[str]) -> Template:
    """Read one template. Raises LmcError: LM0704 with file and line, LM0609 for an undeclared speaker."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LmcError(Diagnostic("LM0704", f"`{path}` is not UTF-8: {error.reason}", None)) from error
    marks = list(SPEAKER.finditer(text))
    if not marks or text[: marks[0].start()].strip():
        raise _wrong(path, 1, "the file must begin with a line `<|speaker|>...`")
    turns = []
    for mark, after in zip(marks, [*(m.start() for m in marks[1:]), len(text)], strict=True):
        line = text.count("\n", 0, mark.start()) + 1
        if mark.group() not in specials and mark.group() != ANSWER:
            message = f"{path}:{line}: `{mark.group()}` is no special token of the tokenizer"
            raise LmcError(Diagnostic("LM0609", message, None, help=f"declared are {', '.join(specials)}"))
        turns.append(_turn(mark.group(), text[mark.end() : after].removesuffix("\n"), path, line, fields))
    answers = [turn for turn in turns if turn.speaker == ANSWER]
    if len(answers) != 1:
        raise _wrong(path, len(text.splitlines()), f"a template has one turn `{ANSWER}`; this one has {len(answers)}")
    return Template(path, tuple(turn for turn in turns if turn.speaker != ANSWER), answers[0])


def _turn(speaker: str, text: str, path: Path, line: int, fields: Sequence[str]) -> Turn:
    parts = FIELD.split(text)
    for name in parts[1::2]:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"the table has {', '.join(fields)}"
            raise _wrong(path, line, f"the table has no column `{name}`", hint)
    return Turn(speaker, tuple(parts))


def _wrong(path: Path, line: int, message: str, help: str = "") -> LmcError:
    return LmcError(Diagnostic("LM0704", f"{path}:{line}: {message}", None, help=help))
