"""A configuration while it is converted: values are taken by path and type, and what nobody took is known."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from decimal import Decimal

from attrs import Factory, define, evolve

from ...spec.diagnostic import Diagnostic, Diagnostics
from ...spec.span import Source, Span
from .yaml_read import Items, Leaf, Scalar

LARGEST_EXPONENT = 300
TRUE = frozenset({"true", "yes", "on", "y"})
FALSE = frozenset({"false", "no", "off", "n"})
_NUMBER = re.compile(r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*)([eE][-+]?[0-9]{1,9})?\Z")
_OCTAL = re.compile(r"[-+]?0[0-7]+\Z")


@define
class Config:
    """Leaves by path. `prefix` is what stands before the paths that are asked for; `used` are those that were taken.

    Where a list stands for one value, its first item is taken and the path is `swept`: a sweep puts the others in its
    place.
    """

    source: Source
    leaves: dict[str, Leaf]
    diagnostics: Diagnostics
    prefix: str = ""
    used: set[str] = Factory(set)
    swept: set[str] = Factory(set)
    wrong: list[str] = Factory(list)

    def under(self, path: str) -> Config:
        """Return the part of a configuration below a path, which shares what was taken."""
        return evolve(self, prefix=f"{self.prefix}{path}.")

    def changed(self, leaves: Mapping[str, Leaf]) -> Config:
        """Return a configuration with other values at some full paths, of which nothing is taken yet."""
        return evolve(self, leaves={**self.leaves, **leaves}, used=set(), swept=set(), wrong=[])

    def has(self, path: str) -> bool:
        """Whether there is a value, or anything below, that is not null."""
        full = self.prefix + path
        leaf = self.leaves.get(full)
        if leaf is not None:
            return not (isinstance(leaf, Scalar) and leaf.empty)
        return any(name.startswith((f"{full}.", f"{full}[")) for name in self.leaves)

    def names(self, path: str) -> list[str]:
        """Return what stands below a path, in order: keys, which may hold points, or `[0]` and so on of a list."""
        full = self.prefix + path
        keys = [name[len(full) + 1 :] for name in self.leaves if name.startswith(f"{full}.")]
        numbers = [name[len(full) :].partition("]")[0] + "]" for name in self.leaves if name.startswith(f"{full}[")]
        return list(dict.fromkeys([*keys, *numbers]))

    def scalar(self, path: str) -> Scalar | None:
        """Take a value as it is written; None where there is none, or null."""
        leaf = self.leaves.get(self.prefix + path)
        if leaf is None:
            return None
        self.used.add(self.prefix + path)
        if isinstance(leaf, Items):
            if not leaf.values:
                self._mistake(leaf.span, f"`{path}` is an empty list")
                return None
            self.swept.add(self.prefix + path)
            leaf = leaf.values[0]
        return None if leaf.empty else leaf

    def items(self, path: str) -> tuple[Scalar, ...]:
        """Take a list."""
        leaf = self.leaves.get(self.prefix + path)
        self.used.add(self.prefix + path)
        return leaf.values if isinstance(leaf, Items) else () if leaf is None else (leaf,)

    def text(self, path: str, default: str = "") -> str:
        """Take a text, whatever YAML would read in it."""
        leaf = self.scalar(path)
        if leaf is not None and not leaf.quoted and leaf.tag == "bool":
            self._hint(leaf, f'YAML 1.1 reads `{leaf.text}` as a boolean; it is the text "{leaf.text}" here')
        return default if leaf is None else leaf.text

    def choice(self, path: str, options: Mapping[str, str], default: str) -> str:
        """Take one of several words and return what it stands for."""
        word = self.text(path, default)
        if word in options:
            return options[word]
        near = difflib.get_close_matches(word, options, 1)
        known = f"did you mean `{near[0]}`?" if near else f"lmc import knows {', '.join(options)}"
        self._mistake(self._place(path), f"`{path}` is `{word}`, which lmc has no counterpart for", known)
        return options.get(default, next(iter(options.values())))

    def boolean(self, path: str, default: bool = False) -> bool:
        """Take a boolean."""
        leaf = self.scalar(path)
        if leaf is None:
            return default
        word = leaf.text.lower()
        if word not in TRUE | FALSE or leaf.quoted:
            self._mistake(leaf.span, f"`{path}` is true or false, not `{leaf.text}`")
            return default
        if word not in ("true", "false"):
            self._hint(leaf, f"`{leaf.text}` is {str(word in TRUE).lower()} in YAML 1.1 and a text in YAML 1.2")
        return word in TRUE

    def whole(self, path: str, default: int | None = None) -> int | None:
        """Take a whole number; `1e5` is one."""
        value = self.number(path)
        if value is None:
            return default
        if value != value.to_integral_value():
            self._mistake(self._place(path), f"`{path}` is a whole number, not {value}")
            return default
        return int(value)

    def number(self, path: str, default: str | None = None) -> Decimal | None:
        """Take a number, exactly as it is written."""
        leaf = self.scalar(path)
        if leaf is None:
            return None if default is None else Decimal(default)
        text = leaf.text
        if not _NUMBER.match(text):
            self._mistake(leaf.span, f"`{path}` is a number, not `{text}`")
            return None if default is None else Decimal(default)
        if not leaf.quoted and leaf.tag == "str":
            self._hint(leaf, f"YAML 1.1 reads `{text}` as a text, for want of a point or sign; it is the number here")
        elif not leaf.quoted and _OCTAL.match(text):
            self._hint(leaf, f"YAML 1.1 reads `{text}` in base 8 and YAML 1.2 in base 10, as it is read here")
        value = Decimal(text.replace("_", ""))
        if abs(value.adjusted()) > LARGEST_EXPONENT:
            self._mistake(leaf.span, f"`{path}` is beyond what a number can be")
            return None if default is None else Decimal(default)
        return value

    def require(self, path: str, value: int | None) -> int:
        """Return a value that must be there."""
        if value is None:
            if not self.wrong:
                self._mistake(Span(self.source, 0, 0), f"`{self.prefix}{path}` is not set", "it has no default")
            return 1
        return value

    def refuse(self, path: str, message: str, help: str = "") -> None:
        """Record a mistake of the configuration at a path."""
        self._mistake(self._place(path), message, help)

    def _place(self, path: str) -> Span:
        leaf = self.leaves.get(self.prefix + path)
        if isinstance(leaf, Items) and leaf.values:
            leaf = leaf.values[0]
        return Span(self.source, 0, 0) if leaf is None else leaf.span

    def _mistake(self, span: Span, message: str, help: str = "") -> None:
        self.wrong.append(message)
        self.diagnostics.error("LM1004", span, message, help=help)

    def _hint(self, leaf: Scalar, message: str) -> None:
        self.diagnostics.add(Diagnostic("LM1003", message, leaf.span, severity="hint"))
