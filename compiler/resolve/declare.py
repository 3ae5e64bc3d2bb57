"""Declarations: the top-level names of a file and of the files that it imports."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from attrs import Factory, define, field

from ...spec.diagnostic import Diagnostics, Edit, Label
from ...spec.schema import REASONS, REGISTRY, UNSUPPORTED, word_of
from ...spec.span import Source, Span
from ..syntax import tree
from ..syntax.build import DEEPEST
from ..syntax.parse import KINDS, parse_file
from .twice import check_twice

EDITION = 1
IMPORT = "import"
"""In place of a kind: of what stands for an import that could not be read."""


@define(eq=False)
class Decl:
    """A top-level block, or an anonymous one that a field made.

    Attributes:
        bases: the blocks that it starts from, nearest first. variant: name in the schema, "" for the only form.
    """

    kind: str
    name: str
    items: tuple[tree.Item, ...]
    module: Module = field(repr=False)
    span: Span
    name_span: Span
    base: tree.Ref | None = None
    bases: list[Decl] = field(factory=list, repr=False)
    variant: str = ""
    poisoned: bool = False
    anonymous: bool = False

    @property
    def unread(self) -> bool:
        """Whether this stands for an import that could not be read."""
        return self.kind == IMPORT

    @property
    def chain(self) -> list[Decl]:
        """The blocks whose statements make this one, weakest first."""
        return [*reversed(self.bases), self]


@define(eq=False)
class Module:
    """A file: its folder, and what its names stand for."""

    path: Path
    source: Source
    file: tree.File = field(repr=False)
    names: dict[str, Decl | tree.Let | Module] = Factory(dict)
    asserts: list[tree.Assert] = Factory(list)

    @property
    def whole(self) -> bool:
        """Whether every name is known: a statement without a tree or name, which was told, may have given one."""
        nameless = any(isinstance(item, tree.Block) and item.name is None for item in self.file.items)
        return not nameless and not _holds_bad(self.file.items)

    @property
    def decls(self) -> list[Decl]:
        """The blocks that are written in this file, in order."""
        return [item for item in self.names.values() if isinstance(item, Decl)]


def _holds_bad(items: Iterable[tree.Item]) -> bool:
    return any(
        isinstance(item, tree.Bad) or (isinstance(item, tree.Block) and _holds_bad(item.items)) for item in items
    )


@define
class Loader:
    """Reads a file and what it imports; each file once. `parsed` gives the tree of a file, as `parse_file` does."""

    diagnostics: Diagnostics
    parsed: Callable[[Path, str, Diagnostics], tree.File | None] = parse_file
    modules: dict[Path, Module] = Factory(dict)
    loading: list[Path] = Factory(list)

    def load(self, path: Path, shown: str, at: Span | None = None) -> Module | None:
        """Return the module of a file, or None after recording why there is none."""
        key = Path(os.path.realpath(path)) if "\0" not in str(path) else path
        if key in self.loading:
            self.diagnostics.error("LM0206", at, "the file imports itself", help="remove one of the imports")
            return None
        if key in self.modules:
            return self.modules[key]
        if len(self.loading) == DEEPEST:
            self.diagnostics.error("LM0105", at, f"imports are nested deeper than {DEEPEST}")
            return None
        found = Diagnostics()
        file = self.parsed(path, shown, found)
        if file is None:
            problem = found.items[0]
            if at is None or problem.code != "LM0701":
                self.diagnostics.add(problem)
            else:
                help = problem.help or "paths are relative to this file"
                near = re.fullmatch("did you mean `(.+)`\\?", help)
                beside = Path(at.text.strip('"')).parent
                edits = (Edit(at, f'"{beside / near.group(1)}"'),) if near else ()
                self.diagnostics.error("LM0211", at, problem.message, help=help, edits=edits)
            return None
        for mistake in found.items:
            self.diagnostics.add(mistake)
        module = Module(path, file.span.source, file)
        self.modules[key] = module
        self.loading.append(key)
        for item in module.file.items:
            self._declare(module, item)
        self.loading.pop()
        for decl in module.decls:
            self.link(decl)
        return module

    def _declare(self, module: Module, item: tree.Item) -> None:
        error = self.diagnostics.error
        if isinstance(item, tree.Import):
            shown = str(Path(module.source.path).parent / item.path.value)
            imported = self.load(module.path.parent / item.path.value, shown, item.path.span)
            if imported is None:
                unread = Decl(IMPORT, item.name.text, (), module, item.span, item.name.span, poisoned=True)
                module.names.setdefault(item.name.text, unread)
            else:
                self._name(module, item.name, imported)
        elif isinstance(item, tree.Let):
            self._name(module, item.name, item)
        elif isinstance(item, tree.Assert):
            module.asserts.append(item)
        elif isinstance(item, tree.Assign):
            if item.dotted != "edition":
                span = item.path[0].span.to(item.path[-1].span)
                edits = (Edit(Span(span.source, span.start, span.start), "let "),) if len(item.path) == 1 else ()
                help = f"write let {item.dotted} = ..." if edits else "write it into its block"
                error("LM0214", span, "only `edition` is set at top level", help=help, edits=edits)
            elif not isinstance(item.value, tree.Number) or item.value.value != EDITION:
                error(
                    "LM0304",
                    item.value.span,
                    "this version knows edition 1",
                    help="write edition = 1",
                    edits=(Edit(item.value.span, "1"),),
                )
        elif isinstance(item, tree.Block):
            self._block(module, item)

    def _block(self, module: Module, block: tree.Block) -> None:
        kind = block.kind
        if kind.text not in KINDS:
            near = difflib.get_close_matches(kind.text, KINDS, 1)
            help = f"did you mean `{near[0]}`?" if near else f"kinds are {', '.join(sorted(KINDS))}"
            edits = (Edit(kind.span, near[0]),) if near else ()
            self.diagnostics.error("LM0201", kind.span, f"`{kind.text}` is no kind of block", help=help, edits=edits)
            if block.name is not None:
                unknown = Decl(kind.text, block.name.text, (), module, block.span, block.name.span, poisoned=True)
                module.names.setdefault(block.name.text, unknown)
            return
        if block.name is None:
            self.diagnostics.error("LM0209", kind.span, f"a top-level `{kind.text}` needs a name", help="name it")
            return
        check_twice(block.items, self.diagnostics)
        decl = Decl(kind.text, block.name.text, block.items, module, block.span, block.name.span, block.base)
        self._name(module, block.name, decl)

    def _name(self, module: Module, name: tree.Name, value: Decl | tree.Let | Module) -> None:
        before = module.names.get(name.text)
        if before is None:
            module.names[name.text] = value
            return
        for item in (before, value):
            if isinstance(item, Decl):
                item.poisoned = True
        labels = (Label(before.name_span, "first here"),) if isinstance(before, Decl) else ()
        self.diagnostics.error("LM0205", name.span, f"`{name.text}` is defined twice", labels=labels, help="rename one")

    def link(self, decl: Decl, seen: tuple[Decl, ...] = ()) -> None:
        """Find a block's variant and the blocks that it starts from."""
        if decl.variant or decl.bases or decl.poisoned or decl.kind == "overlay":
            return
        variants = REGISTRY.get(decl.kind, {})
        if decl.base is None:
            decl.variant = ""
            if decl.kind not in ("grid",) and "" not in variants:
                self._no_variant(decl)
            return
        target = find_block(decl.module, decl.base)
        if isinstance(target, Decl) and target.unread:
            decl.poisoned = True
            return
        if isinstance(target, Decl) and target is not decl and target.kind == decl.kind:
            if target in seen:
                decl.poisoned = True
                circle = [*seen[seen.index(target) :], decl]
                bases = [(one.name, one.base.span) for one in circle[:-1] if one.base is not None]
                labels = tuple(Label(span, f"`{name}` starts from this") for name, span in bases)
                help = "start one of them from a variant"
                message = f"`{decl.name}` starts from itself"
                self.diagnostics.error("LM0206", decl.base.span, message, help=help, labels=labels)
                return
            if len(seen) < DEEPEST:
                self.link(target, (*seen, decl))
            if max(len(seen), len(target.bases)) >= DEEPEST:
                decl.poisoned = True
                message = f"`{decl.name}` starts from more than {DEEPEST} blocks, one after the other"
                self.diagnostics.error("LM0105", decl.base.span, message, help="start from an earlier one")
                return
            decl.bases, decl.variant = [target, *target.bases], target.variant
            decl.poisoned = decl.poisoned or target.poisoned
            return
        name = decl.base.dotted or ""
        if name in variants:
            decl.variant = name
        else:
            self._unknown_base(decl, name, target)

    def _no_variant(self, decl: Decl) -> None:
        decl.poisoned = True
        known = ", ".join(REGISTRY.get(decl.kind, {}))
        message = f"{decl.kind} `{decl.name}` does not say which variant it is"
        self.diagnostics.error("LM0202", decl.name_span, message, help=f"write {decl.kind} {decl.name} : {known}")

    def _unknown_base(self, decl: Decl, name: str, target: Decl | Module | tree.Let | None) -> None:
        assert decl.base is not None
        decl.poisoned = True
        if (isinstance(target, Decl) and target.poisoned) or (target is None and not decl.module.whole):
            return
        if isinstance(target, Decl):
            message = f"`{name}` is a {target.kind}; a {decl.kind} starts from a {decl.kind}"
            blocks = [d.name for d in decl.module.decls if d.kind == decl.kind and d is not decl]
            known = [*(v for v in REGISTRY.get(decl.kind, {}) if v), *blocks]
            self.diagnostics.error("LM0310", decl.base.span, message, help=f"start from one of {', '.join(known)}")
            return
        unknown_variant(decl.kind, name, decl.base.span, self.diagnostics, [d.name for d in decl.module.decls])


def unknown_variant(
    slot: str, name: str, span: Span, diagnostics: Diagnostics, blocks: list[str] | None = None
) -> None:
    """Record that a slot has no such variant, or that this version cannot run it."""
    word = word_of(slot)
    if name in UNSUPPORTED.get(slot, ()):
        known = ", ".join(v for v in REGISTRY.get(slot, {}) if v)
        message = f"{word} variant `{name}` is not supported by this version"
        diagnostics.error("LM0212", span, message, help=REASONS.get((slot, name), f"use one of {known}"))
        return
    known_names = [v for v in REGISTRY.get(slot, {}) if v] + (blocks or [])
    near = difflib.get_close_matches(name, known_names, 1)
    listed = f"{word} variants are {', '.join(known_names)}"
    alone = f"`{word}` has no variants: write {word} {{ ... }}"
    help = f"did you mean `{near[0]}`?" if near else listed if known_names else alone
    edits = (Edit(span, near[0]),) if near else ()
    diagnostics.error("LM0202", span, f"there is no {word} variant `{name}`", help=help, edits=edits)


def find_block(module: Module, ref: tree.Ref) -> Decl | Module | tree.Let | None:
    """Return what a dotted name of a file stands for, through imports; one that was not read is a poisoned block."""
    found: Decl | Module | tree.Let | None = module.names.get(ref.head.text)
    for part in ref.tail:
        if isinstance(found, Decl) and found.unread:
            return found
        if not isinstance(found, Module) or not isinstance(part, tree.Name):
            return None
        found = found.names.get(part.text)
    return found
