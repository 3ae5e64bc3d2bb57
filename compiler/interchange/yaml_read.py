"""Pass: the text of a YAML file becomes its leaves by dotted path, each with its place.

What two versions of YAML, or two readers of one, take differently is told with its line and column; scalars stay text
here, for only the field that a value is meant for says what it is.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml
from attrs import Factory, define, frozen

from ...spec.diagnostic import Diagnostic, Diagnostics, Label
from ...spec.span import Source, Span

LARGEST = 256 * 1024
MOST_VALUES = 20_000
DEEPEST = 100
MERGE = "tag:yaml.org,2002:merge"
_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq")
)


@frozen
class Scalar:
    """A scalar as it is written, without quotes; `tag` is the type that YAML 1.1 gives it."""

    text: str
    span: Span
    quoted: bool = False
    tag: str = "str"

    @property
    def empty(self) -> bool:
        """Whether it is null."""
        return self.tag == "null"


@frozen
class Items:
    """A list of scalars."""

    values: tuple[Scalar, ...]
    span: Span


Leaf = Scalar | Items


class Unreadable(Exception):
    """What ends the reading of a file; it is recorded."""


def read_leaves(source: Source, diagnostics: Diagnostics) -> dict[str, Leaf] | None:
    """Return the leaves of a file by dotted path, or None after recording why it cannot be read.

    Items of a list that holds more than scalars are told apart by their place: `sources[0].path`.
    """
    if len(source.text) > LARGEST:
        message = f"the file is larger than {LARGEST // 1024} KiB"
        diagnostics.error("LM0105", Span(source, 0, 0), message, help="import the configuration, not data")
        return None
    reader = _Reader(source, diagnostics)
    try:
        return reader.leaves(reader.root())
    except Unreadable:
        return None


@define
class _Reader:
    source: Source
    diagnostics: Diagnostics
    found: dict[str, Leaf] = Factory(dict)
    visits: int = 0

    def root(self) -> yaml.Node:
        try:
            root = yaml.compose(self.source.text, Loader=yaml.SafeLoader)
        except RecursionError:
            raise self._fail(Span(self.source, 0, 0), "the file is nested too deep") from None
        except yaml.reader.ReaderError as error:
            span = Span(self.source, error.position, error.position + 1)
            raise self._fail(
                span, f"the character U+{ord(self.source.text[error.position]):04X} may not stand in YAML"
            ) from error
        except yaml.MarkedYAMLError as error:
            raise self._fail(*self._said(error)) from error
        if root is None or not isinstance(root, yaml.MappingNode):
            span = Span(self.source, 0, 0) if root is None else self._span(root)
            raise self._fail(span, "a configuration is a mapping of names to values, and this is none")
        return root

    def _said(self, error: yaml.MarkedYAMLError) -> tuple[Span, str, str]:
        """Return where a mistake is, what it is, and what to do about it."""
        mark = error.problem_mark or error.context_mark
        at = min(mark.index, max(0, len(self.source.text) - 1)) if mark else 0
        span = Span(self.source, at, at + 1)
        if self.source.text[at : at + 1] == "\t":
            return span, "a tab stands where YAML wants spaces", "indent with spaces"
        if "single document" in (error.context or ""):
            return span, "the file holds several documents", "import one at a time"
        if "undefined alias" in (error.problem or ""):
            return span, "an alias names an anchor that is not there", "write the value itself"
        return span, f"this is no YAML: {error.problem or error.context}", ""

    def _fail(self, span: Span, message: str, help: str = "") -> Unreadable:
        self.diagnostics.error("LM1001", span, message, help=help)
        return Unreadable()

    def _span(self, node: yaml.Node) -> Span:
        end = node.end_mark.index if isinstance(node, yaml.ScalarNode) else node.start_mark.index + 1
        return Span(self.source, node.start_mark.index, end)

    def leaves(self, root: yaml.Node) -> dict[str, Leaf]:
        self._node(root, "", ())
        return self.found

    def _node(self, node: yaml.Node, path: str, above: tuple[yaml.Node, ...]) -> None:
        if node in above:
            raise self._fail(self._span(node), f"`{path}` is an alias of what it stands in")
        if len(above) > DEEPEST:
            raise self._fail(self._span(node), "the file is nested too deep")
        self._visit(node)
        if node.tag not in _TAGS:
            raise self._fail(self._span(node), f"the tag `{node.tag}` makes an object of a program")
        if isinstance(node, yaml.MappingNode):
            self._mapping(node, path, above)
        elif isinstance(node, yaml.SequenceNode):
            self._sequence(node, path, above)
        else:
            self.found[path] = self._scalar(node)

    def _mapping(self, node: yaml.Node, path: str, above: tuple[yaml.Node, ...]) -> None:
        for key, value in self._pairs(node, above):
            self._node(value, f"{path}.{key}" if path else key, (*above, node))

    def _pairs(self, node: yaml.Node, above: tuple[yaml.Node, ...]) -> Iterator[tuple[str, yaml.Node]]:
        """Yield what a mapping holds, merged pairs first where its own do not say otherwise."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.tag == MERGE:
                self._hint(key, f"`<<` at {key.start_mark.line + 1} is a key of YAML 1.1 only; it is merged here")
                merged = {**dict(self._merged(value, (*above, node))), **merged}
                continue
            name = self._key(key)
            if name in own:
                first = self._span(own[name][0])
                message = f"`{name}` is there twice; the first is in line {first.line}"
                labels = (Label(first, "first here"),)
                self.diagnostics.error("LM1002", self._span(key), message, labels=labels, help="remove one of them")
                raise Unreadable
            own[name] = (key, value)
        yield from ((name, value) for name, value in merged.items() if name not in own)
        yield from ((name, value) for name, (_, value) in own.items())

    def _visit(self, node: yaml.Node) -> None:
        """Count what is looked at: aliases of aliases make much of a short file."""
        self.visits += 1
        if self.visits > MOST_VALUES:
            raise self._fail(self._span(node), f"there are more than {MOST_VALUES:,} values, aliases followed")

    def _merged(self, node: yaml.Node, above: tuple[yaml.Node, ...]) -> Iterator[tuple[str, yaml.Node]]:
        self._visit(node)
        if node in above:
            raise self._fail(self._span(node), "a mapping is merged into itself")
        if isinstance(node, yaml.SequenceNode):
            for part in reversed(node.value):
                yield from self._merged(part, (*above, node))
        elif isinstance(node, yaml.MappingNode):
            yield from self._pairs(node, above)
        else:
            raise self._fail(self._span(node), "`<<` merges a mapping, and this is none")

    def _key(self, key: yaml.Node) -> str:
        if not isinstance(key, yaml.ScalarNode):
            raise self._fail(self._span(key), "a key must be a word")
        if key.tag == "tag:yaml.org,2002:bool" and key.value.lower() not in ("true", "false"):
            self._hint(key, f"YAML 1.1 reads the key `{key.value}` as a boolean; it is read as a word")
        return self._text(key)

    def _text(self, node: yaml.Node) -> str:
        """Return the text of a scalar; the halves in which JSON escapes a character are put together."""
        text = str(node.value)
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError as error:
            raise self._fail(self._span(node), "half a character is escaped here") from error

    def _hint(self, node: yaml.Node, message: str) -> None:
        self.diagnostics.add(Diagnostic("LM1003", message, self._span(node), severity="hint"))

    def _sequence(self, node: yaml.Node, path: str, above: tuple[yaml.Node, ...]) -> None:
        if all(isinstance(item, yaml.ScalarNode) for item in node.value):
            self.found[path] = Items(tuple(self._scalar(item) for item in node.value), self._span(node))
            return
        for number, item in enumerate(node.value):
            self._node(item, f"{path}[{number}]", (*above, node))

    def _scalar(self, node: yaml.Node) -> Scalar:
        if node.tag not in _TAGS:
            raise self._fail(self._span(node), f"the tag `{node.tag}` makes an object of a program")
        return Scalar(
            self._text(node), self._span(node), getattr(node, "style", None) is not None, node.tag.rpartition(":")[2]
        )
