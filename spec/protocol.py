"""Tool protocols: how a model calls a tool and what it is told."""

from __future__ import annotations

from attrs import Factory, frozen
from attrs.validators import ge, gt

from .automaton import Automata
from .schema import option, variant
from .units import Duration, Pattern


@variant("call")
@frozen(kw_only=True)
class ToolCall:
    """What a call looks like: `open`, `body`, `close`, then `handover` gives the turn away."""

    open: Pattern = option("Text that begins a call.")
    body: Pattern = option("What may stand between; named groups are the captures.")
    close: Pattern = option("Text that ends a call; its first occurrence counts.")
    handover: str | None = option(
        "Special token that gives the turn away; none: the end of `close` does.", default=None
    )


@variant("reply")
@frozen(kw_only=True)
class Reply:
    """What is injected after a call. In `prefix` and `suffix` the spelling of a declared special is that special."""

    prefix: str = option("Written before the answer.", default="")
    suffix: str = option("Written after the answer; gives the turn back.", default="")
    empty: str = option("Answer when the query finds nothing.", default="No result found")
    malformed: str = option("Answer when the body does not parse.", derived="empty", default="")
    too_many: str = option("Answer beyond `max_calls`.", derived="empty", default="")
    error: str = option("Answer when the tool fails.", derived="empty", default="")
    loss: bool = option("Whether reply tokens are trained on.", default=False)


@variant("protocol", "sql")
@frozen(kw_only=True)
class SqlProtocol:
    """A query with bound values (`:name`) and allow-listed splices (`{attribute}`) on a read-only connection."""

    store: str = option("The database.", ref="store")
    call: ToolCall = option("What a call looks like.")
    query: str = option("The statement.")
    allow: dict[str, tuple[str, ...]] = option("Values that a splice may take, by capture.", default=Factory(dict))
    reply: Reply = option("What the model is told.", default=Reply())
    max_calls: int = option("Calls answered per dialogue.", default=1, validator=ge(0))
    timeout: Duration = option("Time one query may take.", unit="seconds", default=Duration(1.0), validator=gt(0.0))


@variant("automaton", "monitor")
@frozen(kw_only=True)
class Automaton:
    """The token automaton of a list of protocols over one tokenizer; made by the compiler."""

    protocols: tuple[str, ...] = option("Protocols, in order.", ref="protocol")
    tokenizer: str = option("Vocabulary that it is lifted over.", ref="tokenizer")
    automata: Automata = option("The compiled byte automata.", hidden=True, identity=False)
