"""The table as a TextMate grammar, which VS Code, Sublime Text, JetBrains and code hosts read."""

from __future__ import annotations

import json
from typing import Any

from .table import ROLES, ROOT, TABLE, Region, Rule


def grammar() -> dict[str, Any]:
    """Return the grammar as JSON has it."""
    return {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "lmspec",
        "scopeName": "source.lmspec",
        "fileTypes": ["lmspec"],
        "patterns": _included(ROOT),
        "repository": {_key(name): {"patterns": [*_rules(rules)]} for name, rules in TABLE.items()},
    }


def grammar_text() -> str:
    """Return the grammar as a file."""
    return json.dumps(grammar(), indent=2, ensure_ascii=False) + "\n"


def scope(role: str) -> str:
    """Return the scope of a role."""
    name = ROLES[role][0]
    return f"{name}.lmspec" if name else ""


def _included(names: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"include": f"#{_key(name)}"} for name in names]


def _key(name: str) -> str:
    return name.replace(" ", "-")


def _rules(rules: tuple[Rule | Region, ...]) -> list[dict[str, Any]]:
    return [_region(rule) if isinstance(rule, Region) else _rule(rule) for rule in rules if _coloured(rule)]


def _coloured(rule: Rule | Region) -> bool:
    return isinstance(rule, Region) or rule.roles != ("space",)


def _rule(rule: Rule) -> dict[str, Any]:
    if len(rule.roles) == 1:
        return {"match": rule.pattern, "name": scope(rule.roles[0])}
    return {"match": rule.pattern, "captures": _captures(rule.roles)}


def _region(region: Region) -> dict[str, Any]:
    return {
        "begin": region.begin,
        "beginCaptures": _captures(region.begins),
        "end": region.end,
        "endCaptures": {"0": {"name": scope(region.role)}},
        "name": scope(region.role),
        "patterns": _included(region.inside),
    }


def _captures(roles: tuple[str, ...]) -> dict[str, dict[str, str]]:
    return {str(number): {"name": scope(role)} for number, role in enumerate(roles, 1) if scope(role)}
