"""The table as a Pygments lexer: `pygmentize -l lmspec`, Sphinx, MkDocs, and `lmspec` blocks of Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from pygments.lexer import RegexLexer, bygroups, include
from pygments.token import String, string_to_tokentype

from .table import ROLES, ROOT, TABLE, Region, Rule


def _token(role: str) -> Any:
    return string_to_tokentype(ROLES[role][1])


def _by_group(roles: tuple[str, ...]) -> Any:
    return bygroups(*map(_token, roles))


def _states() -> dict[str, list[Any]]:
    """Return the states of the lexer: one per set, and one per region."""
    states: dict[str, list[Any]] = {}
    for name, rules in TABLE.items():
        states[name] = []
        for number, rule in enumerate(rules):
            if isinstance(rule, Rule):
                action = _token(rule.roles[0]) if len(rule.roles) == 1 else _by_group(rule.roles)
                states[name].append((rule.pattern, action))
            else:
                inner = f"{name} {number}"
                states[name].append((rule.begin, _by_group(rule.begins), inner))
                states[inner] = _inside(rule)
    states["root"] = [include(name) for name in ROOT]
    return states


def _inside(region: Region) -> list[Any]:
    rest = _token(region.role)
    return [(region.end, rest, "#pop"), *map(include, region.inside), (r"[^\n]", rest), (r"\n", rest)]


class LmspecLexer(RegexLexer):  # type: ignore[misc]
    """Tokens of `.lmspec` files."""

    name = "lmspec"
    aliases = ["lmspec"]  # noqa: RUF012
    filenames = ["*.lmspec"]  # noqa: RUF012
    tokens = _states()

    def get_tokens_unprocessed(self, text: str, stack: tuple[str, ...] = ("root",)) -> Iterator[tuple[int, Any, str]]:
        """Yield offset, token and text; neighbouring pieces of a string are one."""
        found = super().get_tokens_unprocessed(text, stack)
        for token, pieces in groupby(found, key=itemgetter(1)):
            listed = list(pieces)
            if token in String:
                yield listed[0][0], token, "".join(piece for _, _, piece in listed)
            else:
                yield from listed
