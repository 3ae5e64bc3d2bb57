"""Repositories of the hub that specs name: the commits that they stand for, and plans that are held to these."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from attrs import evolve, frozen

from ..spec.diagnostic import Diagnostic, LmcError
from ..spec.lock import Input, Lock
from ..spec.model import HfWeights
from ..spec.plan import Plan
from ..spec.schema import fields, hints, members
from ..spec.sources import HfDataset
from ..spec.tokenizer import HfTokenizer
from .extras import library

COMMIT = re.compile(r"[0-9a-f]{40}")
Part = HfTokenizer | HfWeights | HfDataset


@frozen
class Repository:
    """A repository as the hub knows it. `kind`: "model" or "dataset". `revision`: commit, tag or branch, if said."""

    kind: str
    repo: str
    revision: str | None

    @property
    def input(self) -> Input:
        """What it is called in a lock: as in the hub's addresses, with the revision that is asked for."""
        asked = f"@{self.revision}" if self.revision else ""
        return Input("hub", f"{self.kind}s/{self.repo}{asked}")


def repository(part: Part) -> Repository | None:
    """Return the repository that a part of a spec names, unless it names the very commit or a place on disk."""
    if part.repo is None or (part.revision is not None and COMMIT.fullmatch(part.revision)):
        return None
    return Repository("dataset" if isinstance(part, HfDataset) else "model", part.repo, part.revision)


def parts(spec: Any) -> Iterator[tuple[str, Part]]:
    """Yield what of a spec may name a repository, with the field that holds it; "" for the spec itself."""
    if isinstance(spec, Part):
        yield "", spec
        return
    cls: Any = type(spec)
    for name in _holders(cls):
        value = getattr(spec, name)
        if isinstance(value, Part):
            yield name, value


@cache
def _holders(cls: type) -> tuple[str, ...]:
    """Return the fields of a class that may hold what names a repository."""
    return tuple(name for name in fields(cls) if {*members(hints(cls)[name])} & {*get_args(Part)})


def pinned(plan: Plan, lock: Lock) -> Plan:
    """Return a plan whose repositories are read at the commits of a lock; ids stay what they are."""
    if not any(item.kind == "hub" for item in lock.values):
        return plan
    nodes = dict(plan.nodes)
    for node_id, node in plan.nodes.items():
        for name, part in parts(node.spec):
            repo = repository(part)
            if repo is not None and repo.input in lock.values:
                held = evolve(part, commit=lock.values[repo.input].removeprefix("commit:"))
                spec = held if name == "" else evolve(nodes[node_id].spec, **{name: held})
                nodes[node_id] = evolve(nodes[node_id], spec=spec)
    return evolve(plan, nodes=nodes)


def commits(spec: Any) -> dict[str, str]:
    """Return the commits that a pinned spec is read at, by what locks call their repositories."""
    found = ((repository(part), part.commit) for _, part in parts(spec))
    return {repo.input.name: commit for repo, commit in found if repo is not None and commit is not None}


def newest_commit(repo: Repository) -> str:
    """Return the commit that a repository's revision stands for now, asked of the hub.

    Raises LmcError: LM0709 without the library, LM0715 and LM0717 if the hub does not tell.
    """
    hub: Any = library("huggingface_hub", "hf", "a repository of the hub")
    try:
        info = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT")).repo_info(
            repo.repo, revision=repo.revision, repo_type=repo.kind, timeout=30
        )
        commit = str(info.sha)
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        code = "LM0717" if repo.kind == "dataset" else "LM0715"
        message = f"the commit of `{repo.repo}` cannot be asked for: {reason}"
        help = "check name, revision and connection, or write the commit: revision = ..."
        raise LmcError(Diagnostic(code, message, None, help=help)) from error
    if not COMMIT.fullmatch(commit):
        message = f"the hub tells no commit of `{repo.repo}`, but `{commit}`"
        raise LmcError(Diagnostic("LM0715", message, None, help="write the commit: revision = ..."))
    return commit
