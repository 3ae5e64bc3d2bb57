"""A small interpreter of TextMate grammars: lines, regions, captures and includes, as editors read them.

It knows nothing of the table that the grammar is made from. What of Oniguruma Python's `re` lacks is not used there.
"""

import re
from collections.abc import Iterator
from typing import Any


class Grammar:
    """A grammar; `tokens` yields the scopes of every piece of a text, from outside in."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    def rules(self, patterns: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for pattern in patterns:
            if "include" in pattern:
                yield from self.rules(self.data["repository"][pattern["include"].removeprefix("#")]["patterns"])
            else:
                yield pattern

    def tokens(self, text: str) -> Iterator[tuple[int, str, tuple[str, ...]]]:
        """Yield offset, piece and scopes; pieces without a scope have none."""
        stack: list[dict[str, Any]] = []
        start = 0
        for line in text.split("\n"):
            for at, piece, scopes in self.line(line, stack):
                if piece:
                    yield start + at, piece, scopes
            start += len(line) + 1

    def line(self, line: str, stack: list[dict[str, Any]]) -> Iterator[tuple[int, str, tuple[str, ...]]]:
        at, turns = 0, 0
        while True:
            turns += 1
            assert turns < 10 * len(line) + 100, "the grammar goes round in circles"
            outer = tuple(rule["name"] for rule in stack)
            rules = [*([{"end": True}] if stack else [])]
            rules += self.rules(stack[-1]["patterns"] if stack else self.data["patterns"])
            best, found = None, None
            for rule in rules:
                pattern = (
                    stack[-1]["end"] if "end" in rule and "begin" not in rule else rule.get("match", rule.get("begin"))
                )
                match = re.compile(pattern).search(line, at)
                if match and (found is None or match.start() < found.start()):
                    best, found = rule, match
            if found is None or best is None:
                yield at, line[at:], outer
                return
            yield at, line[at : found.start()], outer
            if "begin" in best:
                yield from captured(found, best["beginCaptures"], (*outer, best["name"]))
                stack.append(best)
            elif "end" in best:
                yield from captured(found, stack[-1]["endCaptures"], outer)
                stack.pop()
            else:
                assert found.end() > found.start()
                name = (best["name"],) if "name" in best else ()
                yield from captured(found, best.get("captures", {}), (*outer, *name))
            at = found.end()


def captured(
    match: re.Match[str], captures: dict[str, dict[str, str]], scopes: tuple[str, ...]
) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Yield a match in pieces: its groups, which follow one another, and what is between them."""
    groups = [(match.span(int(n)), c["name"]) for n, c in captures.items() if match.group(int(n)) is not None]
    at = match.start()
    for (start, end), name in sorted(groups):
        yield at, match.string[at:start], scopes
        yield start, match.string[start:end], (*scopes, name)
        at = end
    yield at, match.string[at : match.end()], scopes
