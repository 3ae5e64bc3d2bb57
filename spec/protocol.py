"""Tool protocols: how a model calls a tool and what it is told."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from attrs import Factory, frozen
from attrs.validators import ge, gt

from .automaton import Automata
from .schema import option, variant
from .units import Duration, Pattern, Size

PARAMETER = re.compile(r"(?<![:\w]):([A-Za-z_][A-Za-z0-9_]*)")
"""`:name` in a template: a capture as a value. `a::text` is a cast."""

SPLICE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""`{name}` in a template: a capture as part of the statement; it needs an `allow`."""

READ_ONLY: Literal["read_only"] = "read_only"
"""What `allow` says of a capture that is a whole statement."""


@variant("call")
@frozen(kw_only=True, repr=False)
class ToolCall:
    """What a call looks like: `open`, `body`, `close`, then `handover` gives the turn away."""

    open: Pattern = option("Text that begins a call.")
    body: Pattern | None = option(
        "What may stand between; named groups are the captures. None: anything up to `close`, captured as `body`.",
        default=None,
    )
    close: Pattern = option("Text that ends a call; its first occurrence counts.")
    handover: str | None = option(
        "Special token that gives the turn away; none: the end of `close` does.", default=None
    )
    match: Literal["text", "special", "both"] | None = option(
        "How delimiters that spell a declared special token are matched; "
        "none: `open` and `close` as text, `handover` as the special token.",
        default=None,
    )
    overlap: Literal["longest"] | None = option(
        "What happens where this `open` begins another protocol's: the longest that matches wins.", default=None
    )


@variant("reply")
@frozen(kw_only=True, repr=False)
class Reply:
    """What is injected after a call. In `prefix` and `suffix` the spelling of a declared special is that special."""

    prefix: str = option("Written before the answer.", default="")
    suffix: str = option("Written after the answer; gives the turn back.", default="")
    empty: str = option("Answer when the tool finds nothing.", default="No result found")
    malformed: str = option("Answer when the body does not parse.", derived="empty", default="")
    too_many: str = option("Answer beyond `max_calls`.", derived="empty", default="")
    error: str = option("Answer when the tool fails.", derived="empty", default="")
    loss: bool = option("Whether reply tokens are trained on.", default=False)


@frozen(kw_only=True)
class ToolProtocol:
    """What every protocol has. `template_field` names the field that captures are filled into, "" if there is none."""

    template_field: ClassVar[str] = ""

    call: ToolCall = option("What a call looks like.")
    reply: Reply = option("What the model is told.", default=Reply())
    max_calls: int = option(
        "Calls per dialogue, malformed ones included; beyond, the reply is `too_many`.", default=1, validator=ge(0)
    )
    max_bytes: Size = option(
        "Longest answer in UTF-8; a longer one is cut between characters.",
        unit="bytes",
        default=Size(4096),
        validator=gt(0),
    )
    timeout: Duration = option(
        "Time one call may take; then the answer is `error`.", unit="seconds", default=Duration(1.0), validator=gt(0.0)
    )
    constrain: Literal["off", "inside"] = option(
        "`inside`: once `open` is complete only tokens that can still end in a legal call may be sampled.",
        default="off",
    )


@variant("protocol", "sql")
@frozen(kw_only=True, repr=False)
class SqlProtocol(ToolProtocol):
    """A query with bound values (`:name`) and allow-listed splices (`{attribute}`) on a read-only connection."""

    template_field: ClassVar[str] = "query"

    store: str = option("The database.", ref="store")
    query: str = option("The statement.")
    allow: dict[str, tuple[str, ...] | Literal["read_only"]] = option(
        'By capture, the values that a splice may take; "read_only" for a capture that is one reading statement.',
        default=Factory(dict),
    )
    max_rows: int = option("Rows told; one row a line, its values joined by a comma.", default=1, validator=ge(1))


@variant("protocol", "calculator")
@frozen(kw_only=True, repr=False)
class CalculatorProtocol(ToolProtocol):
    """Arithmetic: + - * / // % **, parentheses, sqrt, abs, round, min, max; exact where the result is rational."""

    template_field: ClassVar[str] = "expression"

    expression: str = option("What is computed; `:name` is a capture, an expression of its own.")


@variant("protocol", "python")
@frozen(kw_only=True, repr=False)
class PythonProtocol(ToolProtocol):
    """A function of the user, called with the captures as keyword arguments of type str."""

    function: str = option(
        "`package.module:name`, importable from where lmc runs or from the folder of the spec.",
    )


@variant("protocol", "search")
@frozen(kw_only=True, repr=False)
class SearchProtocol(ToolProtocol):
    """Full text over a table: rows that have any of the words, best match (BM25) first."""

    template_field: ClassVar[str] = "query"

    table: str = option("The table, as `store.table`.", ref="table")
    query: str = option("What is searched for: plain words; `:name` is a capture.")
    columns: tuple[str, ...] | None = option("Columns searched and told, in order; none: all.", default=None)
    limit: int = option("Rows told; one row a line, its values joined by a comma.", default=3, validator=ge(1))


@variant("automaton", "monitor")
@frozen(kw_only=True, repr=False)
class Automaton:
    """The token automaton of a list of protocols over one tokenizer; made by the compiler."""

    protocols: tuple[str, ...] = option("Protocols, in order.", ref="protocol")
    tokenizer: str = option("Vocabulary that it is lifted over.", ref="tokenizer")
    automata: Automata = option("The compiled byte automata.", hidden=True, identity=False)
