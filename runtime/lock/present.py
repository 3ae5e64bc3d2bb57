"""What the inputs of a plan are at this moment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from attrs import define, field

from ...spec.data import Text
from ...spec.lock import Input, Lock
from ...spec.plan import Plan
from ...spec.sources import Url
from ..inputs import InputDigests
from ..repositories import newest_commit, parts, pinned, repository
from .names import names_opened


@define
class Present:
    """Looks at the inputs of a plan's nodes.

    Attributes:
        readers: the first node that reads an input.
    """

    plan: Plan
    digests: InputDigests
    readers: dict[Input, str] = field(factory=dict, init=False)

    def cheaply(self, nodes: Iterable[str], lock: Lock) -> dict[Input, str]:
        """Return what can be known without asking a server: files and the digests that addresses are known by.

        A repository is what the lock says, for it is read at that commit, and otherwise "". So are vocabularies and
        tables, which are compared when they are opened, if the lock lists them. Raises LmcError (LM0701).
        """
        found: dict[Input, str] = {}
        for node_id in nodes:
            own = {**self._files(node_id), **self._urls(node_id)}
            for repo in self._repositories(node_id):
                own[repo.input] = lock.values.get(repo.input, "")
            for item in names_opened(self.plan.nodes[node_id].spec):
                if item in lock.values:
                    own[item] = lock.values[item]
            found |= self._read_by(node_id, own)
        return found

    def wholly(self, nodes: Collection[str], keep: Lock) -> dict[Input, str]:
        """Return what all inputs are: addresses are fetched, and the hub is asked for commits that `keep` lacks.

        Raises LmcError: LM0701 for a missing file, LM0702 and LM0717 for an address, LM0715 and LM0717 for the hub, and
        as `opened` does.
        """
        from ..data.download import fetched
        from .opened import opened

        found: dict[Input, str] = {}
        for node_id in nodes:
            own = {**self._files(node_id), **self._urls(node_id)}
            for source in _urls(self.plan.nodes[node_id].spec):
                fetched(source.at, source.sha256)
            for repo in self._repositories(node_id):
                if repo.input not in found:
                    own[repo.input] = keep.values.get(repo.input) or f"commit:{newest_commit(repo)}"
            found |= self._read_by(node_id, own)
        held = pinned(self.plan, Lock(found))
        for node_id in nodes:
            spec = held.nodes[node_id].spec
            if not all(item in found for item in names_opened(spec)):
                found |= self._read_by(node_id, opened(spec, self.digests.root))
        return found

    def _read_by(self, node_id: str, own: dict[Input, str]) -> dict[Input, str]:
        for item in own:
            self.readers.setdefault(item, node_id)
        return own

    def _files(self, node_id: str) -> dict[Input, str]:
        return {Input("file", path): f"sha256:{sha}" for path, sha in self.digests.own_files(node_id).items()}

    def _urls(self, node_id: str) -> dict[Input, str]:
        return {Input("url", s.at): f"sha256:{s.sha256}" for s in _urls(self.plan.nodes[node_id].spec)}

    def _repositories(self, node_id: str) -> Iterator[Any]:
        for _, part in parts(self.plan.nodes[node_id].spec):
            repo = repository(part)
            if repo is not None:
                yield repo


def _urls(spec: Any) -> list[Url]:
    source = spec.source if isinstance(spec, Text) else None
    return [source] if isinstance(source, Url) else []
