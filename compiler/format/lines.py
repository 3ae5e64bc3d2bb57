"""Lines of text with what is aligned in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from attrs import Factory, define

STEP = 2


@define
class Line:
    """A line without its indent and comment.

    Attributes:
        indent: columns before `text`; -1 inside a string literal, where every character counts.
        path, sign: a field's path and its `=`, `+=` or `:`, with which `text` begins; empty where nothing is aligned.
        several: whether other fields follow; then its neighbours are aligned to it, and it stays as it is.
    """

    indent: int
    text: str = ""
    comment: str = ""
    path: str = ""
    sign: str = ""
    several: bool = False


@define
class Lines:
    """Lines that are being written, the last of them open."""

    done: list[Line] = Factory(list)
    current: Line | None = None

    @property
    def column(self) -> int:
        """The column behind the last character, from 0."""
        return 0 if self.current is None else max(self.current.indent, 0) + len(self.current.text)

    def start(self, indent: int, *, blank: bool = False) -> None:
        """Begin a line, behind an empty one if `blank`."""
        if blank and self.current is not None:
            self.done.append(Line(-1))
        self.current = Line(indent)
        self.done.append(self.current)

    def put(self, text: str) -> None:
        """Go on with the current line; a literal of several lines ends it."""
        assert self.current is not None
        first, *more = text.split("\n")
        self.current.text += first
        for line in more:
            self.start(-1)
            self.current.text = line

    def remark(self, text: str) -> None:
        """Put a comment behind the current line."""
        assert self.current is not None
        self.current.comment = text

    def text(self) -> str:
        """Return all lines, aligned."""
        for run in _runs(self.done, _alignment):
            _align_signs(run)
        for run in _runs(self.done, lambda line: line.indent if line.comment and line.text else None):
            width = max(len(line.text) for line in run)
            for line in run:
                line.text = f"{line.text:<{width}}  "
        return "".join(f"{' ' * line.indent}{line.text}{line.comment}\n" for line in self.done)


def _alignment(line: Line) -> object:
    """Return what neighbours share that are aligned: fields, values that are blocks, or constants."""
    return (line.indent, line.sign.strip("+"), line.path.startswith("let ")) if line.sign else None


def _runs(lines: Sequence[Line], key: Callable[[Line], object]) -> Iterator[list[Line]]:
    """Yield the longest runs of lines with one key that is not None."""
    run: list[Line] = []
    before: object = None
    for line in lines:
        this = key(line)
        if run and this != before:
            yield run
            run = []
        if this is not None:
            run.append(line)
        before = this
    if run:
        yield run


def _align_signs(run: Sequence[Line]) -> None:
    path, sign = max(len(line.path) for line in run), max(len(line.sign) for line in run)
    for line in run:
        if line.several:
            continue
        behind = line.text[len(line.path) + 1 + len(line.sign) :]
        line.text = f"{line.path:<{path}} {line.sign:>{sign}}{behind}"
