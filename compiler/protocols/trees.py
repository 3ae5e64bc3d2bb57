"""Questions about pattern trees, and a tree whose captures are limited to lists of values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve

from .nfa import build_nfa, matches
from .pattern import Alternate, Capture, Chars, Concat, Pattern, Repeat


def text_pattern(text: str) -> Pattern:
    """Return the pattern of one text."""
    return Concat(tuple(Chars(((ord(c), ord(c)),)) for c in text))


def groups(pattern: Pattern) -> Iterator[Capture]:
    """Yield the captures of a pattern, in order."""
    if isinstance(pattern, Capture):
        yield pattern
    if isinstance(pattern, Concat | Alternate):
        for item in pattern.items:
            yield from groups(item)
    elif isinstance(pattern, Repeat | Capture):
        yield from groups(pattern.item)


def named_body(body: Pattern | None, names: Sequence[str]) -> Pattern | None:
    """Return a body whose captures include the one that is meant by `body` if it names none."""
    return body if body is None or names else Capture("body", body)


def limited(pattern: Pattern, lists: Mapping[str, Sequence[str]]) -> Pattern:
    """Return the pattern with the captures that have a list limited to its values, those inside them included."""
    if isinstance(pattern, Capture) and pattern.name in lists:
        item = build_nfa(limited(pattern.item, lists))
        return Alternate(tuple(text_pattern(v) for v in lists[pattern.name] if matches(item, v.encode())))
    if isinstance(pattern, Concat | Alternate):
        return evolve(pattern, items=tuple(limited(item, lists) for item in pattern.items))
    return evolve(pattern, item=limited(pattern.item, lists)) if isinstance(pattern, Repeat | Capture) else pattern


def sizes(pattern: Pattern) -> tuple[int, int | None]:
    """Return the fewest and the most bytes that a pattern matches; None is no limit."""
    if isinstance(pattern, Chars):
        ends = [len(chr(code).encode(errors="surrogatepass")) for code in (pattern.ranges[0][0], pattern.ranges[-1][1])]
        return ends[0], ends[1]
    if isinstance(pattern, Capture):
        return sizes(pattern.item)
    if isinstance(pattern, Repeat):
        low, high = sizes(pattern.item)
        unbounded = high is None or (pattern.high is None and high > 0)
        return low * pattern.low, None if unbounded else (high or 0) * (pattern.high or 0)
    found = [sizes(item) for item in pattern.items]
    highs = [high for _, high in found]
    if isinstance(pattern, Alternate):
        return min(low for low, _ in found), None if None in highs else max(h or 0 for h in highs)
    return sum(low for low, _ in found), None if None in highs else sum(h or 0 for h in highs)
